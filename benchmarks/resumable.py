"""Rows of JSON that outlive an interrupted run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from smart_speed.errors import ConfigError
from smart_speed.files import whole


@final
class ResumableRows:
    """A file of rows, one a line; its first line says what they were made with."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Begin, or go on with, a file.

        A last line that was cut off is dropped.

        Args:
            path: The file.
            settings: What the rows depend on, as JSON values.

        Raises:
            ConfigError: If the file's rows were made with other settings.
        """
        self._path = path
        self.rows: list[dict[str, Any]] = []
        """Those there were, and those added since."""
        header = json.dumps({"settings": settings})
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.read_text("utf-8").split("\n")[:-1] if path.is_file() else []
        if kept and kept[0] != header:
            before = json.loads(kept[0])["settings"]
            now = json.loads(header)["settings"]
            differ = sorted(key for key in before | now if before.get(key) != now.get(key))
            raise ConfigError(
                f"{str(path)!r} must have been made with these settings to be gone on with "
                f"(not so: {', '.join(differ)}); delete it, or use those of its first line."
            )
        self.rows += [json.loads(line) for line in kept[1:]]
        with whole(path) as part:
            part.write_text("".join(f"{line}\n" for line in kept or [header]), "utf-8")

    def add(self, row: dict[str, Any]) -> None:
        """Write a row before anything else is done."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        self.rows.append(row)
