"""Whether texts are plain decoding's, and where they part: what a report says of it."""

from collections.abc import Mapping
from typing import Any

from smart_speed.loaded_run import LoadedRun
from smart_speed.reporting.report_document import Block, Column, Paragraph, Table
from smart_speed.reporting.run_findings import Findings
from smart_speed.tracing.traces import Trace

NEAR_TIE = "near-tie: a wide pass names another token"
"""Of a place where the verifier itself is of two minds, by the width of its pass."""


def same_text(found: Findings) -> str:
    """Return whether the texts of lossless conditions are plain decoding's."""
    identity = found.figures["identity"]
    if not identity["compared"]:
        return f"Texts were not compared. {identity['reason']}"
    counts = identity["conditions"].values()
    compared = sum(each["num_compared"] for each in counts)
    same = sum(each["num_same"] for each in counts)
    if not compared:
        return "Not known: there are no two answers to compare yet."
    where = "the texts of lossless conditions that plain decoding answered too"
    if same == compared:
        return f"Yes: all {compared} of {where} are the same, token for token."
    places = [row[-1] for row in _differences(found.run, identity["conditions"]).rows]
    return (
        f"For {same} of {compared} ({100 * same / compared:.1f} %) of {where}: token for token. "
        f"Where the other {compared - same} part is listed below; the traces show near-ties of the "
        f"engine's rounding at {places.count(NEAR_TIE)} of {len(places)} such places."
    )


def sameness_blocks(found: Findings) -> list[Block]:
    """Return a sentence, counts by condition, and every place where texts part."""
    identity = found.figures["identity"]
    blocks: list[Block] = [Paragraph(same_text(found))]
    if not identity["compared"]:
        return blocks
    lossy = [name for name in found.main if not found.figures["conditions"][name]["lossless"]]
    if lossy:
        blocks.append(Paragraph(f"Lossy, and so not compared: {', '.join(lossy)}."))
    blocks.append(_counts(identity["conditions"]))
    differences = _differences(found.run, identity["conditions"])
    if differences.rows:
        blocks += [Paragraph(_EXPLAINED), differences]
    return blocks


_EXPLAINED = (
    "An engine computes a pass of several tokens with other kernels than a pass of one; where the "
    "two likeliest tokens are closer than that rounding, either may be written. The traces, where "
    "there are any, say at which places a wide pass of the verifier names another token than a "
    "pass of one, and how likely the token was."
)


def _counts(conditions: Mapping[str, Any]) -> Table:
    columns = [
        Column("condition", "condition"),
        Column("num_compared", "compared", "d"),
        Column("num_same", "the same", "d"),
        Column("num_left_out", "left out", "d"),
    ]
    names = [column.name for column in columns[1:]]
    rows = [[name, *(each[key] for key in names)] for name, each in conditions.items()]
    caption = (
        "Answers that are plain decoding's, token for token; left out are turns of a chat behind "
        "one that differs"
    )
    return Table(name="identity", caption=caption, columns=columns, rows=rows)


def _differences(run: LoadedRun, conditions: Mapping[str, Any]) -> Table:
    columns = [
        Column("prompt_id", "prompt"),
        Column("turn", "turn", "d"),
        Column("position", "output token", "d"),
        Column("plain_token", "plain's id", "d"),
        Column("own_token", "its id", "d"),
        Column("conditions", "conditions"),
        Column("top_prob", "verifier's probability", ".3f"),
        Column("judged", "in the trace"),
    ]
    places: dict[tuple[Any, ...], list[str]] = {}
    for name, each in conditions.items():
        for at in each["differences"]:
            place = (at["prompt_id"], at["turn"], at["position"], *at["tokens"])
            places.setdefault(place, []).append(name)
    traces = {each.trace.prompt_id: each.trace for each in run.texts} if places else {}
    rows = [
        [*place, ", ".join(names), *_traced(traces.get(_turn_id(*place[:2])), place)]
        for place, names in sorted(places.items(), key=lambda item: item[0][:3])
    ]
    caption = "Where texts part from plain decoding's"
    return Table(name="differences", caption=caption, columns=columns, rows=rows)


def _traced(trace: Trace | None, place: tuple[Any, ...]) -> tuple[float | None, str]:
    """Return what a trace of the same text says of a place in it."""
    _, _, position, token, _ = place
    if trace is None or position >= len(trace.tokens):
        return None, "not traced"
    if trace.tokens[position] != token:
        return None, "not traced: another text"
    agrees = bool(trace.verifier_agrees[position])
    return float(trace.verifier_top_prob[position]), "the same token" if agrees else NEAR_TIE


def _turn_id(prompt_id: str, turn: int) -> str:
    return prompt_id if turn == 0 else f"{prompt_id}/turn-{turn + 1}"
