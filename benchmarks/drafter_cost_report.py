"""The sweeps of benchmarks.drafter_cost: who is beaten at which cost, as tables and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import console, show_table, with_interval
from smart_speed.cli.figures import number
from smart_speed.files import whole
from smart_speed.reporting.report_html import INK
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

CALIBRATED, PLAIN, TUNED, ORACLE = "calibrated", "plain", "fixed tuned", "oracle"
OURS: Mapping[str, Look] = {
    ORACLE: Look(INK, "", ":"),
    CALIBRATED: Look(ORANGE, "*", "-"),
    "absolute learned": Look(BLUE, "o", "-"),
    "relative learned": Look(SKY, "s", "--"),
    "absolute default": Look(PURPLE, "o", ":"),
    "relative default": Look(GREEN, "s", ":"),
    TUNED: Look(VERMILION, "D", "--"),
}
OTHERS: Mapping[str, Look] = {
    CALIBRATED: Look(ORANGE, "*", "-"),
    "transformers constant": Look(BLUE, "o", "-"),
    "transformers heuristic": Look(SKY, "s", "--"),
    "transformers dynamic": Look(GREEN, "^", "-."),
    "llama.cpp 3": Look(VERMILION, "D", "-"),
    "llama.cpp 7": Look(PURPLE, "X", "--"),
    "llama.cpp confident": Look(GREY, "v", "-."),
}
LENGTHS: Mapping[str, Look] = {
    CALIBRATED: Look(ORANGE, "*", "-"),
    "absolute learned": Look(BLUE, "o", "-"),
    "fixed": Look(VERMILION, "D", "--"),
}
"""What is drawn in each panel."""


def findings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return where each policy is beaten by "calibrated", and how that does where nothing pays.

    Beaten, even and ahead: at which c the 95 % interval of how many times faster "calibrated" is
    lies above 1, holds 1, or lies below. Tasks at which a policy is ahead are told by c.

    Args:
        document: With the rows of the sweep over costs.
    """
    found: dict[str, Any] = {}
    for name in document["by_cost"][0]["policies"]:
        if name == CALIBRATED:
            continue
        by_side: dict[str, Any] = {"beaten": [], "even": [], "ahead": [], "ahead_on": {}}
        for row in document["by_cost"]:
            ratios = row["policies"][name]["calibrated_over_it"]
            by_side[side(ratios["mean_of_tasks"])].append(row["c"])
            ahead = [task for task, each in ratios["by_task"].items() if side(each) == "ahead"]
            if ahead:
                by_side["ahead_on"][str(row["c"])] = ahead
        found[name] = by_side
    return {
        "against_calibrated": found,
        "where_plain_is_best": [
            {
                "c": row["c"],
                "calibrated": row["policies"][CALIBRATED]["speed"],
                "slowest_task": min(
                    row["policies"][PLAIN]["calibrated_over_it"]["by_task"].values(),
                    key=lambda each: each["value"],
                ),
                "mean_draft_len": row["policies"][CALIBRATED]["mean_draft_len"],
                "fixed_tuned": row["policies"][TUNED]["speed"],
            }
            for row in document["by_cost"]
            if row["plain_is_best"]
        ],
    }


def side(ratio: Mapping[str, float | None]) -> str:
    """Return on which side of 1 an interval lies, for the policy that was divided by."""
    low, high = ratio["low"], ratio["high"]
    if low is not None and low > 1:
        return "beaten"
    return "ahead" if high is not None and high < 1 else "even"


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw speed over plain decoding against the drafter's cost, and against the cap.

    Args:
        document: Of the benchmark.
        path: An SVG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    costs, lengths = document["by_cost"], document["by_length"]
    shares = [row["c"] for row in costs]
    with drawing():
        figure, axes = panels(3, columns=3, height=5.2, width=14.0)
        FigureCanvasAgg(figure)
        for axis, title, looks in zip(
            axes, ("learned at every cost", "other projects' rules"), (OURS, OTHERS), strict=False
        ):
            for name, look in looks.items():
                figures = [row["oracle"] if name == ORACLE else row["policies"][name]
                           for row in costs]  # fmt: skip
                _line(axis, shares, figures, name, look)
            axis.axvline(document["measured_c"], color=GREY, lw=0.8, ls=":")
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set(title=title, xlabel="drafter pass over verifier pass (c)")
        for name, look in LENGTHS.items():
            figures = [row["policies"][name] for row in lengths]
            _line(axes[2], [row["max_draft_len"] for row in lengths], figures, name, look)
        axes[2].set(title=f"at c = {document['measured_c']:.3f}", xlabel="max_draft_len")
        axes[0].set_ylabel("speed over plain decoding, mean of tasks")
        for axis in axes:
            axis.axhline(1, color=INK, lw=0.8)
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        with whole(path) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})


def _line(
    axis: Any, at: Sequence[float], figures: Sequence[Mapping[str, Any]], name: str, look: Look
) -> None:
    speeds = [each["speed"] for each in figures]
    axis.plot(
        at, [each["value"] for each in speeds], color=look.colour, marker=look.marker or None,
        ls=look.line, label=name, markersize=5, lw=1.3,
    )  # fmt: skip
    for place, each in zip(at, speeds, strict=True):
        axis.errorbar(place, each["value"], yerr=errors(each), color=look.colour, alpha=0.3, lw=0.8)


def show(document: Mapping[str, Any]) -> None:
    """Show both sweeps, and say who is beaten where."""
    rows = document["by_cost"]
    headings = ("policy", *(f"{row['c']:.3g}" for row in rows))
    names = list(rows[0]["policies"])
    speeds = {name: [row["policies"][name]["speed"]["value"] for row in rows] for name in names}
    speeds[ORACLE] = [row["oracle"]["speed"]["value"] for row in rows]
    table = [(name, *(number(each, ".3f") for each in values)) for name, values in speeds.items()]
    table.append(("length of fixed tuned", *(str(row["fixed_len"]) for row in rows)))
    show_table("Speed over plain decoding by c; means of tasks", headings, table)
    marks = {"beaten": "", "even": " =", "ahead": " <"}
    ratios = {
        name: [row["policies"][name]["calibrated_over_it"]["mean_of_tasks"] for row in rows]
        for name in names
        if name != CALIBRATED
    }
    table = [
        (name, *(f"{number(each['value'], '.2f')}{marks[side(each)]}" for each in values))
        for name, values in ratios.items()
    ]
    title = "How many times faster calibrated is, by c; = holds 1 in its 95 % interval, < below it"
    show_table(title, headings, table)
    lengths = document["by_length"]
    table = [
        (name, *(number(row["policies"][name]["speed"]["value"], ".2f") for row in lengths))
        for name in LENGTHS
    ]
    headings = ("policy", *(str(row["max_draft_len"]) for row in lengths))
    title = f"Speed over plain decoding by max_draft_len, c = {document['measured_c']:.3f}"
    show_table(title, headings, table)
    for each in document["findings"]["where_plain_is_best"]:
        console.print(
            f"c = {each['c']:.3g}: no fixed length pays; calibrated is "
            f"{with_interval(each['calibrated'], '.3f')} times as fast as plain decoding, "
            f"{with_interval(each['slowest_task'], '.3f')} on its slowest task, "
            f"fixed tuned {with_interval(each['fixed_tuned'], '.3f')}",
            soft_wrap=True,
        )
