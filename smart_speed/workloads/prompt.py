"""A prompt of a workload, whatever data set it is from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.errors import check_that

_HASH_LEN = 16


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadPrompt:
    """What is said to a model, and what it is for."""

    prompt_id: str
    """Task and number in the task, as in "gsm8k/17", or "gsm8k/train-17" of another split than the
    one for tests; the same in every reading of the data."""
    task: str
    turns: tuple[str, ...]
    """What the user says, one text a turn; every turn is answered before the next."""
    chat: bool = True
    """Whether it goes into the model's chat template; if not, it is a text to go on with."""
    reference: str | None = None
    """An answer that comes with the data; several of them stand on lines of their own."""
    check: AnswerCheck | None = None
    """What makes an answer to a single turn right; ``None`` where that cannot be checked."""
    item_text: str | None = None
    """What the item of the data set says, where the prompt says it in other words."""

    def __post_init__(self) -> None:
        said = bool(self.turns) and all(turn.strip() for turn in self.turns)
        check_that(said, f"turns of {self.prompt_id}", "texts, none of them empty", self.turns)
        single = self.chat or len(self.turns) == 1
        check_that(single, f"turns of {self.prompt_id}", "one, as it is no chat", self.turns)

    @property
    def text_hashes(self) -> frozenset[str]:
        """Hashes by which the prompt is known, whatever its id: as it is asked, and as its item."""
        texts = [self.turns, *([(self.item_text,)] if self.item_text else [])]
        return frozenset(map(text_hash, texts))


def plain_text(turns: Sequence[str]) -> str:
    """Return what prompts share that differ in nothing but case and white space."""
    return "\n".join(" ".join(turn.casefold().split()) for turn in turns)


def text_hash(turns: Sequence[str]) -> str:
    """Return a short hash of a prompt's text; case and white space do not count."""
    text = plain_text(turns).encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest()[:_HASH_LEN]
