"""What drafting the next round while the verifier works would gain, from traces and timings.

Optimism: while the verifier reads a draft, the drafter takes it for accepted, guesses the
verifier's next token and drafts the round after. If any of that is wrong the work is lost. Doubts
go to overlap's favour: a pass that is going on when the verifier is done costs nothing, the loop's
own work for each token runs beside the verifier, and nobody works beside the last round.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from smart_speed.calibration.learning import calibrated_config, round_costs
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.stopping.calibrated import Calibration
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import ReplayedRound


class Guessed(NamedTuple):
    """A round, and whether optimism about it is right."""

    turn: ReplayedRound
    right: bool
    """Whether the whole draft is accepted and the drafter guesses the token after it."""


class Slowed(NamedTuple):
    """How many times as long things take in overlap as they do in turn."""

    verifier: float = 1.0
    """A verifier pass, as long as the drafter works beside it."""
    drafter: float = 1.0
    """A drafter pass beside the verifier."""
    verifier_after: float = 1.0
    """A verifier pass when the drafter has nothing left to do: it has fewer threads, maybe."""


class TextRounds(NamedTuple):
    """All rounds of one text under one policy."""

    task: str
    rounds: Sequence[Guessed]


def rounds_of(
    texts: Iterable[PreparedTrace], calibration: Calibration, costs: CostModel
) -> list[TextRounds]:
    """Replay the calibrated strategy, fitted to some costs."""
    here = calibration.with_costs(round_costs(costs, calibration.costs.max_draft_len))
    config = calibrated_config(here)
    found = []
    for text in texts:
        start, agree = text.trace.prompt_len, text.accepted_lens
        rounds = [
            # One more agreeing token than was proposed is the guess of the verifier's own.
            Guessed(turn, agree[turn.context_len - start] > turn.draft_len)
            for turn in replay(text, config)
        ]
        found.append(TextRounds(text.trace.task, rounds))
    return found


def beside(verify_s: float, work_s: float, slowed: Slowed) -> tuple[float, float]:
    """Return the seconds of a verifier pass with a drafter beside it, and what that leaves undone.

    Args:
        verify_s: The pass in turn.
        work_s: All drafting that there is, in turn.
        slowed: By each other.
    """
    together_s = min(verify_s * slowed.verifier, work_s * slowed.drafter)
    rest_s = (verify_s - together_s / slowed.verifier) * slowed.verifier_after
    return together_s + rest_s, work_s - together_s / slowed.drafter


def overlapped_seconds(
    rounds: Sequence[Guessed],
    costs: CostModel,
    by_width: Sequence[Slowed],
    *,
    foresight: bool = False,
) -> float:
    """Return the seconds of a text whose rounds are drafted while the ones before are verified.

    Args:
        rounds: Their drafts are those of the same policy in turn.
        costs: In turn.
        by_width: Slow-downs beside verifier passes of width 1, 2, 3 …
        foresight: Overlap only where that is known to save time, which bounds any rule that
            decides when to be optimistic; else wherever there is a draft to be made.
    """
    total_s, ready_s = 0.0, None
    for (turn, right), following in zip_longest(rounds, rounds[1:]):
        verify_s = costs.pass_s(turn.draft_len + 1)
        drafting_s = _drafting_s(turn, costs) if ready_s is None else ready_s
        total_s += costs.round_overhead_s + drafting_s
        ready_s = None
        if following is not None and following.turn.num_passes:
            # Where the last law was looked at but not proposed from, the guess is known already.
            guess = turn.num_passes == turn.draft_len
            work_s = (following.turn.num_passes + guess) * costs.step_s
            beside_s, left_s = beside(verify_s, work_s, by_width[turn.draft_len])
            next_s = _drafting_s(following.turn, costs)
            saved_s = verify_s - beside_s + (next_s - left_s if right else 0.0)
            if saved_s > 0 or not foresight:
                verify_s, ready_s = beside_s, left_s if right else None
        total_s += verify_s
    return total_s


def _drafting_s(turn: ReplayedRound, costs: CostModel) -> float:
    return turn.num_passes * costs.step_s + (costs.first_step_extra_s if turn.num_passes else 0.0)


def in_turn_seconds(rounds: Iterable[Guessed], costs: CostModel) -> float:
    """Return the seconds of a text whose models take turns."""
    return sum(costs.round_s(each.turn.num_passes, each.turn.draft_len) for each in rounds)


def gain(
    texts: Sequence[TextRounds],
    costs: CostModel,
    by_width: Sequence[Slowed],
    *,
    foresight: bool = False,
    rivals: Sequence[TextRounds] | None = None,
) -> Interval:
    """Return the speed of overlap over taking turns, the mean of the tasks.

    Args:
        texts: Rounds in overlap.
        costs: In turn.
        by_width: As for ``overlapped_seconds``.
        foresight: The same.
        rivals: Rounds in turn, where another policy drafts them; of the same texts.
    """
    rows = [
        (
            in_turn_seconds(rival.rounds, costs),
            overlapped_seconds(each.rounds, costs, by_width, foresight=foresight),
        )
        for each, rival in zip(texts, rivals or texts, strict=True)
    ]
    return _by_tasks(texts, rows, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


def right_share(texts: Sequence[TextRounds], *, drafted: bool = False) -> Interval:
    """Return the share of rounds about which optimism is right, the mean of the tasks.

    Args:
        texts: All rounds count.
        drafted: Whether only those that proposed something can be right.
    """
    rows = [
        (sum(right and (turn.draft_len > 0 or not drafted) for turn, right in rounds), len(rounds))
        for _, rounds in texts
    ]
    return _by_tasks(texts, rows, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


def _by_tasks(
    texts: Sequence[TextRounds],
    rows: Sequence[tuple[float, float]],
    of_sums: Callable[[np.ndarray], np.ndarray],
) -> Interval:
    tasks = dict.fromkeys(text.task for text in texts)
    tables = [
        np.array(
            [row for text, row in zip(texts, rows, strict=True) if text.task == task],
            dtype=np.float64,
        )
        for task in tasks
    ]
    return bootstrap_mean(tables, of_sums)
