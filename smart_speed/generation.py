"""One answer in the making: its rounds, its verified text, its record."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import final

from smart_speed.ending import OutputText
from smart_speed.laws import Chance
from smart_speed.records import FinishReason, RoundRecord, SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.verification.base import GlancingRule, VerificationRule


@final
@dataclass(frozen=True, slots=True)
class Job:
    """What the loop needs to know of one answer."""

    text: list[int]
    """Prompt and verified tokens; the loop appends to it."""
    end_len: int
    """The text ends when it is that long, if not before."""
    sampling: Sampling
    output: OutputText
    chance: Chance
    rule: VerificationRule

    @property
    def glance_len(self) -> int:
        """How many of the drafter's likeliest tokens the rule reads."""
        return self.rule.glance_len if isinstance(self.rule, GlancingRule) else 0

    @property
    def budget(self) -> int:
        """How many tokens may still be drafted: the verifier adds one of its own."""
        return self.end_len - len(self.text) - 1


@final
@dataclass(frozen=True, slots=True)
class Round:
    """One turn of the loop, with its tokens."""

    proposed: tuple[int, ...]
    emitted: tuple[int, ...]
    record: RoundRecord
    finish_reason: FinishReason | None
    """Why the output ends with this round, if a token of it says so."""


@final
@dataclass(frozen=True, slots=True)
class Result:
    """What a prompt was answered with."""

    text: str
    tokens: tuple[int, ...]
    """The output, the token that ended it included."""
    record: SequenceRecord
    rounds: tuple[Round, ...]


@final
class Generation:
    """Iterate for verified text as it is accepted; ask for the result at any time."""

    def __init__(
        self,
        rounds: Iterator[Round],
        job: Job,
        opening: SequenceRecord,
        *,
        limit_reason: FinishReason,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Wrap rounds that are still to come.

        Args:
            rounds: The loop.
            job: What the loop was given.
            opening: The record as far as it is known before the first round.
            limit_reason: Why the output ends if no token of it does: "length" or "context".
            clock: Returns seconds.
        """
        self._source = rounds
        self._job = job
        self._opening = opening
        self._limit_reason = limit_reason
        self._clock = clock
        self._rounds: list[Round] = []
        self._decode_s = 0.0

    def __iter__(self) -> Iterator[str]:
        """Yield the text that each round made certain; pieces may be empty."""
        while self._advance():
            yield self._job.output.take(final=False)
        yield self._job.output.take(final=True)

    def _advance(self) -> bool:
        if self._ended:
            return False
        start = self._clock()
        turn = next(self._source, None)
        self._decode_s += self._clock() - start
        if turn is not None:
            self._rounds.append(turn)
        return turn is not None

    @property
    def _ended(self) -> bool:
        stopped = bool(self._rounds) and self._rounds[-1].finish_reason is not None
        return stopped or self._job.budget < 0

    def finish(self) -> Result:
        """Run to the end, whatever was iterated over so far, and return the result."""
        while self._advance():
            pass
        return self.result()

    def result(self) -> Result:
        """Return what there is now; a generation cut short has finish reason "interrupted"."""
        reason: FinishReason = self._limit_reason if self._job.budget < 0 else "interrupted"
        if self._rounds and self._rounds[-1].finish_reason:
            reason = self._rounds[-1].finish_reason
        tokens = tuple(token for turn in self._rounds for token in turn.emitted)
        record = replace(
            self._opening,
            output_len=len(tokens),
            finish_reason=reason,
            decode_s=self._decode_s,
            rounds=tuple(turn.record for turn in self._rounds),
        )
        return Result(self._job.output.whole(), tokens, record, tuple(self._rounds))
