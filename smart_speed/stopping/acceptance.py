"""How likely is a drafted token to be accepted, and what will the next one be like?

Plain numbers, fitted elsewhere (``smart_speed.calibration``), used here without any library. A
law's facts and the text's recent acceptance make a score; the score falls into one of a few
classes; each class has its probability of acceptance, and a law of which class comes next in a
draft. So a draft is a Markov chain of classes that ends with the first rejection, simple enough
to say in advance where another token pays (``draft_value``).
"""

import functools
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, final

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError, check_that, unknown_name

_LEAST = 1e-4
"""Added to both sides of the odds, so that a certain law has finite ones."""


def log_odds(prob: float) -> float:
    """Return the logarithm of a probability's odds, bounded for 0 and 1."""
    return math.log((prob + _LEAST) / (1 - prob + _LEAST))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceModel:
    """Classes of draft laws, by what is known before their token is drawn."""

    bias: float
    per_nat: float
    """Weight of the law's entropy in the score."""
    per_log_odds: float
    """Weight of the log-odds of its likeliest token."""
    per_recent: float
    """Weight of the recent acceptance, from 0 to 1."""
    recent_rate: float
    """How fast recent acceptance follows what happens: weight of the newest tested token."""
    recent_start: float
    """Recent acceptance at the beginning of a text."""
    edges: tuple[float, ...]
    """Scores that part the classes, ascending: one fewer than classes."""
    accept_probs: tuple[float, ...]
    """By class: probability that its token is accepted, given that all before it are."""
    next_probs: tuple[tuple[float, ...], ...]
    """By class, given that its token is accepted: probability of each class for the next law."""
    first_edges: tuple[float, ...]
    """Recent acceptances that part the kinds of rounds, ascending."""
    first_probs: tuple[tuple[float, ...], ...]
    """By kind of round: probability of each class for its first law."""

    def __post_init__(self) -> None:
        size = len(self.accept_probs)
        check_that(size >= 1, "accept_probs", "at least one", self.accept_probs)
        inside = all(0 <= prob <= 1 for prob in self.accept_probs)
        check_that(inside, "accept_probs", "probabilities", self.accept_probs)
        check_that(len(self.edges) == size - 1, "edges", f"{size - 1} in number", self.edges)
        check_that(len(self.next_probs) == size, "next_probs", f"{size} rows", len(self.next_probs))
        kinds = len(self.first_edges) + 1
        got = len(self.first_probs)
        check_that(got == kinds, "first_probs", f"{kinds} rows", got)
        for name, row in (
            *(("next_probs", row) for row in self.next_probs),
            *(("first_probs", row) for row in self.first_probs),
        ):
            whole = len(row) == size and min(row) >= 0 and abs(sum(row) - 1) < 1e-6
            check_that(whole, name, f"rows of {size} probabilities that sum to 1", row)
        for name in ("edges", "first_edges"):
            values = getattr(self, name)
            check_that(list(values) == sorted(values), name, "ascending", values)
        rate = self.recent_rate
        check_that(0 < rate <= 1, "recent_rate", "above 0 and at most 1", rate)

    def class_of(self, facts: LawFacts, recent: float, shift: float = 0.0) -> int:
        """Return the class of a law.

        Args:
            facts: Of the law.
            recent: Recent acceptance.
            shift: Added to the score.
        """
        score = (
            self.bias
            + shift
            + self.per_nat * facts.entropy_nats
            + self.per_log_odds * log_odds(facts.top_prob)
            + self.per_recent * recent
        )
        return bisect_right(self.edges, score)

    def kind_of_round(self, recent: float) -> int:
        """Return the kind of a round that is about to begin."""
        return bisect_right(self.first_edges, recent)

    def recent_after(self, recent: float, *, accepted_len: int, draft_len: int) -> float:
        """Return the recent acceptance after a round.

        Without a draft nothing was learned, and it returns slowly to where it began: what was
        true some time ago may not be true any more.
        """
        if draft_len == 0:
            return recent + self.recent_rate / 4 * (self.recent_start - recent)
        for _ in range(accepted_len):
            recent += self.recent_rate * (1 - recent)
        if accepted_len < draft_len:
            recent -= self.recent_rate * recent
        return recent

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> "AcceptanceModel":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If a field is missing or unknown, or breaks a rule.
        """
        values = checked_fields(cls, document, "An acceptance model")
        try:
            return cls(**{name: _tuples(value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"An acceptance model must be made of numbers, got others: {error}."
            ) from error


Chances = Callable[[tuple[LawFacts, ...], float, float], tuple[float, int]]
"""From a draft's laws, recent acceptance and shift: survival before the last law, and its class."""


def draft_chances(acceptance: AcceptanceModel) -> Chances:
    """Return what tells of a draft's laws, as the model sees them: survival and last class.

    Survival is the probability that all tokens but the last law's are accepted. Further arguments
    are those of ``class_of``. Drafts grow law by law, so the last few answers are remembered.
    """

    @functools.lru_cache(maxsize=4)
    def chances(facts: tuple[LawFacts, ...], recent: float, shift: float) -> tuple[float, int]:
        kind = acceptance.class_of(facts[-1], recent, shift)
        if len(facts) == 1:
            return 1.0, kind
        survival, last = chances(facts[:-1], recent, shift)
        return survival * acceptance.accept_probs[last], kind

    return chances


def checked_fields(cls: type, document: Any, what: str) -> dict[str, Any]:
    """Return a JSON object whose keys are the fields of a dataclass; defaults may be left out.

    Raises:
        ConfigError: If it is none, or a key is unknown or missing.
    """
    known = {field.name: field.default is MISSING for field in fields(cls)}
    names = list(known)
    check_that(isinstance(document, Mapping), what, "a JSON object", document)
    for name in document:
        if name not in names:
            raise unknown_name("key", name, names)
    missing = [name for name, needed in known.items() if needed and name not in document]
    check_that(not missing, what, f"made of {', '.join(names)}", f"none of {', '.join(missing)}")
    return dict(document)


def _tuples(value: Any) -> Any:
    """Return nested lists as tuples of floats."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_tuples(each) for each in value)
    return float(value)
