"""By replay: every policy on the test prompts, and what it takes to calibrate well."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.console import console, show_table, with_interval
from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.judging import Judge
from smart_speed.calibration.learning import calibrated_config, learn_calibration
from smart_speed.calibration.quality import FitQuality, quality_of
from smart_speed.calibration.samples import TextSamples, all_samples
from smart_speed.calibration.search import GRIDS
from smart_speed.cli.figures import number
from smart_speed.config import EntropyConfig
from smart_speed.profiles import Profile, shared_settings
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace

SIZES = (8, 16, 32, 64, 128)
"""Of calibration sets, in prompts."""
STANDARD_LEN = 5
"""Draft length of standard speculative decoding."""
FEATURE_SETS: Mapping[str, tuple[str, Sequence[str]]] = {
    "position only": ("shannon", ()),
    "margin only": ("margin", ("entropy_nats",)),
    "entropy only": ("shannon", ("entropy_nats",)),
    "top-1 only": ("shannon", ("log_odds",)),
    "entropy and top-1": ("shannon", ("entropy_nats", "log_odds")),
    "top-1 and recent": ("shannon", ("log_odds", "recent")),
    "all three": ("shannon", ("entropy_nats", "log_odds", "recent")),
}
"""What the acceptance model may look at; the margin takes the entropy's place in the traces."""


def replay_all(
    known: Sequence[PreparedTrace],
    tests: Sequence[PreparedTrace],
    profile: Profile,
    others: Sequence[tuple[Sequence[PreparedTrace], CostModel]],
) -> dict[str, Any]:
    """Return every result, as JSON values, and show it.

    Args:
        known: What the profile was learned on.
        tests: Prompts that nothing was learned on.
        profile: With its costs.
        others: Traces of the same prompts and costs, for each other drafter.
    """
    costs = CostModel.from_json(profile.learned["measured"]["costs"])
    policies = judge_policies(tests, profile, costs, others)
    document = {
        "profile": {"verifier": profile.verifier, "drafter": profile.drafter},
        "engine": profile.engine,
        "num_calibration": len(known),
        "num_tests": len(tests),
        **policies,
        "by_set_size": by_set_size(known, tests, costs),
        "transfer": transfer(tests, costs),
        "by_features": by_features(known, tests, costs),
    }
    _show(document)
    return document


def judge_policies(
    tests: Sequence[PreparedTrace],
    profile: Profile,
    costs: CostModel,
    others: Sequence[tuple[Sequence[PreparedTrace], CostModel]],
) -> dict[str, Any]:
    """Return the figures of every policy, learned and default, beside fixed lengths and oracle."""
    judge = Judge(tests, costs, fixed_len=profile.settings_of("fixed")["max_draft_len"])
    chosen = EntropyConfig.from_dict(profile.config)
    configs = {
        f"fixed-{judge.fixed_len} (learned)": EntropyConfig(
            strategy="fixed", max_draft_len=judge.fixed_len
        ),
        f"fixed-{STANDARD_LEN} (standard)": EntropyConfig(
            strategy="fixed", max_draft_len=STANDARD_LEN
        ),
        "calibrated": chosen,
        "calibrated online": replace(chosen, online=True),
    }
    for strategy in GRIDS:
        if strategy == "fixed":
            continue
        if learned := profile.settings_of(strategy):
            configs[f"{strategy} learned"] = EntropyConfig.from_dict(learned)
        longest = min(STRATEGIES[strategy].max_draft_len, judge.max_draft_len)
        own = {"strategy": strategy, "max_draft_len": longest}
        shared = shared_settings(strategy, profile.config)
        configs[f"{strategy} default"] = EntropyConfig.from_dict({**own, **shared})
    found = {name: judge.judge(config) for name, config in configs.items()}
    found["plain"] = judge.judge(EntropyConfig(strategy="plain"))
    found["oracle"] = judge.oracle()
    if others:
        found[f"oracle, choice of {len(others) + 1} drafters"] = judge.oracle_choice(others)
    by_task = judge.best_fixed_by_task()
    return {
        "fixed_len": judge.fixed_len,
        "best_fixed_by_task": by_task,
        "policies": {name: each.to_json() for name, each in found.items()},
        "over_best_fixed_of_each_task": _over_hindsight(judge, chosen, by_task),
    }


def _over_hindsight(
    judge: Judge, chosen: EntropyConfig, by_task: Mapping[str, int]
) -> dict[str, float]:
    """Return the speed of a configuration over the best fixed length of each task, in hindsight."""
    found = {}
    for task, length in by_task.items():
        texts = [each for each in judge.texts if each.trace.task == task]
        own = Judge(texts, judge.costs, fixed_len=length)
        found[task] = own.judge(chosen).over_fixed.value
    return found


def learn(
    texts: Sequence[PreparedTrace], costs: CostModel, features: Sequence[str] | None = None
) -> EntropyConfig:
    """Return the calibrated configuration that some texts teach."""
    samples = all_samples(texts)
    model = (
        fit_acceptance(samples)
        if features is None
        else fit_acceptance(samples, features=features, num_classes=16 if features else 1)
    )
    return calibrated_config(learn_calibration(texts, model, costs))


def by_set_size(
    known: Sequence[PreparedTrace], tests: Sequence[PreparedTrace], costs: CostModel
) -> dict[str, list[float]]:
    """Return the share closed by calibrations on sets of several sizes, a few sets of each."""
    fixed = Judge(known, costs).fixed_len
    judge = Judge(tests, costs, fixed_len=fixed)
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for size in SIZES:
        if size > len(known):
            continue
        repeats = 1 if size == len(known) else 4
        for _ in range(repeats):
            picks = rng.permutation(len(known))[:size].tolist()
            config = learn([known[at] for at in picks], costs)
            found.setdefault(str(size), []).append(judge.judge(config).share.value)
    return found


def transfer(tests: Sequence[PreparedTrace], costs: CostModel) -> dict[str, dict[str, float]]:
    """Return the share closed on each task by a calibration on each; halves of the prompts."""
    tasks = list(dict.fromkeys(each.trace.task for each in tests))
    halves = {task: [each for each in tests if each.trace.task == task] for task in tasks}
    found: dict[str, dict[str, float]] = {}
    judges = {task: Judge(each[1::2], costs) for task, each in halves.items()}
    for task, each in halves.items():
        config = learn(each[::2], costs)
        found[task] = {other: judge.judge(config).share.value for other, judge in judges.items()}
    return found


def by_features(
    known: Sequence[PreparedTrace], tests: Sequence[PreparedTrace], costs: CostModel
) -> dict[str, Any]:
    """Return what each set of features is worth: as a predictor, and in the share closed."""
    fixed = Judge(known, costs).fixed_len
    found = {}
    for name, (column, features) in FEATURE_SETS.items():
        learning, judged = (
            [_with_margin(each) for each in texts] if column == "margin" else texts
            for texts in (known, tests)
        )
        config = learn(learning, costs, features)
        assert config.calibration is not None
        quality = _quality(config.calibration.acceptance, all_samples(judged))
        share = Judge(judged, costs, fixed_len=fixed).judge(config)
        found[name] = {
            "auc": quality.auc,
            "ece": quality.ece,
            "log_loss": quality.log_loss,
            "share": share.share.to_json(),
            "speed": share.speed.to_json(),
        }
    return found


def _quality(model: AcceptanceModel, samples: Sequence[TextSamples]) -> FitQuality:
    predicted, accepted = [], []
    for each in samples:
        scores = (
            model.bias
            + model.per_nat * each.entropy_nats
            + model.per_log_odds * each.log_odds
            + model.per_recent * each.recent(model.recent_start, model.recent_rate)
        )
        classes = np.searchsorted(model.edges, scores, side="right")
        predicted.append(np.array(model.accept_probs)[classes])
        accepted.append(each.accepted)
    return quality_of(np.concatenate(predicted), np.concatenate(accepted))


def _with_margin(text: PreparedTrace) -> PreparedTrace:
    """Put the top-2 margin where a strategy would see the entropy; it falls as that rises."""
    passes = text.trace.passes
    margin = np.minimum(passes.margin_nats.astype(np.float64), 30.0)
    return PreparedTrace(replace(text.trace, passes=replace(passes, shannon_nats=30.0 - margin)))


def _show(document: Mapping[str, Any]) -> None:
    policies: Mapping[str, Any] = document["policies"]
    tasks = list(policies["calibrated"]["share_by_task"])
    rows = sorted(policies, key=lambda name: policies[name]["speed"]["value"], reverse=True)
    for title, figure, form in (
        ("Speed over plain decoding", "speed", ".3f"),
        ("Share of the oracle's gap closed", "share", ".0%"),
        (f"Speed over fixed-{document['fixed_len']}", "over_fixed", ".3f"),
    ):
        table = [
            (
                name,
                *(number(policies[name][f"{figure}_by_task"][task], form) for task in tasks),
                with_interval(policies[name][figure], form),
            )
            for name in rows
        ]
        show_table(title, ("policy", *tasks, "mean of tasks"), table)
    console.print(f"best fixed by task {document['best_fixed_by_task']}")
    console.print(f"over it {document['over_best_fixed_of_each_task']}")
    console.print(f"by set size {document['by_set_size']}")
    matrix = [
        (task, *(number(each[other], ".0%") for other in tasks))
        for task, each in document["transfer"].items()
    ]
    show_table("Calibrated on (row), used on (column): share closed", ("", *tasks), matrix)
    features = [
        (
            name,
            number(each["auc"], ".3f"),
            number(each["ece"], ".3f"),
            with_interval(each["share"], ".1%"),
            with_interval(each["speed"], ".3f"),
        )
        for name, each in document["by_features"].items()
    ]
    show_table("What the model looks at", ("features", "AUC", "ECE", "share", "speed"), features)
