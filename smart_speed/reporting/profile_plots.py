"""A profile as a person sees it: is it calibrated, what do rounds cost, what is it worth?"""

from pathlib import Path
from typing import Any

from smart_speed.errors import ConfigError, OutputError
from smart_speed.profiles import Profile

_SHOWN_CURVES = (
    "theta_abs", "theta_rel", "theta_conf", "svip_h", "specdec_h", "z", "max_draft_len"
)  # fmt: skip
"""Settings whose sensitivity is drawn, the first that a strategy has."""


def draw_profile(profile: Profile, path: Path) -> None:
    """Draw reliability, costs, sensitivity and predicted speeds into one file.

    Args:
        profile: That calibrate wrote.
        path: Its ending decides the format.

    Raises:
        ConfigError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigError(
            "Plots need the module matplotlib, which is not installed: run "
            "`pip install 'smart-speed[analysis]'`."
        ) from error
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 10), layout="constrained")
    learned = profile.learned
    _draw_reliability(axes[0][0], learned["fit"])
    _draw_costs(axes[0][1], learned["measured"]["costs"])
    _draw_sensitivity(axes[1][0], learned["strategies"], learned["measured"]["costs"])
    _draw_speeds(axes[1][1], learned["predicted"])
    names = [made_for["name"] for made_for in (profile.verifier, profile.drafter) if made_for]
    figure.suptitle(f"{' with '.join(names)} on {profile.engine}")
    try:
        figure.savefig(path)
    except OSError as error:
        raise OutputError(f"{str(path)!r} must be a file that can be written: {error}.") from error
    finally:
        pyplot.close(figure)


def _draw_reliability(axis: Any, fit: Any) -> None:
    predicted, accepted, _ = zip(*fit["reliability"], strict=True)
    axis.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axis.plot(predicted, accepted, marker="o")
    axis.set_xlabel("predicted probability of acceptance")
    axis.set_ylabel("share accepted")
    axis.set_title(f"Reliability (texts left out): error {fit['ece']:.3f}, AUC {fit['auc']:.3f}")


def _draw_costs(axis: Any, costs: Any) -> None:
    passes = sorted((int(width), seconds) for width, seconds in costs["verifier_pass_s"].items())
    plain = passes[0][1]
    step = sum(costs[key] for key in ("drafter_step_s", "token_overhead_s", "strategy_step_s"))
    lens = [width - 1 for width, _ in passes]
    verifying = [seconds / plain for _, seconds in passes]
    whole = [
        share + (length * step + (costs["first_step_extra_s"] if length else 0)) / plain
        for length, share in zip(lens, verifying, strict=True)
    ]
    axis.plot(lens, verifying, marker="o", label="verifier pass")
    axis.plot(lens, whole, marker="o", label="and drafting")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("tokens drafted")
    axis.set_ylabel("plain passes")
    axis.set_title(f"What a round costs (plain: {plain * 1e3:.2f} ms)")
    axis.legend()


def _draw_sensitivity(axis: Any, strategies: Any, costs: Any) -> None:
    """Draw how the rate falls off beside the best setting, each curve over its own range."""
    plain_rate = 1 / (costs["verifier_pass_s"]["1"] + costs["round_overhead_s"])
    for strategy, learned in strategies.items():
        setting = next((name for name in _SHOWN_CURVES if name in learned["curves"]), None)
        if setting is None:
            continue
        curve = learned["curves"][setting]
        rates = [rate / plain_rate for _, rate in curve]
        steps = [at / max(len(curve) - 1, 1) for at in range(len(curve))]
        low, high = curve[0][0], curve[-1][0]
        axis.plot(steps, rates, label=f"{strategy}: {setting} {low}–{high}")
    axis.axhline(1, color="grey", linewidth=1)
    axis.set_xlabel("setting, from its lowest to its highest value tried")
    axis.set_ylabel("predicted speed over plain decoding")
    axis.set_title("How much the settings matter")
    axis.legend(fontsize="x-small")


def _draw_speeds(axis: Any, predicted: Any) -> None:
    names = sorted(predicted, key=lambda name: predicted[name]["speed"]["value"])
    values = [predicted[name]["speed"] for name in names]
    middles = [each["value"] for each in values]
    errors = [
        [max(each["value"] - (each["low"] or each["value"]), 0) for each in values],
        [max((each["high"] or each["value"]) - each["value"], 0) for each in values],
    ]
    marked = {"calibrated": "tab:orange", "oracle": "tab:green"}
    colours = [
        marked.get(name, "tab:red" if name.startswith("best fixed") else "tab:blue")
        for name in names
    ]
    axis.barh(names, middles, xerr=errors, color=colours)
    axis.axvline(1, color="grey", linewidth=1)
    axis.tick_params(axis="y", labelsize="x-small")
    axis.set_xlabel("predicted speed over plain decoding")
    axis.set_title("Policies, on the calibration texts")
