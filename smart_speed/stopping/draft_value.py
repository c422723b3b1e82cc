"""Where does another token pay? The best draft lengths against what rounds cost, solved once.

A round without draft adds one token for the seconds of a plain pass. Drafting adds tokens, and
seconds. With a rate R (tokens per second that decoding achieves) seconds are worth R tokens each;
so a policy is as good as its net gain, expected tokens less R times expected seconds, and the best
policy's own rate is the R at which the net gain of a whole round is nothing (Dinkelbach 1967, "On
nonlinear fractional programming"). Given R, the best policy is found backwards from the longest
draft (optimal stopping of the chain of classes in ``acceptance``). It comes to thresholds on the
survival S, the probability that the whole draft is accepted so far:

    propose the token whose law is known while S >= propose_from[its position][its class]
    pay for another drafter pass while       S >= go_on_from[tokens proposed][last class]
"""

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float64

from smart_speed.errors import check_that
from smart_speed.stopping.acceptance import AcceptanceModel, checked_fields

_SURVIVALS = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 33)])
"""Where values are worked out; between, they lie on lines."""
NEVER = math.inf


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCosts:
    """Seconds of whatever a round is made of, at one context length and how they grow from it."""

    plain_s: float
    """A round without draft."""
    step_s: float
    """One more drafter pass, with all that the loop does about it."""
    first_step_extra_s: float
    """What a round's first pass takes more."""
    wider_s: tuple[float, ...]
    """What the verifier takes more for a first, second … proposed token. It may be negative: wide
    passes use other kernels."""
    context_len: int | float = 0
    """Tokens before the round for which that holds."""
    plain_context_s: float = 0.0
    """What each further one adds to a round without draft."""
    step_context_s: float = 0.0
    """And to a drafter pass."""
    wider_context_s: tuple[float, ...] = ()
    """And to each of ``wider_s``, all of them; none given are nothing."""

    def __post_init__(self) -> None:
        given = (self.plain_s, self.step_s, self.first_step_extra_s, *self.wider_s)
        given += (self.plain_context_s, self.step_context_s, *self.wider_context_s)
        check_that(all(map(math.isfinite, given)), "costs", "finite seconds", given)
        grown, rule = len(self.wider_context_s), f"none, or the {len(self.wider_s)} of wider_s"
        check_that(grown in (0, len(self.wider_s)), "wider_context_s", rule, grown)
        check_that(self.plain_s > 0, "plain_s", "above 0", self.plain_s)
        check_that(self.step_s >= 0, "step_s", "at least 0", self.step_s)

    @property
    def max_draft_len(self) -> int:
        """The longest draft whose verification is known."""
        return len(self.wider_s)

    def seconds(self, num_passes: int, draft_len: int) -> float:
        """Return the seconds of a round."""
        extra_s = self.first_step_extra_s if num_passes else 0.0
        return self.plain_s + num_passes * self.step_s + extra_s + sum(self.wider_s[:draft_len])

    @property
    def grow(self) -> bool:
        """Whether a longer context makes any difference."""
        return any((self.plain_context_s, self.step_context_s, *self.wider_context_s))

    def at(self, context_len: int | float) -> "RoundCosts":
        """Return the costs after a longer context."""
        further = context_len - self.context_len
        slopes = self.wider_context_s or (0.0,) * len(self.wider_s)
        return replace(
            self,
            plain_s=self.plain_s + further * self.plain_context_s,
            step_s=self.step_s + further * self.step_context_s,
            wider_s=tuple(
                wider + further * slope for wider, slope in zip(self.wider_s, slopes, strict=True)
            ),
            context_len=context_len,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> "RoundCosts":
        """Read what ``to_json`` wrote; errors are ``ConfigError``."""
        values = checked_fields(cls, document, "Costs of a round")
        for name in ("wider_s", "wider_context_s"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


class Thresholds(NamedTuple):
    """The best policy at one rate."""

    propose_from: tuple[tuple[float, ...], ...]
    """By position in the draft and class of its law: least survival before it, ``NEVER`` if none
    is enough."""
    go_on_from: tuple[tuple[float, ...], ...]
    """By tokens proposed (from 1) and class of the last: least survival, the last included."""
    gain: tuple[float, ...]
    """By kind of round: expected net gain, in tokens, of beginning to draft."""


def best_thresholds(model: AcceptanceModel, costs: RoundCosts, rate: float) -> Thresholds:
    """Return the policy with the highest expected net gain.

    Args:
        model: What drafts are like.
        costs: What they take.
        rate: Tokens per second that a second spent is worth.
    """
    check_that(rate > 0, "rate", "above 0 tokens per second", rate)
    values = _solved(model, costs, rate)
    return Thresholds(
        propose_from=tuple(_least_survivals(gain) for gain in values.proposing),
        # What going on would be worth before any token is for ``gain`` to say.
        go_on_from=tuple(_least_survivals(gain) for gain in values.going_on[1:]),
        gain=tuple(values.beginning.tolist()),
    )


class _Values(NamedTuple):
    """Net gains of the best policy, in tokens; lists by position in the draft."""

    proposing: list[Float64[np.ndarray, "survivals classes"]]
    """Of the token there, and all that follows."""
    going_on: list[Float64[np.ndarray, "survivals classes"]]
    """Of another pass once the token there is proposed."""
    beginning: Float64[np.ndarray, " kinds"]
    """Of a draft, by kind of round."""


def _solved(model: AcceptanceModel, costs: RoundCosts, rate: float) -> _Values:
    """Go backwards from the longest draft."""
    accept, chain = np.array(model.accept_probs), np.array(model.next_probs)
    step, wider = rate * costs.step_s, [rate * each for each in costs.wider_s]
    survival = _SURVIVALS[:, None] * accept
    # Where a survival lies between those that values are worked out for.
    above = np.searchsorted(_SURVIVALS, survival).clip(min=1)
    low, high = _SURVIVALS[above - 1], _SURVIVALS[above]
    share, column = (survival - low) / (high - low), np.arange(len(accept))
    proposing, going_on = [], []
    after = np.full(survival.shape, -1.0)  # no pass follows the longest draft
    value = np.zeros_like(after)
    for position in range(costs.max_draft_len - 1, -1, -1):
        further = after[above - 1, column] * (1 - share) + after[above, column] * share
        gain = survival - wider[position] + np.maximum(further, 0.0)
        value = np.maximum(gain, 0.0)
        after = value @ chain.T - step
        proposing.append(gain)
        going_on.append(after)
    begin = rate * (costs.step_s + costs.first_step_extra_s)
    first = np.array(model.first_probs) @ value[-1] - begin
    return _Values(proposing[::-1], going_on[::-1], first)


@lru_cache(maxsize=64)
def achievable_rate(
    model: AcceptanceModel, costs: RoundCosts, kinds: tuple[float, ...] | None = None
) -> float:
    """Return the tokens per second of the best policy, if texts are as the model says.

    Every doubling of a context asks again, while decoding, so what was solved is kept.

    Args:
        model: What drafts are like.
        costs: What they take.
        kinds: Shares of the kinds of rounds; ``None`` for equal ones.
    """
    number = len(model.first_probs)
    weights = kinds or (1 / number,) * number
    low, high = 1 / costs.plain_s, (1 + costs.max_draft_len) / costs.plain_s
    for _ in range(40):
        rate = (low + high) / 2
        gains = _solved(model, costs, rate).beginning
        net = float(np.maximum(gains, 0.0) @ weights)
        if 1 - rate * costs.plain_s + net > 0:
            low = rate
        else:
            high = rate
        if high - low < 1e-4 * low:
            break
    return low


def _least_survivals(gain: np.ndarray) -> tuple[float, ...]:
    """Return, for each class, where the gain of a survival begins to be positive."""
    return tuple(_crossing(gain[:, at]) for at in range(gain.shape[1]))


def _crossing(gain: np.ndarray) -> float:
    # Gains rise with the survival.
    above = np.flatnonzero(gain > 0)
    if not len(above):
        return NEVER
    first = int(above[0])
    if first == 0:
        return 0.0
    low, high = float(gain[first - 1]), float(gain[first])
    share = -low / (high - low)
    return float(_SURVIVALS[first - 1] + share * (_SURVIVALS[first] - _SURVIVALS[first - 1]))
