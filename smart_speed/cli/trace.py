"""smart-speed trace: record what drafters would write at every position of verified texts."""

import argparse
from pathlib import Path

from smart_speed.cli import arguments, tracing
from smart_speed.cli.console import print_json, say
from smart_speed.cli.gauge import Gauges, progress_bar
from smart_speed.tracing.trace_files import read_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("folder", type=Path, help="where the traces go; goes on with what is there")
    arguments.add_model_arguments(parser, several=True)
    tracing.add_prompt_arguments(parser, limit=None)
    arguments.add_sampling_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest")


def run(args: argparse.Namespace) -> int:
    """Record traces of every drafter on the same texts."""
    task = tracing.prepare(args, args.folder)
    with progress_bar() as bar, Gauges(bar) as gauges:
        tracing.record(task, gauges)
    say(f"Traces of {len(task.prompts)} prompts are in {args.folder}.")
    if args.json:
        print_json(read_manifest(args.folder).to_json())
    return 0
