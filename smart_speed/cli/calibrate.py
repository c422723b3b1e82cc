"""smart-speed calibrate: look at some texts for some minutes, and write a profile."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smart_speed import __version__
from smart_speed.cli import arguments, tracing
from smart_speed.cli.console import print_json, say
from smart_speed.cli.gauge import Gauge, progress_bar
from smart_speed.cli.profile import show_predictions
from smart_speed.errors import check_that, unknown_name
from smart_speed.files import whole, writing
from smart_speed.machine import machine_facts
from smart_speed.profiles import Profile, read_profile
from smart_speed.tracing.cost_measuring import measure_costs
from smart_speed.tracing.measured_costs import MeasuredCosts
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import TraceManifest, read_manifest, read_traces

STAGES = ("trace", "measure", "learn")
PROFILE_NAME = "profile.json"
_DEFAULT_PROMPTS = 64


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
    with progress_bar() as bar:
        if "trace" in stages or "measure" in stages:
            _run_models(args, stages, bar)
        if "learn" not in stages:
            return 0
        profile = _learn(args.folder, bar)
    say(f"Profile written to {args.folder / PROFILE_NAME}.")
    if args.json:
        print_json(profile.to_json())
    else:
        show_predictions(profile)
    return 0


def _run_models(args: argparse.Namespace, stages: Sequence[str], bar: Any) -> None:
    sampling = arguments.sampling(args)
    prompts = tracing.traced_prompts(args)
    models = tracing.load_models(args)
    traces, _ = tracing.open_traces(_traces(args.folder), models, prompts, sampling, args)
    if "trace" in stages:
        tracing.record_traces(traces, models, prompts, sampling, args, bar)
    if "measure" not in stages:
        return
    for name, drafter in models.drafters.items():
        path = _costs(args.folder, name)
        if path.exists():
            say(f"Costs of {name} were measured before: {path}.")
            continue
        with Gauge(bar, f"seconds measuring {name}") as gauge:
            measured = measure_costs(
                models.verifier,
                drafter,
                [each.prompt for each in prompts[:16]],
                max_draft_len=args.max_draft_len,
                resolution=args.resolution,
                most_s=args.most_seconds,
                progress=gauge.show,
            )
        _write_json(path, {**measured.to_json(), "machine": machine_facts()})


def _learn(folder: Path, bar: Any) -> Profile:
    """Make a profile of every drafter; the fastest one's is the profile."""
    from smart_speed.calibration.making import MadeFor, make_profile

    manifest = read_manifest(_traces(folder))
    traces = read_traces(_traces(folder))
    made: dict[str, Profile] = {}
    for name, about in manifest.models["drafters"].items():
        texts = [PreparedTrace(each) for each in traces if each.drafter == name]
        measured, machine = _read_costs(_costs(folder, name))
        made_for = MadeFor(
            verifier=manifest.models["verifier"],
            drafter=about,
            engine=manifest.engine,
            sampling=_law(manifest),
            machine=machine,
            version=__version__,
        )
        with Gauge(bar, f"steps learning {name}") as gauge:
            made[name] = make_profile(
                texts, measured.costs, made_for, measured=measured.to_json(), progress=gauge.show
            )
        made[name].write(folder / f"profile-{name}.json")
    best = max(made, key=lambda name: _rate(made[name]))
    made[best].write(folder / PROFILE_NAME)
    if len(made) > 1:
        rates = ", ".join(f"{name} {_rate(each):.1f}" for name, each in made.items())
        say(f"Fastest drafter: {best} (predicted tokens/s: {rates}).")
    return read_profile(folder / PROFILE_NAME)


def _rate(profile: Profile) -> float:
    rate: float = profile.config["calibration"]["rate"]
    return rate


def _law(manifest: TraceManifest) -> Mapping[str, Any]:
    law = dict(manifest.settings["sampling"])
    del law["seed"]
    return law


def _traces(folder: Path) -> Path:
    return folder / "traces"


def _costs(folder: Path, drafter: str) -> Path:
    return folder / f"costs-{drafter.replace('/', '_')}.json"


def _read_costs(path: Path) -> tuple[MeasuredCosts, dict[str, Any]]:
    check_that(path.is_file(), "costs", "measured before anything is learned", str(path))
    document = json.loads(path.read_text(encoding="utf-8"))
    machine = document.pop("machine", {})
    return MeasuredCosts.from_json(document), machine


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    with writing("Measured costs", path.parent), whole(path) as part:
        part.write_text(json.dumps(document, indent=1), encoding="utf-8")
