"""smart-speed experiment: run conditions side by side, and report what was found."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from smart_speed.cli.console import console, print_json, say
from smart_speed.cli.gauge import Gauge, Gauges, progress_bar
from smart_speed.errors import SmartSpeedError, check_that
from smart_speed.experiment import ExperimentConfig, ExperimentRunner, Outcome
from smart_speed.running.builtin import BUILTINS, builtin_settings
from smart_speed.running.planning import Plan
from smart_speed.running.settings import read_toml, with_changes

if TYPE_CHECKING:
    from smart_speed.analysis import Analysis

_NUM_STEPS = 3
"""Of an analysis."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("config", nargs="?", type=Path, help="a TOML file (docs/experiments.md)")
    parser.add_argument(
        "--builtin", metavar="NAME", help=f"instead of a file: {' or '.join(BUILTINS)}"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the run; goes on with what is there"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="one setting, over those of the file; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, and how long it would take"
    )
    parser.add_argument("--json", action="store_true", help="print plan or outcome as JSON")


def run(args: argparse.Namespace) -> int:
    """Run an experiment, then analyse it."""
    config = _config(args)
    with progress_bar() as bar, Gauges(bar) as gauges:
        runner = ExperimentRunner(config, progress=gauges.show, say=say)
        if args.dry_run:
            plan = runner.plan()
        else:
            outcome = runner.run_full_experiment()
    if args.dry_run:
        _show_plan(plan, as_json=args.json)
        return 0
    _show_outcome(outcome, _analysed(outcome), as_json=args.json)
    return 1 if outcome.num_failed else 0


def _config(args: argparse.Namespace) -> ExperimentConfig:
    once = (args.config is None) != (args.builtin is None)
    check_that(
        once, "CONFIG", "given once: as a file, or as --builtin", args.config or args.builtin
    )
    settings = builtin_settings(args.builtin) if args.builtin else read_toml(args.config)
    settings = with_changes(settings, args.changes)
    if args.out:
        settings["output_dir"] = args.out
    return ExperimentConfig.from_dict(settings)


def _analysed(outcome: Outcome) -> "Analysis | None":
    """Judge what was answered and write the report; return what was found, if anything was."""
    from smart_speed.analysis import AnalysisPipeline

    if not outcome.num_done:
        return None
    try:
        with progress_bar() as bar, Gauge(bar, "steps") as gauge:
            steps = iter(range(_NUM_STEPS))
            pipeline = AnalysisPipeline(
                outcome.folder, progress=lambda step: gauge.show(next(steps), _NUM_STEPS, step)
            )
            return pipeline.run_full_analysis()
    except SmartSpeedError as error:  # the answers are there, whatever becomes of them
        say(f"The run is not analysed: {error}")
        return None


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(plan.to_json())
        return
    for sentence in plan.sentences():
        console.print(sentence, markup=False)


def _show_outcome(outcome: Outcome, analysis: "Analysis | None", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(outcome.folder),
                "num_answers": outcome.num_answers,
                "num_done": outcome.num_done,
                "num_failed": outcome.num_failed,
                "report": str(analysis.report) if analysis else None,
            }
        )
        return
    left = outcome.num_answers - outcome.num_done - outcome.num_failed
    parts = [f"{outcome.num_done} of {outcome.num_answers} answers are in {outcome.folder}"]
    parts += [f"{outcome.num_failed} failed"] if outcome.num_failed else []
    parts += [f"{left} are left for another call"] if left else []
    console.print(f"{', '.join(parts)}.", markup=False, soft_wrap=True)
    if analysis:
        from smart_speed.cli.analyze import show

        show(analysis)
