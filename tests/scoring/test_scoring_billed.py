"""What a decision does is on the bill: products, exponentials, comparisons, numbers moved, counted from its program.

Of one scored layer from which next to nobody leaves, at three shapes. Ranks, which the program finds by comparing all
pairs, are billed as the sorting that hardware would do, n log2 n: those are counted by hand.
"""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr
from rival_cases import CASES, method_of
from scoring_reference import INPUTS, WIDTH, context_for, gaussian_projection, random_design, spec_for, tokens_for

from atis_jax.circuits import get_preset
from atis_jax.energy.ledger import LINE_ENTRIES, SCORING_LINES, Ledger
from atis_jax.energy.presets import ENTRIES, energy_preset
from atis_jax.energy.shapes import Memory, NetworkShape
from atis_jax.energy.spec import EnergySpec
from atis_jax.numerics import layer_of
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Survey

HEADS = 2
SHAPES = [(65, 16), (129, 16), (129, 32)]
"""Tokens with CLS, and their width."""
FUNCTIONS = ("exp", "log", "erf", "erfc", "tanh", "logistic", "sqrt", "rsqrt")
THRESHOLDS = ("gt", "ge", "lt", "le")
HALVES = {"tome": 1.0, "dtem": 1.0, "zerotprune": 0.25}
"""Those that look for the best partner of each of one half in the other: part of the pairs that programs look at."""
PRODUCTS_SPARED: dict[str, Any] = {
    "zerotprune": lambda n, d: 0.75 * n**2 * d,
}
"""Cosines of all pairs, as the program takes them, less those of half against half, which the method needs."""
EXPONENTIALS_ELSEWHERE: dict[str, Any] = {
    "linear": lambda n: -n,  # the norm's root is on the network's line
    "dynamicvit": lambda n: -4 * n,  # two Gumbel draws a token, two logarithms each, decide in training alone
    "tome": lambda n: n,  # logarithms of sizes are taken where attention weighs keys by them
    "dtem": lambda n: n - n,  # likewise; and what has unit length already is normed again
}
"""What the bill has that the decision's program does not do, less what that does beside it."""
SORTED: dict[str, Any] = {
    **{name: lambda n: n * math.log2(n) for name in ("attention_received", "spatten")},
    **{name: lambda n: (n - 1) * math.log2(n - 1) for name in ("dynamicvit", "norm", "evit")},
    **{name: lambda n: n / 2 * math.log2(n / 2) for name in ("tome", "dtem")},
    "zerotprune": lambda n: 2 * n * math.log2(n),
    "position": lambda n: n - 1,
    "random": lambda n: 0,
}
"""Comparisons that put tokens in order, CLS among them or not. Places are in order beforehand, and chance is free."""
MOVED_BESIDE: dict[str, Any] = {
    "tome": lambda n, d: 2 * n * d / HEADS,  # the keys' mean, written and read
    "dtem": lambda n, d: 2 * n * d / HEADS,  # embeddings
    "zerotprune": lambda n, d: 2 * HEADS * n**2,  # attention is written, and read for each of two votes
    "spatten": lambda n, d: 2 * n,  # sums over layers
    "evit": lambda n, d: 2 * d,  # the fused token and what goes into it
}
"""Numbers moved that are no argument of the decision."""


def decision_of(name: str, tokens: int, width: int) -> Any:
    """The program of what a decision leaves: who stays, what goes where; and what to make its bill from.

    Returns:
        ``program``, ``read``, numbers by the argument that it reads, ``bill``, of prices.
    """
    method, counted = method_of(CASES[name]), np.arange(tokens) > 0
    attended = Attended(
        received=jnp.zeros((HEADS, tokens)),
        cls_row=jnp.zeros((HEADS, tokens)),
        keys=jnp.zeros((HEADS, tokens, width // HEADS)),
        full=jnp.zeros((HEADS, tokens, tokens)),
        inputs=jnp.zeros((tokens, width)),
    )
    seen = jnp.ones((1, 1, tokens, width))
    shown = Survey(seen, counted[None], jax.tree.map(lambda leaf: leaf[None, None], attended))
    begun, state = jax.eval_shape(method.begin, jax.random.key(0), shown, jnp.asarray([0.5]))
    # Shapes are what counts: all of a design is one, so are a stage and a round of votes.
    design = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), begun)

    def decide(arguments):
        context = context_for(
            1,
            tokens,
            state=(),
            attended=arguments["attended"],
            along=jnp.arange(tokens),
            size=jnp.ones(tokens),
        )
        key = jax.random.key(0) if method.chance else None
        made = method.score(arguments["design"], None, None, arguments["tokens"], context, key)[0]
        return made.keep, made.into, made.weight, made.along

    arguments = {"design": layer_of(design, 0), "tokens": seen[0, 0], "attended": attended}
    traced = jax.make_jaxpr(decide)(arguments).jaxpr
    program, used = dce_jaxpr(traced, [True] * len(traced.outvars))
    read: dict[str, float] = {}
    for (path, leaf), reads in zip(jax.tree_util.tree_leaves_with_path(arguments), used, strict=True):
        name = jax.tree_util.keystr(path)
        read |= {name: leaf.size} if reads else {}
    network = NetworkShape(tokens - 1, width, 1, HEADS, width, 3, 0)
    kept = jnp.full(1, 1 - 1e-3 / tokens)

    def bill(**prices: float) -> Ledger:
        free: dict[str, Any] = dict.fromkeys(ENTRIES, 0.0) | prices
        preset = dataclasses.replace(energy_preset("horowitz_45nm"), **free, charges_exponentials=True)
        energy = types.SimpleNamespace(
            prices=lambda: preset, memory=lambda: Memory(tokens="sram_32k"), tokens="sram_32k", score_format="int8"
        )
        return method.bill(Bill(energy, network, (True,)), kept, design, state)

    return types.SimpleNamespace(program=program, read=read, bill=bill)


@pytest.fixture(scope="module", params=[(name, *shape) for name in CASES for shape in SHAPES], ids=str)
def case(request):
    name, tokens, width = request.param
    return types.SimpleNamespace(name=name, tokens=tokens, width=width, **vars(decision_of(name, tokens, width)))


def counted(jaxpr, of) -> float:
    """Sum of ``of(equation)`` over a program."""
    total = 0.0
    for equation in jaxpr.eqns:
        total += sum(counted(inner, of) for inner in jaxprs_in_params(equation.params)) + of(equation)
    return total


def macs(equation) -> float:
    """Of a matrix product: size of the output times the contracted lengths."""
    if equation.primitive.name != "dot_general":
        return 0.0
    contracted, _ = equation.params["dimension_numbers"][0]
    shape = equation.invars[0].aval.shape
    return math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)


def functions(equation) -> float:
    """Exponentials and the like; a scalar's is one a sequence, and not counted."""
    size = equation.outvars[0].aval.size
    return size if equation.primitive.name in FUNCTIONS and size > 1 else 0.0


def compared(equation) -> float:
    """Scores with a threshold: numbers, not places in an order."""
    first = equation.invars[0].aval
    of_numbers = equation.primitive.name in THRESHOLDS and jnp.issubdtype(first.dtype, jnp.floating)
    return equation.outvars[0].aval.size if of_numbers and first.size > 1 else 0.0


def searched(equation) -> float:
    """Numbers of which each row's largest is found."""
    return equation.invars[0].aval.size if equation.primitive.name == "reduce_max" else 0.0


def test_matrix_products_are_on_the_bill(case):
    done = counted(case.program, macs)
    spared = PRODUCTS_SPARED[case.name](case.tokens, case.width) if case.name in PRODUCTS_SPARED else 0.0
    charged = case.bill(score_mac_j=1.0)
    assert charged.score_j == pytest.approx(done - spared, rel=0.02, abs=1.1 * case.width)  # EViT fuses what leaves


def test_exponentials_are_on_a_line_of_their_own(case):
    done = counted(case.program, functions)
    elsewhere = EXPONENTIALS_ELSEWHERE[case.name](case.tokens) if case.name in EXPONENTIALS_ELSEWHERE else 0.0
    charged = case.bill(exponential_j=1.0)
    assert charged.scorer_exponentials_j == pytest.approx(done + elsewhere, rel=0.02)
    assert charged.scoring_j == charged.scorer_exponentials_j


def test_comparisons_and_sorting_are_on_a_line_of_their_own(case):
    expected = SORTED[case.name](case.tokens) if case.name in SORTED else 0.0
    if case.name in HALVES:
        expected += counted(case.program, searched) * HALVES[case.name]
    elif case.name not in SORTED:
        expected += counted(case.program, compared)
    charged = case.bill(compare_j=1.0)
    assert charged.comparator_j == pytest.approx(expected, rel=0.02)
    assert charged.scoring_j == charged.comparator_j


def test_numbers_moved_are_on_a_line_of_their_own(case):
    """What the decision reads of tokens, keys, attention and design, and what is moved beside it."""
    # What attention a token receives stays next to the arithmetic that makes it; what is scheduled is no weight.
    at_hand = ("received", "cls_row", "share", "stage", "votes", "merged")
    read = sum(size for name, size in case.read.items() if not name.strip("]").endswith(at_hand))
    beside = MOVED_BESIDE[case.name](case.tokens, case.width) if case.name in MOVED_BESIDE else 0.0
    charged = case.bill(sram_32k_j_per_byte=1.0)
    assert charged.scorer_memory_j == pytest.approx(read + beside, rel=0.02, abs=4)
    assert charged.scoring_j == charged.scorer_memory_j


def test_each_price_has_the_lines_that_it_is_told_to(case):
    """Products and additions are the score and the projection in front of it, and nothing else."""
    for entry in ("score_mac_j", "score_add_j"):
        lines = case.bill(**{entry: 1.0}).as_dict()
        on = {line for line in SCORING_LINES if float(lines[line]) > 0}
        assert on <= {line for line in SCORING_LINES if entry in LINE_ENTRIES[line]}


@pytest.mark.parametrize(("arrangement", "tokens"), [("consensus", 64), ("grouped", 64), ("grouped", 128)])
def test_the_digital_twins_products_and_comparisons_are_its_programs(arrangement, tokens):
    """As it is computed, not folded: the projection, then a product with each prototype. It has no exponentials."""
    spec = spec_for(arrangement, kind="digital")
    method, design = Digital(spec, get_preset("nominal")), random_design(0, spec.groups, gaussian_projection(8))

    def decide(design, tokens):
        return method.score(design, None, None, tokens, context_for(spec.groups, len(tokens)), None)[0].keep

    traced = jax.make_jaxpr(decide)(design, tokens_for(0, tokens)).jaxpr
    program, _ = dce_jaxpr(traced, [True])
    prices = energy_preset("horowitz_45nm")
    network = NetworkShape(tokens, WIDTH, 1, HEADS, WIDTH, 3, 0)
    costs = Bill(EnergySpec(preset=prices.name, exponentials=True), network, (True,))
    stacked = jax.tree.map(lambda leaf: leaf[None], design)
    charged = method.ledger(costs).digital(jnp.ones(1), stacked, folded=False)
    products = float(charged.projection_j + charged.score_j) / prices.score_mac_j
    assert products == pytest.approx(counted(program, macs), rel=1e-5) and products > tokens * INPUTS * WIDTH
    assert float(charged.comparator_j) / prices.compare_j == pytest.approx(counted(program, compared), rel=1e-5)
    assert float(charged.scorer_exponentials_j) == 0.0
