"""Choose who drafts before each round, by what the text has been like; then draft as it pays.

The choice is made of tokens, laws and counts, never of the clock, so a run can be repeated and
replayed. It is made before anything is drawn, so the output law stays the verifier's.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

from smart_speed.errors import check_that, unknown_name
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import BeforeRound, DraftView
from smart_speed.stopping.calibrated import Calibrated, CalibratedState
from smart_speed.stopping.routing import NGRAM, USUAL_BACKLOG, Routing, features_of

WAYS = ("gain", "chain", "hedge")
"""How drafters can be chosen; the last two are rivals."""
CHAIN_MATCH = 3
"""Tokens of context that the text must have had before for n-grams to draft in a chain."""
_MEAN_RATE = 0.12
"""Weight of the newest draft law in the running mean of entropies."""
_HEDGE_MEMORY = 0.97
"""Weight that "hedge" keeps of all rounds before the newest."""


@final
@dataclass(frozen=True, slots=True)
class RouteState:
    """What the router carries from round to round."""

    arms: tuple[CalibratedState, ...]
    """Of each drafter's own rule."""
    read: tuple[int, ...] = ()
    """Leading tokens of the text that each drafter has read; empty before the first round."""
    draft_nats: float | None = None
    """Running mean of the entropies of draft laws; ``None`` before the first."""
    chosen: int | None = None
    earned: tuple[float, ...] = ()
    """By "hedge": what each drafter would have earned of late; empty before the first round."""


@final
@dataclass(frozen=True, kw_only=True)
class Route:
    """The drafter with the highest gain to be expected drafts; nobody, if there is none to expect.

    A drafter that sat rounds out reads what it missed only when it is chosen, and what that
    takes is part of the choice. How far the chosen one drafts is for its own calibration to say.

    Source: "hedge" is after 2510.20064, with full information: what is verified shows what every
    drafter would have earned, for a pass of each. It plays the one whose earnings are the highest.
    """

    routing: Routing | None = None
    """Always needed; from a profile."""
    route_by: str = "gain"
    """How the drafter is chosen: by the "gain" that was learned; by "chain", n-grams where the text
    repeats itself, else the first other drafter; by "hedge"; or the name of one, always that."""

    def __post_init__(self) -> None:
        rule = "given with strategy 'route', as a profile does: see `smart-speed calibrate`"
        check_that(self.routing is not None, "routing", rule, self.routing)
        if self.route_by not in (*WAYS, *self.drafters):
            raise unknown_name("route_by", self.route_by, (*WAYS, *self.drafters))

    @property
    def drafters(self) -> tuple[str, ...]:
        return self._names

    @property
    def reads_verifier(self) -> bool:
        return self._reads_verifier

    @property
    def reads_match(self) -> bool:
        return self._reads_match

    @property
    def reads_hits(self) -> bool:
        return self.route_by == "hedge"

    def initial_state(self) -> RouteState:
        return RouteState(tuple(each.initial_state() for each in self._rules))

    def choose(self, state: RouteState, before: BeforeRound) -> RouteState:
        read = state.read or (before.context_len - 1,) * len(self.drafters)
        state = replace(state, read=read)
        if self.route_by == "gain":
            return replace(state, chosen=self._of_most_gain(state, before))
        if self.route_by == "chain":
            return replace(state, chosen=self._first_in_chain(before))
        if self.route_by == "hedge":
            earned = self._earned(state, before.hits)
            return replace(state, earned=earned, chosen=earned.index(max(earned)))
        return replace(state, chosen=self.drafters.index(self.route_by))

    def _of_most_gain(self, state: RouteState, before: BeforeRound) -> int | None:
        features = features_of(before, state.draft_nats, [each.recent for each in state.arms])
        missed = [_missed(each, before.context_len) for each in state.read]
        gains = self._known.gains(features, missed)
        best = max(gains)
        return gains.index(best) if best > 0 else None

    def _first_in_chain(self, before: BeforeRound) -> int:
        repeats = before.match is not None and before.match[0] >= CHAIN_MATCH
        fit = (at for at, name in enumerate(self.drafters) if (name != NGRAM) or repeats)
        return next(fit, 0)

    def _earned(self, state: RouteState, hits: tuple[float, ...] | None) -> tuple[float, ...]:
        """Return what each would have earned: tokens hit, less what its passes are worth."""
        before = state.earned or (0.0,) * len(self.drafters)
        if hits is None:
            return before
        worth = [each.calibration.costs.step_s * self._known.rate for each in self._known.arms]
        return tuple(
            _HEDGE_MEMORY * old + hit - cost
            for old, hit, cost in zip(before, hits, worth, strict=True)
        )

    def chosen(self, state: RouteState) -> int | None:
        return state.chosen

    def missed(self, state: RouteState, context_len: int) -> int:
        if state.chosen is None or self.reads_hits:  # then everybody reads everything
            return 0
        return _missed(state.read[state.chosen], context_len)

    def max_len(self, state: RouteState) -> int:
        if state.chosen is None:
            return 0
        return self._known.arms[state.chosen].calibration.costs.max_draft_len

    def reason_to_stop(self, draft: DraftView, state: RouteState) -> str | None:
        rule, own = self._drafting(state)
        return "route" if rule.reason_to_stop(draft, own) else None

    def reason_to_send(self, draft: DraftView, state: RouteState) -> str | None:
        rule, own = self._drafting(state)
        return "route" if rule.reason_to_send(draft, own) else None

    def after_round(self, state: RouteState, outcome: RoundRecord) -> RouteState:
        num_passes, read = len(outcome.entropies_nats), state.read
        if num_passes:
            # The last token drafted was not read, nor is what the verifier did not keep.
            kept = outcome.context_len + min(num_passes, outcome.emitted_len) - 1
            read = tuple(kept if at == state.chosen else each for at, each in enumerate(read))
        mean = state.draft_nats
        for each in outcome.entropies_nats:
            mean = each if mean is None else mean + _MEAN_RATE * (each - mean)
        context_len = outcome.context_len + outcome.emitted_len
        arms = tuple(
            replace(
                own,
                recent=self._recent(at, own, outcome if at == state.chosen else None),
                octave=self._rules[at].octave_of(context_len),
            )
            for at, own in enumerate(state.arms)
        )
        return replace(state, arms=arms, read=read, draft_nats=mean)

    def _recent(self, at: int, own: CalibratedState, outcome: RoundRecord | None) -> float:
        """Return a drafter's recent acceptance; without an outcome it drifts to where it began."""
        accepted_len, draft_len = (
            (outcome.accepted_len, outcome.draft_len) if outcome is not None else (0, 0)
        )
        return self._known.arms[at].calibration.acceptance.recent_after(
            own.recent, accepted_len=accepted_len, draft_len=draft_len
        )

    def _drafting(self, state: RouteState) -> tuple[Calibrated, CalibratedState]:
        assert state.chosen is not None
        return self._rules[state.chosen], state.arms[state.chosen]

    @cached_property
    def _known(self) -> Routing:
        assert self.routing is not None
        return self.routing

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(each.drafter for each in self._known.arms)

    @cached_property
    def _reads_verifier(self) -> bool:
        return self.route_by == "gain" and self._known.reads_verifier

    @cached_property
    def _reads_match(self) -> bool:
        return self.route_by == "chain" or (self.route_by == "gain" and self._known.reads_match)

    @cached_property
    def _rules(self) -> tuple[Calibrated, ...]:
        return tuple(Calibrated(calibration=each.calibration) for each in self._known.arms)


def _missed(read: int, context_len: int) -> int:
    return max(context_len - read - USUAL_BACKLOG, 0)
