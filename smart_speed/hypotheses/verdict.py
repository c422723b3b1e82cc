"""What was found of a hypothesis: a word, a sentence, and the figures behind them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, final

Hypothesis = Literal["H1", "H2", "H3"]
Outcome = Literal["supported", "refuted", "undecided"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One hypothesis, judged in one way."""

    hypothesis: Hypothesis
    variant: str
    """What was judged, where a hypothesis is judged in several ways: "chosen/grid" …"""
    outcome: Outcome
    sentence: str
    """The finding in words; of what could not be judged, what is missing."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """JSON values; what is not known is null. Empty where nothing could be judged."""
    power: str | None = None
    """Of what is undecided: what would have been found, and what it would take."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def missing(hypothesis: Hypothesis, variant: str, sentence: str) -> Verdict:
    """Return the verdict on what could not be judged."""
    return Verdict(hypothesis=hypothesis, variant=variant, outcome="undecided", sentence=sentence)
