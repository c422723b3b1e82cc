"""smart-speed evaluate: every figure of a run, from its records alone."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from smart_speed.cli.console import console, print_json, say
from smart_speed.cli.fidelity_tables import show_fidelity, show_scores
from smart_speed.cli.figures import interval, number, plain_table
from smart_speed.cli.gauge import Gauge, progress_bar
from smart_speed.evaluation import evaluate_run, run_programs
from smart_speed.files import whole, writing

DOCUMENT_NAME = "evaluation.json"
"""Inside the folder of the run, unless ``--out`` names another file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that an experiment wrote")
    parser.add_argument(
        "--task", action="append", metavar="NAME",
        help="look at this task only, may be repeated; written only where --out says",
    )  # fmt: skip
    parser.add_argument(
        "--machine", metavar="ID", help="whose answers to look at, if several machines made some"
    )
    parser.add_argument(
        "--run-code", action="store_true",
        help="run the programs in answers to code tasks against their tests, within limits of "
        "time, memory and files; that is no security boundary",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help=f"where the figures go; default RUN/{DOCUMENT_NAME}",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Evaluate a run, write its figures and show them."""
    if args.run_code:
        with progress_bar() as bar, Gauge(bar, "programs") as gauge:
            run_programs(args.run, progress=gauge.show)
    document = evaluate_run(args.run, tasks=args.task, machine=args.machine)
    # What was found on some tasks must not take the place of what was found on all.
    path = args.out or (None if args.task else args.run / DOCUMENT_NAME)
    if path:
        _write(path, document)
    if args.json:
        print_json(document)
    else:
        _show(document)
    if path:
        say(f"All figures written to {path}.")
    num_failed = document["failures"]["num_failed"]
    if num_failed:
        say(f"{_answers(num_failed)} failed; {_first_error(document)}")
    return 1 if num_failed else 0


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    with writing("Figures", path.parent), whole(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def _answers(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"


def _first_error(document: Mapping[str, Any]) -> str:
    first = document["failures"]["answers"][0]
    where = f"{first['condition']} on {first['prompt_id']}"
    return f"the first, {where}, said: {first['error']}"


def _show(document: Mapping[str, Any]) -> None:
    about = document["run"]
    told = (
        ""
        if about["complete"]
        else (
            f"; the run is not complete: {about['num_answers']} of {about['num_answers_planned']} "
            "answers are there"
        )
    )
    say(
        f"{about['name']}: {about['num_prompts_evaluated']} of {about['num_prompts']} prompts, "
        f"which every condition has answered{told}."
    )
    _show_speed(document)
    _show_drafting(document)
    _show_latency(document)
    _show_shares(document)
    if len(document["tasks"]) > 1:
        _show_tasks(document)
    show_fidelity(document)
    show_scores(document)


def _ordered(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return conditions and their figures, the fastest first."""
    rows = [(name, each["overall"]) for name, each in document["conditions"].items()]
    return sorted(rows, key=lambda row: -(row[1]["speedup_over_plain"]["value"] or 0.0))


def _show_speed(document: Mapping[str, Any]) -> None:
    headings = ("condition", "tok/s", "plain", "interval", "fixed", "interval", "same")
    table = plain_table("Speed over plain decoding and over the best fixed length", headings)
    for name, row in _ordered(document):
        over_plain, over_fixed = row["speedup_over_plain"], row["speedup_over_fixed_best"]
        table.add_row(
            escape(name),
            number(row["tokens_per_decode_s"], ".1f"),
            number(over_plain["value"], ".3f"),
            interval(over_plain, ".2f"),
            number(over_fixed["value"], ".3f"),
            interval(over_fixed, ".2f"),
            _same(document, name),
        )
    console.print(table)
    tuned = document["run"]["baselines"]["fixed_best"] or "not in this run"
    _explain(
        "plain, fixed: mean of the tasks' speed-ups over plain decoding and over the fixed length "
        f"tuned on the calibration prompts ({tuned}), with 95 % intervals over prompts; same: "
        "texts that are plain decoding's, token for token"
    )
    lossy = [name for name, each in document["conditions"].items() if not each["lossless"]]
    if lossy:  # a narrow screen may leave no room for it in the table
        say(f"Lossy: {', '.join(lossy)}.")


def _show_drafting(document: Mapping[str, Any]) -> None:
    headings = ("condition", "accept", "emit", "draft", "wasted", "AUC", "interval")
    table = plain_table("Drafting", headings)
    for name, row in _ordered(document):
        auc = row["entropy_acceptance"]["auc"]
        table.add_row(
            escape(name),
            number(row["acceptance_rate"], ".0%"),
            number(row["mean_emitted_len"], ".2f"),
            number(row["mean_draft_len"], ".2f"),
            number(row["wasted_passes"]["share"], ".0%"),
            number(auc["value"], ".2f"),
            interval(auc, ".2f"),
        )
    console.print(table)
    _explain(
        "accept: share of drafted tokens; emit, draft: tokens a round, the verifier's own one "
        "counted as emitted; wasted: drafter passes whose token was not accepted; AUC: how often "
        "a rejected token's entropy is above an accepted one's"
    )


def _show_latency(document: Mapping[str, Any]) -> None:
    table = plain_table(
        "Latency", ("condition", "first", "round", "p90", "p99", "answer", "p90", "p99")
    )
    for name, row in _ordered(document):
        latency = row["latency"]
        first = latency["time_to_first_token_s"]["p50"]
        rounds = [latency["round_s"][each] for each in ("p50", "p90", "p99")]
        answers = [latency["sequence_s"][each] for each in ("p50", "p90", "p99")]
        in_ms = [_ms(each) for each in (first, *rounds)]
        table.add_row(escape(name), *in_ms, *(number(each, ".2f") for each in answers))
    console.print(table)
    _explain(
        "first: prefill and first round; round: ms; answer: s of decoding; the median, and what "
        "90 % and 99 % do not exceed"
    )


def _show_shares(document: Mapping[str, Any]) -> None:
    parts = ("drafter", "verifier", "overhead", "entropy", "strategy")
    table = plain_table("Where decode time went", ("condition", *parts, "again"))
    for name, row in _ordered(document):
        shares = [number(row["time_shares"][part], ".1%") for part in parts]
        table.add_row(escape(name), *shares, number(row["repetition"]["share"], ".0%"))
    console.print(table)
    _explain(
        "overhead: all that is no pass of a model, entropy and strategy being part of it; "
        "again: 4-grams that the same answer had before"
    )


def _show_tasks(document: Mapping[str, Any]) -> None:
    tasks = document["tasks"]
    table = plain_table("Speed over plain decoding, by task", ("condition", *tasks))
    for name, _ in _ordered(document):
        by_task = document["conditions"][name]["by_task"]
        cells = [number(by_task[task]["speedup_over_plain"]["value"], ".2f") for task in tasks]
        table.add_row(escape(name), *cells)
    console.print(table)


def _ms(seconds: float | None) -> str:
    return number(None if seconds is None else 1000 * seconds, ".1f")


def _same(document: Mapping[str, Any], name: str) -> str:
    if not document["conditions"][name]["lossless"]:
        return "lossy"
    found = document["identity"]["conditions"].get(name)
    return "–" if found is None else f"{found['num_same']}/{found['num_compared']}"


def _explain(sentence: str) -> None:
    console.print(sentence, style="dim", markup=False)
