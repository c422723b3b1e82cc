"""SGLang's form: a little more than was accepted of late, in tiers."""

from collections.abc import Callable
from typing import Any

import pytest

from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.ema import Ema


@pytest.mark.parametrize(
    ("accepted", "length"),
    [(0.0, 1), (0.4, 1), (0.6, 3), (2.0, 3), (2.4, 3), (2.6, 7), (6.0, 7), (9.0, 7)],
)
def test_one_more_than_the_mean_is_raised_to_the_next_tier(accepted: float, length: int) -> None:
    assert Ema(tiers=(1, 3, 7)).max_len(accepted) == length


@pytest.mark.parametrize(("tiers", "length"), [((1, 3, 7), 3), ((2, 6), 6), ((4,), 4)])
def test_the_first_round_drafts_the_middle_tier(tiers: tuple[int, ...], length: int) -> None:
    strategy = Ema(tiers=tiers)
    assert strategy.max_len(strategy.initial_state()) == length


def test_three_rounds_by_hand(outcome: Callable[..., RoundRecord]) -> None:
    strategy = Ema(ema_alpha=0.25)
    state = strategy.initial_state()
    seen = [state]
    for accepted in (4, 0, 6):
        state = strategy.after_round(state, outcome(drafted=7, accepted=accepted))
        seen.append(state)
    assert seen == [2.0, 2.5, 1.875, 2.90625]


def test_no_law_is_a_reason_to_stop(view: Callable[..., DraftView]) -> None:
    assert Ema().reason_to_stop(view(99.0, top_prob=1e-9), 0.0) is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ema_alpha": 0.0}, "ema_alpha must be above 0 and at most 1, got 0.0."),
        ({"ema_alpha": 1.5}, "ema_alpha must be above 0 and at most 1, got 1.5."),
        *(
            ({"tiers": tiers}, f"tiers must be ascending draft lengths of at least 1, got {tiers}.")
            for tiers in ((), (0, 3), (3, 1), (3, 3))
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Ema(**settings)
    assert str(caught.value) == sentence
