"""Speed against fidelity: figures, a verdict and a plot of a run of benchmarks.frontier."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import console, show_table, with_interval
from smart_speed.files import whole
from smart_speed.reporting.run_plot_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Look,
    drawing,
    errors,
    panels,
)

FASTER = 1.10
"""An entropy-shaped setting is to be so many times as fast as the same drafts kept exact."""
MOST_LOST = 0.01
"""And is to lose no more log-likelihood per token, as a share of the exact text's."""
CONSTANT = "relaxed-always"
SHAPED = ("relaxed-low", "relaxed-high")
"""Predictable phases relaxed, which is what the project set out from; reasoning phases relaxed."""
LOOKS: Mapping[str, tuple[str, Look]] = {
    "relaxed-low": ("lenient in predictable phases", Look(BLUE, "o", "-")),
    "relaxed-high": ("lenient in reasoning phases", Look(VERMILION, "D", "--")),
    "relaxed-always": ("constant lenience", Look(GREY, "s", "-.")),
    "typical": ("typical", Look(GREEN, "^", "")),
    "fly": ("fly", Look(PURPLE, "X", "")),
    "easd": ("easd", Look(SKY, "P", "")),
}
_FIGURES = (
    "speedup_over_exact",
    "time_to_answer_ratio",
    "divergence",
    "agreement",
    "first_divergence",
    "length_ratio",
    "log_likelihood_per_token",
    "exact_log_likelihood_per_token",
    "sampled_log_likelihood_per_token",
    "score",
    "exact_score",
    "score_difference",
    "time_to_answer_s",
    "exact_time_to_answer_s",
    "ended_share",
    "num_compared",
    "num_same",
)


def report(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run has shown, as JSON values.

    Args:
        evaluation: The document of ``evaluate_run``.
    """
    tasks, conditions = evaluation["tasks"], evaluation["conditions"]
    lossy = evaluation["fidelity"]["conditions"]
    (partner,) = {each["exact_partner"] for each in lossy.values()}
    exact = {
        name: {
            "overall": each["overall"]["speedup_over_plain"],
            "by_task": {task: each["by_task"][task]["speedup_over_plain"] for task in tasks},
        }
        for name, each in conditions.items()
        if each["role"] == "calibrated"
    }
    figures = {
        name: {
            "overall": _row(lossy[name]["overall"], conditions[name]["overall"]),
            "by_task": {
                task: _row(lossy[name]["by_task"][task], conditions[name]["by_task"][task])
                for task in tasks
            },
        }
        for name in lossy
    }
    settings = {
        name: {key: val for key, val in each["config"].items() if key != "calibration"}
        for name, each in conditions.items()
    }
    verdicts = {
        task: verdict(
            {name: _part(each, task) for name, each in figures.items()},
            _lead({name: _part(each, task) for name, each in exact.items()}, partner),
        )
        for task in ("", *tasks)
    }
    return {
        "run": evaluation["run"],
        "tasks": tasks,
        "settings": settings,
        "exact": {"partner": partner, "speedup_over_plain": exact},
        "figures": figures,
        "repetition": {
            name: each["overall"]["repetition"]["share"] for name, each in conditions.items()
        },
        "task_scores": evaluation["task_scores"],
        "verdict": {"overall": verdicts[""], "by_task": {task: verdicts[task] for task in tasks}},
    }


def _part(each: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Return what is known of a task, or with "" of all."""
    part: Mapping[str, Any] = each["by_task"][task] if task else each["overall"]
    return part


def _row(fidelity: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    names = ("tokens_per_decode_s", "speedup_over_plain", "acceptance_rate", "mean_draft_len")
    return {
        **{name: fidelity[name] for name in _FIGURES},
        **{name: figures[name] for name in names},
    }


def _lead(speeds: Mapping[str, Mapping[str, Any]], partner: str) -> float:
    """Return how much faster the fastest exact condition is than the lossy ones' partner."""
    own: float = speeds[partner]["value"]
    fastest: float = max(each["value"] for each in speeds.values())
    return fastest / own


def verdict(figures: Mapping[str, Mapping[str, Any]], lead: float = 1.0) -> dict[str, Any]:
    """Return which entropy-shaped settings keep the bound, and how they stand to constant lenience.

    A setting meets the target if it is at least ``FASTER`` times as fast as exact decoding, loses
    at most ``MOST_LOST``, and is faster than constant lenience that loses no more than it does.

    Args:
        figures: Of lossy conditions, by name.
        lead: How much faster the fastest exact condition is than their partner, at least 1: speeds
            here are over the former.
    """
    points = {name: (lost, speed / lead) for name, (lost, speed) in _points(figures).items()}
    constant = [point for name, point in points.items() if _family(name) == CONSTANT]
    rows: dict[str, Any] = {}
    for name, (lost, speed) in points.items():
        if _family(name) in SHAPED:
            rival = best_mix([(0.0, 1.0), *constant], lost)
            rows[name] = {
                "speedup_over_exact": speed,
                "divergence": lost,
                "constant_at_equal_fidelity": rival,
                "over_constant": speed / rival if rival else None,
                "meets_target": bool(
                    speed >= FASTER and lost <= MOST_LOST and rival and speed > rival
                ),
            }
    keeping = {name: row for name, row in rows.items() if row["divergence"] <= MOST_LOST}
    return {
        "target": {"faster": FASTER, "most_lost": MOST_LOST},
        "met_by": [name for name, row in rows.items() if row["meets_target"]],
        "best_by_direction": {
            family: max(own, key=lambda name: keeping[name]["speedup_over_exact"])
            if (own := [name for name in keeping if _family(name) == family])
            else None
            for family in SHAPED
        },
        "best_constant_speed": best_mix([(0.0, 1.0), *constant], MOST_LOST),
        "settings": rows,
    }


def best_mix(points: Sequence[tuple[float, float]], most_lost: float) -> float | None:
    """Return the best speed of some settings, or of a mix of two, that loses no more than a bound.

    Args:
        points: What each loses, and its speed.
        most_lost: The bound; ``None`` is returned where nothing keeps it.
    """
    keeping = [point for point in points if point[0] <= most_lost]
    beyond = [point for point in points if point[0] > most_lost]
    speeds = [speed for _, speed in keeping]
    for lost, speed in keeping:
        for more_lost, more_speed in beyond:
            share = (most_lost - lost) / (more_lost - lost)
            speeds.append(speed + share * (more_speed - speed))
    return max(speeds, default=None)


def _points(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, each in figures.items():
        lost, speed = each["divergence"]["value"], each["speedup_over_exact"]["value"]
        if lost is not None and speed is not None:
            found[name] = (lost, speed)
    return found


def _family(name: str) -> str:
    return next(each for each in LOOKS if name.startswith(each))


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw speed, and time to answer, against what is lost: all tasks, then each.

    Args:
        document: Of ``report``.
        path: An SVG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    groups = {"mean of tasks": "", **{task: task for task in document["tasks"]}}
    columns = len(groups)
    with drawing():
        figure, axes = panels(2 * columns, columns=columns, height=3.2, width=3.3 * columns)
        FigureCanvasAgg(figure)
        for row, (key, what) in enumerate(
            (("speedup_over_exact", "speed"), ("time_to_answer_ratio", "time to answer"))
        ):
            for column, (title, task) in enumerate(groups.items()):
                axis = axes[row * columns + column]
                _draw_panel(axis, document, task, key)
                axis.set_title(title if row == 0 else "")
                if column == 0:
                    axis.set_ylabel(f"{what} over exact")
                if row:
                    axis.set_xlabel("log-likelihood per token lost")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
        with whole(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})


def _draw_panel(axis: Any, document: Mapping[str, Any], task: str, key: str) -> None:
    families: dict[str, list[Mapping[str, Any]]] = {name: [] for name in LOOKS}
    for name, each in document["figures"].items():
        row = _part(each, task)
        if row["divergence"]["value"] is not None and row[key]["value"] is not None:
            families[_family(name)].append(row)
    for name, rows in families.items():
        if not rows:
            continue
        label, look = LOOKS[name]
        # Conditions of a family are in order, the strictest first; exact decoding begins each line.
        start = [0.0] if look.line else []
        lost = [*start, *(row["divergence"]["value"] for row in rows)]
        shown = [*(1.0 for _ in start), *(row[key]["value"] for row in rows)]
        axis.plot(
            lost, shown, color=look.colour, marker=look.marker, ls=look.line or "none", label=label,
            markersize=5, lw=1.2,
        )  # fmt: skip
        for row in rows:
            axis.errorbar(
                row["divergence"]["value"], row[key]["value"], xerr=errors(row["divergence"]),
                yerr=errors(row[key]), color=look.colour, alpha=0.3, lw=0.8,
            )  # fmt: skip
    axis.plot(0, 1, color=ORANGE, marker="*", markersize=13, ls="none", label="exact")
    axis.axvspan(-MOST_LOST, MOST_LOST, color=GREY, alpha=0.15, lw=0)
    axis.set_xscale("symlog", linthresh=MOST_LOST)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.axhline(1, color=GREY, lw=0.8, ls=":")


def show(document: Mapping[str, Any]) -> None:
    """Show the figures, and say whether the target is met and by which direction."""
    rows = []
    for name, each in document["figures"].items():
        row = each["overall"]
        rows.append(
            (
                name,
                with_interval(row["speedup_over_exact"], ".3f"),
                with_interval(row["time_to_answer_ratio"], ".3f"),
                with_interval(row["divergence"], "+.2%"),
                with_interval(row["agreement"], ".0%"),
                with_interval(row["length_ratio"], ".2f"),
                with_interval(row["score_difference"], "+.1%"),
            )
        )
    headings = ("setting", "speed", "answer", "lost", "agrees", "length", "score")
    show_table("Over the same drafts kept exact; means of tasks", headings, rows)
    found = document["verdict"]["overall"]
    best = found["best_constant_speed"]
    constant = "–" if best is None else f"{best:.3f}"
    console.print(f"constant lenience that loses at most {MOST_LOST:.0%}: {constant} times as fast")
    for family, name in found["best_by_direction"].items():
        label = LOOKS[family][0]
        if name is None:
            console.print(f"{label}: nothing keeps the bound")
            continue
        row = found["settings"][name]
        rival = row["constant_at_equal_fidelity"]
        console.print(
            f"{label}: {name} is {row['speedup_over_exact']:.3f} times as fast and loses "
            f"{row['divergence']:+.2%}; constant lenience at that loss: "
            f"{'–' if rival is None else f'{rival:.3f}'}"
        )
    met = ", ".join(found["met_by"]) or "nothing"
    console.print(f"{FASTER:g} times as fast, within {MOST_LOST:.0%} and better than it: {met}")
