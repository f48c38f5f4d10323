"""KVzap's two-layer form: a small network for all scores of a layer."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from atis_jax.eviction.policies.future import PER, log_future
from atis_jax.eviction.policies.linear import demeaned
from atis_jax.eviction.policy import Policy
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class TwoLayer(Policy):
    """A GELU between two maps of the normalised hidden state (Jegou and Jeblick 2026, arXiv 2601.07891).

    Fitted to ``log_future`` by Adam with weight decay, inputs over their spread in the training texts.

    Attributes:
        per: one score a layer, or one for each key head.
        narrowing: hidden units are the width over it; the paper's 8.
        steps: of the optimiser.
        batch: words in a step.
        rate: its peak rate of learning.
        decay: of the weights, a step and unit of rate.
    """

    per: str = setting("layer", choices=PER, doc="one score a layer, or one for each key head")
    narrowing: int = setting(8, low=1, high=1024, doc="hidden units are the width over it")
    steps: int = setting(300, low=1, high=1_000_000, doc="steps of the optimiser")
    batch: int = setting(512, low=1, high=1_000_000, doc="words in a step")
    rate: float = setting(3e-3, low=0.0, high=1.0, exclusive_low=True, doc="peak rate of learning")
    decay: float = setting(0.1, low=0.0, high=10.0, doc="decay of the weights")
    static = True
    fits = True

    def __post_init__(self):
        check_settings(self, "policy")

    def fit(self, seen, free, key):
        """The maps, the first with the inputs' scale folded in."""
        width = seen.hidden.shape[-1]
        target = log_future(seen, free, self.per)
        x = demeaned(seen, free).reshape(-1, width)
        y = jnp.moveaxis(target, 1, -1).reshape(len(x), -1)
        counted = jnp.broadcast_to(free, target.shape[::2]).reshape(-1)
        share = counted / jnp.sum(counted)
        below = jnp.cumsum(share) / jnp.sum(share)
        scale = jnp.sqrt(share @ jnp.square(x)) + jnp.finfo(x.dtype).tiny
        mean = jnp.mean(seen.hidden, axis=(0, 1), where=free[:, None])
        x = (seen.hidden.reshape(-1, width) - mean) / scale
        of_first, of_second, of_batches = jax.random.split(key, 3)
        hidden = max(1, width // self.narrowing)
        start = {
            "first": jax.random.normal(of_first, (width, hidden)) / jnp.sqrt(width),
            "bias": jnp.zeros(hidden),
            "second": 0.1 * jax.random.normal(of_second, (hidden, y.shape[-1])) / jnp.sqrt(hidden),
            "out": jnp.zeros(y.shape[-1]),
        }
        optimiser = optax.adamw(optax.cosine_decay_schedule(self.rate, self.steps), weight_decay=self.decay)

        def step(carry, key):
            maps, state = carry
            chosen = jnp.searchsorted(below, jax.random.uniform(key, (self.batch,)), side="right")
            gradient = jax.grad(lambda maps: jnp.mean(jnp.square(_said(maps, x[chosen]) - y[chosen])))(maps)
            updates, state = optimiser.update(gradient, state, maps)
            return (optax.apply_updates(maps, updates), state), None

        (maps, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), jax.random.split(of_batches, self.steps))
        first = maps["first"] / scale[:, None]
        return maps | {"first": first, "bias": maps["bias"] - mean @ first}

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return jnp.moveaxis(_said(params, seen.hidden), -1, 1)


def _said(maps, x):
    return jax.nn.gelu(x @ maps["first"] + maps["bias"]) @ maps["second"] + maps["out"]
