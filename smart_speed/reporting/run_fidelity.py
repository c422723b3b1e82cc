"""Lossy conditions in a report: what they gain, what the text loses, and both in one plot."""

from collections.abc import Mapping
from typing import Any

from smart_speed.reporting.report_document import Block, Column, Paragraph, Table
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_plot_style import GREY, ROLES, errors, label, panels

_EXPLAINED = (
    "A lossy condition accepts tokens that the verifier would not have written. Its speed and the "
    "seconds until its answers ended are set over those of its exact partner, the lossless "
    "condition that drafts in the same way; its text is set beside plain decoding's. Divergence "
    "is the loss of the verifier's own log-likelihood per token, as a share of the exact text's: "
    "0 % is as good a text by the verifier's judgement, though perhaps another one. Text in loops "
    "is likely text, so divergence must be read beside repetition, length and scores."
)
_COLUMNS = (
    Column("speedup_over_exact", "speed", ".2f"),
    Column("time_to_answer_ratio", "time to answer", ".2f"),
    Column("divergence", "divergence", "+.1%"),
    Column("agreement", "agreement", ".0%"),
    Column("shared_len", "tokens before it parts", ".0f"),
    Column("length_ratio", "length", ".2f"),
    Column("score_difference", "score", "+.1%"),
)
"""Figures that are intervals, in order."""


def fidelity_blocks(found: Findings) -> list[Block | None]:
    """Return what there is to say of lossy conditions; nothing if there are none."""
    if not found.lossy:
        return [score_table(found)]
    tables = [fidelity_table(found), likelihood_table(found), task_table(found)]
    return [Paragraph(_EXPLAINED), *tables, score_table(found)]


def fidelity_table(found: Findings) -> Table:
    """Return each lossy condition beside exact ones, the means of tasks."""
    columns = [
        Column("condition", "condition"), Column("exact_partner", "exact partner"), *_COLUMNS,
    ]  # fmt: skip
    rows = []
    for name in found.lossy:
        each = _fidelity(found)[name]
        figures = [each["overall"][column.name] for column in _COLUMNS]
        rows.append([found.title(name), each["exact_partner"], *figures])
    caption = (
        "Lossy conditions: speed and time to answer over the exact partner's, divergence, "
        "agreement and length over the exact text's, difference in score; means of tasks, 95 % "
        "intervals over prompts"
    )
    return Table(name="fidelity", caption=caption, columns=columns, rows=rows)


def likelihood_table(found: Findings) -> Table:
    """Return what the verifier makes of the texts, and how they ended."""
    shown = [
        Column("log_likelihood_per_token", "own text", ".3f"),
        Column("exact_log_likelihood_per_token", "exact text", ".3f"),
        Column("sampled_log_likelihood_per_token", "drawn tokens", ".3f"),
        Column("time_to_answer_s", "answer, s", ".2f"),
        Column("exact_time_to_answer_s", "exact partner's, s", ".2f"),
        Column("ended_share", "ended by itself", ".0%"),
        Column("exact_ended_share", "exact partner's", ".0%"),
    ]
    rows = [
        [found.title(name), *(_fidelity(found)[name]["overall"][each.name] for each in shown)]
        for name in found.lossy
    ]
    caption = (
        "Log-likelihood per token by the verifier, in nats: of the lossy text, of the exact text, "
        "and of tokens drawn from the verifier's law along the exact text; then seconds until an "
        "answer ended, and answers that ended before the most tokens were written"
    )
    columns = [Column("condition", "condition"), *shown]
    return Table(name="likelihood", caption=caption, columns=columns, rows=rows)


def task_table(found: Findings) -> Table:
    """Return the same as ``fidelity_table`` for each task."""
    rows = [
        [
            task,
            found.title(name),
            *(_fidelity(found)[name]["by_task"][task][column.name] for column in _COLUMNS),
        ]
        for task in found.tasks
        for name in found.lossy
    ]
    return Table(
        name="fidelity-by-task",
        caption="Lossy conditions by task; 95 % intervals over prompts",
        columns=[Column("task", "task"), Column("condition", "condition"), *_COLUMNS],
        rows=rows,
        folded=True,
    )


def score_table(found: Findings) -> Table | None:
    """Return how many answers are right, where that can be checked; ``None`` if nowhere."""
    scores = found.figures["task_scores"]["conditions"]
    columns = [
        Column("task", "task"),
        Column("condition", "condition"),
        Column("num_checked", "checked", "d"),
        Column("num_right", "right", "d"),
        Column("score", "share", ".1%"),
    ]
    names = [column.name for column in columns[2:]]
    rows = [
        [task, found.title(name), *(scores[name][task][key] for key in names)]
        for task in found.tasks
        for name in found.main
        if task in scores[name]
    ]
    caption = "Answers that are right: the final number, one of the phrases, or tests passed"
    table = Table(name="scores", caption=caption, columns=columns, rows=rows)
    return table if rows else None


def draw_frontier(found: Findings) -> Any:
    """Draw speed, and time to answer, against divergence; exact conditions stand at 0."""
    lossy = {name: _fidelity(found)[name]["overall"]["divergence"] for name in found.lossy}
    lossy = {name: each for name, each in lossy.items() if each["value"] is not None}
    if not lossy or found.baseline("plain") is None:
        return None
    nothing = {"value": 0.0, "low": None, "high": None}
    exact = {name: nothing for name in found.drafting if name not in found.lossy}
    figure, axes = panels(2, columns=2, height=4.4, width=9.0)
    for name, lost in {**exact, **lossy}.items():
        look = ROLES[found.role(name)]
        for axis, value in zip(axes, (found.speed(name), _answer_s(found, name)), strict=True):
            axis.errorbar(
                lost["value"], value, xerr=errors(lost), color=look.colour, marker=look.marker,
                markersize=7, capsize=2, ls="",
            )  # fmt: skip
            if name in lossy or found.is_calibrated(name):
                at = (lost["value"], value)
                axis.annotate(label(name), at, xytext=(6, 4), textcoords="offset points", size=8)
    for axis, what in zip(axes, ("tokens per second", "seconds to the answer's end"), strict=True):
        axis.axvline(0, color=GREY, lw=1, ls="--")
        axis.set_xlabel("divergence: log-likelihood per token lost")
        axis.set_ylabel(f"{what}, over plain decoding's")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axis.margins(x=0.2, y=0.1)
    return figure


def _fidelity(found: Findings) -> Mapping[str, Any]:
    conditions: Mapping[str, Any] = found.figures["fidelity"]["conditions"]
    return conditions


def _answer_s(found: Findings, name: str) -> float:
    """Return seconds of all answers, prefill included, over plain decoding's."""
    plain = found.baseline("plain")
    assert plain is not None
    both = [found.overall(each) for each in (name, plain)]
    own, theirs = (each["prefill_s"] + each["decode_s"] for each in both)
    ratio: float = own / theirs
    return ratio
