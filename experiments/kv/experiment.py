"""Policies of KV-cache eviction on the windows of a text, by budget: losses, and the share of a gap they recover.

Shape suffixes: P policies, S shares, n windows.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.data.dataset import Split
from atis_jax.eviction.budget import above, highest, kept_share, thresholds
from atis_jax.eviction.evaluate import compress, refuse
from atis_jax.eviction.fit import fit_policies, read_texts
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policy import Policy, scores
from atis_jax.eviction.registry import POLICIES
from atis_jax.eviction.seen import see
from atis_jax.models.decoder import Decoder
from atis_jax.report import write_report
from atis_jax.statistics.shares import Estimate, SharedDraws, difference, recovered
from atis_jax.typing import Key, PyTree
from experiments.files import write_arrays_atomically
from experiments.kv.contents import KV
from experiments.kv.figures import printed
from experiments.kv.reading import fit_tokens, text_of, told_of_text
from experiments.kv.settings import KvSettings
from experiments.rundir import RunFolder

_scores = jax.jit(scores, static_argnames=("policy", "name"))


def run(settings: KvSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes summary.json, artifacts.npz and the report.

    Raises:
        UserError: there are fewer windows than are asked for.
        SettingError: the network is no decoder, its weights are of another, or not there.
    """
    started = time.time()
    root = jax.random.key(settings.seed)
    text = text_of(settings, folder, root)
    model, params, test = text.model, text.params, text.test
    policies = {name: POLICIES[name] for name in dict.fromkeys((*settings.policies, *settings.gated))}
    fit = fit_tokens(settings, text.train, rng.key_of(root, "data"))
    fit_key, draw_key = jax.random.split(rng.key_of(root, "random_scorer"))
    learned = fit_policies(model, params, fit, settings.prefix, policies, settings.budgets[0], settings.batch, fit_key)
    fitted = time.time()
    print(f"fitted on {len(fit)} windows in {fitted - started:.0f} s", flush=True)
    found = losses(settings, model, params, test, policies, learned, draw_key)
    gates = by_thresholds(settings, model, params, fit, test, policies, learned, jax.random.fold_in(draw_key, 1))
    arrays = {"loss_full": found["full"]} | {
        f"loss_{name}_{number}": of_share for name in settings.policies for number, of_share in enumerate(found[name])
    }
    arrays |= {
        f"{part.name}_{name}_{number}": getattr(one, part.name)
        for (name, number), one in gates.items()
        for part in dataclasses.fields(Thresholded)
    }
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        **told_of_text(settings, model),
        "kv": compared(settings, found, gates),
        "timing": {"fit_seconds": fitted - started, "seconds": time.time() - started},
    }
    folder.write_summary(summary)
    print(printed(summary), flush=True)
    write_report(folder.path, KV)
    return summary


def losses(
    settings: KvSettings,
    model: Decoder,
    params: PyTree,
    test: Split,
    policies: dict[str, Policy],
    learned: dict[str, PyTree],
    key: Key,
) -> dict[str, np.ndarray]:
    """Loss of each window with nothing evicted, (n,) under "full", and under each policy (S, n)."""
    names, length, prefix = settings.policies, settings.data.length, settings.prefix
    rows = {name: rows for name in names if (rows := policies[name].rows(prefix, length)) is not None}
    found: dict[str, list] = {name: [] for name in ("full", *names)}
    token, label = np.asarray(test.columns["token"]), np.asarray(test.labels)
    started = time.time()
    for start in range(0, settings.windows, settings.batch):
        here = slice(start, start + settings.batch)
        words, behind, said = jnp.asarray(token[here]), jnp.asarray(token[here, prefix:]), label[here, prefix:]
        seen, left = see(model, params, words, prefix, rows)
        found["full"].append(next_word_loss(model, params, left, said))
        for number, name in enumerate(names):
            own = jax.random.fold_in(jax.random.fold_in(key, number), start)
            score = _scores(policies[name], learned[name], seen, name, own)
            found[name].append(
                jnp.stack(
                    [compress(model, params, seen, highest(score, one), behind, said) for one in settings.budgets]
                )
            )
        jax.block_until_ready(found)
        done = start + settings.batch
        print(f"{done} of {settings.windows} windows, {time.time() - started:.0f} s", flush=True)
    return {name: np.asarray(jnp.concatenate(parts, axis=-1), np.float64) for name, parts in found.items()}


@dataclasses.dataclass(frozen=True)
class Thresholded:
    """A static policy by thresholds that were set on training windows, read in full.

    Attributes:
        compressed: (n,) loss where the prefix is read in full and what lies below the thresholds is then evicted.
        compressed_kept: (n,) share kept of it.
        refused: (n,) loss where a refused word is seen by nobody but itself, already while the prefix is read.
        refused_kept: (n,) share kept of it.
    """

    compressed: np.ndarray
    compressed_kept: np.ndarray
    refused: np.ndarray
    refused_kept: np.ndarray


def by_thresholds(
    settings: KvSettings,
    model: Decoder,
    params: PyTree,
    fit: np.ndarray,
    test: Split,
    policies: dict[str, Policy],
    learned: dict[str, PyTree],
    key: Key,
) -> dict[tuple[str, int], Thresholded]:
    """Static policies by name and number of the share."""
    if not settings.gated:
        return {}
    prefix = settings.prefix
    found: dict[tuple[str, int], list] = {}
    fitted = read_texts(model, params, fit[:, :prefix], prefix, {}, settings.batch)
    own = {name: jax.random.fold_in(key, number) for number, name in enumerate(settings.gated)}
    set_by: dict[tuple[str, int], Float[Array, "L #G"]] = {}
    for name in settings.gated:
        score = _scores(policies[name], learned[name], fitted, name, jax.random.fold_in(own[name], 0))
        set_by |= {(name, share): thresholds(score, budget) for share, budget in enumerate(settings.budgets)}
    del fitted
    for start in range(0, settings.windows, settings.batch):
        here = slice(start, start + settings.batch)
        words, label = jnp.asarray(test.columns["token"][here]), jnp.asarray(test.labels[here])
        seen, _ = see(model, params, words[:, :prefix], prefix, {})
        for (name, share), threshold in set_by.items():
            policy, budget = policies[name], settings.budgets[share]
            here_key = jax.random.fold_in(jax.random.fold_in(own[name], start + 1), share)
            for_text, for_gate = jax.random.split(here_key)
            keep = above(_scores(policy, learned[name], seen, name, for_text), threshold, budget)
            loss = compress(model, params, seen, keep, words[:, prefix:], label[:, prefix:])
            refused, written = refuse(
                model, params, words, label, policy, learned[name], threshold, for_gate, budget=budget, prefix=prefix
            )
            parts = loss, kept_share(keep), refused, kept_share(written)
            found.setdefault((name, share), []).append([np.asarray(part, np.float64) for part in parts])
        print(f"thresholds: {start + settings.batch} of {settings.windows} windows", flush=True)
    return {
        one: Thresholded(*(np.concatenate(part) for part in zip(*parts, strict=True))) for one, parts in found.items()
    }


def compared(
    settings: KvSettings, found: dict[str, np.ndarray], gates: dict[tuple[str, int], Thresholded]
) -> dict[str, Any]:
    """The table: losses, what each adds to the loss of a full cache, and the recovered share, with intervals."""
    draws = SharedDraws(settings.windows)
    budgets = []
    for number, budget in enumerate(settings.budgets):
        worst, reference = found[settings.worst][number], found[settings.reference][number]

        def row(loss: np.ndarray, worst=worst, reference=reference) -> dict[str, Any]:
            return {
                "loss": float(loss.mean()),
                "added": told(difference(loss, found["full"], draws)),
                "recovered": told(recovered(loss, worst, reference, draws)),
            }

        def of_gates(part: str, number=number, row=row) -> dict[str, Any]:
            told: dict[str, Any] = {}
            for (name, share), one in gates.items():
                kept = getattr(one, f"{part}_kept")
                ends = {"kept": float(kept.mean()), "kept_range": [float(kept.min()), float(kept.max())]}
                told |= {name: row(getattr(one, part)) | ends} if share == number else {}
            return told

        budgets.append(
            {
                "share": budget.share,
                "kept_words": budget.kept(settings.prefix),
                "sinks": budget.sinks,
                "recent": budget.recent,
                "gap": told(difference(worst, reference, draws)),
                "policies": {name: row(found[name][number]) for name in settings.policies},
                "thresholds": of_gates("compressed"),
                "refused": of_gates("refused"),
            }
        )
    return {
        "loss_full": float(found["full"].mean()),
        "prefix": settings.prefix,
        "worst": settings.worst,
        "reference": settings.reference,
        "budgets": budgets,
    }


def told(estimate: Estimate) -> dict[str, Any]:
    """A value and its interval, as a summary has them."""
    return {"value": estimate.value, "interval": list(estimate.interval)}
