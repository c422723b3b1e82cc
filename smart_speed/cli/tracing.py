"""What ``trace`` and ``calibrate`` share: prompts in, a folder of traces out."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import Progress as Bar

from smart_speed import __version__
from smart_speed.cli import arguments
from smart_speed.cli.console import say
from smart_speed.cli.gauge import Gauge
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import load_drafter, load_verifier
from smart_speed.machine import machine_facts
from smart_speed.profiles import sampled_by
from smart_speed.prompting import Prompt
from smart_speed.sampling import Sampling
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.trace_files import TraceFolder, TraceManifest, prompts_sha256
from smart_speed.training.prompts import read_prompts
from smart_speed.workloads.selection import choose


class TracedPrompt(NamedTuple):
    """One prompt to be traced."""

    prompt_id: str
    task: str
    prompt: Prompt


class Models(NamedTuple):
    """What was loaded, by the names that were asked for."""

    verifier: LoadedModel
    drafters: Mapping[str, Drafter]
    ids: Mapping[str, Any]
    """Name and id of the verifier, and of each drafter."""


def add_prompt_arguments(parser: argparse.ArgumentParser, *, limit: int | None) -> None:
    """Add what says which texts to record."""
    group = parser.add_argument_group("prompts")
    group.add_argument(
        "--prompts", default="builtin", metavar="FILE",
        help="JSON lines or one a line; a data set; or builtin",
    )  # fmt: skip
    group.add_argument("--licences", metavar="NAMES", help="keep prompts of these, as MIT,CC0-1.0")
    group.add_argument(
        "--limit", type=int, default=limit, metavar="N", help="prompts used, tasks taking turns"
    )
    group.add_argument(
        "--raw", action="store_true", help="texts to go on with, outside the chat template"
    )
    group.add_argument("--max-draft-len", type=int, default=16, metavar="N", help="longest draft")


def traced_prompts(args: argparse.Namespace) -> list[TracedPrompt]:
    """Return the prompts that the arguments ask for.

    Raises:
        ConfigError: If they cannot be read, or there are none.
    """
    licences = [name.strip() for name in args.licences.split(",")] if args.licences else []
    found = choose(read_prompts(args.prompts, licences), args.limit)
    return [
        TracedPrompt(
            each.prompt_id,
            each.task,
            each.text if args.raw else [{"role": "user", "content": each.text}],
        )
        for each in found
    ]


def load_models(args: argparse.Namespace) -> Models:
    """Load the verifier and every drafter."""
    options = arguments.load_options(args, say)
    verifier = load_verifier(args.verifier, options)
    names = [name.strip() for name in args.drafters.split(",")]
    check_that(len(set(names)) == len(names), "drafters", "named once each", args.drafters)
    drafters = {name: load_drafter(name, verifier, options) for name in names}
    made_for = verifier_id(args.verifier, verifier)
    ids = {
        "verifier": {"name": args.verifier, "id": made_for},
        "drafters": {
            name: {"name": name, "id": drafter_id(name, drafter, made_for)}
            for name, drafter in drafters.items()
        },
    }
    say(f"Verifier {verifier.description}; drafters {', '.join(drafters)}.")
    return Models(verifier, drafters, ids)


def open_traces(
    folder: Path,
    models: Models,
    prompts: Sequence[TracedPrompt],
    sampling: Sampling,
    args: argparse.Namespace,
) -> tuple[TraceFolder, TraceManifest]:
    """Begin traces, or find those that there are.

    Raises:
        ConfigError: If the folder holds traces that were made otherwise.
    """
    manifest = TraceManifest(
        models=models.ids,
        engine=models.verifier.engine,
        settings={
            "max_draft_len": args.max_draft_len,
            "max_new_tokens": args.max_new_tokens,
            "sampling": sampled_by(sampling) | {"seed": sampling.seed},
            # Number format and all; but threads, its last part, decide nothing.
            "verifier": models.verifier.description.rpartition(", ")[0],
        },
        about={"smart_speed": __version__, "machine": machine_facts()},
        prompt_ids=tuple(each.prompt_id for each in prompts),
        prompts_sha256=prompts_sha256([(each.prompt_id, each.prompt) for each in prompts]),
    )
    traces = TraceFolder(folder, manifest)
    traces.open()
    return traces, manifest


def record_traces(
    traces: TraceFolder,
    models: Models,
    prompts: Sequence[TracedPrompt],
    sampling: Sampling,
    args: argparse.Namespace,
    bar: Bar,
) -> None:
    """Record what is missing, and put the parts together."""
    missing = set(traces.missing())
    done = len(prompts) - len(missing)
    if done:
        say(f"{done} of {len(prompts)} prompts were traced before.")
    recorder = TraceRecorder(
        models.verifier, models.drafters, max_draft_len=args.max_draft_len, sampling=sampling
    )
    with Gauge(bar, "prompts traced") as gauge:
        for each in prompts:
            if each.prompt_id not in missing:
                continue
            gauge.show(done, len(prompts))
            traces.write(
                recorder.record(
                    each.prompt,
                    prompt_id=each.prompt_id,
                    task=each.task,
                    max_new_tokens=args.max_new_tokens,
                )
            )
            done += 1
    traces.finish()
