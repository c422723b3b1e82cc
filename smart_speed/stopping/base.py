"""When should the drafter stop?

A strategy is asked before every draft token. It sees the facts of this round's draft laws, the
last of which belongs to the token *about to be drawn*. It must not look at the drawn tokens: a
decision that depends on a token may only take effect after that token (docs/correctness.md), or
the output law is no longer the verifier's.

The cap on draft length, end of text and the token budget are the decoder's business.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, TypeVar, final, runtime_checkable

from smart_speed.entropy import LawFacts
from smart_speed.records import RoundRecord

State = TypeVar("State")


@final
@dataclass(frozen=True, slots=True)
class DraftView:
    """All that a strategy may know about the round so far: one entry per drafter pass."""

    facts: tuple[LawFacts, ...]

    @property
    def first(self) -> LawFacts:
        """Facts of the round's first law."""
        return self.facts[0]

    @property
    def latest(self) -> LawFacts:
        """Facts of the law of the token about to be drawn."""
        return self.facts[-1]


@runtime_checkable
class StoppingStrategy(Protocol[State]):
    """Settings are fields of the strategy; whatever changes lives in ``State``."""

    def initial_state(self) -> State:
        """The state at the start of a sequence."""
        ...

    def max_len(self, state: State) -> int | None:
        """The most tokens this round may draft, if that is known before it begins. Pure.

        A rule that counts says so here rather than stop by ``reason_to_stop``, which would cost
        it the drafter pass of a token that is never proposed.
        """
        ...

    def reason_to_stop(self, draft: DraftView, state: State) -> str | None:
        """A short label if drafting should stop here, else ``None``. Pure."""
        ...

    def after_round(self, state: State, outcome: RoundRecord) -> State:
        """The state for the next round, given what the verifier kept. Pure."""
        ...


@runtime_checkable
class SendingStrategy(StoppingStrategy[State], Protocol[State]):
    """A strategy that may also find a draft long enough as it is."""

    def reason_to_send(self, draft: DraftView, state: State) -> str | None:
        """A short label if the draft should go to the verifier as it is, else ``None``. Pure.

        Asked once the token of the latest law is proposed, before another drafter pass is paid
        for.
        """
        ...


@final
@dataclass(frozen=True, slots=True)
class BeforeRound:
    """All that is known before a round, to choose its drafter by."""

    context_len: int
    """Tokens of the text, prompt included."""
    verifier: LawFacts | None
    """Of the verifier's own law of the last token; ``None`` in the first round, and where the
    strategy does not read it."""
    match: tuple[int, float] | None
    """Tokens of the longest context that the text had before, and the probability that it gives
    to its likeliest next token; ``None`` where the strategy does not read it, or it is unknown."""
    hits: tuple[float, ...] | None = None
    """For every drafter the share of the last round's tokens that it would have drafted, each after
    the verified ones before it; ``None`` in the first round, and where the strategy does not read
    it."""


@runtime_checkable
class ChoosingStrategy(StoppingStrategy[State], Protocol[State]):
    """A strategy for several drafters that also says who drafts, before each round."""

    @property
    def drafters(self) -> tuple[str, ...]:
        """Whom it chooses among, by name."""
        ...

    @property
    def reads_verifier(self) -> bool:
        """Whether it wants the facts of the verifier's law, a pass over the vocabulary."""
        ...

    @property
    def reads_match(self) -> bool:
        """Whether it wants to know what the text's own n-grams promise."""
        ...

    @property
    def reads_hits(self) -> bool:
        """Whether it wants to know what all drafters would have drafted: a pass of each of them."""
        ...

    def choose(self, state: State, before: BeforeRound) -> State:
        """The state with somebody, or nobody, chosen for the round. Pure."""
        ...

    def chosen(self, state: State) -> int | None:
        """Who drafts this round, as an index of ``drafters``; ``None`` for nobody. Pure."""
        ...

    def missed(self, state: State, context_len: int) -> int:
        """Tokens of the text that who is chosen missed while others drafted. Pure."""
        ...


class Memoryless(ABC):
    """A strategy to which every round is the first."""

    def initial_state(self) -> None:
        return None

    def max_len(self, state: None) -> int | None:
        return None

    @abstractmethod
    def reason_to_stop(self, draft: DraftView, state: None) -> str | None: ...

    def after_round(self, state: None, outcome: RoundRecord) -> None:
        return None
