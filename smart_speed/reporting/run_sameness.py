"""Whether texts are plain decoding's, and where they part: what a report says of it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from smart_speed.loaded_run import LoadedRun
from smart_speed.reporting.report_document import Block, Column, Paragraph, Table
from smart_speed.reporting.run_findings import Findings
from smart_speed.run_folder import Parting, Place
from smart_speed.tracing.traces import Trace

_NEAR_TIE = "near-tie"
_NO_TIE = "no near-tie"
_UNKNOWN = "unknown"
_SAID = (
    (_NEAR_TIE, "near-ties of the engine's rounding"),
    (_NO_TIE, "no rounding explains it"),
    (_UNKNOWN, "not judged"),
)


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
    counted = Counter(row[-1] for row in _differences(found.run, identity["conditions"]).rows)
    judged = ", ".join(f"{words} at {counted[kind]}" for kind, words in _SAID if counted[kind])
    places = f"{counted.total()} place{'s' * (counted.total() != 1)}"
    return (
        f"For {same} of {compared} ({100 * same / compared:.1f} %) of {where}: token for token. "
        f"The others part at {places}, listed below: {judged}."
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
    "An engine computes a pass of several tokens with other kernels than a pass of one; where two "
    "tokens are closer than that rounding, either may be written. The gap is plain decoding's "
    "logit less the other's, one token a pass; the noise is the largest change of a logit there "
    "when passes are wider. A near-tie has a gap of at most twice the noise. What the verifier was "
    "not asked is a near-tie where the trace's wide pass names another token, else unknown; "
    "`smart-speed experiment` asks it when a run ends, and when it is called again."
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
        Column("logit_gap", "logit gap", ".3g"),
        Column("pass_noise", "noise", ".3g"),
        Column("judged", "judged"),
    ]
    places: dict[Place, dict[str, None]] = {}
    for name, each in conditions.items():
        for at in each["differences"]:
            place = Place(at["prompt_id"], at["turn"], at["position"], *at["tokens"])
            places.setdefault(place, {})[name] = None  # once, however many repeats part there
    traces = {each.trace.prompt_id: each.trace for each in run.texts} if places else {}
    rows = [
        [
            *place,
            ", ".join(names),
            *_judged(place, run.partings.get(place), traces.get(place.prompt_id)),
        ]
        for place, names in sorted(places.items(), key=lambda item: item[0][:3])
    ]
    caption = "Where texts part from plain decoding's"
    return Table(name="differences", caption=caption, columns=columns, rows=rows)


def _judged(
    place: Place, parting: Parting | None, trace: Trace | None
) -> tuple[float | None, float | None, float | None, str]:
    """Return the probability of the likeliest token, logit gap and noise, and what they mean."""
    top_prob, another = None, False
    # Traces are of first turns.
    if trace and place.turn == 0 and _token_at(trace, place.position) == place.plain_token:
        top_prob = float(trace.verifier_top_prob[place.position])
        another = not trace.verifier_agrees[place.position]
    if parting is None:
        return top_prob, None, None, _NEAR_TIE if another else _UNKNOWN
    kind = _NEAR_TIE if parting.near_tie else _NO_TIE
    return top_prob, parting.logit_gap, parting.pass_noise, kind


def _token_at(trace: Trace, position: int) -> int:
    return int(trace.tokens[position]) if position < len(trace.tokens) else -1
