"""What ``trace`` and ``calibrate`` share: prompts in, a folder of traces out."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from smart_speed.cli import arguments
from smart_speed.cli.console import say
from smart_speed.cli.gauge import Gauges
from smart_speed.running.traced import (
    Models,
    TracedPrompt,
    TraceSettings,
    load_models,
    open_traces,
    record_traces,
)
from smart_speed.tracing.trace_files import TraceFolder
from smart_speed.training.prompts import read_prompts
from smart_speed.workloads.selection import choose


class Task(NamedTuple):
    """What is to be traced, with what, and where to."""

    traces: TraceFolder
    models: Models
    prompts: Sequence[TracedPrompt]
    settings: TraceSettings


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
            (each.text,),
        )
        for each in found
    ]


def prepare(args: argparse.Namespace, folder: Path) -> Task:
    """Load models and prompts, and begin traces, or find those that there are.

    Raises:
        ConfigError: If an argument breaks a rule, or the folder holds traces made otherwise.
    """
    settings = TraceSettings(args.max_draft_len, args.max_new_tokens, arguments.sampling(args))
    prompts = traced_prompts(args)
    names = [name.strip() for name in args.drafters.split(",")]
    models = load_models(args.verifier, names, arguments.load_options(args, say))
    return Task(open_traces(folder, models, prompts, settings), models, prompts, settings)


def record(task: Task, gauges: Gauges) -> None:
    """Record what is missing, and put the parts together."""
    done = len(task.prompts) - len(task.traces.missing())
    if done:
        say(f"{done} of {len(task.prompts)} prompts were traced before.")
    record_traces(*task, progress=lambda done, total: gauges.show("prompts traced", done, total))
    task.traces.finish()
