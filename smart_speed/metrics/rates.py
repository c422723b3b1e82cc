"""Rates of counts: what was drafted, kept, emitted and wasted.

Sums over sums, never means of rates: a rate of many sequences is what one long sequence made of
them would show. Records with status "error" carry no numbers and are left out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from smart_speed.records import RoundRecord, SequenceRecord

Records = Sequence[SequenceRecord]


def answered(records: Records) -> list[SequenceRecord]:
    """Return the records that carry numbers."""
    return [record for record in records if record.status == "ok"]


def rounds_of(records: Records) -> list[RoundRecord]:
    """Return all rounds, one sequence after the other."""
    return [turn for record in answered(records) for turn in record.rounds]


def ratio(above: int | float, below: int | float) -> float:
    """Return the ratio, NaN where there was nothing to divide by."""
    return above / below if below else float("nan")


def acceptance_rate(records: Records) -> float:
    """Accepted tokens as a share of drafted ones."""
    rounds = rounds_of(records)
    return ratio(sum(r.accepted_len for r in rounds), sum(r.draft_len for r in rounds))


def mean_emitted_len(records: Records) -> float:
    """Output tokens per round, the verifier's own token included ("MAT")."""
    rounds = rounds_of(records)
    return ratio(sum(r.emitted_len for r in rounds), len(rounds))


def mean_draft_len(records: Records) -> float:
    """Proposed tokens per round."""
    rounds = rounds_of(records)
    return ratio(sum(r.draft_len for r in rounds), len(rounds))


def draft_len_counts(records: Records) -> list[int]:
    """Return how many rounds proposed 0 tokens, 1 token and so on, up to the longest draft."""
    counts = Counter(turn.draft_len for turn in rounds_of(records))
    return [counts[length] for length in range(max(counts, default=-1) + 1)]


def stop_reason_counts(records: Records) -> dict[str, int]:
    """Return how many rounds stopped drafting for each reason, the most frequent first."""
    return dict(Counter(turn.stop_reason for turn in rounds_of(records)).most_common())


def finish_reason_counts(records: Records) -> dict[str, int]:
    """Return how many outputs ended for each reason, the most frequent first."""
    return dict(Counter(str(record.finish_reason) for record in answered(records)).most_common())


def empty_draft_share(records: Records) -> float:
    """Share of rounds that proposed nothing."""
    rounds = rounds_of(records)
    return ratio(sum(r.draft_len == 0 for r in rounds), len(rounds))


def drafter_passes(records: Records) -> int:
    """Drafter passes, those included whose token was never proposed."""
    return sum(len(r.entropies_nats) for r in rounds_of(records))


def drafter_passes_per_token(records: Records) -> float:
    """Drafter passes for each output token."""
    return ratio(drafter_passes(records), sum(r.emitted_len for r in rounds_of(records)))


class WastedPasses(NamedTuple):
    """Drafter passes that added no token to the output."""

    num_passes: int
    """Of the drafter, wasted or not."""
    num_unproposed: int
    """Their law stopped the draft, and their token was never proposed."""
    num_rejected: int
    """Their token was proposed and not kept: rejected, behind one that was, or past the end."""

    @property
    def share(self) -> float:
        """Wasted passes as a share of all; NaN where there were none."""
        return ratio(self.num_unproposed + self.num_rejected, self.num_passes)


def wasted_passes(records: Records) -> WastedPasses:
    """Count the drafter passes whose token was not accepted."""
    rounds = rounds_of(records)
    return WastedPasses(
        num_passes=drafter_passes(records),
        num_unproposed=sum(len(r.entropies_nats) - r.draft_len for r in rounds),
        num_rejected=sum(r.draft_len - r.accepted_len for r in rounds),
    )
