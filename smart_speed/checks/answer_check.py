"""What makes an answer right: a number, a phrase, or tests that a program must pass."""

from dataclasses import dataclass
from typing import Literal, final, get_args

from smart_speed.checks.final_number import has_number, holds_phrase
from smart_speed.errors import unknown_name

CheckKind = Literal["number", "phrase", "python"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCheck:
    """How the answer to one prompt is checked; comes with the data."""

    kind: CheckKind
    """"number": its final number; "phrase": one of several must be in it; "python": the program in
    it must pass tests."""
    expected: str
    """The number; the phrases, one a line; or the tests, a program that goes on from the
    answer's."""
    opening: str = ""
    """Of "python": code that the prompt gives, and that the answer may merely go on with."""
    entry_point: str = ""
    """Of "python": the function that the tests call; empty if any will do."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(CheckKind):
            raise unknown_name("kind of check", self.kind, get_args(CheckKind))

    @property
    def runs_code(self) -> bool:
        """Whether the answer must be run to be judged."""
        return self.kind == "python"

    def is_right(self, text: str) -> bool:
        """Judge an answer that need not be run."""
        assert not self.runs_code
        judge = has_number if self.kind == "number" else holds_phrase
        return judge(text, self.expected)
