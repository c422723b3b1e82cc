"""What the best policy could do: bounds on one text, under a cost model.

The oracle knows how much of any draft the verifier would keep. It does not know better tokens,
so it says what is left for a stopping rule to gain, and no more than that.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from smart_speed.errors import check_that
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.grid import count_fixed
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import ReplayedRound

FIXED_LENS = tuple(range(1, 17))
"""Draft lengths among which the best fixed one is chosen."""


class Option(NamedTuple):
    """A drafter that may be chosen: what it would have written, and what it costs."""

    prepared: PreparedTrace
    costs: CostModel


class Plan(NamedTuple):
    """Rounds that the future was known to, and what they take."""

    seconds: float
    rounds: list[ReplayedRound]
    drafters: list[str]
    """Who drafts in each round; in one without draft, the first of all."""


class FixedLength(NamedTuple):
    """One draft length for all rounds."""

    draft_len: int
    seconds: float


class _Choice(NamedTuple):
    """The best that can be done from a position to the end of the text."""

    seconds: float
    option: int
    draft_len: int
    emitted_len: int


def plain_seconds(prepared: PreparedTrace, costs: CostModel) -> float:
    """Return the seconds of decoding without drafts."""
    start = prepared.trace.prompt_len
    return math.fsum(costs.round_s(0, 0, start + at) for at in range(prepared.output_len))


def fixed_seconds(
    texts: Iterable[PreparedTrace], costs: CostModel, draft_lens: Sequence[int] = FIXED_LENS
) -> list[float]:
    """Return the seconds that all texts together take with each fixed draft length.

    Raises:
        ConfigError: If there is no text, or one's trace does not hold drafts that long.
    """
    counts = [count_fixed(prepared, draft_lens) for prepared in texts]
    check_that(len(counts) > 0, "texts", "at least one", 0)
    total = counts[0]
    for more in counts[1:]:
        total += more
    seconds: list[float] = costs.seconds_of(total).tolist()
    return seconds


def best_fixed(
    texts: Iterable[PreparedTrace], costs: CostModel, draft_lens: Sequence[int] = FIXED_LENS
) -> FixedLength:
    """Return the draft length that takes all texts together the fewest seconds.

    Errors are those of ``fixed_seconds``. Among equals it is the shortest.
    """
    check_that(len(draft_lens) > 0, "draft_lens", "at least one", draft_lens)
    seconds = fixed_seconds(texts, costs, draft_lens)
    return min(map(FixedLength, draft_lens, seconds), key=lambda each: (each[1], each[0]))


def accepted_len_rounds(prepared: PreparedTrace, max_draft_len: int) -> list[ReplayedRound]:
    """Return the rounds that draft exactly what will be accepted, whatever that costs.

    Raises:
        ConfigError: If the trace does not hold drafts that long.
    """
    rounds, position = [], 0
    while position < prepared.output_len:
        length = prepared.longest_draft(position, max_draft_len)
        accepted_len = min(prepared.accepted_lens[position], length)
        rounds.append(_round(prepared, position, accepted_len))
        position += rounds[-1].emitted_len
    return rounds


def oracle(prepared: PreparedTrace, costs: CostModel, max_draft_len: int) -> Plan:
    """Return the rounds that write a text in the fewest seconds; errors as for the next."""
    return oracle_choice([Option(prepared, costs)], max_draft_len)


def oracle_choice(options: Sequence[Option], max_draft_len: int) -> Plan:
    """Return the rounds, and who drafts in each, that write a text in the fewest seconds.

    The optimum over all draft lengths at all positions, by dynamic programming from the end of
    the text. A drafter that sat rounds out is taken to read what it missed at no cost, so with
    more than one drafter the plan is a little faster than decoding could be.

    Args:
        options: Drafters of the same text.
        max_draft_len: The most tokens that a round may draft.

    Raises:
        ConfigError: If the texts differ, a trace does not hold drafts that long, or a pass is
            wider than any that the costs know.
    """
    check_that(len(options) > 0, "options", "at least one", options)
    texts = {tuple(_text(each.prepared)) for each in options}
    check_that(len(texts) == 1, "options", "drafters of one text", len(texts))
    prices = [_prices(each.costs, max_draft_len) for each in options]
    slopes = [_slopes(each.costs, max_draft_len) for each in options]
    end = options[0].prepared.output_len
    best: list[_Choice] = [_Choice(0.0, 0, 0, 0)] * (end + 1)
    start = options[0].prepared.trace.prompt_len
    for position in range(end - 1, -1, -1):
        best[position] = min(
            (
                _Choice(
                    price[length]
                    + (start + position - option.costs.context_len) * slope[length]
                    + best[position + emitted].seconds,
                    number,
                    length,
                    emitted,
                )
                for number, (option, price, slope) in enumerate(
                    zip(options, prices, slopes, strict=True)
                )
                for length, emitted in _outcomes(option.prepared, position, max_draft_len)
            ),
            key=lambda choice: choice.seconds,
        )
    rounds, drafters, position = [], [], 0
    while position < end:
        choice = best[position]
        prepared = options[choice.option].prepared
        rounds.append(_round(prepared, position, choice.draft_len))
        drafters.append(prepared.trace.drafter)
        position += choice.emitted_len
    return Plan(best[0].seconds, rounds, drafters)


def share_of_gap_closed(speed: float, best_fixed: float, oracle: float) -> float:
    """Return how far a policy gets from the best fixed draft length to the oracle.

    (speed - best_fixed) / (oracle - best_fixed): 0 at the best fixed length, below 0 where a
    policy is slower than that, 1 at the oracle; NaN where there is no gap to close.

    Args:
        speed: Tokens per second of the policy.
        best_fixed: And of the best fixed draft length.
        oracle: And of the oracle.
    """
    return (speed - best_fixed) / (oracle - best_fixed) if oracle > best_fixed else math.nan


def _text(prepared: PreparedTrace) -> list[int]:
    trace = prepared.trace
    tokens: list[int] = trace.tokens[: prepared.output_len].tolist()
    return [trace.prompt_len, prepared.max_new_len, *tokens]


def _prices(costs: CostModel, max_draft_len: int) -> list[float]:
    """Return the seconds of a round by its draft length."""
    most = costs.max_draft_len
    rule = f"at most {most}, the widest pass that was measured less one"
    check_that(max_draft_len <= most, "max_draft_len", rule, max_draft_len)
    return [costs.round_s(length, length) for length in range(max_draft_len + 1)]


def _slopes(costs: CostModel, max_draft_len: int) -> list[float]:
    """Return what each further token of context adds to a round, by its draft length."""
    return [
        costs.pass_context_s(length + 1) + length * costs.drafter_context_s
        for length in range(max_draft_len + 1)
    ]


def _outcomes(
    prepared: PreparedTrace, position: int, max_draft_len: int
) -> Iterable[tuple[int, int]]:
    """Return each length that can be drafted, and how many tokens that would add."""
    accepted_len, left = prepared.accepted_lens[position], prepared.output_len - position
    for length in range(prepared.longest_draft(position, max_draft_len) + 1):
        yield length, min(accepted_len + 1, length + 1, left)


def _round(prepared: PreparedTrace, position: int, draft_len: int) -> ReplayedRound:
    accepted_len = min(prepared.accepted_lens[position], draft_len)
    left = prepared.output_len - position
    return ReplayedRound(
        context_len=prepared.trace.prompt_len + position,
        num_passes=draft_len,
        draft_len=draft_len,
        accepted_len=min(accepted_len, left),
        emitted_len=min(accepted_len + 1, left),
        stop_reason="oracle",
    )
