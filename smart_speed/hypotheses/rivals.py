"""What entropy stopping is held against, and which strategy stands for it: both chosen elsewhere.

Choices are made on the calibration prompts. What is chosen and judged on the same prompts looks
better than it is.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from smart_speed.config import EntropyConfig
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.seconds import tokens_per_decode_s
from smart_speed.profiles import shared_settings
from smart_speed.run_folder import Answer, ConditionInfo

Against = Literal["grid", "tuned"]
AGAINST: tuple[Against, ...] = get_args(Against)


class Rival(NamedTuple):
    """A condition that others are held against."""

    name: str
    hindsight: bool
    """Whether it was chosen on the test prompts, which makes it look better than it is."""


def find_rival(
    run: LoadedRun, answers: Mapping[str, Sequence[Answer]], against: Against
) -> Rival | None:
    """Return the fixed length to beat; ``None`` if no such condition was answered.

    Args:
        run: Its profile says what was best on the calibration prompts.
        answers: By condition.
        against: "grid" for the standard lengths, "tuned" for the best of all.
    """
    lens = {
        name: EntropyConfig.from_dict(info.config).draft_cap
        for name, info in run.manifest.conditions.items()
        if info.role in ("fixed", "tuned-fixed") and answers.get(name)
    }
    roles = {name: run.manifest.conditions[name].role for name in lens}
    rates = _rates_by_len(run)
    if against == "tuned":
        best = max(rates, key=lambda length: rates[length], default=None)
        tuned = [name for name in lens if roles[name] == "tuned-fixed"]
        # A standard length may happen to be the best of all.
        same = [name for name in lens if lens[name] == best]
        return next((Rival(name, False) for name in [*tuned, *same]), None)
    standard = [name for name in lens if roles[name] == "fixed"]
    if not standard:
        return None
    if all(lens[name] in rates for name in standard):
        return Rival(max(standard, key=lambda name: rates[lens[name]]), False)
    records = {name: [each.record for each in answers[name]] for name in standard}
    return Rival(max(standard, key=lambda name: tokens_per_decode_s(records[name])), True)


def chosen_condition(run: LoadedRun, names: Sequence[str]) -> str | None:
    """Return the condition that was fastest on the calibration prompts, as predicted there.

    Args:
        run: Its profile holds the predictions.
        names: Conditions to choose from; those that nothing was predicted of are left out.

    Returns:
        ``None`` if nothing was predicted of any.
    """
    speeds = {name: _predicted_speed(run, run.manifest.conditions[name]) for name in names}
    finite = [name for name in names if math.isfinite(speeds[name])]
    return max(finite, key=lambda name: speeds[name], default=None)


def _predicted_speed(run: LoadedRun, info: ConditionInfo) -> float:
    strategy = info.config.get("strategy", EntropyConfig().strategy)
    published = {"strategy", *shared_settings(strategy, info.config)}
    own = not info.learned and set(info.config) != published
    if run.profile is None or own or info.config.get("online"):
        return math.nan  # Nothing was predicted of such settings.
    key = f"{strategy}, learned" if info.learned else f"{strategy}, default"
    if strategy == "calibrated":
        key = strategy
    predicted = run.profile.learned.get("predicted", {}).get(key)
    value = predicted["speed"]["value"] if predicted else None
    return math.nan if value is None else float(value)


def _rates_by_len(run: LoadedRun) -> dict[int, float]:
    """Return tokens per second of fixed lengths on the calibration prompts, as predicted."""
    learned = run.profile.learned.get("strategies", {}) if run.profile else {}
    curve = learned.get("fixed", {}).get("curves", {}).get("max_draft_len", [])
    return {int(length): float(rate) for length, rate in curve}
