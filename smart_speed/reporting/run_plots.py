"""The plots of a report: of speeds first, and what there is of the rest."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from smart_speed.reporting.run_drafting_plots import (
    draw_draft_lens,
    draw_entropy_acceptance,
    draw_positions,
    draw_reliability,
)
from smart_speed.reporting.run_fidelity import draw_frontier
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_headline import subject_of
from smart_speed.reporting.run_plot_style import (
    GREY,
    ROLE_NAMES,
    ROLES,
    drawing,
    errors,
    label,
    panels,
    save,
)
from smart_speed.reporting.run_setting_plots import draw_complexity, draw_sensitivity
from smart_speed.reporting.run_time_plots import draw_passes, draw_shares

_PANELS_BESIDE = 3
_MOST_TASKS = 12
_MOST_CONDITIONS = 12


def draw_plots(found: Findings, folder: Path) -> dict[str, str]:
    """Draw what can be drawn of a run, and return each plot's SVG by name.

    Args:
        found: What is known of the run.
        folder: Where the files go; it must be there.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    drawn: dict[str, str] = {}
    with drawing():
        for name, draw in _PLOTS.items():
            figure = draw(found)
            if figure is not None:
                drawn[name] = save(figure, folder, name)
    return drawn


def draw_speeds(found: Findings) -> Any:
    """Draw each condition's speed over plain decoding, with intervals."""
    names = sorted(_measured(found), key=found.speed)
    if not names:
        return None
    figure, (axis,) = panels(height=1.3 + 0.27 * len(names))
    rows = [(name, found.overall(name)["speedup_over_plain"]) for name in names]
    _dots(found, axis, rows)
    best = found.baseline("fixed_best")
    if best in names:
        axis.axvline(found.speed(best), color=ROLES["tuned-fixed"].colour, ls="--", lw=1)
    axis.set_xlabel("speed over plain decoding, 95 % intervals")
    _legend_of_roles(found, figure, names)
    return figure


def draw_speeds_by_task(found: Findings) -> Any:
    """Draw the same for each task, of a dozen conditions at most."""
    chosen = [name for name in found.chosen(_MOST_CONDITIONS) if name in _measured(found)]
    tasks = found.tasks[:_MOST_TASKS]
    if len(found.tasks) < 2 or not chosen:
        return None
    figure, axes = panels(
        len(tasks), columns=_PANELS_BESIDE, height=0.9 + 0.2 * len(chosen), width=9.0
    )
    names = sorted(chosen, key=found.speed)
    by_task = {name: found.figures["conditions"][name]["by_task"] for name in names}
    for at, (task, axis) in enumerate(zip(tasks, axes, strict=True)):
        _dots(found, axis, [(name, by_task[name][task]["speedup_over_plain"]) for name in names])
        axis.set_title(label(task), loc="left")
        if at % _PANELS_BESIDE:
            axis.set_yticklabels([])
    figure.supxlabel("speed over plain decoding, 95 % intervals", fontsize=10)
    return figure


def draw_gap(found: Findings) -> Any:
    """Draw what share of the oracle's gap each condition closed, by replay and live."""
    if found.gap is None:
        return None
    gap = found.gap
    names = [name for name in found.drafting if name in gap.by_condition]
    names = [name for name in names if gap.by_condition[name].share.to_json()["value"] is not None]
    names.sort(key=lambda name: gap.by_condition[name].share.value)
    if not names:
        return None
    figure, (axis,) = panels(height=1.3 + 0.27 * len(names))
    for at, name in enumerate(names):
        look = ROLES[found.role(name)]
        share = gap.by_condition[name].share.to_json()
        axis.errorbar(
            share["value"], at, xerr=errors(share), color=look.colour, marker=look.marker,
            markersize=8, capsize=2,
        )  # fmt: skip
        live = gap.live[name].to_json() if name in gap.live else None
        if live and live["value"] is not None:
            axis.plot(
                live["value"],
                at,
                marker="o",
                color=look.colour,
                fillstyle="none",
                markersize=9,
                ls="",
            )
    axis.axvline(0, color=GREY, lw=1)
    axis.axvline(1, color=GREY, lw=1, ls="--")
    plain = gap.plain.share.to_json()["value"]
    if plain is not None and plain > 0:
        axis.axvline(plain, color=ROLES["plain"].colour, lw=1, ls=":")
    axis.set_yticks(range(len(names)), [label(found.title(name)) for name in names])
    axis.set_xlabel("share of the gap between best fixed length (0) and oracle (1)")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    # One condition that loses badly must not squeeze all others into a line.
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, -2.0), min(max(high, 1.05), 2.0))
    return figure


def draw_pareto(found: Findings) -> Any:
    """Draw acceptance against speed, and which conditions no other beats in both."""
    points = {
        name: (found.overall(name)["acceptance_rate"], found.speed(name))
        for name in found.answered
        if found.role(name) != "plain"
        and found.overall(name)["acceptance_rate"] is not None
        and found.speed(name)
    }
    if len(points) < 2:
        return None
    figure, (axis,) = panels(height=4.6)
    front = pareto_front(points)
    axis.plot(*zip(*(points[name] for name in front), strict=True), color=GREY, ls="--", lw=1)
    for name, (acceptance, speed) in points.items():
        look = ROLES[found.role(name)]
        axis.plot(acceptance, speed, marker=look.marker, color=look.colour, ls="", markersize=8)
    best = found.baseline("fixed_best")
    subject = subject_of(found)
    more = [best, subject.name if subject else None]
    named = dict.fromkeys([*front, *(name for name in more if name in points)])
    for at, name in enumerate(each for each in named if each):
        offset = (7, 5) if at % 2 else (7, -11)
        axis.annotate(
            label(found.title(name)),
            points[name],
            xytext=offset,
            textcoords="offset points",
            size=8,
        )
    axis.axhline(1, color=GREY, lw=1)
    axis.set_xlabel("accepted share of drafted tokens")
    axis.set_ylabel("speed over plain decoding")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.margins(x=0.14, y=0.1)
    _legend_of_roles(found, figure, list(points))
    return figure


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names that no other beats in both values, the second falling."""
    front: list[str] = []
    highest = float("-inf")
    for name in sorted(points, key=lambda each: points[each][::-1], reverse=True):
        if points[name][0] > highest:
            front.append(name)
            highest = points[name][0]
    return front


def _measured(found: Findings) -> list[str]:
    figures = {name: found.overall(name)["speedup_over_plain"] for name in found.drafting}
    return [name for name, figure in figures.items() if figure["value"] is not None]


def _dots(found: Findings, axis: Any, rows: list[tuple[str, Mapping[str, Any]]]) -> None:
    for at, (name, figure) in enumerate(rows):
        if figure["value"] is None:
            continue
        look = ROLES[found.role(name)]
        axis.errorbar(
            figure["value"], at, xerr=errors(figure), color=look.colour, marker=look.marker,
            markersize=10 if look.marker == "*" else 6, capsize=2, lw=1.4,
        )  # fmt: skip
    axis.axvline(1, color=GREY, lw=1)
    axis.set_yticks(range(len(rows)), [label(found.title(name)) for name, _ in rows])
    axis.set_ylim(-0.6, len(rows) - 0.4)


def _legend_of_roles(found: Findings, figure: Any, names: list[str]) -> None:
    from matplotlib.lines import Line2D

    roles = {found.role(name): None for name in names}
    lines = [
        Line2D([], [], color=ROLES[role].colour, marker=ROLES[role].marker, ls="", label=text)
        for role, text in ROLE_NAMES.items()
        if role in roles
    ]
    figure.legend(handles=lines, loc="outside upper left", ncols=4)


_PLOTS: Mapping[str, Callable[[Findings], Any]] = {
    "speed": draw_speeds,
    "speed-by-task": draw_speeds_by_task,
    "oracle-gap": draw_gap,
    "acceptance-by-position": draw_positions,
    "draft-lengths": draw_draft_lens,
    "entropy-acceptance": draw_entropy_acceptance,
    "reliability": draw_reliability,
    "threshold-sensitivity": draw_sensitivity,
    "complexity": draw_complexity,
    "acceptance-speed": draw_pareto,
    "fidelity": draw_frontier,
    "time-shares": draw_shares,
    "drafter-passes": draw_passes,
}
