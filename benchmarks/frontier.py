"""What leniency gains and what it loses: speed against fidelity, live, on unseen prompts.

    python -m benchmarks.frontier --data DATA --profile PROFILE --engine llama_cpp \
        --per-task 25 --tasks gsm8k humaneval mt_bench nq_open --run-code

benchmarks/unseen_prompts.py says which files DATA must hold; PROFILE is what `smart-speed
calibrate` wrote. Every lossy rule runs over the profile's drafting, which adjusts itself to what is
accepted (unless --offline), beside the same drafting kept exact, the profile's as it is, and
constant lenience, all in random order for each prompt. The answers are a run of an experiment in
--work: a later call goes on with it, more prompts may be asked for, and `smart-speed evaluate`
reads it. Figures and a plot go to benchmarks/results.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.console import progress_bar, write_json
from benchmarks.frontier_report import draw, report, show
from benchmarks.pair import load_pair
from benchmarks.unseen_prompts import READERS, unseen_prompts
from smart_speed.config import EntropyConfig
from smart_speed.evaluation import evaluate_run, run_programs
from smart_speed.loading import LoadOptions
from smart_speed.profiles import Profile, read_profile
from smart_speed.run_folder import ConditionInfo, PromptInfo, RunManifest
from smart_speed.running.about import facts_of_a_run
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.settings import as_json
from smart_speed.running.side_runs import answer_side_run, begin_side_run, lone_prompt, said_in
from smart_speed.sampling import Sampling
from smart_speed.workloads.prompt import text_hash

RESULTS = Path(__file__).parent / "results"
EXACT = ("exact", "exact-online")
"""Lossless conditions that draft as the lossy ones do: as it was learned, and adjusting itself."""
LENIENCES = (0.7, 0.5, 0.3, 0.2, 0.1)
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "typical": {"verification": "typical"},
    "typical-looser": {"verification": "typical", "typical_epsilon": 0.03, "typical_delta": 0.1},
    "typical-stricter": {"verification": "typical", "typical_epsilon": 0.3, "typical_delta": 0.9},
    "fly": {"verification": "fly"},
    "fly-looser": {"verification": "fly", "fly_theta": 0.15},
    "fly-loosest": {"verification": "fly", "fly_theta": 0.05},
    "easd": {"verification": "easd"},
}
"""Rules of others, with their published constants and with others."""


def conditions_of(profile: Profile, *, online: bool = True) -> dict[str, ConditionInfo]:
    """Return what is compared; names of this project's rule are relaxed-DIRECTION-LENIENCE.

    Args:
        profile: Whose drafting and whose phases all of them have.
        online: Whether drafting under lossy rules keeps adjusting, and so drafts longer where more
            is accepted; exact decoding is then run both ways.
    """
    drafting = {**profile.config, **({"online": True} if online else {})}
    exact = dict(zip(EXACT, (profile.config, *([drafting] if online else [])), strict=False))
    relaxed = {
        f"relaxed-{relax_in}-{lenience:g}": {
            "verification": "relaxed",
            "relax_in": relax_in,
            "lenience": lenience,
        }
        for relax_in, lenience in product(("low", "high", "always"), LENIENCES)
    }
    lossy = {
        name: ConditionInfo(
            role="lossy",
            config=profile.with_phases({**drafting, **settings}),
            learned=True,
            lossless=False,
        )
        for name, settings in {**relaxed, **PUBLISHED}.items()
    }
    return {
        "plain": ConditionInfo(role="plain", config={"strategy": "plain"}),
        **{
            name: ConditionInfo(role="calibrated", config=config, learned=True)
            for name, config in exact.items()
        },
        **lossy,
    }


def main() -> None:
    """Answer, evaluate, report."""
    args = _parser().parse_args()
    profile = read_profile(args.profile / "profile.json" if args.profile.is_dir() else args.profile)
    options = LoadOptions(engine=args.engine, dtype=args.dtype, threads=args.threads)
    pair = load_pair(profile, options)
    verifier, drafter = pair.verifier, pair.drafter
    sampling = Sampling(temperature=args.temperature)
    conditions = conditions_of(profile, online=not args.offline)
    for info in conditions.values():
        EntropyConfig.from_dict(info.config).build_rule(greedy=sampling.greedy)
    known = set(profile.learned_on.text_hashes)
    prompts = [
        each
        for each in unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks)
        if text_hash((said_in(each.prompt),)) not in known
    ]
    manifest = RunManifest(
        name="frontier",
        config={"max_new_tokens": args.tokens, "dataset_name": "unseen prompts"},
        conditions=conditions,
        prompts=tuple(
            PromptInfo(prompt_id=each.prompt_id, task=each.task, check=each.check)
            for each in prompts
        ),
        calibration_prompt_ids=(),
        repeats=1,
        verifier={
            "name": "default",
            "id": pair.verifier_id,
            "description": verifier.description,
        },
        drafter={
            "name": pair.drafter_name,
            "id": pair.drafter_id,
            "description": drafter.name,
        },
        engine=verifier.engine,
        sampling=as_json(asdict(sampling)),
        about=facts_of_a_run(),
    )
    parts = [verifier.engine, args.dtype or "auto", f"{args.temperature:g}"]
    folder = args.work / "-".join([*parts, *(["offline"] if args.offline else [])])
    begin_side_run(folder, manifest, may_grow=True)
    work = Work(conditions, sampling, args.tokens, 1)
    asked = [
        lone_prompt(each.prompt_id, each.task, each.prompt, verifier, each.check)
        for each in prompts
    ]
    with progress_bar("answers") as progress:
        answer_side_run(folder, PromptPlayer(verifier, drafter, work), work, asked, progress)
    if args.run_code:
        with progress_bar("programs") as progress:
            run_programs(folder, progress=progress)
    document = report(evaluate_run(folder, tasks=args.tasks))
    out = args.out or RESULTS / f"frontier-{folder.name}.json"
    write_json(out, document)
    draw(document, out.with_suffix(".svg"))
    show(document)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--profile", type=Path, required=True, help="or the folder it is in")
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--tasks", nargs="+", default=["gsm8k", "humaneval", "mt_bench", "nq_open"],
        help=f"some of {', '.join(READERS)}",
    )  # fmt: skip
    parser.add_argument("--per-task", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument(
        "--offline", action="store_true", help="draft under every rule as if acceptance were exact"
    )
    parser.add_argument(
        "--run-code", action="store_true",
        help="run the programs in answers to code tasks, within limits but as you",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("runs/frontier"), help="for resuming")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/frontier-*")
    return parser


if __name__ == "__main__":
    main()
