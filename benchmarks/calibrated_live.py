"""Live: the calibrated strategy against fixed lengths, interleaved, and against its prediction."""

import argparse
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.calibrated_replay import STANDARD_LEN
from benchmarks.console import console, show_table, write_json
from benchmarks.drafters_live import LivePlan, run_live
from benchmarks.pair import load_pair
from benchmarks.unseen_prompts import unseen_prompts
from smart_speed.calibration.judging import Judge, Totals
from smart_speed.comparison import BASELINE
from smart_speed.config import EntropyConfig
from smart_speed.loading import LoadOptions
from smart_speed.profiles import Profile
from smart_speed.records import SequenceRecord
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace


def conditions_of(profile: Profile) -> dict[str, EntropyConfig]:
    """Return what is compared."""
    chosen = EntropyConfig.from_dict(profile.config)
    best = int(profile.settings_of("fixed")["max_draft_len"])
    return {
        BASELINE: EntropyConfig(strategy="plain"),
        "fixed-best": EntropyConfig(strategy="fixed", max_draft_len=best),
        "fixed-standard": EntropyConfig(strategy="fixed", max_draft_len=STANDARD_LEN),
        "absolute-learned": EntropyConfig.from_dict(profile.settings_of("absolute")),
        "calibrated": chosen,
        "calibrated-online": replace(chosen, online=True),
    }


def live(
    args: argparse.Namespace, profile: Profile, tests: Sequence[PreparedTrace], out: Path
) -> None:
    """Answer the test prompts under every condition, and hold the seconds against the prediction.

    Args:
        args: Of the command line.
        profile: Whose conditions are compared, on its own engine.
        tests: Traces of the same prompts.
        out: The report, JSON.
    """
    options = LoadOptions(engine=profile.engine, dtype=args.dtype, threads=args.threads)  # type: ignore[arg-type]
    pair = load_pair(profile, options)
    verifier, name = pair.verifier, pair.drafter_name
    configs = conditions_of(profile)
    plan = LivePlan(
        verifier=verifier,
        drafters={name: pair.drafter},
        prompts=unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks),
        conditions=configs,
        max_new_tokens=args.tokens,
    )
    about = {
        "engine": verifier.engine,
        "machine": platform.platform(),
        "drafter_files": {name: pair.drafter_id},
    }
    rows = args.work / f"live-{verifier.engine}-{args.dtype or 'auto'}.jsonl"
    document = run_live(plan, about, rows=rows, out=out)
    costs = CostModel.from_json(profile.learned["measured"]["costs"])
    document["predicted"] = against_prediction(document["rows"], tests, configs, costs, name)
    del document["rows"]
    write_json(out, document)
    _show(document["predicted"])


def against_prediction(
    rows: Sequence[Mapping[str, Any]],
    tests: Sequence[PreparedTrace],
    configs: Mapping[str, EntropyConfig],
    costs: CostModel,
    drafter: str,
) -> dict[str, Any]:
    """Return measured and predicted ratios of speed by task, and the share closed live.

    The oracle cannot be run. Its live speed is taken to be as far above the best fixed length's as
    it is by replay.
    """
    by_id = {each.trace.prompt_id: each for each in tests}
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    judge = Judge(
        [by_id[row["prompt_id"]] for row in rows],
        costs,
        fixed_len=configs["fixed-best"].draft_cap,
    )
    live_s = {name: _seconds(rows, name, drafter) for name in configs}
    totals = {name: judge.play(config) for name, config in configs.items()}
    oracle = judge.oracle()
    fixed = judge.judgement(totals["fixed-best"])
    found: dict[str, Any] = {"tasks": tasks, "policies": {}}
    errors = []
    for name in configs:
        predicted = {task: _ratio(rows, totals[BASELINE], totals[name], task) for task in tasks}
        measured = {task: _measured(rows, live_s[BASELINE], live_s[name], task) for task in tasks}
        over_fixed = {
            task: _measured(rows, live_s["fixed-best"], live_s[name], task) for task in tasks
        }
        shares = {}
        for task in tasks:
            bound = oracle.speed_by_task[task] / fixed.speed_by_task[task]
            shares[task] = (over_fixed[task] - 1) / (bound - 1) if bound > 1 else math.nan
        if name not in (BASELINE, "fixed-best"):
            errors += [
                abs(over_fixed[task] / (predicted[task] / fixed.speed_by_task[task]) - 1)
                for task in tasks
            ]
        found["policies"][name] = {
            "measured_over_plain": measured,
            "predicted_over_plain": predicted,
            "measured_over_fixed": over_fixed,
            "share_closed_live": shares,
            "mean_share_closed_live": float(np.mean(list(shares.values()))),
            "mean_over_fixed": float(np.mean(list(over_fixed.values()))),
        }
    found["median_error_of_ratios"] = median(errors)
    found["largest_error_of_ratios"] = max(errors)
    return found


def _seconds(rows: Sequence[Mapping[str, Any]], name: str, drafter: str) -> list[tuple[int, float]]:
    """Return tokens and seconds of each prompt under a condition."""
    wanted = name if name == BASELINE else f"{drafter} {name}"
    found = []
    for row in rows:
        record = next(
            SequenceRecord.from_json(each) for each in row["records"] if each["condition"] == wanted
        )
        found.append((record.output_len, record.decode_s))
    return found


def _measured(
    rows: Sequence[Mapping[str, Any]],
    base: Sequence[tuple[int, float]],
    mine: Sequence[tuple[int, float]],
    task: str,
) -> float:
    picked = [at for at, row in enumerate(rows) if row["task"] == task]
    rates = [
        sum(each[at][0] for at in picked) / sum(each[at][1] for at in picked)
        for each in (mine, base)
    ]
    return rates[0] / rates[1]


def _ratio(
    rows: Sequence[Mapping[str, Any]],
    base: Sequence[Totals],
    mine: Sequence[Totals],
    task: str,
) -> float:
    picked = [at for at, row in enumerate(rows) if row["task"] == task]
    return sum(base[at].seconds for at in picked) / sum(mine[at].seconds for at in picked)


def _show(predicted: Mapping[str, Any]) -> None:
    tasks = predicted["tasks"]
    policies = predicted["policies"]
    for title, key, form in (
        ("Measured speed over plain decoding", "measured_over_plain", ".3f"),
        ("Predicted", "predicted_over_plain", ".3f"),
        ("Measured over the best fixed length", "measured_over_fixed", ".3f"),
        ("Share of the oracle's gap closed, live", "share_closed_live", ".0%"),
    ):
        table = [
            (
                name,
                *(format(each[key][task], form) for task in tasks),
                format(float(np.mean(list(each[key].values()))), form),
            )
            for name, each in policies.items()
        ]
        show_table(title, ("policy", *tasks, "mean"), table)
    console.print(
        f"error of predicted ratios to the best fixed length: median "
        f"{predicted['median_error_of_ratios']:.1%}, largest "
        f"{predicted['largest_error_of_ratios']:.1%}"
    )
