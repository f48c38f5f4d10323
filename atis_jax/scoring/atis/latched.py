"""What scorers whose sums end in a clocked latch have in common: decision, noise, the bill's frame.

They share the design of the other circuits: R_f sum_j I_j u_j is the score. The threshold theta is a branch more, of
the current theta / R_f, whose input stands at -1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Environment
from atis_jax.energy.latched import latched_ledger
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.presets import EnergyPreset
from atis_jax.numerics import pytree
from atis_jax.scoring.atis.checks import check_place
from atis_jax.scoring.atis.design import Design, inputs_of
from atis_jax.scoring.atis.latched_spec import LatchedScorerSpec
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Place
from atis_jax.scoring.types import Context, Decision, ScorerState
from atis_jax.typing import Key


@pytree
class Row:
    """One layer's design as its branches are programmed.

    Attributes:
        current_a: signed, the threshold's branch last; its input is -1, A. Zero where an input is left out.
        drawn_a: of all branches together, as the ledger charges them, A.
        threshold_v: what the threshold's branch takes off a score, V.
        volts_per_a: of a score, for a current whose input is one.
        token_s: all of a token, s.
        circuit: a row's lines and latch, one for each score.
    """

    current_a: Float[Array, "G branches"]
    drawn_a: Float[Array, ""]
    threshold_v: Float[Array, "G"]
    volts_per_a: Float[Array, "G"]
    token_s: Float[Array, ""]
    circuit: Any


class Latched(Atis):
    """A circuit whose sum meets a clocked latch; subclasses say which."""

    spec: Any

    def check(self, place: Place) -> None:
        """The sections fit, and say nothing of other circuits' parts."""
        assert isinstance(self.spec, LatchedScorerSpec)
        self.spec.check_other_sections(place)
        check_place(self.spec, self.hardware, place, converts=False)

    @property
    def fabricated(self) -> bool:
        """It is a circuit."""
        return True

    @property
    def steps(self) -> int:
        """Of an input at full scale."""
        return 2 ** (self.spec.bits - 1) - 1

    def share(self, design: Design, conditioned: Float[Array, "n X"]) -> Float[Array, "n N"]:
        """Inputs within full scale, not rounded to steps."""
        return jnp.clip(inputs_of(design, conditioned), -1.0, 1.0)

    def input_facts(self) -> dict[str, Any]:
        """How an input is made, as a run's summary tells it."""
        return {"input_bits": self.spec.bits}

    def row(self, design: Design, state: ScorerState) -> Row:
        """One layer's branches, lines and latches."""
        raise NotImplementedError

    def at_latch(
        self, row: Row, chip: Any, environment: Environment, inputs: Float[Array, "n N"]
    ) -> tuple[Float[Array, "n G"], Float[Array, "n G"]]:
        """What the latches see of each token, V, and the RMS noise of its decision, V."""
        raise NotImplementedError

    def lines_j(self, preset: EnergyPreset, inputs: Float[Array, "L"], rows: Row) -> dict[str, Float[Array, "L"]]:
        """J a token as lines of the ledger; ``rows`` of all layers."""
        raise NotImplementedError

    def score(
        self,
        design: Design,
        chip: Any,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        """See ``Method``; the score is what the latch sees with the threshold's branch added back.

        Raises:
            ValueError: there is no chip or no environment.
        """
        if chip is None or environment is None:
            raise ValueError(f"{type(self).__name__} needs a chip and an environment; see perfect_chip")
        row = self.row(design, context.state)
        inputs = inputs_of(design, conditioned(tokens, self.spec.source))
        latch_v, noise_v = self.at_latch(row, chip, environment, inputs)
        voltage = latch_v + row.threshold_v
        at_latch = voltage
        if key is not None:
            at_latch = voltage + noise_v * _latch_noise(key, context, self.spec.groups)
        keep, threshold_v, state = self.decide(at_latch, row.threshold_v, context, False, 0.0)
        probability = comparator.keep_probability(voltage, threshold_v, noise_v, self.soft_width_v(context))
        return Decision(at_latch, probability, keep), state

    def reference_v(
        self, design: Design, chip: Any, environment: Environment | None, state: ScorerState
    ) -> Float[Array, "G"]:
        """As its branch is programmed; the latch's offset is in the score."""
        del chip, environment
        return self.row(design, state).threshold_v

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Design, state: ScorerState) -> Ledger:
        """The network, projection, inputs, currents and latches."""
        preset = costs.energy.prices()
        rows = jax.vmap(self.row)(design, state)
        return latched_ledger(
            preset,
            costs.network,
            self.shape(costs, design),
            costs.tokens(kept),
            lambda inputs: self.lines_j(preset, inputs, rows),
            costs.energy.uses,
            costs.energy.memory(),
        )

    def shape(self, costs: Bill, design: Design) -> Any:
        """What the ledger needs to know of it: inputs of each layer where they are chosen."""
        return dataclasses.replace(self.ledger(costs).scorer(design), dac_bits=self.spec.bits)

    def near_threshold(
        self,
        design: Design,
        chip,
        environment,
        state: ScorerState,
        voltage,
        seen,
        rounding_v: float,
        rounding_code: float,
    ) -> Bool[Array, "B N G"]:
        """See ``Atis``: within ``rounding_v``, or where an input near the edge of two steps reaches the threshold."""
        row = self.row(design, state)
        place = self.steps * self.share(design, conditioned(seen, self.spec.source))
        at_edge = jnp.abs(jnp.abs(place - jnp.round(place)) - 0.5) < rounding_code
        step_v = jnp.abs(row.current_a[:, :-1]) * row.volts_per_a[:, None] / self.steps
        reach_v = rounding_v + 2.0 * jnp.einsum("bnj,gj->bng", at_edge.astype(step_v.dtype), step_v)
        return jnp.abs(voltage - row.threshold_v) <= reach_v


def with_threshold(inputs: Float[Array, "n N"]) -> Float[Array, "n branches"]:
    """Inputs of all branches: the threshold's stands at -1."""
    return jnp.concatenate([inputs, jnp.full((len(inputs), 1), -1.0)], axis=-1)


def _latch_noise(key: Key, context: Context, groups: int) -> Float[Array, "n G"]:
    """A standard normal a token and score, keyed by the token's place in the full sequence."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, context.position)
    return jax.vmap(lambda token: jax.random.normal(token, (groups,)))(keys)
