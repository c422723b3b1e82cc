"""Several criteria at once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.base import DraftView, StoppingStrategy
from smart_speed.stopping.combined import Combined
from smart_speed.stopping.ema import Ema
from smart_speed.stopping.fixed import NeverStop
from smart_speed.stopping.heuristic import Heuristic
from smart_speed.stopping.relative import RelativeEntropy

LEVEL = AbsoluteEntropy(theta_abs=2.0)
GROWTH = RelativeEntropy(theta_rel=1.5)


@pytest.mark.parametrize(
    ("entropies", "any_of", "all_of"),
    [
        ((1.0, 1.2), None, None),
        ((2.5, 2.6), "absolute", None),
        ((1.0, 1.8), "relative", None),
        ((1.0, 2.6), "absolute", "absolute+relative"),  # the first part's reason is given
    ],
)
def test_any_or_all_of_the_parts_must_want_to_stop(
    entropies: tuple[float, ...],
    any_of: str | None,
    all_of: str | None,
    view: Callable[..., DraftView],
) -> None:
    for require_all, reason in ((False, any_of), (True, all_of)):
        strategy = Combined(parts=(LEVEL, GROWTH), require_all=require_all)
        assert strategy.reason_to_stop(view(*entropies), strategy.initial_state()) == reason


@given(entropies=st.lists(st.floats(0, 8), max_size=10))
def test_any_drafts_no_more_and_all_no_less_than_each_part(
    entropies: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lens = [passed_len(part, facts) for part in (LEVEL, GROWTH)]
    assert passed_len(Combined(parts=(LEVEL, GROWTH)), facts) == min(lens)
    assert passed_len(Combined(parts=(LEVEL, GROWTH), require_all=True), facts) >= max(lens)


@pytest.mark.parametrize(
    ("parts", "any_of", "all_of"),
    [
        ((LEVEL, NeverStop()), None, None),
        ((Heuristic(start_len=4), LEVEL), 4, None),  # a part that does not count holds out
        ((Heuristic(start_len=4), Heuristic(start_len=6)), 4, 6),
    ],
)
def test_any_or_all_of_the_known_lengths_must_be_reached(
    parts: tuple[StoppingStrategy[Any], ...], any_of: int | None, all_of: int | None
) -> None:
    for require_all, length in ((False, any_of), (True, all_of)):
        strategy = Combined(parts=parts, require_all=require_all)
        assert strategy.max_len(strategy.initial_state()) == length


def test_each_part_keeps_its_own_state(outcome: Callable[..., RoundRecord]) -> None:
    strategy = Combined(parts=(Heuristic(start_len=3), LEVEL, Ema(ema_alpha=0.5)))
    state = strategy.initial_state()
    assert state == (3, None, 2.0)
    assert strategy.after_round(state, outcome(drafted=3, accepted=3)) == (5, None, 2.5)


def test_no_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^parts must be at least one strategy, got \(\)\.$"):
        Combined(parts=())
