"""From rows to figures: speed, with intervals over prompts, texts, first tokens and memory."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.catalogue import PeerSpec
from smart_speed.metrics.intervals import bootstrap, bootstrap_across, bootstrap_mean
from smart_speed.metrics.speed import times_faster

Rows = Sequence[Mapping[str, Any]]


def figures_of(rows: Rows, specs: Sequence[PeerSpec], ending: Sequence[int]) -> dict[str, Any]:
    """Return every peer's figures at each temperature.

    Args:
        rows: Of ``run_all``.
        specs: Of those that took part.
        ending: Tokens that end a text; engines differ in whether they return them.
    """
    temperatures = sorted({row["temperature"] for row in rows})
    found: dict[str, Any] = {}
    for temperature in temperatures:
        own = [row for row in rows if row["temperature"] == temperature]
        peers = [spec for spec in specs if not temperature or spec.samples]
        found[f"{temperature:g}"] = {
            spec.name: _figures(own, spec, peers, ending, temperature) for spec in peers
        }
    return found


def _figures(
    rows: Rows,
    spec: PeerSpec,
    peers: Sequence[PeerSpec],
    ending: Sequence[int],
    temperature: float,
) -> dict[str, Any]:
    answers = [row["answers"][spec.name] for row in rows]
    good = [each for each in answers if each["status"] == "ok"]
    figures: dict[str, Any] = {
        "engine": spec.engine,
        "ours": spec.ours,
        "num_answers": len(good),
        "failures": sorted({each["reason"] for each in answers if each["status"] != "ok"}),
    }
    if not good:
        return figures
    figures |= {
        "tokens_per_s": _speed(rows, spec.name),
        "over_plain": _ratio(rows, spec.name, spec.baseline),
        "first_s": median(each["first_s"] for each in good),
        "mean_emitted_len": _emitted(good),
        "peak_bytes": max(each["peak_bytes"] or 0 for each in good) or None,
        "num_tokens": sum(len(each["tokens"]) for each in good),
    }
    if not temperature:
        figures["num_same_text"], figures["num_compared"] = _same(rows, spec, ending)
    if not spec.ours:
        figures["ours_over_it"] = {
            each.name: _ratio(rows, each.name, spec.name)
            for each in peers
            if each.ours and each.name != each.baseline
        }
    return figures


def _speed(rows: Rows, name: str) -> dict[str, Any]:
    """Return tokens per second of decoding, by task, and the mean of tasks."""
    tables = tables_of(rows, [name])
    return by_task(tables, lambda sums: sums[..., 0] / sums[..., 1])


def _ratio(rows: Rows, name: str, other: str) -> dict[str, Any]:
    """Return how many times faster one is than another, paired by prompt."""
    return by_task(tables_of(rows, [name, other]), times_faster)


def by_task(tables: Mapping[str, np.ndarray], of_sums: Any) -> dict[str, Any]:
    """Return a figure of each task, their mean and their median, with intervals over prompts."""
    every = list(tables.values())
    return {
        "mean_of_tasks": bootstrap_mean(every, of_sums).to_json(),
        "median_of_tasks": bootstrap_across(np.median, every, of_sums).to_json(),
        "by_task": {task: bootstrap(each, of_sums).to_json() for task, each in tables.items()},
    }


def tables_of(rows: Rows, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return a row of tokens and seconds of each of some peers for each prompt all answered.

    Answers that ended with their first tokens took no time after them, and tell nothing.
    """
    tables: dict[str, list[list[float]]] = {}
    for row in rows:
        answers = [row["answers"].get(name, {"status": "error"}) for name in names]
        if all(each["status"] == "ok" and each["decode_len"] for each in answers):
            values = [each[key] for each in answers for key in ("decode_len", "decode_s")]
            tables.setdefault(row["task"], []).append(values)
    return {task: np.array(values, dtype=np.float64) for task, values in tables.items()}


def _emitted(answers: Rows) -> float | None:
    """Return tokens per pass of the verifier (MAT), where the engine tells of its passes."""
    told = [each for each in answers if each["passes"]]
    passes = sum(each["passes"] for each in told)
    return sum(each["decode_len"] for each in told) / passes if passes else None


def _same(rows: Rows, spec: PeerSpec, ending: Sequence[int]) -> tuple[int, int]:
    """Return how many texts are plain decoding's, and how many were compared."""
    pairs = [(row["answers"][spec.name], row["answers"].get(spec.baseline)) for row in rows]
    texts = [
        (text_of(mine["tokens"], ending), text_of(plain["tokens"], ending))
        for mine, plain in pairs
        if plain is not None and mine["status"] == plain["status"] == "ok"
    ]
    return sum(mine == plain for mine, plain in texts), len(texts)


def text_of(tokens: Sequence[int], ending: Sequence[int]) -> tuple[int, ...]:
    """Return a text without the tokens that end it, which only some engines return."""
    kept = list(tokens)
    while kept and kept[-1] in ending:
        kept.pop()
    return tuple(kept)
