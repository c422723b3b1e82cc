"""Speed against the length of the context: figures, tables and a plot of benchmarks.contexts."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.console import show_table, with_interval
from smart_speed.cli.figures import number
from smart_speed.comparison import BASELINE
from smart_speed.evaluation import (
    Records,
    acceptance_rate,
    mean_draft_len,
    mean_emitted_len,
    speedup,
    tokens_per_decode_s,
)
from smart_speed.files import whole
from smart_speed.metrics.intervals import known
from smart_speed.metrics.rates import drafter_passes, rounds_of
from smart_speed.metrics.seconds import drafter_share
from smart_speed.records import SequenceRecord
from smart_speed.reporting.run_plot_style import LINES, drawing, errors, panels

LEAST_PASSES = 5
"""Passes of a width that its median is told from; fewer say too little."""


def report(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return the figures of every length, as JSON values.

    Args:
        rows: Of benchmarks.contexts.
        names: Of the conditions.
    """
    names = list(names)
    lengths = sorted({row["length"] for row in rows})
    return {
        "baseline": BASELINE,
        "lengths": [
            _figures([row for row in rows if row["length"] == at], names) for at in lengths
        ],
    }


def _figures(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    records: dict[str, list[SequenceRecord]] = {name: [] for name in names}
    for row in rows:
        for document in row["records"]:
            record = SequenceRecord.from_json(document)
            records[record.condition].append(record)
    peaks = [row["peak_bytes"] for row in rows if row["peak_bytes"] is not None]
    return {
        "length": rows[0]["length"],
        "num_prompts": len(rows),
        "first_token_s": {
            who: median(row["first_token_s"][who] for row in rows) for who in ("plain", "drafting")
        },
        "peak_bytes": max(peaks, default=None),
        "verifier_pass_s": pass_seconds(records),
        "conditions": {
            name: {
                "tokens_per_decode_s": tokens_per_decode_s(own),
                "speedup_over_plain": speedup(own, records[BASELINE]).to_json(),
                "acceptance_rate": known(acceptance_rate(own)),
                "mean_draft_len": known(mean_draft_len(own)),
                "mean_emitted_len": known(mean_emitted_len(own)),
                "drafter_pass_s": _drafter_pass_s(own),
                "drafter_share": known(drafter_share(own)),
                "num_same_text": sum(name in row["same_text"] for row in rows),
            }
            for name, own in records.items()
        },
    }


def pass_seconds(records: Mapping[str, Records]) -> dict[str, dict[str, float]]:
    """Return the median seconds of a verifier pass by its width in tokens, and how many there were.

    Passes of all conditions count; the first of an answer may hold more and is left out.
    """
    by_width: dict[int, list[float]] = {}
    for own in records.values():
        for record in own:
            for turn in record.rounds[1:]:
                by_width.setdefault(turn.draft_len + 1, []).append(turn.verifier_s)
    return {
        str(width): {"median": median(found), "num_passes": len(found)}
        for width, found in sorted(by_width.items())
        if len(found) >= LEAST_PASSES
    }


def _drafter_pass_s(records: Records) -> float | None:
    passes = drafter_passes(records)
    return sum(turn.drafter_s for turn in rounds_of(records)) / passes if passes else None


def show(document: Mapping[str, Any]) -> None:
    """Show the figures, and what a pass and the first token cost."""
    lengths = document["lengths"]
    names = list(lengths[0]["conditions"])
    show_table(
        "Speed over plain decoding by tokens of context, 95 % intervals over prompts",
        ("context", "plain, tok/s", *(name for name in names if name != BASELINE)),
        (
            (
                str(each["length"]),
                number(each["conditions"][BASELINE]["tokens_per_decode_s"], ".1f"),
                *(
                    with_interval(each["conditions"][name]["speedup_over_plain"], ".2f")
                    for name in names
                    if name != BASELINE
                ),
            )
            for each in lengths
        ),
    )
    show_table(
        "Drafts: acceptance, mean length, seconds of drafting; texts that are plain decoding's",
        ("context", *(name for name in names if name != BASELINE)),
        ((str(each["length"]), *map(_drafts, _drafting(each))) for each in lengths),
    )
    widths = sorted({int(width) for each in lengths for width in each["verifier_pass_s"]})
    show_table(
        "Milliseconds of a verifier pass by its width (medians), and of the rest",
        ("context", *map(str, widths), "first token", "drafting", "peak, MB"),
        ((str(each["length"]), *_costs(each, widths)) for each in lengths),
    )


def _drafting(each: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    own = (
        (row, each["num_prompts"]) for name, row in each["conditions"].items() if name != BASELINE
    )
    return [{**row, "num_prompts": count} for row, count in own]


def _drafts(row: Mapping[str, Any]) -> str:
    parts = [
        number(row["acceptance_rate"], ".0%"),
        number(row["mean_draft_len"], ".1f"),
        number(row["drafter_share"], ".0%"),
        f"{row['num_same_text']}/{row['num_prompts']}",
    ]
    return " ".join(parts)


def _costs(each: Mapping[str, Any], widths: Sequence[int]) -> list[str]:
    passes, peak, first = each["verifier_pass_s"], each["peak_bytes"], each["first_token_s"]
    found = [passes[str(width)]["median"] if str(width) in passes else None for width in widths]
    return [
        *(number(None if cost is None else 1e3 * cost, ".1f") for cost in found),
        number(1e3 * first["plain"], ".0f"),
        number(1e3 * first["drafting"], ".0f"),
        number(None if peak is None else peak / 1e6, ".0f"),
    ]


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw speed over plain decoding against the length of the context.

    Args:
        document: Of ``report``.
        path: An SVG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    lengths = document["lengths"]
    names = [name for name in lengths[0]["conditions"] if name != BASELINE]
    places = [each["length"] for each in lengths]
    with drawing():
        figure, (axis,) = panels(height=4.0)
        FigureCanvasAgg(figure)
        for at, name in enumerate(names):
            look = LINES[at % len(LINES)]
            ratios = [each["conditions"][name]["speedup_over_plain"] for each in lengths]
            reach = [[side for (side,) in errors(ratio)] for ratio in ratios]
            # Side by side, so that intervals do not hide each other.
            shifted = [place * 1.02 ** (at - (len(names) - 1) / 2) for place in places]
            axis.errorbar(
                shifted, [ratio["value"] for ratio in ratios], yerr=np.transpose(reach), label=name,
                color=look.colour, marker=look.marker, ls=look.line, capsize=2,
            )  # fmt: skip
        axis.axhline(1, color=LINES[-1].colour, lw=0.8, ls=":")
        axis.set_xscale("log", base=2)
        axis.set_xticks(places, [str(place) for place in places])
        axis.set_xlabel("tokens of context")
        axis.set_ylabel("speed over plain decoding")
        axis.legend()
        with whole(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})
