"""What a step costs, on a clock that only the models and one slow strategy move."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError
from smart_speed.training.drafter_cost import DrafterCost, drafter_cost

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]


@dataclass
class StillClock:
    """No time passes but what somebody adds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Timed:
    """A model whose passes take a known time: so much, and so much more for each token."""

    def __init__(self, inner: Any, clock: StillClock, pass_s: float, token_s: float = 0.0) -> None:
        self._inner, self._clock = inner, clock
        self.pass_s, self.token_s = pass_s, token_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def feed(self, tokens: Sequence[int], *, last: int) -> np.ndarray:
        self._clock.now += self.pass_s + self.token_s * len(tokens)
        return np.asarray(self._inner.feed(tokens, last=last))


@pytest.fixture
def still() -> StillClock:
    return StillClock()


def timed(loaded: LoadedModel, *times: Any) -> LoadedModel:
    return dataclasses.replace(loaded, model=Timed(loaded.model, *times))


def cost_of(
    pair: tuple[LoadedModel, LoadedModel], clock: Callable[[], float], **settings: Any
) -> DrafterCost:
    settings = {"repeats": 6, **settings}
    return drafter_cost(*pair, [[1, 2, 3], [3, 2, 1]], clock=clock, **settings)


def test_known_times_are_found(random_pair: Pair, still: StillClock) -> None:
    verifier, drafter = random_pair()
    cost = cost_of((timed(verifier, still, 7.0, 1.0), timed(drafter, still, 2.0)), still)
    np.testing.assert_allclose(cost.step_share, 2 / 8)
    np.testing.assert_allclose(cost.wide_pass, (7 + 5) / 8)
    assert (cost.step_s, cost.pass_s, cost.draft_len) == (2, 8, 4)
    assert cost.num_passes == 6 * 12
    assert cost.num_steps >= 6 * 4


def test_first_repetition_is_warm_up(random_pair: Pair, still: StillClock) -> None:
    """Whatever is slow about first passes is not in the result."""
    verifier, drafter = random_pair()
    slow = timed(drafter, still, 1000.0)

    def clock() -> float:
        if still.now > 4000:
            slow.model.pass_s = 2.0  # type: ignore[attr-defined]
        return still.now

    cost = cost_of((timed(verifier, still, 8.0), slow), clock, repeats=1)
    assert cost.step_share.value == pytest.approx(0.25)
    assert np.isnan(cost.step_share.low)


def test_what_the_loop_does_with_a_law_is_in_the_step(random_pair: Pair) -> None:
    """On a clock that moves when it is looked at, which a plain round does as well."""
    looks = [0.0]

    def clock() -> float:
        looks[0] += 1
        return looks[0]

    cost = cost_of(random_pair(), clock)
    # Looked at before a law is asked for, and after it, its entropy and the strategy.
    assert cost.step_s == pytest.approx(4, abs=0.1)
    assert cost.pass_s == 1


def test_drafts_of_another_strategy_are_measured(random_pair: Pair, still: StillClock) -> None:
    verifier, drafter = random_pair()
    config = EntropyConfig(strategy="absolute", theta_abs=1e-6, max_draft_len=6)
    cost = cost_of((timed(verifier, still, 8.0), timed(drafter, still, 2.0)), still, config=config)
    assert cost.step_share.value == pytest.approx(0.25)
    assert np.isnan(cost.wide_pass.value)
    document = json.loads(json.dumps(cost.to_json(), allow_nan=False))
    assert document["wide_pass"] == {"value": None, "low": None, "high": None}
    assert document["draft_len"] == 6


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"max_new_tokens": 5}, "max_new_tokens must be more than a draft of 4"),
    ],
)
def test_settings_that_measure_nothing_are_refused(
    random_pair: Pair, settings: dict[str, int], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        cost_of(random_pair(), StillClock(), **settings)


def test_a_drafter_that_cannot_go_on_is_refused(random_pair: Pair) -> None:
    pair = random_pair()[0], random_pair(context_len=3)[1]
    with pytest.raises(ConfigError, match="short enough for the drafter"):
        cost_of(pair, StillClock())


def test_prompts_are_needed(random_pair: Pair) -> None:
    with pytest.raises(ConfigError, match="prompts must be at least one"):
        drafter_cost(*random_pair(), [])
