"""Stop where another token is expected to cost more than it brings, on this machine.

What design and profile call *calibrated*: how drafts are accepted and what rounds cost were
measured beforehand; ``draft_value`` says what follows from both. Here it is looked up, in tables
that are solved for each doubling of the context: after long texts passes take longer, wide ones by
more.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple, final

from smart_speed.entropy import LawFacts
from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.acceptance import (
    AcceptanceModel,
    Chances,
    checked_fields,
    draft_chances,
)
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.draft_value import (
    NEVER,
    RoundCosts,
    Thresholds,
    achievable_rate,
    best_thresholds,
)

_RATES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)
"""Multiples of rate and price that online decoding has thresholds for."""
_SHIFT_RATE = 0.05
"""How fast an online score follows surprises."""
_ONLINE_MEMORY = 0.98
"""Weight that online decoding's rate keeps of all rounds before the newest."""
_ONLINE_START = 64.0
"""Plain rounds that the calibrated rate counts for when online decoding begins."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was learned for one verifier, drafter, machine and way of sampling."""

    acceptance: AcceptanceModel
    costs: RoundCosts
    rate: float
    """Tokens per second of decoding with it, as predicted."""
    price: float
    """Tokens that a second is taken to be worth: the rate, if the model of acceptance were right;
    what it was found to be best at on the calibration texts, since no model is."""
    begin_price: float | None = None
    """The same where it is asked whether to begin at all; ``None`` for the rate."""

    def __post_init__(self) -> None:
        for name in ("rate", "price", "begin_price"):
            value = getattr(self, name)
            check_that(value is None or value > 0, name, "above 0 tokens per second", value)

    def with_costs(self, costs: RoundCosts) -> "Calibration":
        """Return a calibration for other costs, of another machine or after a longer context.

        There are no traces to find the rate on, so it is the one that the model of acceptance
        predicts, corrected by how far that prediction was off where there were.
        """
        predicted = achievable_rate(self.acceptance, self.costs)
        times = achievable_rate(self.acceptance, costs) / predicted
        begin = self.begin_price
        return replace(
            self,
            costs=costs,
            rate=self.rate * times,
            price=self.price * times,
            begin_price=None if begin is None else begin * times,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> "Calibration":
        """Read what ``to_json`` wrote; errors are ``ConfigError``."""
        values = checked_fields(cls, document, "A calibration")
        return cls(
            acceptance=AcceptanceModel.from_json(values["acceptance"]),
            costs=RoundCosts.from_json(values["costs"]),
            rate=float(values["rate"]),
            price=float(values["price"]),
            begin_price=None if (begin := values.get("begin_price")) is None else float(begin),
        )


def given_calibration(calibration: Calibration | None, strategy: str) -> Calibration:
    """Return a calibration that a strategy cannot do without.

    Raises:
        ConfigError: If there is none.
    """
    rule = f"given with strategy {strategy!r}, as a profile does: see `smart-speed calibrate`"
    check_that(calibration is not None, "calibration", rule, calibration)
    assert calibration is not None
    return calibration


@final
@dataclass(frozen=True, slots=True)
class CalibratedState:
    """What the strategy carries from round to round."""

    recent: float
    """Recent acceptance, from 0 to 1."""
    shift: float = 0.0
    """Online: what is added to every score, since drafts turned out better or worse."""
    tokens: float = 0.0
    """Online: emitted of late, the latest counting most."""
    seconds: float = 0.0
    """Online: what they took, by the calibrated costs."""
    octave: int = 0
    """How often the context is twice as long as that which costs were measured at. The first round
    takes it for as long."""


class _Solved(NamedTuple):
    """What holds at one length of the context."""

    known: Calibration
    tables: tuple[Thresholds, ...]
    """By online decoding's multiples, else one."""


@final
@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Draft as far as it pays: longer where tokens will be accepted, not at all where none will.

    Two decisions for every token, each looked up in a table of least survivals: is the token
    whose law is known worth verifying, and is the next one worth a drafter pass?
    """

    calibration: Calibration | None = None
    """Always needed; from a profile."""
    online: bool = False
    """Whether to keep adjusting scores and rate to the text at hand. Costs are taken to stay as
    they were measured, so that decisions depend on tokens and not on the clock."""

    def __post_init__(self) -> None:
        given_calibration(self.calibration, "calibrated")

    def initial_state(self) -> CalibratedState:
        known = self._known
        costs = known.costs
        return CalibratedState(
            recent=known.acceptance.recent_start,
            tokens=known.rate * costs.plain_s * _ONLINE_START,
            seconds=costs.plain_s * _ONLINE_START,
        )

    def max_len(self, state: CalibratedState) -> int:
        known = self._known
        gain = self._thresholds(state).gain[known.acceptance.kind_of_round(state.recent)]
        return known.costs.max_draft_len if gain > 0 else 0

    def reason_to_stop(self, draft: DraftView, state: CalibratedState) -> str | None:
        survival, kind = self._chances(draft.facts, state.recent, state.shift)
        table = self._thresholds(state).propose_from
        least = table[len(draft.facts) - 1][kind] if len(draft.facts) <= len(table) else NEVER
        return "calibrated" if survival < least else None

    def reason_to_send(self, draft: DraftView, state: CalibratedState) -> str | None:
        survival, kind = self._chances(draft.facts, state.recent, state.shift)
        survival *= self._known.acceptance.accept_probs[kind]
        table = self._thresholds(state).go_on_from
        least = table[len(draft.facts) - 1][kind] if len(draft.facts) <= len(table) else NEVER
        return "calibrated" if survival < least else None

    def after_round(self, state: CalibratedState, outcome: RoundRecord) -> CalibratedState:
        acceptance = self._known.acceptance
        accepted_len, draft_len = outcome.accepted_len, outcome.draft_len
        recent = acceptance.recent_after(
            state.recent, accepted_len=accepted_len, draft_len=draft_len
        )
        octave = self.octave_of(outcome.context_len + outcome.emitted_len)
        if not self.online:
            return replace(state, recent=recent, octave=octave)
        costs = self._solved(state.octave).known.costs
        seconds = costs.seconds(len(outcome.entropies_nats), draft_len)
        return CalibratedState(
            recent=recent,
            shift=state.shift + _SHIFT_RATE * self._surprise(state, outcome),
            tokens=_ONLINE_MEMORY * state.tokens + outcome.emitted_len,
            seconds=_ONLINE_MEMORY * state.seconds + seconds,
            octave=octave,
        )

    def octave_of(self, context_len: int) -> int:
        """Return how often a context is twice as long as that which costs were measured at."""
        costs = self._known.costs
        if not costs.grow or context_len <= costs.context_len:
            return 0
        return round(math.log2(context_len / max(costs.context_len, 1)))

    def _surprise(self, state: CalibratedState, outcome: RoundRecord) -> float:
        """Return how many more of the tested tokens were accepted than was to be expected."""
        acceptance = self._known.acceptance
        tested = min(outcome.accepted_len + 1, outcome.draft_len)
        laws = zip(outcome.entropies_nats[:tested], outcome.top_probs[:tested], strict=True)
        kinds = (acceptance.class_of(LawFacts(*law), state.recent, state.shift) for law in laws)
        return outcome.accepted_len - math.fsum(acceptance.accept_probs[kind] for kind in kinds)

    @cached_property
    def _chances(self) -> Chances:
        return draft_chances(self._known.acceptance)

    @cached_property
    def _known(self) -> Calibration:
        return given_calibration(self.calibration, "calibrated")

    @cached_property
    def _solved(self) -> Callable[[int], _Solved]:
        """Solve for a length of the context, once for each."""
        return cache(self._solve)

    def _solve(self, octave: int) -> _Solved:
        known = self._known
        if octave:
            further = max(known.costs.context_len, 1) * 2.0**octave
            known = known.with_costs(known.costs.at(further))
        rates = _RATES if self.online else (1.0,)
        return _Solved(known, tuple(self._thresholds_at(known, each) for each in rates))

    @staticmethod
    def _thresholds_at(known: Calibration, multiple: float) -> Thresholds:
        """Solve for a rate; whether to begin at all is asked at a price of its own."""
        begin_price = known.rate if known.begin_price is None else known.begin_price
        priced = best_thresholds(known.acceptance, known.costs, known.price * multiple)
        begun = best_thresholds(known.acceptance, known.costs, begin_price * multiple)
        return priced._replace(gain=begun.gain)

    def _thresholds(self, state: CalibratedState) -> Thresholds:
        known, tables = self._solved(state.octave)
        if not self.online:
            return tables[0]
        ratio = state.tokens / state.seconds / known.rate
        nearest = min(range(len(_RATES)), key=lambda at: abs(_RATES[at] - ratio))
        return tables[nearest]
