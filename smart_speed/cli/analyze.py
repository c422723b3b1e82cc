"""smart-speed analyze: from a run's folder to a report."""

import argparse
from pathlib import Path

from smart_speed.analysis import Analysis, AnalysisPipeline
from smart_speed.cli.console import console, print_json, say
from smart_speed.cli.gauge import Gauge, progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of an experiment's run")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes; default RUN/analysis"
    )
    parser.add_argument(
        "--machine", metavar="ID", help="whose answers to look at, where several made some"
    )
    parser.add_argument("--json", action="store_true", help="print headline, verdicts and paths")


def run(args: argparse.Namespace) -> int:
    """Judge a run and write its report."""
    with progress_bar() as bar, Gauge(bar, "steps") as gauge:
        steps: list[str] = []

        def begin(step: str) -> None:
            gauge.show(len(steps), 3, step)
            steps.append(step)

        pipeline = AnalysisPipeline(args.run, args.out, machine=args.machine, progress=begin)
        analysis = pipeline.run_full_analysis()
    if args.json:
        print_json(analysis.to_json())
    else:
        show(analysis)
    return 0


def show(analysis: Analysis) -> None:
    """Say what was found and where it is written down."""
    for reply in analysis.headline:
        console.print(f"{reply.question} {reply.sentence}", markup=False)
    for verdict in analysis.verdicts:
        if verdict["hypothesis"] == "H1" and not verdict["variant"].startswith("chosen/"):
            continue
        name = f"{verdict['hypothesis']}, {verdict['variant']}: {verdict['outcome']}."
        console.print(f"{name} {verdict['sentence']}", style="dim", markup=False)
    say(f"Report written to {analysis.report}.")
