"""Between a strategy that chooses drafters and the drafters that it chooses among."""

from collections.abc import Sequence
from typing import Any, final

from smart_speed.drafters.base import Drafter, scores_along
from smart_speed.drafters.ngram_counts import MATCH_ORDER, NgramCounts
from smart_speed.drafters.recording import RecordingDrafter
from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.entropy import LawFacts, shannon_facts
from smart_speed.errors import check_that
from smart_speed.laws import Scores
from smart_speed.stopping.base import BeforeRound, ChoosingStrategy, StoppingStrategy

NOBODY = "none"
"""Said to have drafted where nobody was chosen."""


@final
class Router:
    """Tells the drafters what a strategy chose, and the strategy what the verifier thought."""

    def __init__(self, strategy: ChoosingStrategy[Any], drafter: RoutedDrafter | None) -> None:
        """Connect the two.

        Args:
            strategy: Chooses.
            drafter: Whose drafters it knows; ``None`` where there is one alone, for it to be
                chosen or not.
        """
        self._strategy = strategy
        self._drafter = drafter
        self._verifier: LawFacts | None = None
        self._judged_len = 0
        self._counts = NgramCounts(MATCH_ORDER) if strategy.reads_match else None
        self.chosen = NOBODY
        """Who drafts this round, by name."""

    @classmethod
    def of(cls, strategy: StoppingStrategy[Any], drafter: Drafter) -> "Router | None":
        """Return what connects the two; ``None`` for a strategy that does not choose.

        Raises:
            ConfigError: If the strategy chooses among others than there are, or does not choose
                where there are several.
        """
        inner = drafter.inner if isinstance(drafter, RecordingDrafter) else drafter
        routed = inner if isinstance(inner, RoutedDrafter) else None
        if not isinstance(strategy, ChoosingStrategy):
            rule = "'route', with what a profile says of them, for drafters to choose among"
            check_that(routed is None, "strategy", rule, type(strategy).__name__)
            return None
        names = routed.names if routed else (inner.name,)
        wanted = strategy.drafters
        fits = names == wanted if routed else len(wanted) == 1
        check_that(fits, "drafters", f"those that were learned on, {', '.join(wanted)}", names)
        return cls(strategy, routed)

    def prefill(self, text: Sequence[int]) -> None:
        """Read a new text, ahead of its first round."""
        self._verifier = None
        self._judged_len = len(text)
        if self._counts:
            self._counts.read_text(text)

    def choose(self, state: Any, text: Sequence[int]) -> Any:
        """Choose for one round, and return the strategy's state.

        Args:
            state: Before.
            text: Verified tokens.
        """
        strategy, match = self._strategy, None
        if self._counts:
            self._counts.read(text, ())
            match = self._counts.match()
        before = BeforeRound(len(text), self._verifier, match, self._hits(text))
        state = strategy.choose(state, before)
        index = strategy.chosen(state)
        self.chosen = NOBODY if index is None else strategy.drafters[index]
        if index is not None and self._drafter:
            self._drafter.choose(index)
        return state

    def _hits(self, text: Sequence[int]) -> tuple[float, ...] | None:
        """Return which share of the tokens since the last round each drafter would have drafted."""
        start, self._judged_len = self._judged_len, len(text)
        if not (self._strategy.reads_hits and self._drafter and start < len(text)):
            return None
        return tuple(_share_hit(each, text, start) for each in self._drafter.drafters)

    def look(self, scores: Scores) -> None:
        """Take note of the verifier's law of the last token, if the strategy reads it."""
        if self._strategy.reads_verifier:
            self._verifier = shannon_facts(scores)


def _share_hit(drafter: Drafter, text: Sequence[int], start: int) -> float:
    """Return the share of a text's tokens, from one on, that are a drafter's likeliest."""
    if drafter.context_len is not None and len(text) > drafter.context_len:
        return 0.0
    found = scores_along(drafter, text[:start], text[start:-1])
    likeliest = [each.token_at(int(each.logits.argmax())) for each in found]
    pairs = zip(likeliest, text[start:], strict=True)
    return sum(mine == verified for mine, verified in pairs) / len(found)
