"""ATIS in front of a decoder's keys and values: losses by thresholds, on chips, beside rivals at the same budget.

Shape suffixes: L layers, B texts, n windows, N words of the prefix, J key heads, G scores of a word, C chips.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.chip import Environment
from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.eviction.budget import Budget, above, highest, kept_share, thresholds
from atis_jax.eviction.distil import Trained, distilled, put
from atis_jax.eviction.evaluate import compress, holding, refuse
from atis_jax.eviction.fit import fit_policies
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policies.atis import AnalogGate, DigitalGate, Gate, fabricated
from atis_jax.eviction.policy import Policy, scores
from atis_jax.eviction.registry import POLICIES
from atis_jax.eviction.seen import Seen, see
from atis_jax.models.decoder import Decoder
from atis_jax.report import write_report
from atis_jax.statistics.shares import SharedDraws, difference, recovered
from atis_jax.typing import Key, PyTree
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import UserError
from experiments.files import write_arrays_atomically
from experiments.kv.experiment import told
from experiments.kv.reading import fit_tokens, text_of, told_of_text
from experiments.kv_gate.contents import KV_GATE
from experiments.kv_gate.figures import printed
from experiments.kv_gate.settings import KvGateSettings
from experiments.rundir import RunFolder

SECOND_SHARE = 0.4
"""Of the second text, from its end, where its windows are."""
TRAINED = tuple(field.name for field in dataclasses.fields(Trained))

_scores = jax.jit(scores, static_argnames=("policy", "name"))


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is measured on.

    Attributes:
        settings: of the run.
        model: the decoder.
        params: its parameters.
        test: evaluation windows.
        policies: by name, gates among them.
        learned: what each learned, leaves (L, ...).
        key: for what is drawn.
    """

    settings: KvGateSettings
    model: Decoder
    params: PyTree
    test: Split
    policies: Mapping[str, Policy]
    learned: Mapping[str, PyTree]
    key: Key

    def batches(self, token: np.ndarray) -> Iterator[slice]:
        """Windows that are read together."""
        return (slice(start, start + self.settings.batch) for start in range(0, len(token), self.settings.batch))

    def seen(self, token: np.ndarray, names: tuple[str, ...] = ()) -> tuple[Seen, Array]:
        """The prefix of some windows, with the attention that these policies ask for."""
        prefix, length = self.settings.prefix, token.shape[1]
        rows = {name: rows for name in names if (rows := self.policies[name].rows(prefix, length)) is not None}
        return see(self.model, self.params, jnp.asarray(token), prefix, rows)

    def scores(self, name: str, seen: Seen, start: int, learned: PyTree | None = None) -> Float[Array, "L B G N"]:
        """Of one policy; each batch draws anew."""
        own = jax.random.fold_in(self.key, start)
        return _scores(self.policies[name], self.learned[name] if learned is None else learned, seen, name, own)


def run(settings: KvGateSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes summary.json, artifacts.npz and the report.

    Raises:
        UserError: there are fewer windows than are asked for.
        SettingError: the network is no decoder, its weights are of another, or not there.
    """
    started = time.time()
    root = jax.random.key(settings.seed)
    second = None if settings.second_text is None else second_text(settings)
    text = text_of(settings, folder, root)
    model, params, test = text.model, text.params, text.test
    policies = {name: POLICIES[name] for name in settings.rivals} | gates(settings)
    fit = fit_tokens(settings, text.train, rng.key_of(root, "data"))
    fit_key, draw_key = jax.random.split(rng.key_of(root, "random_scorer"))
    budgets = settings.budgets
    learned = fit_policies(model, params, fit, settings.prefix, policies, budgets[0], settings.batch, fit_key)
    fitted = time.time()
    print(f"fitted on {len(fit)} windows in {fitted - started:.0f} s", flush=True)
    if settings.distillation.steps:
        policies["fitted"], learned["fitted"] = policies["gate"], learned["gate"]
        more = fit_tokens(settings, text.train, rng.key_of(root, "data"), settings.distillation_windows)
        train = partial(trained, settings, model, params, learned["fitted"], more, rng.key_of(root, "distillation"))
        course = once(folder.path / "distilled.npz", train)
        learned["gate"] = put(learned["fitted"], Trained(**{name: jnp.asarray(course[name]) for name in TRAINED}))
    distilled_at = time.time()
    bench = Bench(settings, model, params, test, policies, learned, draw_key)
    dice = chips(settings, learned["gate"], rng.key_of(root, "chip"))
    few, found = fit[: settings.threshold_windows], []
    for number, budget in enumerate(budgets):
        after = partial(at_budget, bench, budget, number, few, dice)
        found.append(once(folder.path / f"after_reading_{number}.npz", after))
        if reading := [dice(one) for one in range(settings.chips_reading[number])]:
            before = partial(while_read, bench, budget, few, reading)
            found[-1] |= once(folder.path / f"while_reading_{number}.npz", before)
    arrays = {f"{name}_{number}": value for number, one in enumerate(found) for name, value in one.items()}
    on_second = {}
    if second is not None:
        elsewhere = dataclasses.replace(bench, test=second)
        measured = once(folder.path / "second_text.npz", partial(at_budget, elsewhere, budgets[0], 0, few, dice))
        on_second["second"] = {
            "name": settings.second_text,
            "loss_full": float(measured["full"].mean()),
            "budget": told_of(settings, budgets[0], measured),
        }
        arrays |= {f"{name}_second": value for name, value in measured.items()}
    shown = make_dataset(settings.data).show({"token": np.asarray(test.columns["token"])[:1, : settings.prefix]})
    arrays["pieces_0"] = shown["words"][0]
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        **told_of_text(settings, model),
        "kv_gate": {
            "loss_full": float(found[0]["full"].mean()),
            "prefix": settings.prefix,
            "inputs": settings.gate.inputs,
            "bits": settings.gate.bits,
            "per": settings.gate.per,
            "hardware": settings.gate.preset,
            "temperature_c": list(settings.temperature_c),
            "local": settings.local,
            "worst": settings.worst,
            "reference": settings.reference,
            "distillation_steps": settings.distillation.steps,
            "budgets": [told_of(settings, budget, one) for budget, one in zip(budgets, found, strict=True)],
            **on_second,
        },
        "timing": {
            "fit_seconds": fitted - started,
            "distillation_seconds": distilled_at - fitted,
            "seconds": time.time() - started,
        },
    }
    folder.write_summary(summary)
    print(printed(summary), flush=True)
    write_report(folder.path, KV_GATE)
    return summary


def second_text(settings: KvGateSettings) -> Split:
    """Windows of the last ``SECOND_SHARE`` of the text that nothing is fitted to.

    Raises:
        UserError: it cannot be read, or has too few.
    """
    last = {"evaluation": "test", "evaluation_share": SECOND_SHARE, "eval_examples": settings.windows}
    data = dataclasses.replace(settings.data, name=settings.second_text, **last)
    try:
        return load_split(data, data.evaluation)
    except UserError as error:
        raise UserError(f"config.second_text = {settings.second_text!r}: {error}") from error


def trained(
    settings: KvGateSettings, model: Decoder, params: PyTree, gate: Gate, token: np.ndarray, key: Key
) -> dict[str, np.ndarray]:
    """What distillation makes of the fitted gates, and its course."""
    found, losses = distilled(
        model, params, settings.gate, gate, token, settings.prefix, settings.budgets[0], settings.distillation, key
    )
    return {name: np.asarray(getattr(found, name)) for name in TRAINED} | {"divergence": losses}


def gates(settings: KvGateSettings) -> dict[str, Policy]:
    """The circuit and its digital twin."""
    return {"gate": settings.gate, "twin": DigitalGate(**vars_of(settings.gate))}


def vars_of(gate: AnalogGate) -> dict[str, Any]:
    """The circuit's settings."""
    return {field.name: getattr(gate, field.name) for field in dataclasses.fields(AnalogGate)}


def chips(settings: KvGateSettings, gate: Gate, key: Key) -> Callable[[int], Gate]:
    """By number, the gates of a chip; they take turns at the temperatures."""
    policy, celsius = settings.gate, settings.temperature_c
    fabricate = jax.jit(partial(fabricated, policy))

    def one(number: int) -> Gate:
        kelvin = celsius_to_kelvin(celsius[number % len(celsius)])
        environment = Environment(jnp.float32(kelvin), jnp.float32(policy.hardware.supply_v))
        return fabricate(gate, jax.random.fold_in(key, number), environment)

    return one


def once(path: Path, made: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What was measured already, where a run goes on; else measured now, and kept for the next start."""
    if not path.exists():
        write_arrays_atomically(path, made())
    with np.load(path) as arrays:
        return dict(arrays)


def at_budget(
    bench: Bench, budget: Budget, number: int, fit: np.ndarray, chip: Callable[[int], Gate]
) -> dict[str, np.ndarray]:
    """Losses (n,) or (C, n), and kept shares under "kept_...", at one budget.

    Args:
        bench: what is measured on.
        budget: what thresholds are set to hold.
        number: of the budget.
        fit: training windows that thresholds are set on.
        chip: the gates of a chip, by number.
    """
    settings, started = bench.settings, time.time()
    dice = [chip(one) for one in range(settings.chips[number])]
    variants: dict[str, tuple[str, PyTree]] = {
        name: (name, bench.learned[name]) for name in ("gate", "twin", "fitted") if name in bench.learned
    }
    variants |= {f"chip {one}": ("gate", gate) for one, gate in enumerate(dice)}
    own = set_on(bench, fit, variants, budget)
    theta = own | {f"fabricated {one}": own["gate"] for one in range(len(dice))}
    variants |= {f"fabricated {one}": ("gate", gate) for one, gate in enumerate(dice)}
    found: dict[str, list] = {}
    first = np.zeros((bench.model.depth, settings.prefix), bool)

    def note(name: str, value) -> None:
        found.setdefault(name, []).append(np.asarray(value, np.float64))

    token, label = np.asarray(bench.test.columns["token"])[: settings.windows], np.asarray(bench.test.labels)
    for here in bench.batches(token):
        seen, _ = bench.seen(token[here, : settings.prefix])
        note("realised", kept_share(above(bench.scores("gate", seen, here.start), theta["gate"], budget)))
    matched = dataclasses.replace(budget, share=float(np.concatenate(found.pop("realised")).mean()))
    for here in bench.batches(token):
        behind, said = jnp.asarray(token[here, settings.prefix :]), label[here, settings.prefix :]
        seen, left = bench.seen(token[here], settings.rivals)
        note("full", next_word_loss(bench.model, bench.params, left, said))
        for name in settings.rivals:
            keep = highest(bench.scores(name, seen, here.start), matched)
            note(name, compress(bench.model, bench.params, seen, keep, behind, said))
        note("by_rank", compress(
            bench.model, bench.params, seen, highest(bench.scores("gate", seen, here.start), matched), behind, said
        ))  # fmt: skip
        for name, (kind, learned) in variants.items():
            keep = above(bench.scores(kind, seen, here.start, learned), theta[name], budget)
            note(name, compress(bench.model, bench.params, seen, keep, behind, said))
            note(f"kept_{name}", kept_share(keep))
            if name == "gate" and here.start == 0:
                first = np.asarray(jnp.mean(keep[:, 0], axis=1) >= 0.5)  # of several scores, the majority
        passed = f"{here.stop} of {len(token)} windows, {time.time() - started:.0f} s"
        print(f"{100 * budget.share:.0f} %: {passed}", flush=True)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    arrays = {name: value for name, value in joined.items() if " " not in name}
    for which, name in (("chip", "chips"), ("fabricated", "as_fabricated")):
        for part in ("", "kept_"):
            arrays[part + name] = np.stack([joined[f"{part}{which} {one}"] for one in range(len(dice))])
    return arrays | {"remembered": first}


def set_on(
    bench: Bench, fit: np.ndarray, variants: Mapping[str, tuple[str, PyTree]], budget: Budget
) -> dict[str, Float[Array, "L G"]]:
    """Thresholds with which each holds the budget on these windows, read in full."""
    found: dict[str, list] = {name: [] for name in variants}
    for here in bench.batches(fit):
        seen, _ = bench.seen(fit[here, : bench.settings.prefix])
        for name, (kind, learned) in variants.items():
            found[name].append(bench.scores(kind, seen, here.start, learned))
    return {name: thresholds(jnp.concatenate(parts, axis=1), budget) for name, parts in found.items()}


def while_read(bench: Bench, budget: Budget, fit: np.ndarray, dice: list[Gate]) -> dict[str, np.ndarray]:
    """Losses and kept shares where words are refused already while the prefix is read.

    ``reading_...``: seen by the ``local`` words behind all the same; ``unseen_...``: by nobody but themselves.
    """
    settings, arrays = bench.settings, dict[str, np.ndarray]()
    token, label = np.asarray(bench.test.columns["token"])[: settings.windows], np.asarray(bench.test.labels)
    variants: dict[str, tuple[str, PyTree]] = {
        name: (name, bench.learned[name]) for name in ("gate", "twin", settings.worst) if bench.policies[name].static
    }
    for part, local in (("reading", settings.local), ("unseen", 1)):
        theta = {}
        for name, (kind, learned) in variants.items():
            parts = [
                holding(
                    bench.model, bench.params, jnp.asarray(fit[here]), bench.policies[kind], learned,
                    jax.random.fold_in(bench.key, here.start),
                    budget=budget, prefix=settings.prefix, local=local,
                )
                for here in bench.batches(fit)
            ]  # fmt: skip
            theta[name] = jnp.mean(jnp.stack(parts), axis=0)
        measured = dict(variants)
        if local == settings.local:
            measured |= {f"chip {one}": ("gate", gate) for one, gate in enumerate(dice)}
        for name, (kind, learned) in measured.items():
            told_of_each = []
            for here in bench.batches(token):
                loss, keep = refuse(
                    bench.model, bench.params, jnp.asarray(token[here]), jnp.asarray(label[here]), bench.policies[kind],
                    learned, theta.get(name, theta["gate"]), jax.random.fold_in(bench.key, here.start),
                    budget=budget, prefix=settings.prefix, local=local,
                )  # fmt: skip
                told_of_each.append((np.asarray(loss, np.float64), np.asarray(kept_share(keep), np.float64)))
            loss, kept = (np.concatenate(one) for one in zip(*told_of_each, strict=True))
            arrays |= {f"{part}_{name}": loss, f"kept_{part}_{name}": kept}
            print(f"{part} {name}: loss {loss.mean():.4f}, kept {100 * kept.mean():.1f} %", flush=True)
    for which in ("", "kept_"):
        arrays[f"{which}reading_chips"] = np.stack(
            [arrays.pop(f"{which}reading_chip {one}") for one in range(len(dice))]
        )
    return arrays


def told_of(settings: KvGateSettings, budget: Budget, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """One budget's table: losses, what each adds to a full cache's, the recovered share, with intervals."""
    draws = SharedDraws(settings.windows)
    worst, reference, full = found[settings.worst], found[settings.reference], found["full"]

    def row(name: str) -> dict[str, Any]:
        loss = found[name]
        mean = loss if loss.ndim == 1 else loss.mean(axis=0)
        one: dict[str, Any] = {
            "loss": float(loss.mean()),
            "added": told(difference(mean, full, draws)),
            "recovered": told(recovered(mean, worst, reference, draws)),
        }
        if f"kept_{name}" in found:
            kept = found[f"kept_{name}"]
            by_window = kept if kept.ndim == 1 else kept.mean(axis=0)
            one |= {"kept": float(kept.mean()), "kept_range": [float(by_window.min()), float(by_window.max())]}
        if loss.ndim == 2:
            each = (worst.mean() - loss.mean(axis=1)) / (worst - reference).mean()
            spread = float(each.std(ddof=1)) if len(each) > 1 else None
            one |= {"chips": len(each), "recovered_std": spread, "recovered_worst": float(each.min())}
        return one

    names = [name for name in found if not name.startswith("kept_") and name not in ("full", "remembered")]
    told_of_training = {}
    if "fitted" in found:
        told_of_training = {"gained": told(difference(found["fitted"], found["gate"], draws))}
    return told_of_training | {
        "share": budget.share,
        "matched_share": float(found["kept_gate"].mean()),
        "kept_words": budget.kept(settings.prefix),
        "sinks": budget.sinks,
        "recent": budget.recent,
        "gap": told(difference(worst, reference, draws)),
        "against": {
            name: told(difference(found[name], found["chips"].mean(axis=0), draws)) for name in settings.rivals
        },
        "rows": {name: row(name) for name in names},
    }
