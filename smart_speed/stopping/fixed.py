"""The baseline: draft until the cap."""

from dataclasses import dataclass
from typing import final

from smart_speed.stopping.base import DraftView, Memoryless


@final
@dataclass(frozen=True)
class NeverStop(Memoryless):
    """Draft up to ``max_draft_len`` tokens, whatever the laws say."""

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        return None
