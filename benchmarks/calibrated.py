"""What calibration is worth, on prompts that nothing was learned on.

    smart-speed calibrate CAL --prompts PROMPTS          # PROMPTS are no test prompts
    python -m benchmarks.calibrated trace --data DATA --calibration CAL --test TEST
    python -m benchmarks.calibrated replay --calibration CAL --test TEST
    python -m benchmarks.calibrated live --data DATA --calibration CAL --test TEST

benchmarks/unseen_prompts.py says which files DATA must hold. ``replay`` needs no model.
"""

import argparse
from pathlib import Path

from benchmarks.calibrated_live import live
from benchmarks.calibrated_replay import replay_all
from benchmarks.console import progress_bar, write_json
from benchmarks.unseen_prompts import READERS, unseen_prompts
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.profiles import read_profile
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.trace_files import TraceFolder, TraceManifest, prompts_sha256, read_traces

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Do what the command line asks for."""
    args = _parser().parse_args()
    if args.part == "trace":
        trace(args)
        return
    profile = read_profile(args.profile or args.calibration / "profile.json")
    assert profile.drafter is not None
    drafter = args.drafter or profile.drafter["name"]
    known, tests = (_texts(each, drafter) for each in (args.calibration / "traces", args.test))
    if args.part == "replay":
        others = []
        for each in map(read_profile, args.also):
            assert each.drafter is not None
            costs = CostModel.from_json(each.learned["measured"]["costs"])
            others.append((_texts(args.test, each.drafter["name"]), costs))
        document = replay_all(known, tests, profile, others)
        write_json(args.out or RESULTS / f"calibrated-replay-{profile.engine}.json", document)
        return
    live(args, profile, tests, args.out or RESULTS / f"calibrated-live-{profile.engine}.json")


def trace(args: argparse.Namespace) -> None:
    """Record traces of the test prompts."""
    options = LoadOptions(engine=args.engine, dtype=args.dtype, threads=args.threads)
    verifier = load_verifier("default", options)
    names = args.drafters.split(",")
    prompts = unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks)
    manifest = TraceManifest(
        models={"verifier": verifier.description, "drafters": names},
        engine=verifier.engine,
        settings={"max_draft_len": 16, "max_new_tokens": args.tokens, "seed": 0},
        prompt_ids=tuple(each.prompt_id for each in prompts),
        prompts_sha256=prompts_sha256([(each.prompt_id, each.prompt) for each in prompts]),
    )
    folder = TraceFolder(args.test, manifest)
    folder.open()
    recorder = TraceRecorder(
        verifier, {name: load_drafter(name, verifier, options) for name in names}, max_draft_len=16
    )
    missing = set(folder.missing())
    with progress_bar("prompts") as progress:
        for done, each in enumerate(prompts):
            if each.prompt_id in missing:
                made = recorder.record(
                    each.prompt,
                    prompt_id=each.prompt_id,
                    task=each.task,
                    max_new_tokens=args.tokens,
                )
                folder.write(made)
            progress(done + 1, len(prompts))
    folder.finish()


def _texts(folder: Path, drafter: str) -> list[PreparedTrace]:
    return [PreparedTrace(each) for each in read_traces(folder) if each.drafter == drafter]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("trace", "replay", "live"))
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--calibration", type=Path, help="folder of smart-speed calibrate")
    parser.add_argument("--profile", type=Path, help="default: that of the calibration")
    parser.add_argument("--test", type=Path, required=True, help="folder of the test traces")
    parser.add_argument("--drafter", help="default: the profile's")
    parser.add_argument(
        "--also", type=Path, nargs="*", default=[], metavar="PROFILE",
        help="of other drafters of the test traces, for an oracle that chooses among them",
    )  # fmt: skip
    parser.add_argument("--drafters", default="small+ngram,nano+ngram", help="to trace")
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tasks", nargs="+", default=list(READERS))
    parser.add_argument("--per-task", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--work", type=Path, default=Path("runs/calibrated"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/calibrated-*")
    return parser


if __name__ == "__main__":
    main()
