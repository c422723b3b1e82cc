"""Data sets by name, through the package datasets: on the hub, or in its cache."""

import re
from typing import Any, NamedTuple

from smart_speed.errors import ConfigError, EngineMissingError


class Place(NamedTuple):
    """Where a data set is to be found."""

    name: str
    config: str | None
    split: str | None

    @property
    def wanted(self) -> str:
        """Configuration and split in words."""
        parts = (("config", self.config), ("split", self.split))
        return ", ".join(f"{key} {value!r}" for key, value in parts if value)


def parse_place(text: str) -> Place:
    """Read ``NAME``, ``NAME:SPLIT`` or ``NAME:CONFIG:SPLIT``.

    Raises:
        ConfigError: If there are more parts.
    """
    name, *rest = re.split(r":(?![^\[]*\])", text)  # a split may be "test[:100]"
    if len(rest) > 2:
        raise ConfigError(
            f"A data set must be NAME, NAME:SPLIT or NAME:CONFIG:SPLIT, got {text!r}."
        )
    return Place(name, rest[0] if len(rest) == 2 else None, rest[-1] if rest else None)


def load_rows(place: Place, *, knows_tasks: bool = True) -> Any:
    """Return a data set; its rows are mappings, in order, and it knows its ``column_names``.

    Args:
        place: Where it is.
        knows_tasks: Whether its user may name a task before a path, which a refusal then shows.

    Raises:
        ConfigError: If it cannot be had.
        EngineMissingError: If the package datasets is not installed.
    """
    wanted = "prompts must be 'builtin', a file or folder here, or a data set on the hub"
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise EngineMissingError(
            f"{wanted}, found no file or folder {place.name!r}; for the hub run "
            "`pip install 'smart-speed[data]'`, or give the path of a local copy."
        ) from error
    try:
        return load_dataset(place.name, place.config, split=place.split)
    # What a hub, a parser or a file system may say has no common ancestor.
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        hint = f", as in {_task(place.name)}=PATH" if knows_tasks else ""
        raise ConfigError(
            f"{wanted}, looked for {place.name!r} ({place.wanted}): {said}; give the path of a "
            f"local copy{hint}."
        ) from error


def _task(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] or "TASK"
