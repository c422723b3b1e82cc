"""Prompts to distil on, each with where it is from and what its licence allows."""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.errors import ConfigError, check_that
from smart_speed.workloads.builtin import builtin_prompts

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
            and if there are, "id", "task", "source", "licence" or "license"); or any other file
            of text, one prompt a line.
        licences: Names to keep, such as "MIT"; a remark in brackets after a prompt's licence does
            not count. Empty keeps all.

    Raises:
        ConfigError: If the file cannot be read, or leaves no prompt.
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
    else:
        found = _read_file(Path(source).expanduser())
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
    try:
        with path.open(encoding="utf-8") as file:  # splitlines would split inside of texts
            lines = file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"prompts must be 'builtin' or a readable text file, got {str(path)!r} ({error})."
        ) from error
    if path.suffix == ".jsonl":
        return [
            _read_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()
        ]
    return [
        TrainingPrompt(prompt_id=f"{path.stem}:{number}", text=line.rstrip("\n"), source=path.name)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _read_row(path: Path, number: int, line: str) -> TrainingPrompt:
    try:
        row: Any = json.loads(line)
        field = next(name for name in _TEXT_FIELDS if row.get(name))
    except (ValueError, AttributeError, StopIteration):
        raise ConfigError(
            f"A line of prompts must be a JSON object with a text in {', '.join(_TEXT_FIELDS)}, "
            f"got line {number} of {str(path)!r}: {line[:60]!r}."
        ) from None
    return TrainingPrompt(
        prompt_id=str(row.get("id", f"{path.stem}:{number}")),
        text=str(row[field]),
        task=str(row.get("task", "")),
        source=str(row.get("source", path.name)),
        licence=str(row.get("licence", row.get("license", ""))),
    )


def fingerprint(prompts: Sequence[TrainingPrompt]) -> str:
    """Return a sha256 that changes with any prompt, or their order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps(dataclasses.astuple(prompt)).encode())
    return digest.hexdigest()
