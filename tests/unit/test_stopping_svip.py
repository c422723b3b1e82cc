"""SVIP: a bound on acceptance from the drafter's entropy."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.svip import Svip


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [((0.599,), None), ((0.601,), "svip"), ((0.0, 0.601), "svip"), ((0.601, 0.0), None)],
)
def test_published_constants_stop_above_six_tenths_of_a_nat(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    assert Svip().reason_to_stop(view(*entropies), None) == reason


@pytest.mark.parametrize(("entropy", "reason"), [(1.0, None), (1.0000001, "svip")])
def test_equal_is_not_above(
    entropy: float, reason: str | None, view: Callable[..., DraftView]
) -> None:
    assert Svip(svip_h=0.5, svip_c=0.25).reason_to_stop(view(entropy), None) == reason


@given(
    entropies=st.lists(st.floats(0, 8), max_size=10),
    thetas=st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)).map(sorted),
)
def test_a_larger_threshold_never_drafts_less(
    entropies: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(Svip(svip_h=theta), facts) for theta in thetas)
    assert lower <= higher


@pytest.mark.parametrize("name", ["svip_h", "svip_c"])
def test_constants_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Svip(**{name: 0.0})
    assert str(caught.value) == f"{name} must be positive, got 0.0."
