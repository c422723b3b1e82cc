"""A prompt of a workload, whatever data set it is from."""

from dataclasses import dataclass
from typing import final

from smart_speed.errors import check_that


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

    def __post_init__(self) -> None:
        said = bool(self.turns) and all(turn.strip() for turn in self.turns)
        check_that(said, f"turns of {self.prompt_id}", "texts, none of them empty", self.turns)
        single = self.chat or len(self.turns) == 1
        check_that(single, f"turns of {self.prompt_id}", "one, as it is no chat", self.turns)
