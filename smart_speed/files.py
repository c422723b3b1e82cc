"""Files that are there whole or not at all, and whether one is still what it was."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smart_speed.errors import OutputError


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a file to be written, which then takes the place of another at once.

    Args:
        path: Where it goes; the folder must be there.
    """
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def parse_json(text: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: If it is none, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_folder(what: str, folder: Path) -> None:
    """Find out before any work is done whether a folder can be written; what is made for it goes.

    Args:
        what: Is to be written, as the sentence begins.
        folder: Where to; need not be there.

    Raises:
        OutputError: If it cannot.
    """
    with writing(what, folder):
        new = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}.part"
            probe.write_bytes(b"")
            probe.unlink()
        finally:
            for each in new:
                with contextlib.suppress(OSError):
                    each.rmdir()


@contextlib.contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Turn what the system says while files are written into one sentence.

    Args:
        what: Is written, as the sentence begins.
        folder: Where to.

    Raises:
        OutputError: If the system refused.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{what} must go to a folder that can be written: {error}, got {str(folder)!r}."
        ) from error
