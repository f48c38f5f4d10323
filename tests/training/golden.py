"""What training computed before its structure changed: 20 steps of each stage, and the first gradient of each.

``python tests/training/golden.py write`` writes ``golden.npz``, ``golden_x64.npz``: only ever by the commit that a
change of structure is compared with. ``test_training_golden.py`` computes the same again. They are of today's bill and
converters: with published prices, 1 us a token and kT/C of one capacitor the numbers before them were met to 4e-10, but
for pixels, which are held now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tiny_training import BATCH, SETTINGS, changed, split

from atis_jax.models.forward import masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of, stack
from atis_jax.training.state import create_state
from atis_jax.training.step import codesign_step, dense_step
from experiments import codesign
from experiments.build import build_model, build_task
from experiments.loop import Stage

STEPS = 20
FOLDER = Path(__file__).parent
GROUPED = changed(
    model=dict(depth=3, stem="conv", patch=2, stem_width=8),
    scorer=dict(arrangement="grouped", groups=2, prototype="ema", hysteresis=True),
    pruning=dict(kept=(0.7, 0.5), first_layer=1, ramp=0.4, hard_from=0.0),
    loss=dict(attention=0.0),
    codesign=dict(threshold="tracked", threshold_learning_rate=1.0, gate_gradient="secant"),
)
CHOSEN = changed(
    scorer=dict(differential=True, input_gates=True, trainable_bits=True, trainable_full_scale=True, shared=True),
    codesign=dict(objective="cvar", chips_per_step=4, threshold="tracked", threshold_learning_rate=1.0),
)
PIXELS = changed(
    scorer=dict(source="pixels", projection="selection", inputs=4),
    pruning=dict(kept=(0.5,), scored_layers=1),
)
CASES = {
    "dense": (SETTINGS, "dense"),
    "analog": (SETTINGS, "codesign"),
    "digital": (SETTINGS, "digital"),
    "random": (SETTINGS, "random"),
    "grouped": (GROUPED, "codesign"),
    "chosen": (CHOSEN, "codesign"),
    "pixels": (PIXELS, "codesign"),
}

FIRST = ("analog", "random")
"""Cases whose first gradient the suite takes; the other structures are compared by hand, by their 20 steps."""
FOLLOWED = ("dense", "digital")
"""Cases whose 20 steps the suite takes. Those of a circuit hang on the last bit where a value lies on the edge between
two codes, and rates and schedules are in single precision, whose cosine is another one on another processor: they are
compared by hand on the machine that made the numbers (``python tests/training/golden.py check``)."""


def batches():
    for seed in range(STEPS):
        rng = np.random.default_rng(seed)
        image = rng.random((BATCH, 8, 8, 1), dtype=np.float32)
        yield {"image": image, "label": rng.integers(0, 3, BATCH).astype(np.int32)}


@functools.cache
def starting(settings, name, double: bool = False):
    """The stage's setup and state, the network filled at random: as it starts, its head is zero.

    ``double``: whether in double precision, which it must be called in.
    """
    assert jax.config.jax_enable_x64 == double
    train, root = split(), jax.random.key(settings.seed)
    model = build_model(settings, train)
    dense = codesign.fresh_dense(settings, model, root)
    rng = np.random.default_rng(1)
    layers = jax.tree.map(
        lambda leaf: leaf + jnp.asarray(0.1 * rng.normal(size=leaf.shape), leaf.dtype), by_layer(dense.params)
    )
    # In double precision all of them: Flax makes parameters in single.
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.result_type(float)), stacked_again(layers))
    dense = create_state(params, (), (), root, codesign.optimiser(settings.dense, settings.codesign))
    if name == "dense":
        return model, settings.dense, dense
    stage = Stage(name, settings.tune.steps, 0, 0, lambda step: name)
    _, state = codesign.prepare(settings, stage, model, train, root, {"dense": dense})
    # Off the edges between two codes, on which a starting value may lie: there the last bit decides.
    design = jax.tree.map(
        lambda leaf: leaf * (1 + jnp.asarray(0.01 * rng.random(leaf.shape), leaf.dtype)), state.design
    )
    state = dataclasses.replace(state, design=design)
    kind = settings.scorer.kind if name == "codesign" else name
    setup, transform = codesign.codesign_setup(settings, model, kind)
    return setup, transform, state


def by_layer(params):
    """The network's parameters as they were named: a branch for each block."""
    rest = dict(params["params"])
    blocks = rest.pop("blocks")
    depth = len(jax.tree.leaves(blocks)[0])
    return {"params": rest | {f"blocks_{layer}": layer_of(blocks, layer) for layer in range(depth)}}


def stacked_again(params):
    rest = dict(params["params"])
    blocks = [rest.pop(name) for name in sorted(rest) if name.startswith("blocks_")]
    return {"params": rest | {"blocks": stack(blocks)}}


def keeping_gradient() -> optax.GradientTransformation:
    """Moves nothing; its state is the last gradient."""
    return optax.GradientTransformation(
        lambda values: jax.tree.map(jnp.zeros_like, values),
        lambda gradient, state, values: (jax.tree.map(jnp.zeros_like, gradient), gradient),
    )


def named(tree) -> dict[str, np.ndarray]:
    """Leaves by path."""
    if "network" in tree:
        tree = {**tree, "network": by_layer(tree["network"])}
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in pairs}


def first_gradient(case: str) -> dict[str, np.ndarray]:
    """Loss terms and gradient of the first step."""
    settings, name = CASES[case]
    setup, stage, state = starting(settings, name)
    keep = keeping_gradient()
    step = dense_step(setup, build_task(settings), stage, keep) if name == "dense" else codesign_step(setup, keep)
    teacher = state.params
    state = dataclasses.replace(state, opt_state=keep.init({"network": state.params, "design": state.design}))
    state, metrics = jax.jit(step)(state, next(batches()), teacher)
    return {f"{case}/metrics/{k}": v for k, v in named(metrics).items()} | {
        f"{case}/gradient/{k}": v for k, v in named(state.opt_state).items()
    }


def twenty_steps(case: str) -> dict[str, np.ndarray]:
    """Metrics of 20 steps, and network, design and memory after them."""
    settings, name = CASES[case]
    if name == "dense":
        model, stage, state = starting(settings, name, double=True)
        transform = codesign.optimiser(stage, settings.codesign)
        step = dense_step(model, build_task(settings), stage, transform)
    else:
        setup, transform, state = starting(settings, name, double=True)
        step = codesign_step(setup, transform)
    teacher, jitted, seen = state.params, jax.jit(step), []
    for batch in batches():
        state, metrics = jitted(state, batch, teacher)
        seen.append(named(metrics))
    out = {f"{case}/steps/{k}": np.stack([one[k] for one in seen]) for k in seen[0]}
    after = {"network": state.params, "design": state.design, "memory": state.scorer_state}
    return out | {f"{case}/after/{k}": v for k, v in named(after).items()}


def decisions(case: str = "analog") -> dict[str, np.ndarray]:
    """Every decision, score and logit of a masked pass on one chip, with read noise."""
    settings, name = CASES[case]
    setup, _, state = starting(settings, name)
    chip, environment = codesign_chip(setup, state)
    inputs = ScorerInputs(state.design, chip, environment, state.scorer_state)
    out = jax.jit(
        lambda params, inputs, image: masked_forward(
            setup.model, params, setup.method, {"image": image}, inputs, jax.random.key(5), scored=range(2)
        )
    )(state.params, inputs, next(batches())["image"])
    return {f"{case}/decisions/{k}": np.asarray(getattr(out, k)) for k in ("logits", "alive", "voltage")}


def codesign_chip(setup, state):
    from atis_jax.training.step import draw_hardware

    return draw_hardware(setup, state.key, state.step)


@contextlib.contextmanager
def double():
    with jax.enable_x64(True):
        yield


def write() -> None:
    """Make the stored numbers."""
    single: dict[str, np.ndarray] = {}
    for case in CASES:
        single |= first_gradient(case)
    np.savez_compressed(FOLDER / "golden.npz", **single, **decisions())
    with double():
        found: dict[str, np.ndarray] = {}
        for case in CASES:
            found |= twenty_steps(case)
        np.savez_compressed(FOLDER / "golden_x64.npz", **found)


def check() -> None:
    """Print the largest difference of each case's 20 steps, over the largest magnitude of the array it is in."""
    stored = np.load(FOLDER / "golden_x64.npz")
    for case in CASES:
        with double():
            found = twenty_steps(case)
        worst = 0.0
        for name, value in found.items():
            wanted = stored[name] / 16 if name == "random/after/design" else stored[name]
            if np.issubdtype(value.dtype, np.floating):
                worst = max(worst, float(np.max(np.abs(value - wanted)) / max(1.0, float(np.max(np.abs(wanted))))))
        print(f"{case}: {worst:.1e}")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
