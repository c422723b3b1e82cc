"""The schedule of transformers: two more after a full acceptance, one fewer otherwise."""

from collections.abc import Callable

import pytest

from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.heuristic import Heuristic


def test_five_rounds_by_hand(outcome: Callable[..., RoundRecord]) -> None:
    strategy = Heuristic(start_len=2)
    state = strategy.initial_state()
    lens = [strategy.max_len(state)]
    for accepted in (2, 3, 3, 0, 0):
        state = strategy.after_round(state, outcome(drafted=state, accepted=accepted))
        lens.append(strategy.max_len(state))
    assert lens == [2, 4, 3, 5, 4, 3]


def test_the_length_never_falls_below_one(outcome: Callable[..., RoundRecord]) -> None:
    assert Heuristic().after_round(1, outcome(drafted=1, accepted=0)) == 1


def test_no_law_is_a_reason_to_stop(view: Callable[..., DraftView]) -> None:
    assert Heuristic().reason_to_stop(view(99.0, top_prob=1e-9), 1) is None


def test_a_first_length_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^start_len must be at least 1, got 0\.$"):
        Heuristic(start_len=0)
