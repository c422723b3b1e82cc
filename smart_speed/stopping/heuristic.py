"""Published rival: the schedule of transformers, which counts and asks no law."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView


@final
@dataclass(frozen=True, kw_only=True)
class Heuristic:
    """Draft two tokens more after a full acceptance, one fewer otherwise.

    Source: the "heuristic" schedule of transformers' assisted generation.
    """

    start_len: int = 5
    """Draft length of the first round."""

    def __post_init__(self) -> None:
        check_that(self.start_len >= 1, "start_len", "at least 1", self.start_len)

    def initial_state(self) -> int:
        return self.start_len

    def max_len(self, state: int) -> int:
        return state

    def reason_to_stop(self, draft: DraftView, state: int) -> str | None:
        return None

    def after_round(self, state: int, outcome: RoundRecord) -> int:
        whole = outcome.accepted_len >= max(state, outcome.draft_len)
        return state + 2 if whole else max(1, state - 1)
