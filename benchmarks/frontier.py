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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.console import progress_bar, write_json
from benchmarks.frontier_report import draw, report, show
from benchmarks.unseen_prompts import READERS, UnseenPrompt, unseen_prompts
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, check_that
from smart_speed.evaluation import evaluate_run, run_programs
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.profiles import Profile, read_profile
from smart_speed.prompting import encode_prompt
from smart_speed.run_folder import (
    MANIFEST_NAME,
    AnswerLog,
    ConditionInfo,
    PromptInfo,
    RunManifest,
    read_manifest,
    write_manifest,
)
from smart_speed.running.about import facts_of_a_run, machine_id
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.prompts import LivePrompt
from smart_speed.running.settings import as_json
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


def begun(folder: Path, manifest: RunManifest) -> RunManifest:
    """Begin a run, or go on with it; prompts may be added.

    Args:
        folder: Of the run.
        manifest: What it is to be made from.

    Returns:
        The manifest with all prompts, those of earlier calls too.

    Raises:
        ConfigError: If the folder holds answers that were made otherwise.
    """
    if (folder / MANIFEST_NAME).is_file():
        before = read_manifest(folder)
        fixed = [
            as_json(replace(each, prompts=(), about={}).to_json()) for each in (before, manifest)
        ]
        for key, was in fixed[0].items():
            if was != fixed[1][key]:
                raise ConfigError(
                    f"{key} must be what the answers in {str(folder)!r} were made with; delete "
                    "that folder, or name another by --work."
                )
        asked = {each.prompt_id for each in manifest.prompts}
        others = tuple(each for each in before.prompts if each.prompt_id not in asked)
        manifest = replace(manifest, prompts=(*manifest.prompts, *others), about=before.about)
    write_manifest(folder, manifest)
    return manifest


def answer_all(
    folder: Path,
    models: tuple[LoadedModel, Drafter],
    work: Work,
    prompts: Sequence[UnseenPrompt],
) -> None:
    """Answer every prompt under every condition, or what of it is left to be done.

    Args:
        folder: Of the run.
        models: Verifier and drafter.
        work: Conditions, and what else holds for all answers.
        prompts: To be answered.

    Raises:
        ConfigError: If some answers were timed on another machine.
    """
    player = PromptPlayer(*models, work)
    log = AnswerLog(folder)
    try:
        rule, here = "the one whose answers are to be compared", machine_id()
        check_that(log.machines <= {here}, "machine", f"{rule} ({sorted(log.machines)})", here)
        with progress_bar("prompts") as progress:
            for number, each in enumerate(prompts):
                for made in player.play(live_prompt(each, models[0]), log.done):
                    for answer in made:
                        log.add(answer)
                progress(number + 1, len(prompts))
    finally:
        log.close()


def live_prompt(prompt: UnseenPrompt, verifier: LoadedModel) -> LivePrompt:
    """Return a prompt as the models are asked it in a run."""
    chat = not isinstance(prompt.prompt, str)
    return LivePrompt(
        prompt_id=prompt.prompt_id,
        task=prompt.task,
        turns=(said_in(prompt),),
        chat=chat,
        tokens=() if chat else tuple(encode_prompt(prompt.prompt, verifier)),
        check=prompt.check,
    )


def said_in(prompt: UnseenPrompt) -> str:
    """Return a prompt's text: what the user says, or what is to be gone on with."""
    if isinstance(prompt.prompt, str):
        return prompt.prompt
    message: Any = prompt.prompt[-1]
    text: str = message["content"]
    return text


def main() -> None:
    """Answer, evaluate, report."""
    args = _parser().parse_args()
    profile = read_profile(args.profile / "profile.json" if args.profile.is_dir() else args.profile)
    rule = "one that `smart-speed calibrate` made"
    check_that(profile.drafter is not None, "profile", rule, str(args.profile))
    assert profile.drafter is not None
    options = LoadOptions(engine=args.engine, dtype=args.dtype, threads=args.threads)
    verifier = load_verifier("default", options)
    name = profile.drafter["name"]
    drafter = load_drafter(name, verifier, options)
    made_for = verifier_id("default", verifier)
    drafting = drafter_id(name, drafter, made_for)
    profile.check_models(engine=verifier.engine, verifier=made_for, drafter=drafting)
    sampling = Sampling(temperature=args.temperature)
    conditions = conditions_of(profile, online=not args.offline)
    for info in conditions.values():
        EntropyConfig.from_dict(info.config).build_rule(greedy=sampling.greedy)
    known = set(profile.learned_on.text_hashes)
    prompts = [
        each
        for each in unseen_prompts(args.data, per_task=args.per_task, tasks=args.tasks)
        if text_hash((said_in(each),)) not in known
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
        verifier={"name": "default", "id": made_for, "description": verifier.description},
        drafter={"name": name, "id": drafting, "description": drafter.name},
        engine=verifier.engine,
        sampling=as_json(asdict(sampling)),
        about=facts_of_a_run(),
    )
    parts = [verifier.engine, args.dtype or "auto", f"{args.temperature:g}"]
    folder = args.work / "-".join([*parts, *(["offline"] if args.offline else [])])
    begun(folder, manifest)
    work = Work(conditions, sampling, args.tokens, 1)
    answer_all(folder, (verifier, drafter), work, prompts)
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
