"""Share of the oracle's gap closed: what a report says of it, and how it must be read."""

from typing import Any

from smart_speed.hypotheses.power import percent
from smart_speed.reporting.report_document import Block, Column, Paragraph, Table, shown
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_gap import Gap

_TIMES = ".2f"


def gap_blocks(found: Findings) -> list[Block]:
    """Return what the shares are of, and those of each condition; or why they are not known."""
    gap = found.gap
    if gap is None:
        return [Paragraph(found.no_gap)]
    bound = gap.oracle.to_json()["over_fixed"]
    chosen = "in hindsight" if gap.in_hindsight else "on the calibration prompts"
    left_out = [name for name in found.drafting if name not in gap.by_condition]
    more = f" The traces cannot judge {', '.join(left_out)}." if left_out else ""
    said = (
        "By replay of first turns with measured costs, an oracle that knows what will be accepted "
        f"would be {shown(bound, _TIMES)} times as fast as a fixed length of {gap.fixed_len}, "
        f"chosen {chosen}. What a condition gained of that is its share of the gap, the mean of "
        "the tasks: by replay as well, and live as its measured gain over the oracle's replayed "
        f"one.{_plain_ahead(gap)}{more}"
    )
    return [Paragraph(said), _table(found, gap)]


def _plain_ahead(gap: Gap) -> str:
    """Say how the share is to be read where plain decoding is faster than the fixed length."""
    ahead, over = gap.plain_ahead, gap.plain.over_fixed_by_task
    if not ahead:
        return ""
    names = ", ".join(task or "without a name" for task in ahead)
    return (
        f" On {len(ahead)} of {len(over)} task{'s' * (len(over) != 1)} ({names}) plain decoding is "
        f"faster than that fixed length, by up to {percent(max(over[task] for task in ahead) - 1)}"
        f", and so closes up to {percent(max(ahead.values()), 0)} of the gap there without "
        "drafting anything; the last column is the share of what lies between the oracle and the "
        "faster of the two on each task."
    )


def _table(found: Findings, gap: Gap) -> Table:
    columns = [
        Column("condition", "condition"),
        Column("speed", "over plain, replay", _TIMES),
        Column("over_fixed", "over best fixed, replay", _TIMES),
        Column("share", "of the gap, replay", ".0%"),
        Column("live_over_fixed", "over best fixed, live", _TIMES),
        Column("live_share", "of the gap, live", ".0%"),
        Column("share_above_both", "of the gap above plain and fixed, replay", ".0%"),
    ]
    rows: list[list[Any]] = []
    plain = found.baseline("plain") or "plain"
    judged = {plain: gap.plain, **gap.by_condition, "oracle": gap.oracle}
    for name, judgement in judged.items():
        by_replay = judgement.to_json()
        known = found.figures["conditions"].get(name)
        live = known["overall"]["speedup_over_fixed_best"] if known else None
        shares = [each[name].to_json() if name in each else None for each in (gap.live, gap.above)]
        figures = [by_replay[key] for key in ("speed", "over_fixed", "share")]
        rows.append([name, *figures, live, *shares])
    if not gap.plain_ahead:
        # The fixed length is the faster one everywhere, so both shares are the same.
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    caption = f"Beside a fixed length of {gap.fixed_len} and the oracle; {gap.num_texts} traces"
    return Table(name="oracle-gap", caption=caption, columns=columns, rows=rows)
