"""smart-speed compare: two runs side by side."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from smart_speed.cli.console import console, print_json
from smart_speed.reporting.report_document import shown
from smart_speed.reporting.run_pairs import compare_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("first", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("second", type=Path, metavar="RUN", help="folder of another one")
    parser.add_argument("--tasks", action="store_true", help="show every task as well")
    parser.add_argument("--json", action="store_true", help="print everything, task by task")


def run(args: argparse.Namespace) -> int:
    """Set two runs side by side."""
    document = compare_runs(args.first, args.second)
    if args.json:
        print_json(document)
    else:
        _show(document, by_task=args.tasks)
    return 0


def _show(document: Mapping[str, Any], *, by_task: bool) -> None:
    for at, each in enumerate(document["runs"], 1):
        console.print(
            f"{at}: {each['name']} ({each['folder']}): {each['verifier']} with {each['drafter']} "
            f"on {each['engine']}, machine {each['machine'] or 'unknown'}, "
            f"{each['num_prompts']} prompts",
            markup=False,
        )
    console.print(document["sentence"], markup=False)
    conditions = document["conditions"]
    tasks = ", ".join(task or "any" for task in document["tasks"])
    _table(
        f"Means of tasks ({tasks})", conditions, [each["overall"] for each in conditions.values()]
    )
    for task in document["tasks"] if by_task else ():
        rows = {name: each for name, each in conditions.items() if task in each["by_task"]}
        _table(task, rows, [each["by_task"][task] for each in rows.values()])
    changed = [name for name, each in conditions.items() if not each["same_settings"]]
    if changed:
        console.print(f"Settings differ in: {', '.join(changed)}.", markup=False)
    for at, names in enumerate(document["only_in"], 1):
        if names:
            console.print(f"Only in {at}: {', '.join(names)}.", style="dim", markup=False)


def _table(title: str, names: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> None:
    """Show speeds over plain decoding, and differences if there are any; rates are in --json."""
    differ = any(each["difference"] for each in figures)
    table = Table(
        title=escape(title), box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("condition", overflow="fold")
    for heading in ("over plain, 1", "over plain, 2", *(["2 less 1"] if differ else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, each in zip(names, figures, strict=True):
        table.add_row(
            escape(name),
            *(shown(speed, ".2f") for speed in each["speedup_over_plain"]),
            *([_signed(each["difference"])] if differ else []),
        )
    console.print(table)


def _signed(figure: Mapping[str, float | None] | None) -> str:
    """Return a difference; its ends have signs, so a dash between them would confuse."""
    if figure is None or figure["value"] is None:
        return "–"
    ends = "" if figure["low"] is None else f" ({figure['low']:+.2f} to {figure['high']:+.2f})"
    return f"{figure['value']:+.2f}{ends}"
