"""Tables of lossy conditions beside exact ones, and of answers that are right."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from smart_speed.cli.console import console, say
from smart_speed.cli.figures import interval, number, plain_table


def show_fidelity(document: Mapping[str, Any]) -> None:
    """Show what lossy conditions gain and lose; nothing if there are none.

    Args:
        document: Of ``evaluate_run``.
    """
    conditions = document["fidelity"]["conditions"]
    if not conditions:
        return
    headings = (
        "condition", "speed", "answer", "s", "diverges", "interval", "agrees", "parts", "length",
    )  # fmt: skip
    table = plain_table("Lossy conditions, beside the same drafts kept exact", headings)
    for name, each in conditions.items():
        row = each["overall"]
        table.add_row(
            escape(name),
            number(row["speedup_over_exact"]["value"], ".3f"),
            number(row["time_to_answer_ratio"]["value"], ".3f"),
            number(row["time_to_answer_s"], ".2f"),
            number(row["divergence"]["value"], "+.2%"),
            interval(row["divergence"], "+.1%"),
            number(row["agreement"]["value"], ".0%"),
            number(row["first_divergence"]["p50"], ".0f"),
            number(row["length_ratio"]["value"], ".2f"),
        )
    console.print(table)
    _explain(
        "speed, answer: tokens per second and seconds until the answer ended, over those of the "
        "exact partner; diverges: log-likelihood per token that is lost, by the verifier's own "
        "judgement, as a share of the exact text's; agrees: equal tokens up to the shorter length; "
        "parts: median position of the first that differs; length: over the exact one's"
    )


def show_scores(document: Mapping[str, Any]) -> None:
    """Show how many answers are right, where that can be checked.

    Args:
        document: Of ``evaluate_run``.
    """
    scores = document["task_scores"]["conditions"]
    tasks = list(dict.fromkeys(task for each in scores.values() for task in each))
    if tasks:
        table = plain_table("Answers that are right", ("condition", *tasks))
        for name, each in scores.items():
            mark = "" if document["conditions"][name]["lossless"] else " (lossy)"
            table.add_row(escape(name + mark), *(_share(each.get(task)) for task in tasks))
        console.print(table)
        _explain("with 95 % intervals over prompts")
    if waiting := document["task_scores"]["num_programs_to_run"]:
        say(
            f"{waiting} programs in answers were not run, so those answers are not checked; "
            "--run-code runs them, within limits but as you."
        )


def _share(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "–"
    return f"{number(score['score']['value'], '.1%')} ({interval(score['score'], '.0%')})"


def _explain(sentence: str) -> None:
    console.print(sentence, style="dim", markup=False)
