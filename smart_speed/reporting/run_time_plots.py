"""Plots of where time and drafter passes go."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_plot_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    label,
    panels,
)

_HATCHES = ("", "///", "...", "xxx", "---")
_MOST_CONDITIONS = 12

PARTS: Mapping[str, str] = {
    "verifier": "verifier passes",
    "drafter": "drafter passes",
    "entropy": "measuring entropy",
    "strategy": "stopping strategy",
    "other": "everything else",
}
"""What decode time goes into; the last is overhead without the two before it."""


def time_parts(shares: Mapping[str, Any]) -> dict[str, float]:
    """Return shares of decode time that add up to 1, from those of ``condition_figures``."""
    known = {name: shares[name] or 0.0 for name in ("verifier", "drafter", "entropy", "strategy")}
    rest = (shares["overhead"] or 0.0) - known["entropy"] - known["strategy"]
    return {**known, "other": max(rest, 0.0)}


def draw_shares(found: Findings) -> Any:
    """Draw what decode time goes into."""
    rows = {
        found.title(name): list(time_parts(found.overall(name)["time_shares"]).values())
        for name in found.chosen(_MOST_CONDITIONS)
    }
    colours = (BLUE, ORANGE, GREEN, PURPLE, GREY)
    figure = _stacks(rows, list(PARTS.values()), colours, "share of decode time")
    if figure is not None:
        figure.axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def draw_passes(found: Findings) -> Any:
    """Draw what became of the drafter's passes, for each output token."""
    rows = {}
    for name in found.chosen(_MOST_CONDITIONS):
        overall = found.overall(name)
        wasted, tokens = overall["wasted_passes"], overall["num_tokens"]
        if wasted["num_passes"] and tokens:
            unproposed, rejected = wasted["num_unproposed"], wasted["num_rejected"]
            kept = wasted["num_passes"] - unproposed - rejected
            rows[found.title(name)] = [kept / tokens, rejected / tokens, unproposed / tokens]
    parts = ["token kept", "token proposed in vain", "token never proposed"]
    return _stacks(rows, parts, (BLUE, VERMILION, SKY), "drafter passes for each output token")


def _stacks(
    rows: Mapping[str, Sequence[float]], parts: Sequence[str], colours: Sequence[str], x: str
) -> Any:
    if not rows:
        return None
    figure, (axis,) = panels(height=1.4 + 0.3 * len(rows))
    names = list(rows)[::-1]
    left = [0.0] * len(names)
    for at, (part, colour) in enumerate(zip(parts, colours, strict=True)):
        widths = [rows[name][at] for name in names]
        axis.barh(
            range(len(names)), widths, left=left, color=colour, label=part, hatch=_HATCHES[at],
            edgecolor="white", linewidth=0.5, height=0.7,
        )  # fmt: skip
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axis.set_yticks(range(len(names)), [label(name) for name in names])
    axis.set_xlabel(x)
    axis.set_xlim(0, max(left) * 1.02 or 1.0)
    figure.legend(loc="outside upper left", ncols=3)
    return figure
