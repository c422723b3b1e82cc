"""Plots of settings: how much a threshold matters, and whether it depends on the task."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_plot_style import (
    BLUE,
    GREY,
    VERMILION,
    errors,
    label,
    panels,
)

SHOWN_CURVES = (
    "theta_abs", "theta_rel", "theta_conf", "svip_h", "adaedl_lambda", "specdec_h", "z", "start_len"
)  # fmt: skip
"""Settings whose sensitivity is drawn, the first that a strategy has; else the cap."""
_PANELS_BESIDE = 3
_UNITS = {
    "entropy": "verifier's mean entropy, nats",
    "perplexity": "verifier's perplexity of its own text",
}


@final
class Curve(NamedTuple):
    """Speeds that replay predicts for one setting's values, all else as learned."""

    strategy: str
    setting: str
    learned: Any
    points: Sequence[tuple[int | float, float]]
    """Value, and speed over plain decoding on the calibration texts."""


def sensitivity_curves(found: Findings) -> list[Curve]:
    """Return a curve for each strategy that was learned; none without a profile."""
    profile = found.run.profile
    costs, strategies = found.run.costs, profile.learned.get("strategies", {}) if profile else {}
    if costs is None:
        return []
    plain_s = costs.round_s(0, 0)
    curves = []
    for strategy, learned in strategies.items():
        known: Mapping[str, Any] = learned.get("curves", {})
        names = (*SHOWN_CURVES, "max_draft_len")
        setting = next((name for name in names if name in known), None)
        if setting is not None and _numbers(known[setting]):
            points = [(value, rate * plain_s) for value, rate in known[setting]]
            curves.append(Curve(strategy, setting, learned["settings"].get(setting), points))
    return curves


def draw_sensitivity(found: Findings) -> Any:
    """Draw how speed falls off beside the learned settings."""
    curves = sensitivity_curves(found)
    if not curves:
        return None
    figure, axes = panels(len(curves), columns=_PANELS_BESIDE, height=1.9, margin=0.4, width=9.0)
    rates = [rate for curve in curves for _, rate in curve.points]
    spread = max(rates) - min(rates)
    for curve, axis in zip(curves, axes, strict=True):
        axis.plot(*zip(*curve.points, strict=True), color=BLUE, marker="o", markersize=4)
        chosen = [point for point in curve.points if point[0] == curve.learned]
        axis.plot(
            *zip(*chosen, strict=True) if chosen else ([], []),
            color=VERMILION, marker="D", markersize=8, fillstyle="none", ls="",
        )  # fmt: skip
        axis.axhline(1, color=GREY, lw=1)
        axis.set_ylim(min([1.0, *rates]) - 0.08 * spread, max([1.0, *rates]) + 0.08 * spread + 0.01)
        axis.set_title(label(curve.strategy), loc="left")
        axis.set_xlabel(curve.setting)
    for axis in axes[::_PANELS_BESIDE]:
        axis.set_ylabel("over plain")
    return figure


def draw_complexity(found: Findings) -> Any:
    """Draw each task's best threshold over how complex the task is."""
    judged = [each for each in found.verdicts if each.hypothesis == "H2" and each.figures]
    if not judged:
        return None
    figure, axes = panels(len(judged), columns=len(judged), height=3.8, width=9.0)
    for axis, verdict in zip(axes, judged, strict=True):
        figures = verdict.figures
        for group in figures.get("groups", []):
            axis.plot(group["complexity"], group["theta"], marker="x", color=GREY, ls="")
        for task, point in figures["tasks"].items():
            x, y = point["complexity"], point["theta"]
            axis.errorbar(
                x["value"], y["value"], xerr=errors(x), yerr=errors(y), marker="o", color=BLUE,
                capsize=2, lw=1,
            )  # fmt: skip
            axis.annotate(
                label(task), (x["value"], y["value"]), xytext=(5, 5),
                textcoords="offset points", size=8,
            )  # fmt: skip
        axis.set_xlabel(f"complexity: {_UNITS.get(verdict.variant, verdict.variant)}")
        axis.margins(x=0.15, y=0.1)
    axes[0].set_ylabel("best theta_abs, nats")
    return figure


def _numbers(points: Sequence[Sequence[Any]]) -> bool:
    return bool(points) and all(isinstance(value, int | float) for value, _ in points)
