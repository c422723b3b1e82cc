"""What the comparison of peers shows to people: tables and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import console, show_table, with_interval

Figures = Mapping[str, Any]


def show(document: Mapping[str, Any]) -> None:
    """Print who is how fast, with what text, and who could not be had."""
    for temperature, figures in document["figures"].items():
        told = {name: each for name, each in figures.items() if each["num_answers"]}
        _show_speeds(f"temperature {temperature}", told)
        _show_ours(f"temperature {temperature}", told)
        _show_standings(f"temperature {temperature}", document["standings"][temperature])
    for name, reason in document["left_out"].items():
        console.print(f"{name} is left out: {reason}", markup=False, soft_wrap=True)


def _show_speeds(when: str, figures: Mapping[str, Figures]) -> None:
    rows = []
    for name, each in figures.items():
        same = f"{each['num_same_text']}/{each['num_compared']}" if "num_compared" in each else "–"
        rows.append(
            (
                name,
                _interval(each["tokens_per_s"]["mean_of_tasks"], ".1f"),
                _interval(each["over_plain"]["mean_of_tasks"], ".2f"),
                _number(each["first_s"], 1e3, ".0f"),
                _number(each["mean_emitted_len"], 1, ".2f"),
                _number(each["peak_bytes"], 1e-6, ".0f"),
                same,
                str(each["num_answers"]),
            )
        )
    show_table(
        f"Decoding, {when}: means of tasks, 95 % intervals over prompts",
        ("peer", "tokens/s", "over plain", "first, ms", "MAT", "peak, MB", "same text", "answers"),
        rows,
    )


def _show_ours(when: str, figures: Mapping[str, Figures]) -> None:
    others = {name: each["ours_over_it"] for name, each in figures.items() if not each["ours"]}
    if not others:
        return
    ours = list(next(iter(others.values())))
    tasks = list(
        dict.fromkeys(task for each in figures.values() for task in each["tokens_per_s"]["by_task"])
    )
    for config in ours:
        rows = [
            (
                name,
                *(_interval(each[config]["by_task"].get(task), ".2f") for task in tasks),
                _interval(each[config]["median_of_tasks"], ".2f"),
            )
            for name, each in others.items()
        ]
        show_table(f"{config}: times as fast as, {when}", ("peer", *tasks, "median"), rows)


def _show_standings(when: str, standings: Sequence[Mapping[str, Any]]) -> None:
    if not standings:
        return
    tasks = list(dict.fromkeys(task for each in standings for task in each["by_task"]))
    rows = [
        (
            each["ours"],
            each["over"],
            *(_interval(each["by_task"].get(task), ".2f") for task in tasks),
            _interval(each["median_of_tasks"], ".2f"),
        )
        for each in standings
    ]
    title = f"Times as fast as the fastest of some peers on each task, {when}"
    show_table(title, ("ours", "over", *tasks, "median"), rows)


def _interval(figure: Mapping[str, float | None] | None, form: str) -> str:
    return "–" if figure is None else with_interval(figure, form)


def _number(value: float | None, scale: float, form: str) -> str:
    return "–" if value is None else format(value * scale, form)


def plot(document: Mapping[str, Any], path: Path) -> None:
    """Draw tokens per second, a panel for each temperature."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    panels = document["figures"]
    most = max(len(figures) for figures in panels.values())
    figure, axes = pyplot.subplots(
        ncols=len(panels),
        figsize=(1 + 6 * len(panels), 1.2 + 0.28 * most),
        layout="constrained",
        squeeze=False,
    )
    for panel, (temperature, figures) in zip(axes[0], panels.items(), strict=True):
        told = {name: each for name, each in figures.items() if each["num_answers"]}
        speeds = [each["tokens_per_s"]["mean_of_tasks"] for each in told.values()]
        values = [each["value"] or 0.0 for each in speeds]
        panel.barh(
            list(told),
            values,
            xerr=_whiskers(speeds),
            color=["C0" if each["ours"] else "0.7" for each in told.values()],
            ecolor="0.3",
        )
        panel.invert_yaxis()
        panel.set(title=f"temperature {temperature}", xlabel="tokens per second, mean of tasks")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _whiskers(speeds: Sequence[Mapping[str, float | None]]) -> list[list[float]]:
    """Return how far the intervals reach to either side; not at all where there is none."""
    sides: list[list[float]] = [[], []]
    for each in speeds:
        value, low, high = each["value"] or 0.0, each["low"], each["high"]
        sides[0].append(value - low if low is not None else 0.0)
        sides[1].append(high - value if high is not None else 0.0)
    return sides
