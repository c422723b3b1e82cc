"""What an item of a data set says, under the names that most data sets have for it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.workloads.data_files import Row
from smart_speed.workloads.running_text import opening

_FIELDS = (
    "turns", "messages", "conversations", "prompt", "question", "instruction", "problem", "text",
)  # fmt: skip
"""Where an item of no known data set has its prompt; the first that is there."""
_ANSWERS = (
    "reference", "answer", "answers", "solution", "output", "response", "canonical_solution",
)  # fmt: skip
_USERS = ("user", "human")


class Said(NamedTuple):
    """A prompt before it has an id."""

    turns: tuple[str, ...]
    chat: bool = True
    reference: str | None = None
    task: str = ""
    """If items of one data set belong to several."""
    part: int = 0
    """Which one of its article it is, if that gives several."""
    prompt_id: str = ""
    """If it has one already."""
    check: AnswerCheck | None = None
    """What makes an answer right, if that can be checked."""
    item_text: str | None = None
    """What the item says, where the turns say it in other words."""


def said_by(row: Row) -> Said:
    """Take the first of the usual fields that has a prompt; a mere "text" is to be gone on with.

    Raises:
        ValueError: If there is none.
    """
    found = ((name, turns_of(row.get(name))) for name in _FIELDS)
    name, turns = next((each for each in found if each[1]), ("", ()))
    if not turns:
        raise ValueError(f"it must have a prompt in {', '.join(_FIELDS)}")
    task = row.get("task")
    task = task if isinstance(task, str) else ""
    if name == "text":
        return Said((opening(turns[0]),), chat=False, task=task, item_text=turns[0])
    if name == "instruction" and turns_of(row.get("input")):  # what it is to be done with
        turns = (f"{turns[0]}\n\n{row['input']}",)
    answers = (answer_of(row.get(field)) for field in _ANSWERS)
    return Said(turns, reference=next(filter(None, answers), None), task=task)


def turns_of(value: Any) -> tuple[str, ...]:
    """Return what the user says in a text, a list of texts, or the messages of a chat.

    Raises:
        ValueError: If something else is among them.
    """
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    said = []
    for each in value if isinstance(value, list | tuple) else ():
        text = each
        if isinstance(each, Mapping):
            if each.get("role", each.get("from")) not in _USERS:
                continue
            text = each.get("content", each.get("value"))
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"a turn must be a text, got {text!r}")
        said.append(text)
    return tuple(said)


def answer_of(value: Any) -> str | None:
    """Return an answer as a text; several, on lines of their own."""
    if isinstance(value, Mapping):  # SQuAD's on the hub
        value = value.get("text")
    if isinstance(value, list | tuple):
        texts = (each.get("text") if isinstance(each, Mapping) else each for each in value)
        value = "\n".join(dict.fromkeys(str(text) for text in texts if text))
    return None if value is None or value == "" else str(value)
