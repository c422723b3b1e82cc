"""Who should draft? A choice before each round against each drafter alone, a chain and Hedge.

    smart-speed calibrate CAL --prompts PROMPTS --drafters ngram,nano+ngram,small+ngram
    python -m benchmarks.router replay --calibration CAL --test TEST
    python -m benchmarks.router live --data DATA --calibration CAL

PROMPTS are no test prompts; benchmarks/unseen_prompts.py says which files DATA must hold. TEST is
what ``python -m benchmarks.calibrated trace`` wrote for the same drafters. ``replay`` needs no
model. ``live`` goes on with where it was stopped; every prompt is answered under all conditions, in
random order.
"""

import argparse
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.console import console, show_table, with_interval, write_json
from benchmarks.drafters_live import LivePlan, run_live
from benchmarks.unseen_prompts import READERS, unseen_prompts
from smart_speed.calibration.learning import calibrated_config
from smart_speed.calibration.route_judging import RouteJudge
from smart_speed.cli.figures import number
from smart_speed.cli.profile import show_route_predictions
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.evaluation import mean_speedup, speedup, strategy_share
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.profiles import Profile, read_profile
from smart_speed.records import SequenceRecord
from smart_speed.running.calibrating import ROUTE_PROFILE_NAME
from smart_speed.tracing.trace_files import read_traces

RESULTS = Path(__file__).parent / "results"
ROUTER = "route"


def main() -> None:
    """Do what the command line asks for."""
    args = _parser().parse_args()
    profile = read_profile(args.calibration / ROUTE_PROFILE_NAME)
    out = args.out or RESULTS / f"router-{args.part}-{profile.engine}.json"
    if args.part == "replay":
        write_json(out, replayed(args.test, profile))
    else:
        live(args, profile, out)


def replayed(folder: Path, profile: Profile) -> dict[str, Any]:
    """Judge by replay, and show it; the best single drafter is that of the calibration texts."""
    judge = RouteJudge.of_profile(read_traces(folder), profile)
    found = {name: each.to_json() for name, each in judge.judge_all().items()}
    show_route_predictions(found, judge.best)
    for title, key, form in (
        (f"Speed over {judge.best} alone", "over_fixed_by_task", ".3f"),
        ("Share of the gap to the oracle's choice", "share_by_task", ".0%"),
    ):
        tasks = list(found[ROUTER][key])
        rows = [(name, *(number(row[key][task], form) for task in tasks))
                for name, row in found.items()]  # fmt: skip
        show_table(title, ("policy", *tasks), rows)
    return {"best": judge.best, "num_texts": len(judge.texts), "policies": found}


def conditions_of(
    profile: Profile, drafters: Mapping[str, Drafter]
) -> dict[str, tuple[Drafter, EntropyConfig]]:
    """Return what is compared: the router, its rivals, and each drafter by itself.

    A drafter by itself stops by its own calibration and pays for no choice.
    """
    routed = RoutedDrafter(drafters)
    chosen = EntropyConfig.from_dict(profile.config)
    assert chosen.routing is not None
    found: dict[str, tuple[Drafter, EntropyConfig]] = {ROUTER: (routed, chosen)}
    for rival in ("chain", "hedge"):
        settings = {**profile.config, "route_by": rival}
        found[rival] = (routed, EntropyConfig.from_dict(settings))
    for arm in chosen.routing.arms:
        alone = calibrated_config(arm.calibration, chosen.entropy_type)
        found[arm.drafter] = (drafters[arm.drafter], alone)
    return found


def live(args: argparse.Namespace, profile: Profile, out: Path) -> None:
    """Answer the test prompts under every condition, and compare with the best single drafter."""
    options = LoadOptions(engine=profile.engine, dtype=args.dtype, threads=args.threads)  # type: ignore[arg-type]
    verifier = load_verifier("default", options)
    routing = EntropyConfig.from_dict(profile.config).routing
    assert routing is not None
    assert profile.drafter is not None
    names = [arm.drafter for arm in routing.arms]
    drafters = {name: load_drafter(name, verifier, options) for name in names}
    made_for, together = verifier_id("default", verifier), RoutedDrafter(drafters)
    drafting = drafter_id(profile.drafter["name"], together, made_for)
    profile.check_models(engine=verifier.engine, verifier=made_for, drafter=drafting)
    plan = LivePlan(
        verifier=verifier,
        drafters={},
        prompts=unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks),
        conditions={},
        others=conditions_of(profile, drafters),
        max_new_tokens=args.tokens,
    )
    about = {
        "engine": verifier.engine,
        "machine": platform.platform(),
        "drafter_files": {name: drafter_id(name, drafters[name], made_for) for name in names},
        "best": profile.learned["measured"]["best"],
    }
    rows = args.work / f"router-{verifier.engine}-{args.dtype or 'auto'}.jsonl"
    document = run_live(plan, about, rows=rows, out=out)
    document["over_best"] = over_best(document.pop("rows"), about["best"])
    write_json(out, document)
    _show(document["over_best"])


def over_best(rows: Sequence[Mapping[str, Any]], best: str) -> dict[str, Any]:
    """Return the speed of every condition over the best single drafter's, and what asking takes.

    Args:
        rows: Of ``run_live``.
        best: The drafter, as found on the calibration texts.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    records: dict[str, dict[str, list[SequenceRecord]]] = {}
    chosen: dict[str, dict[str, int]] = {}
    for row in rows:
        for record in map(SequenceRecord.from_json, row["records"]):
            by_task = records.setdefault(record.condition, {task: [] for task in tasks})
            by_task[row["task"]].append(record)
            counts = chosen.setdefault(record.condition, {})
            for turn in record.rounds:
                counts[turn.drafter] = counts.get(turn.drafter, 0) + 1
    base = records[best]
    asking = {
        name: strategy_share([record for each in by_task.values() for record in each])
        for name, by_task in records.items()
    }
    return {
        "best": best,
        "tasks": tasks,
        "conditions": {
            name: {
                "by_task": {task: speedup(mine[task], base[task]).to_json() for task in tasks},
                "mean": mean_speedup([(mine[task], base[task]) for task in tasks]).to_json(),
                "strategy_share": asking[name] if np.isfinite(asking[name]) else None,
                "more_than_best": asking[name] - asking[best],
                "rounds_by_drafter": chosen[name],
            }
            for name, mine in records.items()
        },
    }


def _show(found: Mapping[str, Any]) -> None:
    tasks = found["tasks"]
    rows = [
        (
            name,
            *(with_interval(row["by_task"][task], ".3f") for task in tasks),
            with_interval(row["mean"], ".3f"),
        )
        for name, row in found["conditions"].items()
    ]
    title = f"Speed over {found['best']} alone, 95 % intervals over prompts"
    show_table(title, ("condition", *tasks, "mean of tasks"), rows)
    router = found["conditions"][ROUTER]
    console.print(
        f"strategy of the router: {router['strategy_share']:.2%} of decoding, "
        f"{router['more_than_best']:+.2%} beside that of {found['best']}; "
        f"rounds by drafter {router['rounds_by_drafter']}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("replay", "live"))
    parser.add_argument("--calibration", type=Path, required=True, help="folder of calibrate")
    parser.add_argument("--test", type=Path, help="folder of the test traces")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--dtype")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tasks", nargs="+", default=list(READERS))
    parser.add_argument("--per-task", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--work", type=Path, default=Path("runs/router"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/router-*")
    return parser


if __name__ == "__main__":
    main()
