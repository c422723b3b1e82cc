"""Who drafts the next round? What a router has learned, and what it looks at.

A drafter's *gain* in a round is the tokens that it adds to a round without draft, less what its
seconds are worth. Before a round each drafter's gain is foretold, by a line through what is known
then; the drafter with the highest is chosen, nobody if that is nothing. All plain numbers; they
are fitted in ``smart_speed.calibration.routing``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from smart_speed.errors import ConfigError, check_that
from smart_speed.stopping.acceptance import checked_fields, log_odds
from smart_speed.stopping.base import BeforeRound
from smart_speed.stopping.calibrated import Calibration

VERIFIER_FEATURES = ("verifier_nats", "verifier_log_odds")
"""Entropy of the verifier's law of the last token, and log-odds of its likeliest."""
MATCH_FEATURES = ("match_len", "match_prob", "match_len_times_prob")
"""Length of the longest context that the text had before, what it gives to its likeliest next
token, and their product."""
FEATURES = (*VERIFIER_FEATURES, *MATCH_FEATURES, "draft_nats")
"""What tells the regime that a text is in; the last is the running mean of the entropies of draft
laws. After them come the recent acceptances of the drafters."""
_END_OF_VERIFIER = len(VERIFIER_FEATURES)
_END_OF_MATCH = _END_OF_VERIFIER + len(MATCH_FEATURES)
NGRAM = "ngram"
"""Name of the drafter without a model."""
USUAL_BACKLOG = 2
"""Tokens that a drafter has to read anyway: what the verifier added to an accepted draft, and its
last token."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One drafter that may be chosen."""

    drafter: str
    """Its name."""
    calibration: Calibration
    """How far it drafts."""
    catch_up_s: float
    """Seconds that its first pass takes more for each token that it missed."""
    bias: float
    """Its gain, in tokens, where all features are as they are on the average."""
    weights: tuple[float, ...]
    """What its gain changes by with each feature."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What was learned for several drafters of one verifier."""

    arms: tuple[Arm, ...]
    means: tuple[float, ...]
    """Of the features."""
    rate: float
    """Tokens per second of decoding with it, as predicted; what a second is worth."""

    def __post_init__(self) -> None:
        check_that(len(self.arms) >= 1, "arms", "at least one", self.arms)
        names = [each.drafter for each in self.arms]
        check_that(len(set(names)) == len(names), "arms", "of different drafters", names)
        size = len(FEATURES) + len(self.arms)
        for each in self.arms:
            got = len(each.weights)
            check_that(got == size, f"weights of {each.drafter}", f"{size} in number", got)
            numbers = (each.bias, each.catch_up_s, *each.weights)
            finite = all(map(math.isfinite, numbers))
            check_that(finite, f"arm of {each.drafter}", "made of finite numbers", numbers)
            rule = "at least 0 seconds"
            check_that(each.catch_up_s >= 0, "catch_up_s", rule, each.catch_up_s)
        check_that(len(self.means) == size, "means", f"{size} in number", len(self.means))
        check_that(self.rate > 0, "rate", "above 0 tokens per second", self.rate)

    @property
    def always(self) -> str | None:
        """The one drafter that is chosen whatever is known; ``None`` if there is a choice."""
        keen = [each.drafter for each in self.arms if each.bias > 0]
        weighed = any(any(each.weights) for each in self.arms)
        return keen[0] if len(keen) == 1 and not weighed else None

    @property
    def reads_verifier(self) -> bool:
        """Whether any weight is on a fact of the verifier's law."""
        return any(any(each.weights[:_END_OF_VERIFIER]) for each in self.arms)

    @property
    def reads_match(self) -> bool:
        """Whether any weight is on what the text's own n-grams promise."""
        return any(any(each.weights[_END_OF_VERIFIER:_END_OF_MATCH]) for each in self.arms)

    def gains(self, features: Sequence[float], backlogs: Sequence[int]) -> list[float]:
        """Return every drafter's gain in tokens, as foretold.

        Args:
            features: As of ``features_of``; what is not known is NaN, and taken for the mean.
            backlogs: Tokens that each drafter missed, beyond what it has to read anyway.
        """
        off = [
            value - mean if value == value else 0.0
            for value, mean in zip(features, self.means, strict=True)
        ]
        return [
            each.bias
            + sum(map(float.__mul__, each.weights, off))
            - self.rate * each.catch_up_s * backlog
            for each, backlog in zip(self.arms, backlogs, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> "Routing":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If a field is missing or unknown, or breaks a rule.
        """
        values = checked_fields(cls, document, "A routing")
        given = values["arms"]
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        check_that(listed, "arms", "a list", given)
        try:
            arms = tuple(_arm(checked_fields(Arm, each, "An arm of a routing")) for each in given)
            means = tuple(float(each) for each in values["means"])
            return cls(arms=arms, means=means, rate=float(values["rate"]))
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"A routing must be made of numbers, got others: {error}.") from error


def features_of(
    before: BeforeRound, draft_nats: float | None, recents: Sequence[float]
) -> list[float]:
    """Return what gains are foretold from, NaN where it is not known.

    Args:
        before: The round.
        draft_nats: Running mean of the entropies of draft laws.
        recents: Recent acceptance of each drafter.
    """
    verifier, match = before.verifier, before.match
    length, prob = match or (math.nan, math.nan)
    return [
        verifier.entropy_nats if verifier else math.nan,
        log_odds(verifier.top_prob) if verifier else math.nan,
        float(length),
        prob,
        length * prob,
        math.nan if draft_nats is None else draft_nats,
        *recents,
    ]


def _arm(values: Mapping[str, Any]) -> Arm:
    return Arm(
        drafter=str(values["drafter"]),
        calibration=Calibration.from_json(values["calibration"]),
        catch_up_s=float(values["catch_up_s"]),
        bias=float(values["bias"]),
        weights=tuple(float(each) for each in values["weights"]),
    )
