"""Plots of drafts: how long they are, what becomes of them, and what entropy says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_plot_style import GREY, LINES, ROLES, label, panels

FEWEST_TESTED = 10
"""Tokens behind a point; fewer make no share worth drawing."""
_PANELS_BESIDE = 4

_Point = tuple[int | float, int | float]


def draw_positions(found: Findings) -> Any:
    """Draw the share of tested tokens that was accepted, by position in the draft."""
    series = {
        found.title(name): [
            (each["position"] + 1, each["share"])
            for each in found.overall(name)["acceptance_by_position"]
            if each["num_tested"] >= FEWEST_TESTED
        ]
        for name in found.chosen()
    }
    figure = _lines(series, "position in the draft", "accepted share of tested tokens")
    if figure is not None:
        figure.axes[0].xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_draft_lens(found: Findings) -> Any:
    """Draw what share of rounds proposed how many tokens."""
    names = [name for name in found.chosen() if found.overall(name)["draft_lens"]]
    if not names:
        return None
    figure, axes = panels(len(names), columns=_PANELS_BESIDE, height=1.6, margin=0.5, width=8.6)
    longest = max(len(found.overall(name)["draft_lens"]) for name in names)
    for name, axis in zip(names, axes, strict=True):
        counts = found.overall(name)["draft_lens"]
        shares = [count / max(sum(counts), 1) for count in counts]
        axis.bar(range(len(counts)), shares, color=ROLES[found.role(name)].colour, width=0.85)
        axis.set_title(label(found.title(name)), loc="left")
        axis.set_xlim(-0.7, longest - 0.3)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.supxlabel("tokens proposed in a round", fontsize=10)
    figure.supylabel("share of rounds", fontsize=10)
    return figure


def draw_entropy_acceptance(found: Findings) -> Any:
    """Draw the share of tested tokens that was accepted, by the drafter's entropy."""
    series = {
        found.title(name): _points(found.overall(name)["entropy_acceptance"]["bins"])
        for name in found.chosen()
    }
    return _lines(series, "entropy of the drafter's law, nats", "accepted share of tested tokens")


def draw_reliability(found: Findings) -> Any:
    """Draw the same by the probability of the drafter's likeliest token."""
    series = {
        found.title(name): _points(found.overall(name)["top_prob_reliability"]["bins"])
        for name in found.chosen()
    }
    figure = _lines(
        series, "probability of the drafter's likeliest token", "accepted share of tested tokens"
    )
    if figure is not None:
        figure.axes[0].plot([0, 1], [0, 1], color=GREY, lw=1)
    return figure


def _points(bins: Sequence[Mapping[str, Any]]) -> list[_Point]:
    return [
        (each["mean_value"], each["share"]) for each in bins if each["num_tested"] >= FEWEST_TESTED
    ]


def _lines(series: Mapping[str, Sequence[_Point]], x: str, y: str) -> Any:
    """Draw each series as a line of its own look."""
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    figure, (axis,) = panels(height=4.0)
    for (name, points), look in zip(series.items(), LINES, strict=False):
        axis.plot(
            *zip(*points, strict=True), color=look.colour, marker=look.marker, ls=look.line,
            label=label(name), markersize=6, lw=1.5,
        )  # fmt: skip
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(loc="outside right upper")
    return figure
