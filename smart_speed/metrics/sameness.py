"""Do lossless conditions write what plain decoding writes, token for token?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from smart_speed.metrics.speed import Answers
from smart_speed.metrics.texts import first_difference
from smart_speed.run_folder import Answer


class Difference(NamedTuple):
    """Where an answer parts from the baseline's."""

    prompt_id: str
    task: str
    turn: int
    position: int
    """First output token that differs, from 0; where one text ends, the length of the shorter."""
    tokens: tuple[int | None, int | None]
    """The baseline's there and its own; ``None`` where a text has ended."""


class Identity(NamedTuple):
    """How many answers of a condition are the baseline's."""

    num_compared: int
    num_same: int
    num_left_out: int
    """Turns of a chat behind one that differed: they answer something else."""
    differences: Sequence[Difference]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        found = [{**each._asdict(), "tokens": list(each.tokens)} for each in self.differences]
        return {**self._asdict(), "differences": found}


def identity_of(answers: Answers, baseline: Answers) -> Identity:
    """Compare the texts of two conditions, where both have answered.

    Args:
        answers: Of one condition, without repeats.
        baseline: Of another one, at temperature 0 as well.
    """
    known = {(each.prompt_id, each.turn): each for each in baseline}
    pairs = [
        (each, known[each.prompt_id, each.turn])
        for each in sorted(answers, key=lambda each: each.turn)
        if (each.prompt_id, each.turn) in known
    ]
    differences: dict[str, Difference] = {}
    num_same = 0
    for own, other in pairs:
        if own.prompt_id in differences:
            continue
        position = first_difference(own.tokens, other.tokens)
        if position is None:
            num_same += 1
        else:
            differences[own.prompt_id] = _difference(own, other, position)
    num_compared = num_same + len(differences)
    left_out = len(pairs) - num_compared
    return Identity(num_compared, num_same, left_out, list(differences.values()))


def _difference(own: Answer, other: Answer, position: int) -> Difference:
    there = tuple(
        each.tokens[position] if position < len(each.tokens) else None for each in (other, own)
    )
    return Difference(own.prompt_id, own.task, own.turn, position, (there[0], there[1]))
