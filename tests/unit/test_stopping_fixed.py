"""The baseline never stops of its own accord."""

from collections.abc import Callable

from smart_speed.stopping.base import DraftView
from smart_speed.stopping.fixed import NeverStop


def test_no_law_is_a_reason_to_stop(view: Callable[..., DraftView]) -> None:
    assert NeverStop().reason_to_stop(view(0.0, 12.0, 99.0, top_prob=1e-9), None) is None
