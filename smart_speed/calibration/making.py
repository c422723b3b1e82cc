"""Make a profile from traces and costs: fit, learn, search, predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.judging import Judge
from smart_speed.calibration.learning import calibrated_config, learn_calibration
from smart_speed.calibration.phase_threshold import learn_phases
from smart_speed.calibration.quality import FitQuality, cross_validated
from smart_speed.calibration.route_judging import RouteJudge
from smart_speed.calibration.routing import Routed, learn_routing
from smart_speed.calibration.samples import all_samples
from smart_speed.calibration.search import GRIDS, best_settings
from smart_speed.config import EntropyConfig
from smart_speed.entropy import EntropyType
from smart_speed.profiles import Profile, shared_settings
from smart_speed.stopping.calibrated import Calibration
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.traces import ENTROPY_TYPES

FEATURE_SETS: Mapping[str, Sequence[str]] = {
    "entropy": ("entropy_nats",),
    "top-1": ("log_odds",),
    "entropy, top-1": ("entropy_nats", "log_odds"),
    "entropy, top-1, recent": ("entropy_nats", "log_odds", "recent"),
}
"""What the model of acceptance may look at, for the ablation; the last is what is used."""
_WORTHWHILE = 0.995
"""Another entropy than Shannon's is taken if its log-loss is less than this part of Shannon's."""

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is next."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFor:
    """What a profile is bound to; names and ids are those of ``smart_speed.identity``."""

    verifier: Mapping[str, str]
    drafter: Mapping[str, str]
    engine: str
    sampling: Mapping[str, Any]
    machine: Mapping[str, Any]
    version: str
    """Of smart_speed."""


def make_profile(
    texts: Sequence[PreparedTrace],
    costs: CostModel,
    made_for: MadeFor,
    *,
    measured: Mapping[str, Any] | None = None,
    text_hashes: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Learn everything that a profile holds.

    Args:
        texts: Of one drafter, to learn on.
        costs: Of the machine at hand.
        made_for: What the profile is bound to.
        measured: How the costs were measured, as JSON values, if they were.
        text_hashes: Of the prompts' texts, by id, if they are known.
        progress: Called before each step.

    Raises:
        ConfigError: If there is too little to learn from, or scikit-learn is not installed.
    """
    steps = ["model of acceptance", *GRIDS, "predictions"]

    def begin(step: str) -> None:
        if progress:
            progress(steps.index(step), len(steps), step)

    begin("model of acceptance")
    kind, fit = _choose_entropy(texts)
    longest = min([costs.max_draft_len, *(each.trace.max_draft_len for each in texts)])
    calibration = learn_calibration(
        texts,
        fit_acceptance(all_samples(texts, kind)),
        costs,
        max_draft_len=longest,
        entropy_type=kind,
    )
    chosen = calibrated_config(calibration, kind)
    given = _given(chosen)
    strategies: dict[str, Any] = {}
    for strategy in GRIDS:
        begin(strategy)
        found = best_settings(strategy, texts, costs, shared=shared_settings(strategy, given))
        strategies[strategy] = {
            "settings": found.settings,
            "rate": found.rate,
            "curves": found.curves,
        }
    begin("predictions")
    return Profile(
        config=given,
        verifier=made_for.verifier,
        drafter=made_for.drafter,
        engine=made_for.engine,
        sampling=made_for.sampling,
        learned={
            "smart_speed": made_for.version,
            "machine": dict(made_for.machine),
            "measured": dict(measured) if measured else {"costs": costs.to_json()},
            "strategies": strategies,
            "split": _split(texts, text_hashes or {}),
            "fit": fit,
            "phases": learn_phases(texts).to_json(),
            "predicted": predictions(texts, costs, chosen, strategies),
        },
    )


def make_route_profile(
    texts: Sequence[Sequence[PreparedTrace]],
    made: Mapping[str, Profile],
    costs: Mapping[str, CostModel],
    drafter: Mapping[str, str],
) -> Profile:
    """Learn to choose among drafters that have a profile each.

    Args:
        texts: Each with every drafter, in the order of the profiles.
        made: The profiles, by drafter; all of one verifier, engine and machine.
        costs: With each drafter.
        drafter: Name and id of all drafters together.

    Returns:
        A profile whose predictions are of the calibration texts: the best single drafter stands
        where others have the best fixed length, the oracle's choice where others have the oracle.

    Raises:
        ConfigError: If there is too little to learn from.
    """
    first = next(iter(made.values()))
    kinds: set[EntropyType] = {each.config.get("entropy_type", "shannon") for each in made.values()}
    # Decoding measures one entropy, whoever drafts.
    kind: EntropyType = next(iter(kinds)) if len(kinds) == 1 else "shannon"
    calibrations = [
        _calibration_by(kind, profile, [text[at] for text in texts], costs[name])
        for at, (name, profile) in enumerate(made.items())
    ]
    drafters = Routed.of(list(made), calibrations, [costs[name] for name in made], kind)
    routing = learn_routing(texts, drafters)
    judge = RouteJudge(texts, drafters, routing)
    config = drafters.config(routing)
    return Profile(
        config={
            "strategy": config.strategy,
            "entropy_type": config.entropy_type,
            "max_draft_len": config.max_draft_len,
            "routing": routing.to_json(),
        },
        verifier=first.verifier,
        drafter=drafter,
        engine=first.engine,
        sampling=first.sampling,
        learned={
            **{name: first.learned[name] for name in ("smart_speed", "machine", "split")},
            "measured": {
                "best": judge.best,
                "costs_by_drafter": {name: costs[name].to_json() for name in made},
            },
            "predicted": {name: each.to_json() for name, each in judge.judge_all().items()},
        },
    )


def _calibration_by(
    kind: EntropyType, profile: Profile, texts: Sequence[PreparedTrace], costs: CostModel
) -> Calibration:
    """Return a drafter's calibration by one entropy, learned anew if its own is by another."""
    known = Calibration.from_json(profile.config["calibration"])
    if profile.config.get("entropy_type", "shannon") == kind:
        return known
    return learn_calibration(
        texts,
        fit_acceptance(all_samples(texts, kind)),
        costs,
        max_draft_len=known.costs.max_draft_len,
        entropy_type=kind,
    )


def predictions(
    texts: Sequence[PreparedTrace],
    costs: CostModel,
    chosen: EntropyConfig,
    strategies: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the predicted figures of every policy, with learned and with default settings."""
    judge = Judge(texts, costs, fixed_len=strategies["fixed"]["settings"]["max_draft_len"])
    found = {
        "plain": judge.judge(EntropyConfig(strategy="plain")),
        f"best fixed ({judge.fixed_len})": judge.judge(
            EntropyConfig(strategy="fixed", max_draft_len=judge.fixed_len)
        ),
        "calibrated": judge.judge(chosen),
    }
    for strategy, learned in strategies.items():
        shared = shared_settings(strategy, _given(chosen))
        if strategy != "fixed":
            config = EntropyConfig.from_dict({**learned["settings"], **shared})
            found[f"{strategy}, learned"] = judge.judge(config)
        if STRATEGIES[strategy].max_draft_len <= judge.max_draft_len:
            config = EntropyConfig.from_dict({"strategy": strategy, **shared})
            found[f"{strategy}, default"] = judge.judge(config)
    found["oracle"] = judge.oracle()
    return {name: judgement.to_json() for name, judgement in found.items()}


def _choose_entropy(texts: Sequence[PreparedTrace]) -> tuple[EntropyType, dict[str, Any]]:
    """Return the entropy that predicts best, and what the ablation found, as JSON values."""
    by_kind = {kind: cross_validated(all_samples(texts, kind)) for kind in ENTROPY_TYPES}
    kind = min(ENTROPY_TYPES, key=lambda each: by_kind[each].log_loss)
    if by_kind[kind].log_loss > _WORTHWHILE * by_kind["shannon"].log_loss:
        kind = "shannon"
    samples = all_samples(texts, kind)
    sets = {name: cross_validated(samples, each) for name, each in FEATURE_SETS.items()}
    return kind, {
        "entropy_type": kind,
        **by_kind[kind].to_json(),
        "by_entropy_type": {name: _short(each) for name, each in by_kind.items()},
        "by_features": {name: _short(each) for name, each in sets.items()},
    }


def _short(quality: FitQuality) -> dict[str, float]:
    return {"auc": quality.auc, "ece": quality.ece, "log_loss": quality.log_loss}


def _split(texts: Sequence[PreparedTrace], text_hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return which prompts were learned on, so that nobody judges on them."""
    by_task: dict[str, int] = {}
    for each in texts:
        by_task[each.trace.task] = by_task.get(each.trace.task, 0) + 1
    prompt_ids = [each.trace.prompt_id for each in texts]
    return {
        "prompt_ids": prompt_ids,
        "text_hashes": [text_hashes[each] for each in prompt_ids if each in text_hashes],
        "num_by_task": by_task,
        "num_tokens": sum(each.output_len for each in texts),
    }


def _given(config: EntropyConfig) -> dict[str, Any]:
    """Return the settings that a configuration was given, as JSON values."""
    assert config.calibration is not None
    return {
        "strategy": config.strategy,
        "entropy_type": config.entropy_type,
        "max_draft_len": config.max_draft_len,
        "calibration": config.calibration.to_json(),
    }
