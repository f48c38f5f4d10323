"""Joules of a word that SmolLM2-135M generates, by context and by what its cache keeps; who wins, and what decides.

    python -m experiments.energy.decoding
    python -m experiments.energy.decoding --batch 32 --cache-format fp16

Weights in DRAM, the cache in DRAM or in SRAM, at 7 and at 45 nm; a word of context at a time from 512 to 32,768, with
10, 25 or 50 % of it kept. Nothing is trained and nothing measured: a budget is what a method is given, not what it can
do with it. docs/kv_energy.md has these tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.energy.certainty import Certainty
from atis_jax.energy.decoding import WAYS, Decoding, WordLedger, prompt_ledger, word_ledger
from atis_jax.energy.deployments import DeploymentSpec, PointSpec, circuits_ratio, prices, recipe_of
from atis_jax.energy.ledger import SCORING_LINES
from atis_jax.energy.networks import smollm2_shape
from atis_jax.energy.presets import EnergyPreset
from atis_jax.formatting import percent, si, significant
from atis_jax.rng import key_of
from atis_jax.statistics.intervals import wilson_interval
from experiments import arguments
from experiments.energy.figures.deciding import VISIBLE
from experiments.energy.moved_constants import Hinge, Moved, hinge, moved_constants
from experiments.energy.plain_words import constant_words

POINT = PointSpec(inputs=16, bits=4, projection="selection", bias_a=44e-9, supply_v=1.8, full_scale_v=0.044)
"""Sixteen numbers of a word in four bits; currents, swing and supply of configs/scenarios.py's co-designed point."""
PLACES = tuple((preset, cache) for preset in ("jouppi_7nm", "horowitz_45nm") for cache in ("dram", "sram_1m"))
"""Prices, and where the cache is."""
CONTEXTS = tuple(512 * 2**n for n in range(7))
SHARES = (0.1, 0.25, 0.5)
SHARE = 0.25
"""Kept, where one share is told."""
ENDS = (CONTEXTS[0], CONTEXTS[-1])
TOLD = (CONTEXTS[0], CONTEXTS[3], CONTEXTS[-1])
MANY = 32
"""Texts that share one reading of the weights, where one does not."""
SAVES = 0.1
"""Of a token: from which context on a way saves as much."""
DRAWS, SEED = 4000, 0
NAMES = {
    "dense": "dense",
    "streaming": "streaming",
    "keydiff": "KeyDiff",
    "h2o": "H2O",
    "linear": "linear, 576 inputs",
    "twin": "digital twin",
    "atis": "ATIS",
    "linear_heads": "linear, a key head",
    "twin_heads": "twin, a key head",
    "atis_heads": "ATIS, a key head",
}
SHOWN = ("dense", "streaming", "keydiff", "h2o", "linear", "twin", "atis")
VERDICTS = (("atis", "dense"), ("h2o", "dense"), ("atis", "keydiff"), ("atis", "h2o"), ("atis", "linear"))
"""Who is held against whom; the twin has a table of its own."""
MILLION = 1e6
GRID = (0.0, *map(float, CONTEXTS), MILLION)
Lines = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the command line says.

    Attributes:
        batch: texts that share one reading of the weights.
        cache_format: of keys and values; None: the network's, int8.
    """

    batch: int = 1
    cache_format: str | None = None


def decoding_of(preset: str, cache: str, choice: Choice, **changes) -> Decoding:
    """SmolLM2 in one of ``PLACES``."""
    place = DeploymentSpec(
        network="own", preset=preset, weights="dram", tokens="sram_1m", cache=cache, batch=choice.batch
    )
    return Decoding(smollm2_shape(1), place, POINT, cache_format=choice.cache_format, **changes)


@functools.partial(jax.jit, static_argnames=("decoding", "names"))
def _grid(decoding: Decoding, names: tuple[str, ...], preset: EnergyPreset) -> dict[str, WordLedger]:
    def found(share, context):
        return {name: word_ledger(WAYS[name], decoding, context, share, preset) for name in names}

    over_contexts = jax.vmap(found, in_axes=(None, 0))
    return jax.vmap(over_contexts, in_axes=(0, None))(jnp.asarray(SHARES), jnp.asarray(GRID))


@functools.cache
def grid(decoding: Decoding, names: tuple[str, ...] = SHOWN) -> dict[str, WordLedger]:
    """Each way's ledger at every share and context of ``SHARES`` and ``GRID``, leaves (shares, contexts), float64."""
    place, preset = priced(decoding)
    return _host(_grid(place, names, preset))


def priced(decoding: Decoding) -> tuple[Decoding, EnergyPreset]:
    """A place without its prices' name, and the prices likewise: both nodes go by one program."""
    place = dataclasses.replace(decoding.place, preset=PLACES[0][0])
    named = prices(decoding.place, decoding.point)
    return dataclasses.replace(decoding, place=place), dataclasses.replace(named, name="")


def _host(found):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.device_get(found))


def words(decoding: Decoding, context: float, share: float, names: tuple[str, ...] = SHOWN) -> dict[str, Lines]:
    """Each way's lines at one context and share of the grid."""
    at = SHARES.index(share), GRID.index(context)
    return {
        name: {line: float(one[at]) for line, one in found.as_dict().items()}
        for name, found in grid(decoding, names).items()
    }


def total(lines: Lines) -> float:
    """Sum of all lines."""
    return float(sum(lines.values()))


def less(ours: Lines, theirs: Lines) -> float:
    """What ``ours`` takes less, line by line: equal ones cancel, and no sum a million times as large hides the rest."""
    return float(sum(theirs[line] - ours[line] for line in ours))


def linear_break_even(decoding: Decoding, way: str, saved: float) -> float | None:
    """Words of context from which on a way saves the share ``saved`` of dense, by its lines at 0 and 1 M words.

    Every line is a straight line in the context. 0 where it does from the first word on, None where it never does.
    """
    ends = (words(decoding, context, SHARE) for context in (0.0, MILLION))
    at_0, at_end = (less(one[way], one["dense"]) - saved * total(one["dense"]) for one in ends)
    slope = (at_end - at_0) / MILLION
    if at_0 >= 0:
        return 0.0
    return -at_0 / slope if slope > 0 else None


def summary_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row a place and context; what sharing the weights changes, at 7 nm with the cache in DRAM."""
    shared = ((*PLACES[0], dataclasses.replace(choice, batch=MANY)),) if choice.batch == 1 else ()
    for preset, cache, of in (*((*place, choice) for place in PLACES), *shared):
        decoding = decoding_of(preset, cache, of)
        for context in TOLD:
            at = {share: words(decoding, context, share) for share in SHARES}
            lines = at[SHARE]["dense"]
            dense, size = total(lines), context * decoding.word_bytes(prices(decoding.place, decoding.point))
            yield (
                *place_words(preset, cache),
                str(of.batch),
                f"{context:,}",
                si(size, "B"),
                si(dense, "J"),
                percent(lines["weights"] / dense, 0),
                percent(lines["cache"] / dense, 1),
                *(_with_share(total(at[share]["atis"]), dense) for share in SHARES),
                *(_with_share(total(at[SHARE][name]), dense) for name in ("keydiff", "h2o")),
            )


def _with_share(joules: float, dense: float) -> str:
    return f"{si(joules, 'J')} ({percent(joules / dense - 1.0, 1)})"


def place_words(preset: str, cache: str) -> tuple[str, str]:
    """Node and memory as a reader knows them."""
    return preset.rpartition("_")[2].replace("nm", " nm"), {"dram": "DRAM", "sram_1m": "SRAM"}[cache]


SUMMARY_HEADS = (
    "node",
    "cache in",
    "texts",
    "context",
    "full cache",
    "dense",
    "weights",
    "cache read",
    *(f"ATIS, {percent(share, 0)} kept" for share in SHARES),
    "KeyDiff, 25 %",
    "H2O, 25 %",
)


def full_rows(preset: str, cache: str, choice: Choice) -> Iterator[tuple[str, ...]]:
    """Every context, share and way of one place."""
    decoding = decoding_of(preset, cache, choice)
    for context in CONTEXTS:
        for share in SHARES:
            lines = words(decoding, context, share)
            joules = (si(total(lines[name]), "J", 4) for name in SHOWN)
            saved = less(lines["atis"], lines["dense"]) / total(lines["dense"])
            yield f"{context:,}", percent(share, 0), *joules, percent(saved)


FULL_HEADS = ("context", "kept", *(NAMES[name] for name in SHOWN), "ATIS saves")


def choosing_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row a way: what choosing costs, a word, cache in DRAM."""
    names = tuple(WAYS)
    for name in names:
        if name in ("dense", "streaming"):
            continue
        cells = []
        for preset in ("jouppi_7nm", "horowitz_45nm"):
            at = [words(decoding_of(preset, "dram", choice), context, SHARE, names) for context in ENDS]
            spent = [_choosing(lines[name]) for lines in at]
            of = (tiny(one / total(lines["dense"])) for one, lines in zip(spent, at, strict=True))
            cells += [*(si(one, "J") for one in spent), *of]
        yield NAMES[name], *cells


def _choosing(lines: Lines) -> float:
    return float(sum(lines[line] for line in ("eviction_memory", "eviction", *SCORING_LINES)))


def tiny(share: float) -> str:
    """A share, in percent, two digits however small."""
    return f"{'-' if share < 0 else ''}{significant(100 * abs(share), 2)} %"


CHOOSING_HEADS = (
    "way",
    *(
        f"{node}, {what}"
        for node in ("7 nm", "45 nm")
        for what in ("512 words", "32,768 words", "of a dense token at 512", "at 32,768")
    ),
)


def break_even_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row a place and way."""
    for preset, cache in PLACES:
        decoding = decoding_of(preset, cache, choice)
        for name in SHOWN[1:]:
            wins, saves = (linear_break_even(decoding, name, saved) for saved in (0.0, SAVES))
            as_much = percent(equal_share(decoding, name, float(CONTEXTS[-1])), 1)
            yield *place_words(preset, cache), NAMES[name], _context(wins), _context(saves), as_much


def equal_share(decoding: Decoding, way: str, context: float) -> float:
    """Share that ATIS could keep for what a way takes at ``SHARE``; its word is a straight line in the share."""
    ends = (SHARES[0], SHARES[-1])
    few, here, most = (words(decoding, context, share) for share in (ends[0], SHARE, ends[1]))
    slope = less(few["atis"], most["atis"]) / (ends[1] - ends[0])
    return SHARE + less(here["atis"], here[way]) / slope


def _context(found: float | None) -> str:
    if found is None:
        return "never"
    return "the first word" if found < 1 else f"{significant(found)} words"


BREAK_EVEN_HEADS = (
    "node",
    "cache in",
    "way",
    "takes less from",
    f"saves {percent(SAVES, 0)} from",
    f"takes at {CONTEXTS[-1]:,} what ATIS takes with",
)


def rows_of(moved: Moved, ledgers: Callable[[EnergyPreset], Any]) -> Any:
    """What ``ledgers`` gives for each row of constants, leaves (R, ...), compiled once."""
    return _host(jax.jit(jax.vmap(lambda row: ledgers(moved.preset(row))))(moved.values))


def moved_of(decoding: Decoding, draws: int) -> Moved:
    """The rows of a place's constants."""
    recipe, key = recipe_of(decoding.place, decoding.point), key_of(jax.random.key(SEED), "constants")
    return moved_constants(recipe, str(decoding.place.preset), key, draws)


def verdict_rows(choice: Choice, contexts: Sequence[int] = ENDS, draws: int = DRAWS) -> Iterator[tuple[str, ...]]:
    """A row a place, context and pair."""
    names = tuple(dict.fromkeys(name for pair in VERDICTS for name in pair))
    for preset, cache in PLACES:
        decoding = decoding_of(preset, cache, choice)
        moved = moved_of(decoding, draws)

        def ledgers(costs, decoding=decoding):
            def at(context):
                return {name: word_ledger(WAYS[name], decoding, context, SHARE, costs) for name in names}

            return [at(context) for context in contexts]

        for context, found in zip(contexts, rows_of(moved, ledgers), strict=True):
            for who, rival in VERDICTS:
                ours, theirs = found[who], found[rival]
                hinged = hinge(moved, ours, theirs, rival)
                yield (
                    *place_words(preset, cache),
                    f"{context:,}",
                    f"{NAMES[who]} against {NAMES[rival]}",
                    _times(float(theirs.total_j[0] / ours.total_j[0])),
                    chance(hinged.sure),
                    span(hinged.sure),
                    deciding_words(hinged),
                )


def deciding_words(found: Hinge) -> str:
    """The constant that matters most, and where it would turn the winner."""
    first = found.swing
    name = constant_words(first.constant.name)
    if first.decades < math.log10(VISIBLE):
        return f"no price moves it by {percent(VISIBLE - 1.0, 0)}"
    if found.turn is None:
        return f"none turns it; {name} matters most"
    turns = f"turns at {si(found.turn, first.constant.unit)} (now {si(first.constant.value, first.constant.unit)})"
    return f"{name}: {turns}" if first.decides else f"none in its range; {name} {turns}"


def _times(factor: float) -> str:
    if abs(factor - 1.0) < 5e-3:
        return "even"
    return f"wins {significant(factor)} times" if factor > 1 else f"loses {significant(1 / factor)} times"


def chance(sure: Certainty) -> str:
    """Share of the draws that are won."""
    share = sure.wins / sure.draws
    low, high = wilson_interval(sure.wins, sure.draws)
    if sure.wins in (0, sure.draws):
        return f"{percent(share, 0)} (bound {percent(low if sure.wins else high, 1)})"
    return percent(share)


def span(sure: Certainty) -> str:
    """Median and 5 to 95 % of what is saved of the token."""
    low, middle, high = (tiny(one) for one in sure.saved)
    return f"{middle} ({low} to {high})"


VERDICT_HEADS = ("node", "cache in", "context", "who", "whole token", "wins in", "saves of the token", "what decides")

VARIANTS: tuple[tuple[str, dict, dict, int, tuple[str, str]], ...] = (
    ("as built: op-amp, gains and offsets in the converters", {}, {}, 1, ("atis", "twin")),
    ("a score a key head, one set of converters", {}, {}, 1, ("atis_heads", "twin_heads")),
    ("gains and offsets in digital", {"scales": "digital"}, {}, 1, ("atis", "twin")),
    ("a resistor in place of the op-amp", {"amplifier": False}, {}, 1, ("atis", "twin")),
    ("twin in int4", {}, {"score_format": "int4"}, 1, ("atis", "twin")),
    (f"{MANY} texts share the twin's weights", {}, {}, MANY, ("atis", "twin")),
    (f"{MANY} texts, a resistor", {"amplifier": False}, {}, MANY, ("atis", "twin")),
)
"""Of ATIS, of its twin's place, texts at a time, and who."""


def twin_rows(draws: int = DRAWS) -> Iterator[tuple[str, ...]]:
    """A row a variant and node: ATIS against its digital twin, cache in DRAM, the shortest context."""
    for preset in ("jouppi_7nm", "horowitz_45nm"):
        moved = moved_of(decoding_of(preset, "dram", Choice()), draws)

        def ledgers(costs, preset=preset):
            found = []
            for _, changes, of_twin, batch, (who, rival) in VARIANTS:
                ours = decoding_of(preset, "dram", Choice(batch), **changes)
                theirs = decoding_of(preset, "dram", Choice(batch))
                theirs = dataclasses.replace(theirs, place=dataclasses.replace(theirs.place, **of_twin))
                sides = ((who, ours), (rival, theirs))
                found.append([word_ledger(WAYS[name], one, ENDS[0], SHARE, costs) for name, one in sides])
            return found

        for (label, *_), (ours, theirs) in zip(VARIANTS, rows_of(moved, ledgers), strict=True):
            hinged = hinge(moved, ours, theirs, "twin")
            yield (
                label,
                place_words(preset, "dram")[0],
                _times(float(theirs.choosing_j[0] / ours.choosing_j[0])),
                _times(1.0 / float(circuits_ratio(ours.base, theirs.base)[0])),
                chance(hinged.sure),
                span(hinged.sure),
                deciding_words(hinged),
            )


TWIN_HEADS = (
    "ATIS against its twin",
    "node",
    "scoring",
    "circuits alone",
    "wins in",
    "saves of a token at 512 words",
    "what decides",
)


def itself_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row a context: what it is worth not to compute a refused word's keys and values at all, 7 nm, DRAM."""
    sees, blind = (decoding_of("jouppi_7nm", "dram", choice, sees_itself=flag) for flag in (True, False))
    for context in CONTEXTS:
        both = (words(decoding, context, SHARE, ("dense", "atis")) for decoding in (sees, blind))
        yield f"{context:,}", *(percent(less(one["atis"], one["dense"]) / total(one["dense"])) for one in both)


ITSELF_HEADS = ("context", "saved where a refused word sees itself", "where its keys and values are not computed")

PROMPTS = (("dense", False), ("keydiff", False), ("h2o", False), ("atis", False), ("atis", True))


@functools.partial(jax.jit, static_argnames="decoding")
def _prompts(decoding: Decoding, preset: EnergyPreset) -> list[WordLedger]:
    def read(context):
        return [prompt_ledger(WAYS[name], decoding, context, SHARE, drop, preset) for name, drop in PROMPTS]

    return jax.vmap(read)(jnp.asarray(TOLD, float))


def prompt_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row a place and context: reading a prompt."""
    for preset, cache in PLACES:
        found = _host(_prompts(*priced(decoding_of(preset, cache, choice))))
        for number, context in enumerate(TOLD):
            dense, *others = (float(one.total_j[number]) for one in found)
            shown = (_with_share(one, dense) for one in others)
            yield *place_words(preset, cache), f"{context:,}", si(dense, "J"), *shown


PROMPT_HEADS = (
    "node",
    "cache in",
    "prompt",
    "dense",
    "KeyDiff, evicts behind it",
    "H2O, evicts behind it",
    "ATIS refuses",
    "ATIS drops",
)


def markdown(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]).replace("\u00a0", " ")


TABLES: dict[str, Callable[[], str]] = {
    "word": lambda: markdown(SUMMARY_HEADS, summary_rows(Choice())),
    "choosing": lambda: markdown(CHOOSING_HEADS, choosing_rows(Choice())),
    "break-even": lambda: markdown(BREAK_EVEN_HEADS, break_even_rows(Choice())),
    "verdicts": lambda: markdown(VERDICT_HEADS, verdict_rows(Choice(), ENDS[1:])),
    "twin": lambda: markdown(TWIN_HEADS, twin_rows()),
    "itself": lambda: markdown(ITSELF_HEADS, itself_rows(Choice())),
    "prompt": lambda: markdown(PROMPT_HEADS, prompt_rows(Choice())),
}
"""Of docs/kv_energy.md."""


def main(given: Sequence[str] = ()) -> int:
    """Print everything."""
    parser = arguments.parser("experiments.energy.decoding", __doc__)
    parser.add_argument("--batch", type=_whole, default=1, help="texts that share one reading of the weights")
    parser.add_argument("--cache-format", choices=("int8", "fp16"), help="of keys and values; the network's is int8")
    asked = parser.parse_args(given)
    choice = Choice(asked.batch, asked.cache_format)
    print(f"A word in short\n\n{markdown(SUMMARY_HEADS, summary_rows(choice))}\n")
    for preset, cache in PLACES:
        node, where = place_words(preset, cache)
        print(f"Every word: {node}, cache in {where}\n\n{markdown(FULL_HEADS, full_rows(preset, cache, choice))}\n")
    for title, heads, rows in (
        ("What choosing costs a word", CHOOSING_HEADS, choosing_rows(choice)),
        ("From which context on", BREAK_EVEN_HEADS, break_even_rows(choice)),
        ("What seeing itself costs, 7 nm, DRAM", ITSELF_HEADS, itself_rows(choice)),
        ("Reading a prompt", PROMPT_HEADS, prompt_rows(choice)),
        ("Verdicts", VERDICT_HEADS, verdict_rows(choice)),
        ("ATIS against its digital twin", TWIN_HEADS, twin_rows()),
    ):
        print(f"{title}\n\n{markdown(heads, rows)}\n")
    return 0


def _whole(text: str) -> int:
    if not (text.isdecimal() and (value := int(text)) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} texts; give a whole number of at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
