"""Several criteria at once, by composition."""

from dataclasses import dataclass
from typing import Any, final

from smart_speed.errors import check_that
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView, StoppingStrategy

States = tuple[Any, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Combined:
    """Stop as soon as any part would, or only where all of them would."""

    parts: tuple[StoppingStrategy[Any], ...]
    require_all: bool = False
    """Whether every part must want to stop; the reason is then all of theirs."""

    def __post_init__(self) -> None:
        check_that(len(self.parts) > 0, "parts", "at least one strategy", self.parts)

    def initial_state(self) -> States:
        return tuple(part.initial_state() for part in self.parts)

    def max_len(self, state: States) -> int | None:
        lens = [part.max_len(own) for part, own in zip(self.parts, state, strict=True)]
        known = [length for length in lens if length is not None]
        if self.require_all:
            return max(known) if len(known) == len(lens) else None
        return min(known, default=None)

    def reason_to_stop(self, draft: DraftView, state: States) -> str | None:
        reasons = [
            reason
            for part, own in zip(self.parts, state, strict=True)
            if (reason := _reason(part, draft, own)) is not None
        ]
        if self.require_all:
            return "+".join(reasons) if len(reasons) == len(self.parts) else None
        return reasons[0] if reasons else None

    def after_round(self, state: States, outcome: RoundRecord) -> States:
        pairs = zip(self.parts, state, strict=True)
        return tuple(part.after_round(own, outcome) for part, own in pairs)


def _reason(part: StoppingStrategy[Any], draft: DraftView, state: Any) -> str | None:
    """Return why a part would stop; one that counts would where its count is used up."""
    most = part.max_len(state)
    counted = most is not None and len(draft.facts) > most
    return "count" if counted else part.reason_to_stop(draft, state)
