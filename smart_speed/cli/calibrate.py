"""smart-speed calibrate: look at some texts for some minutes, and write a profile."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from smart_speed.cli import arguments, tracing
from smart_speed.cli.console import print_json, say
from smart_speed.cli.gauge import Gauges, progress_bar
from smart_speed.cli.profile import show_leniency, show_predictions
from smart_speed.errors import check_that, unknown_name
from smart_speed.running.calibrating import (
    PROFILE_NAME,
    costs_path,
    learn,
    measure_drafter,
    traces_folder,
)
from smart_speed.running.leniency import measure_leniency, with_leniency

STAGES = ("trace", "measure", "learn")
_DEFAULT_PROMPTS = 64
_FIDELITY_PROMPTS = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument(
        "folder", type=Path, help="where traces, costs and profile go; goes on with what is there"
    )
    parser.add_argument(
        "--only", metavar="STAGES", help=f"some of {','.join(STAGES)}; learn needs no models"
    )
    arguments.add_model_arguments(parser, several=True)
    tracing.add_prompt_arguments(parser, limit=_DEFAULT_PROMPTS)
    arguments.add_sampling_arguments(parser)
    group = parser.add_argument_group("costs")
    group.add_argument(
        "--resolution", type=float, default=0.03, metavar="FLOAT",
        help="how well costs must be known: half the width of 95 %% intervals",
    )  # fmt: skip
    group.add_argument(
        "--most-seconds", type=float, default=180.0, metavar="FLOAT",
        help="give up measuring a drafter's costs after this",
    )  # fmt: skip
    parser.add_argument(
        "--fidelity", nargs="?", type=int, const=_FIDELITY_PROMPTS, metavar="N",
        help="measure as well what lenient acceptance gains and loses, on the first N prompts "
        f"({_FIDELITY_PROMPTS}): for --max-divergence",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the profile")


def run(args: argparse.Namespace) -> int:
    """Trace, measure and learn, or the stages of it that are asked for."""
    stages = [each.strip() for each in args.only.split(",")] if args.only else list(STAGES)
    for stage in stages:
        if stage not in STAGES:
            raise unknown_name("stage", stage, STAGES)
    inside = 0 < args.resolution < 1
    check_that(inside, "resolution", "between 0 and 1", args.resolution)
    check_that(args.most_seconds > 0, "most_seconds", "above 0", args.most_seconds)
    check_that(args.fidelity is None or args.fidelity > 1, "fidelity", "at least 2", args.fidelity)
    with progress_bar() as bar, Gauges(bar) as gauges:
        task = None
        if "trace" in stages or "measure" in stages or args.fidelity:
            task = tracing.prepare(args, traces_folder(args.folder))
            _run_models(args, task, stages, gauges)
        if "learn" not in stages:
            return 0
        profile = learn(args.folder, say=say, progress=gauges.show)
        if task is not None and args.fidelity:
            prompts = task.prompts[: args.fidelity]
            measure_leniency(
                args.folder, profile, task.models, prompts, task.settings, progress=gauges.show
            )
        profile = with_leniency(args.folder, profile)
        profile.write(args.folder / PROFILE_NAME)
    say(f"Profile written to {args.folder / PROFILE_NAME}.")
    if args.json:
        print_json(profile.to_json())
    else:
        show_predictions(profile)
        show_leniency(profile)
    return 0


def _run_models(
    args: argparse.Namespace, task: tracing.Task, stages: Sequence[str], gauges: Gauges
) -> None:
    if "trace" in stages:
        tracing.record(task, gauges)
    if "measure" not in stages:
        return
    for name, drafter in task.models.drafters.items():
        measured = measure_drafter(
            args.folder,
            name,
            (task.models.verifier, drafter),
            [each.prompt for each in task.prompts],
            max_draft_len=args.max_draft_len,
            resolution=args.resolution,
            most_s=args.most_seconds,
            progress=gauges.show,
        )
        if not measured:
            say(f"Costs of {name} were measured before: {costs_path(args.folder, name)}.")
