"""What the benchmark times, a function a section; run as a child process that times a case each time it is asked.

``python -m experiments.benchmark_cases SECTION`` compiles the section's cases, then for every name read from standard
input runs that case once and writes its seconds. The parent (``experiments.benchmark``) decides the order, the core
and the XLA flags, so cases interleave across processes as well as within one.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from atis_jax.circuits.chip import ArrayGeometry, nominal_environment, sample_chip
from atis_jax.circuits.frontend import Program, read, realise
from atis_jax.circuits.presets import get_preset
from atis_jax.config import from_config_dict
from atis_jax.data.dataset import Facts, Split
from atis_jax.data.registry import load_split
from atis_jax.models.backbone import Model
from atis_jax.models.decode import prefill, step
from atis_jax.models.decoder import Decoder
from atis_jax.models.forward import dense_forward, gathered_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.models.published import SMOLLM2_VOCABULARY, smollm2
from atis_jax.numerics import keep_freed_memory, layer_of
from atis_jax.pruning.gather import choose_capacity
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.types import Context, initial_state
from atis_jax.training.state import TrainState
from atis_jax.training.step import draw_hardware
from experiments import arguments, codesign
from experiments.benchmark_case import Case, NotJitted
from experiments.benchmark_removal import removal
from experiments.build import build_model, fed
from experiments.command_line import load_config
from experiments.loop import Stage
from experiments.montecarlo.memory import peak_bytes
from experiments.settings import CodesignSettings

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.py"
TOKENS = 4096
CHIPS = 64
INPUTS = 64
WIDTH = 512
PROMPT, SLOTS, FAR = 512, 1024, 900
"""Of a decoder: words of a prompt, room in the cache, and how many words were read before a late step."""
TURN_S = 0.02
"""Aimed at for one turn: long against the clock and the pipe."""


def quickstart() -> tuple[CodesignSettings, Split, Model, jax.Array, TrainState]:
    """The quickstart's settings, training data, untrained network and root key."""
    settings = from_config_dict(CodesignSettings, load_config(str(QUICKSTART)))
    train = load_split(settings.data, "train")
    root = jax.random.key(settings.seed)
    model = build_model(settings, train)
    return settings, train, model, root, codesign.fresh_dense(settings, model, root)


def training_step(*kinds: str) -> dict[str, Case]:
    """One optimiser step of the quickstart for each scorer: draws, forward, backward, update."""
    settings, train, model, root, dense = quickstart()
    first = slice(settings.data.batch_size)
    batch = fed(settings, train, first) | {"label": jnp.asarray(train.labels[first])}
    cases: dict[str, Case] = {}
    for kind in kinds:
        # The configured scorer is the analog one; its stage is the one called codesign.
        stage = Stage("codesign" if kind == "analog" else kind, settings.tune.steps, 0, 0, lambda step: "")
        step, state = codesign.prepare(settings, stage, model, train, root, {"dense": dense})
        cases[kind] = Case(step, (state, batch, dense.params))
    return cases


def score() -> dict[str, Case]:
    """Scores of 4096 tokens on a chip of ``nominal``: mismatch, read noise drawn inside, value and gradient.

    The loss is a sum of squares, so that every token has a gradient of its own.
    """
    hardware, key = get_preset("nominal"), jax.random.key(0)
    environment = nominal_environment(hardware)
    chip = sample_chip(jax.random.fold_in(key, 1), hardware, ArrayGeometry(INPUTS))
    noise_key = jax.random.fold_in(key, 2)
    inputs = 0.3 * jax.random.normal(jax.random.fold_in(key, 3), (TOKENS, INPUTS))
    program = some_program(jax.random.fold_in(key, 4))

    def array(program, inputs, chip, key):
        realised = realise(program, hardware, chip, environment)
        noise = jax.random.normal(key, (TOKENS, 1))
        return jnp.sum(jax.vmap(read, (None, 0, 0))(realised, inputs, noise) ** 2)

    spec = ScorerSpec(inputs=INPUTS)
    scorer, state = Analog(spec, hardware), initial_state(1, WIDTH)
    design = initial_design(jax.random.fold_in(key, 5), spec, hardware, WIDTH)
    tokens = jax.random.normal(jax.random.fold_in(key, 6), (TOKENS, WIDTH))

    def projected(design, tokens, chip, key):
        everyone = jnp.ones(TOKENS, bool)
        context = Context(everyone[:, None], jnp.arange(TOKENS), everyone, jnp.asarray(TOKENS), state)
        decision, _ = scorer.score(design, chip, environment, tokens, context, key)
        return jnp.sum(decision.voltage**2) + jnp.sum(decision.keep_probability**2)

    return {
        "64->1, gradient to program and inputs": Case(
            jax.value_and_grad(array, (0, 1)),
            (program, inputs, chip, noise_key),
        ),
        "512->64, gradient to design": Case(jax.value_and_grad(projected), (design, tokens, chip, noise_key)),
        "512->64, gradient to design and tokens": Case(
            jax.value_and_grad(projected, (0, 1)),
            (design, tokens, chip, noise_key),
        ),
    }


def chips() -> dict[str, Case]:
    """64 chips score 4096 tokens each: one vmapped call, one mapped call, and a jitted function called 64 times."""
    hardware, key = get_preset("nominal"), jax.random.key(0)
    environment = nominal_environment(hardware)
    geometry = ArrayGeometry(INPUTS)
    fabricated = jax.vmap(lambda k: sample_chip(k, hardware, geometry))(jax.random.split(key, CHIPS))
    inputs = 0.3 * jax.random.normal(jax.random.fold_in(key, 3), (TOKENS, INPUTS))
    program = some_program(jax.random.fold_in(key, 4))
    noise = jax.random.normal(jax.random.fold_in(key, 5), (CHIPS, TOKENS, 1))

    def one(chip, noise, inputs):
        return jax.vmap(read, (None, 0, 0))(realise(program, hardware, chip, environment), inputs, noise)

    compiled = jax.jit(one)
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], (fabricated, noise)) for n in range(CHIPS)]

    def loop(inputs):
        return [compiled(chip, noise, inputs) for chip, noise in each]

    return {
        "one vmapped call": Case(jax.vmap(one, (0, 0, None)), (fabricated, noise, inputs)),
        "one lax.map call": Case(
            lambda chips, noise, inputs: jax.lax.map(lambda pair: one(pair[0], pair[1], inputs), (chips, noise)),
            (fabricated, noise, inputs),
        ),
        "Python loop": Case(NotJitted(loop), (inputs,)),
    }


def gathered() -> dict[str, Case]:
    """Inference of the quickstart's network, every token against really removed ones, an evaluation batch each.

    The capacities hold the kept fractions that the config asks for. Which tokens an untrained scorer keeps does not
    change the time: shapes are static, and padding is computed like a token.
    """
    settings, train, model, root, dense = quickstart()
    batch = fed(settings, train, slice(settings.data.eval_batch_size))
    setup, _ = codesign.codesign_setup(settings, model, "analog")
    stage = Stage("codesign", settings.tune.steps, 0, 0, lambda step: "")
    _, state = codesign.prepare(settings, stage, model, train, root, {"dense": dense})
    chips, environments = draw_hardware(setup, root, 0)
    first_chip, environment = jax.tree.map(lambda leaf: leaf[:, 0], chips), layer_of(environments, 0)
    inputs = ScorerInputs(state.design, first_chip, environment, state.scorer_state)
    kept = settings.pruning.kept_per_layer(settings.model.depth)
    capacities = tuple(choose_capacity(round(fraction * model.tokens), model.tokens) for fraction in kept)
    print(
        f"capacities {capacities} of {model.length} tokens, {settings.data.eval_batch_size} examples", file=sys.stderr
    )

    def removed(params, batch, key):
        return gathered_forward(model, params, setup.method, batch, inputs, key, capacities=capacities).logits

    return {
        "dense": Case(lambda params, batch, key: dense_forward(model, params, batch)[0], (dense.params, batch, root)),
        "gathered": Case(removed, (dense.params, batch, root)),
    }


def untrained_decoder() -> tuple[Decoder, Any]:
    """SmolLM2's shape, which decides the time; no weights are needed."""
    words = SMOLLM2_VOCABULARY
    model = Decoder(smollm2(weights=None), Facts(classes=words, vocabulary=words, length=SLOTS))
    return model, jax.jit(model.init)(jax.random.key(0))


def prefills() -> dict[str, Case]:
    """A prompt of ``PROMPT`` words read into a cache, and its matrix products with nothing between them."""
    model, params = untrained_decoder()
    spec = model.spec
    token = jax.random.randint(jax.random.key(1), (1, PROMPT), 0, SMOLLM2_VOCABULARY)
    x = jax.random.normal(jax.random.key(2), (PROMPT, spec.width))

    def maps(x, block, mixed):
        added = mixed(x @ block["query"], x @ block["key"], x @ block["value"]) @ block["out"]
        return (added @ block["gate"] + added @ block["up"]) @ block["down"]

    def attention(query, key, value):
        heads = (part.reshape(PROMPT, -1, spec.key_width) for part in (query, key, value))
        query, key, value = (jnp.repeat(part, spec.heads // part.shape[1], axis=1) for part in heads)
        weights = jnp.einsum("nhk,mhk->hnm", query, key)
        return jnp.einsum("hnm,mhk->nhk", weights, value).reshape(PROMPT, spec.width)

    def nothing(query, key, value):
        return query + jnp.concatenate([key, value, value], axis=-1)

    def products(params, x, mixed):
        x, _ = jax.lax.scan(lambda x, block: (maps(x, block, mixed), None), x, params["blocks"])
        return model.predict(params, x[-1])

    return {
        "prefill": Case(lambda params, token: prefill(model, params, {"token": token}, PROMPT), (params, token)),
        "its matrix products": Case(lambda params, x: products(params, x, attention), (params, x)),
        "those with weights": Case(lambda params, x: products(params, x, nothing), (params, x)),
    }


def decoding() -> dict[str, Case]:
    """One word read and the next one's logits, early and late in a text; room for all of it."""
    model, params = untrained_decoder()

    def after(words: int):
        """Where a decoder is that has read so many; what they were does not change the time."""
        batch = {"token": jnp.zeros((1, words), int)}
        return jax.jit(lambda params: prefill(model, params, batch, SLOTS, chunk=min(words, 128))[1])(params)

    one = jnp.zeros((1,), int)
    return {
        f"step after {words} words": Case(lambda *given: step(model, *given), (params, after(words), one))
        for words in (FAR, 16)
    }


def some_program(key: jax.Array) -> Program:
    """Currents of a few to 100 nA of either sign, and a feedback that leaves the score within the rails."""
    current_a = 100e-9 * jax.random.uniform(key, (1, INPUTS), minval=-1.0)
    return Program(signed_current_a=current_a, feedback_ohm=jnp.full((1,), 3e5), threshold_v=jnp.zeros((1,)))


SECTIONS: dict[str, Callable[[], dict[str, Case]]] = {
    "training step": lambda: training_step("analog", "digital"),
    "score": score,
    "chips": chips,
    "gathered": gathered,
    "prefill": prefills,
    "decoding": decoding,
    "removal, batch 8": lambda: removal(8),
    "removal, batch 1": lambda: removal(1),
    "flag": lambda: training_step("analog"),
}


@dataclasses.dataclass(frozen=True)
class CompiledCase:
    """A compiled case.

    Attributes:
        once: runs it and waits for the result.
        runs: how often it runs in one turn, so that a turn lasts about ``TURN_S``.
        compile_s: seconds that compiling took.
        operations: as of the case.
    """

    once: Callable[[], Any]
    runs: int
    compile_s: float
    operations: float | None

    def turn(self) -> float:
        """Seconds of one run, averaged over a turn; one more run beforehand warms the caches."""
        self.once()
        started = time.perf_counter()
        for _ in range(self.runs):
            self.once()
        return (time.perf_counter() - started) / self.runs


def compile_case(case: Case) -> CompiledCase:
    """Compile the case and find out how often to run it in a turn."""
    function, arguments, operations = case
    started = time.perf_counter()
    compiled: Callable[..., Any]
    if isinstance(function, NotJitted):
        compiled = function.function
    else:
        compiled = jax.jit(function).lower(*arguments).compile()
    compile_s = time.perf_counter() - started

    def once():
        jax.block_until_ready(compiled(*arguments))

    once()
    started = time.perf_counter()
    once()
    return CompiledCase(once, max(1, round(TURN_S / (time.perf_counter() - started))), compile_s, operations)


def serve(section: str) -> None:
    """Compile, then time what is asked for until standard input ends."""
    cases = {name: compile_case(case) for name, case in SECTIONS[section]().items()}
    say({"cases": {n: {"compile_s": one.compile_s, "operations": one.operations} for n, one in cases.items()}})
    for line in sys.stdin:
        say({"seconds": cases[line.strip()].turn(), "peak_bytes": peak_bytes()})


def say(message: dict[str, Any]) -> None:
    """One line for the parent."""
    print("@" + json.dumps(message), flush=True)


if __name__ == "__main__":
    parser = arguments.parser("experiments.benchmark_cases", __doc__)
    parser.add_argument("section", choices=sorted(SECTIONS))
    section = parser.parse_args().section
    keep_freed_memory()  # as the launcher does
    serve(section)
