"""How lenient may acceptance be? From answers to calibration prompts to the loosest setting.

Losslessness needs no measurement; leniency does: what a rule loses depends on models and texts.
So ``smart-speed calibrate --fidelity`` answers calibration prompts exactly and leniently, and the
profile keeps for each setting what it gained and what the text lost.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smart_speed.errors import check_that
from smart_speed.metrics.answers import shared_answers, usual_answers
from smart_speed.metrics.fidelity import beside, fidelity_figures
from smart_speed.metrics.task_scores import checker_of
from smart_speed.profiles import Profile
from smart_speed.run_folder import ConditionInfo, read_answers, read_manifest

EXACT = "exact"
"""The condition that the others are compared with."""
LENIENT: Mapping[str, Mapping[str, Any]] = {
    **{
        f"relaxed-{relax_in}-{lenience:g}": {
            "verification": "relaxed",
            "relax_in": relax_in,
            "lenience": lenience,
        }
        for relax_in in ("low", "high", "always")
        for lenience in (0.6, 0.3, 0.1)
    },
    "typical": {"verification": "typical"},
    "fly": {"verification": "fly"},
}
"""Rules that calibration tries, over the settings that were learned."""
LOSSY: Mapping[str, Mapping[str, Any]] = {**LENIENT, "easd": {"verification": "easd"}}
"""The same, and the rule that rejects more than the exact one: there to be accurate, not fast."""
_KEPT = (
    "num_compared",
    "num_same",
    "speedup_over_exact",
    "time_to_answer_ratio",
    "divergence",
    "agreement",
    "length_ratio",
)
"""Figures that a profile holds of each setting."""


def lenient_conditions(profile: Profile) -> dict[str, ConditionInfo]:
    """Return what is answered: the profile's own settings, and every lenient rule over them.

    The profile's drafting counts on exact acceptance. So under a lenient rule it adjusts itself to
    what is accepted, where its strategy can.
    """
    exact = ConditionInfo(role="calibrated", config=profile.config, learned=True)
    follows = {"online": True} if profile.config.get("strategy") == "calibrated" else {}
    lossy = {
        name: ConditionInfo(
            role="lossy",
            config=profile.with_phases({**profile.config, **follows, **settings}),
            learned=True,
            lossless=False,
        )
        for name, settings in LENIENT.items()
    }
    return {EXACT: exact, **lossy}


def leniency_of(folder: Path) -> dict[str, Any]:
    """Return what each lenient setting gained and lost, as JSON values.

    Prompts of all tasks count as one group: the calibration set stands for what will be asked.

    Args:
        folder: Of a run whose conditions are those of ``lenient_conditions``.

    Raises:
        ConfigError: If there is no such run.
    """
    manifest = read_manifest(folder)
    answers = shared_answers(manifest, usual_answers(read_answers(folder)))
    greedy = manifest.sampling["temperature"] == 0
    is_right, exact = checker_of(manifest, {}).is_right, answers[EXACT]
    settings = {}
    for name, info in manifest.conditions.items():
        if not info.lossless:
            pair = beside(answers[name], exact, exact, is_right, texts=greedy)
            figures = fidelity_figures([pair])
            own = {
                key: value
                for key, value in info.config.items()
                if manifest.conditions[EXACT].config.get(key) != value
            }
            settings[name] = {"settings": own, **{key: figures[key] for key in _KEPT}}
    return {"num_prompts": len({each.prompt_id for each in exact}), "settings": settings}


def loosest_settings(profile: Profile, max_divergence: float) -> Mapping[str, Any] | None:
    """Return the fastest lenient settings that calibration says keep a bound.

    A setting keeps it if the upper end of its divergence's 95 % interval does. ``None`` if none
    does, or none that does was faster than exact decoding: exact decoding keeps every bound.

    Args:
        profile: Of ``smart-speed calibrate --fidelity``.
        max_divergence: The most log-likelihood per token that may be lost, in per cent of the
            exact text's.

    Raises:
        ConfigError: If the bound is negative, or the profile does not know what leniency loses.
    """
    check_that(max_divergence >= 0, "max_divergence", "at least 0 per cent", max_divergence)
    rule = "one that `smart-speed calibrate --fidelity` made, for max_divergence"
    measured = profile.learned.get("leniency", {}).get("settings")
    check_that(bool(measured), "profile", rule, sorted(profile.learned))
    kept = [
        each
        for each in measured.values()
        if each["divergence"]["high"] is not None
        and 100 * each["divergence"]["high"] <= max_divergence
        and (each["speedup_over_exact"]["value"] or 0.0) > 1
    ]
    if not kept:
        return None
    best = max(kept, key=lambda each: each["speedup_over_exact"]["value"])
    return {**profile.config, **best["settings"]}
