"""Prompts to distil on, each with where it is from and what its licence allows."""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.errors import ConfigError, check_that
from smart_speed.files import parse_json
from smart_speed.workloads.builtin import builtin_prompts
from smart_speed.workloads.data_files import data_suffix, read_text
from smart_speed.workloads.hub import load_rows, parse_place

_TEXT_FIELDS = ("prompt", "question", "instruction", "text")
"""Where a line of JSON keeps its prompt; the first that is there."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPrompt:
    """One prompt; texts unknown are empty."""

    prompt_id: str
    text: str
    task: str = ""
    source: str = ""
    licence: str = ""


def read_prompts(source: str, licences: Collection[str] = ()) -> list[TrainingPrompt]:
    """Read prompts and keep those whose licence is wanted.

    Args:
        source: "builtin"; a JSON lines file (field "prompt", "question", "instruction" or "text",
            and if there are, "id", "task", "source", "licence" or "license"); any other file of
            text, one prompt a line; either may be compressed (.gz); or a data set with such
            fields: a folder or a hub name, ``NAME``, ``NAME:SPLIT`` or ``NAME:CONFIG:SPLIT``, of
            split "train" if none is named.
        licences: Names to keep, such as "MIT"; a remark in brackets after a prompt's licence does
            not count. Empty keeps all.

    Raises:
        ConfigError: If the source cannot be read, or leaves no prompt.
        EngineMissingError: If it is a data set, and the package datasets is not installed.
    """
    if source == "builtin":
        found = [
            TrainingPrompt(
                prompt_id=prompt.prompt_id,
                text=prompt.text,
                task=prompt.task,
                source="smart_speed",
                licence="Apache-2.0",
            )
            for prompt in builtin_prompts()
        ]
    elif Path(source).expanduser().is_file():
        found = _read_file(Path(source).expanduser())
    else:
        found = _read_data_set(source)
    kept = [prompt for prompt in found if not licences or _plain(prompt.licence) in licences]
    rule = "a source of at least one prompt"
    if licences and found:
        names = sorted({_plain(prompt.licence) for prompt in found})
        rule += f" under {', '.join(sorted(licences))}, not only {', '.join(names)}"
    check_that(bool(kept), "prompts", rule, source)
    return kept


def _plain(licence: str) -> str:
    return licence.partition(" (")[0]


def _read_file(path: Path) -> list[TrainingPrompt]:
    lines = read_text(path).split("\n")  # splitlines would split inside of texts
    if data_suffix(path) == "jsonl":
        return [
            _read_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()
        ]
    return [
        TrainingPrompt(prompt_id=f"{path.stem}:{number}", text=line, source=path.name)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _read_row(path: Path, number: int, line: str) -> TrainingPrompt:
    try:
        return _prompt_of(parse_json(line), path.name, f"{path.stem}:{number}")
    except ValueError:
        raise ConfigError(
            f"A line of prompts must be a JSON object with a text in {', '.join(_TEXT_FIELDS)}, "
            f"got line {number} of {str(path)!r}: {line[:60]!r}."
        ) from None


def _prompt_of(row: Any, source: str, prompt_id: str) -> TrainingPrompt:
    """Return a row's prompt.

    Raises:
        ValueError: If it has none.
    """
    texts = (row.get(name) for name in _TEXT_FIELDS) if isinstance(row, dict) else ()
    text = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    if text is None:
        raise ValueError("no text")
    return TrainingPrompt(
        prompt_id=str(row.get("id", prompt_id)),
        text=text,
        task=str(row.get("task", "")),
        source=str(row.get("source", source)),
        licence=str(row.get("licence", row.get("license", ""))),
    )


def _read_data_set(source: str) -> list[TrainingPrompt]:
    place = parse_place(source)
    name = str(Path(place.name).expanduser())
    rows = load_rows(place._replace(name=name, split=place.split or "train"), knows_tasks=False)
    try:
        return [
            _prompt_of(row, place.name, f"{place.name}:{number}") for number, row in enumerate(rows)
        ]
    except ValueError:
        raise ConfigError(
            f"A data set of prompts must have a text in {', '.join(_TEXT_FIELDS)}, got {source!r} "
            f"with {', '.join(rows.column_names)}."
        ) from None


def fingerprint(prompts: Sequence[TrainingPrompt]) -> str:
    """Return a sha256 that changes with any prompt, or their order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps(dataclasses.astuple(prompt)).encode())
    return digest.hexdigest()
