"""One data set by its name: where it is, how it is read, and what its task is called."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from smart_speed.errors import ConfigError, check_that
from smart_speed.workloads.adapters import ADAPTERS, Origin, adapter_for, prompts_of
from smart_speed.workloads.builtin import builtin_prompts
from smart_speed.workloads.data_files import (
    DATA_SUFFIXES,
    Row,
    bare_name,
    data_suffix,
    find_files,
    local_path,
    read_rows,
    split_of,
    tells_nothing,
)
from smart_speed.workloads.hub import Place, load_rows, parse_place
from smart_speed.workloads.said import Said

_TASK = re.compile(r"([\w.+-]+)=(.+)", re.DOTALL)
_WIKITEXT_SUFFIXES = ("raw", "tokens")
_BUILTIN = "builtin"


class Sourced(NamedTuple):
    """A prompt of a data set, and the task that it belongs to."""

    task: str
    said: Said
    mark: str = ""
    """Begins its number, so that the ids of several splits differ; empty for the test split."""


class _Found(NamedTuple):
    """A data set that was found."""

    rows: Sequence[Row]
    origin: Origin
    names: tuple[str, ...]
    """What it may be known by, the most telling first."""


def read_source(name: str, split: str) -> Iterator[Sourced]:
    """Return what one data set says, in its own order.

    Args:
        name: As for ``load_workload``, but of one.
        split: If the name has none.

    Raises:
        ConfigError: If it cannot be read, or is something else.
        EngineMissingError: If a package to read it with is not installed.
    """
    task, name = _task_and_name(name)
    if name == _BUILTIN:
        return _builtin(task)
    found = _find(name, split)
    check_that(bool(found.rows), "prompts", "a source of at least one prompt", name)
    key = adapter_for(found.rows[0], (task, *found.names) if task else found.names)
    prompts = prompts_of(ADAPTERS[key], found.rows, found.origin)
    rule = f"a source of at least one prompt of split {found.origin.split!r}"
    check_that(bool(prompts), "prompts", rule, name)
    label = key if key not in ("generic", "plain_text") else found.names[0]
    tested = found.origin.split in ("test", ADAPTERS[key].test_split)
    mark = "" if tested else f"{found.origin.split}-"
    return (Sourced(task or said.task or label, said, mark) for said in prompts)


def _task_and_name(text: str) -> tuple[str, str]:
    """Part ``TASK=NAME``; the task is empty if there is none."""
    match = _TASK.fullmatch(text)
    if match is None or local_path(text):
        return "", text
    return match[1], match[2]


def _builtin(task: str) -> Iterator[Sourced]:
    return (
        Sourced(
            task or prompt.task, Said((prompt.text,), prompt_id="" if task else prompt.prompt_id)
        )
        for prompt in builtin_prompts()
    )


def _find(name: str, split: str) -> _Found:
    place = Place(name, None, None) if local_path(name) else parse_place(name)
    wanted = place.split or split
    if (path := local_path(place.name)) is not None:
        word = re.fullmatch(r"[\w.-]+", wanted) is not None
        check_that(word, "split", "a word for a file or folder that is here", wanted)
        if path.is_dir():
            return _file(find_files(path, place._replace(split=wanted)), path, wanted)
        return _file([path], path.parent, place.split or split_of(path.name) or split)
    if _is_path(place.name):
        raise ConfigError(
            f"prompts must be 'builtin', a file or folder here, or a data set on the hub, found no "
            f"file or folder {place.name!r}; give the path of a local copy."
        )
    return _on_hub(place._replace(split=wanted))


def _is_path(name: str) -> bool:
    """Whether a name is a path for sure, and none of the hub's."""
    begins = name.startswith((".", "~", os.sep))
    return begins or name.count("/") > 1 or data_suffix(Path(name)) in DATA_SUFFIXES


def _file(paths: Sequence[Path], folder: Path, split: str) -> _Found:
    """Read a file, or all shards of one; folder is what the user knows it by, but for its name."""
    rows = [row for path in paths for row in read_rows(path)]
    stem = bare_name(paths[0])
    names: tuple[str, ...] = (stem, folder.resolve().name)
    names = names[::-1] if tells_nothing(stem) else names
    if data_suffix(paths[0]) in _WIKITEXT_SUFFIXES:
        names = ("wikitext", *names)
    return _Found(rows, Origin(str(paths[0]), split_of(split) or split), names)


def _on_hub(place: Place) -> _Found:
    own = place.name.rpartition("/")[2].lower()
    for key, adapter in ADAPTERS.items():
        if adapter.hub and place.name.lower() in (key, adapter.hub.lower(), _last(adapter.hub)):
            split = adapter.test_split if place.split == "test" else place.split
            place = Place(adapter.hub, place.config or adapter.config, split)
            own = key
            break
    rows = list(load_rows(place))
    origin = Origin(":".join(filter(None, (place.name, place.config))), place.split or "")
    return _Found(rows, origin, (own,))


def _last(hub: str) -> str:
    return hub.rpartition("/")[2].lower()
