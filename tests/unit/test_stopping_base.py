"""What strategies are shown, and what they share."""

from collections.abc import Callable

import pytest

from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView, Memoryless, StoppingStrategy

View = Callable[..., DraftView]


class _Always(Memoryless):
    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        return "always"


def test_a_view_names_its_first_and_latest_law(view: View) -> None:
    draft = view(0.5, 1.5, 2.5)
    assert draft.first.entropy_nats == 0.5
    assert draft.latest.entropy_nats == 2.5


def test_a_memoryless_strategy_counts_nothing_and_carries_nothing(
    outcome: Callable[..., RoundRecord],
) -> None:
    strategy = _Always()
    assert isinstance(strategy, StoppingStrategy)
    strategy.initial_state()
    strategy.max_len(None)
    strategy.after_round(None, outcome(drafted=3, accepted=1))


def test_a_memoryless_strategy_must_say_when_to_stop() -> None:
    with pytest.raises(TypeError, match="reason_to_stop"):
        Memoryless()  # type: ignore[abstract]
