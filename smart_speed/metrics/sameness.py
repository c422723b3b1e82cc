"""Do lossless conditions write what plain decoding writes, token for token?"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from smart_speed.metrics.speed import Answers
from smart_speed.metrics.texts import first_difference
from smart_speed.run_folder import Answer, Place, RunManifest


class Difference(NamedTuple):
    """Where an answer parts from the baseline's."""

    prompt_id: str
    task: str
    turn: int
    repeat: int
    position: int
    """First output token that differs, from 0; where one text ends, the length of the shorter."""
    tokens: tuple[int | None, int | None]
    """The baseline's there and its own; ``None`` where a text has ended."""

    @property
    def place(self) -> Place:
        """The same for every answer that parts there with that token."""
        return Place(self.prompt_id, self.turn, self.position, *self.tokens)


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


class Sameness(NamedTuple):
    """Whether the lossless conditions of a run write plain decoding's texts."""

    baseline: str | None
    reason: str | None
    """Why nothing is compared; ``None`` if something is."""
    conditions: Mapping[str, Identity]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "baseline": self.baseline,
            "compared": self.reason is None,
            "reason": self.reason,
            "conditions": {name: each.to_json() for name, each in self.conditions.items()},
        }


def sameness_of(manifest: RunManifest, answers: Mapping[str, Answers]) -> Sameness:
    """Compare the texts of lossless conditions with plain decoding's, and its own repeats.

    Args:
        manifest: Of the run.
        answers: By condition, all repeats, no failure among them.
    """
    names = manifest.conditions
    baseline = next((name for name, info in names.items() if info.role == "plain"), None)
    if manifest.sampling.get("temperature", 0) > 0:
        reason = "Above temperature 0 the law of the texts is the same, the texts are not."
        return Sameness(baseline, reason, {})
    if baseline is None:
        return Sameness(None, "There is no condition that decodes plainly.", {})
    compared = {
        name: identity_of(answers[name], answers[baseline])
        for name, info in names.items()
        if info.lossless and (name != baseline or manifest.repeats > 1)
    }
    return Sameness(baseline, None, compared)


def first_conversations(answers: Answers) -> Mapping[tuple[str, int], Answer]:
    """Return one conversation of each prompt, by prompt and turn: the first repeat that is whole.

    Where none is, it is one of the longest.

    Args:
        answers: Of one condition, no failure among them.
    """
    by_prompt: dict[str, dict[int, list[Answer]]] = {}
    for each in sorted(answers, key=lambda each: (each.repeat, each.turn)):
        by_prompt.setdefault(each.prompt_id, {}).setdefault(each.repeat, []).append(each)
    longest = (max(repeats.values(), key=len) for repeats in by_prompt.values())
    return {(each.prompt_id, each.turn): each for answers in longest for each in answers}


def identity_of(answers: Answers, baseline: Answers) -> Identity:
    """Compare the texts of two conditions, or of one with itself, where both have answered.

    Each repeat is compared with one of the baseline's repeats, that of ``first_conversations``,
    which is not compared with itself.

    Args:
        answers: Of one condition, no failure among them.
        baseline: Of another one or the same, at temperature 0 as well.
    """
    known = first_conversations(baseline)
    pairs = [
        (each, other)
        for each in sorted(answers, key=lambda each: each.turn)
        if (other := known.get((each.prompt_id, each.turn))) is not None and other is not each
    ]
    differences: dict[tuple[str, int], Difference] = {}
    num_same = 0
    for own, other in pairs:
        if (own.prompt_id, own.repeat) in differences:
            continue
        position = first_difference(own.tokens, other.tokens)
        if position is None:
            num_same += 1
        else:
            differences[own.prompt_id, own.repeat] = _difference(own, other, position)
    num_compared = num_same + len(differences)
    left_out = len(pairs) - num_compared
    return Identity(num_compared, num_same, left_out, list(differences.values()))


def _difference(own: Answer, other: Answer, position: int) -> Difference:
    there = tuple(
        each.tokens[position] if position < len(each.tokens) else None for each in (other, own)
    )
    return Difference(own.prompt_id, own.task, own.turn, own.repeat, position, (there[0], there[1]))
