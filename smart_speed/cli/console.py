"""Where the command line writes: people read stderr, programs read stdout."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from smart_speed.errors import OutputError

console = Console(stderr=True, highlight=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = 140  # a file has no edge at which tables would have to be cut


def say(sentence: str) -> None:
    """Show a line for people."""
    console.print(sentence, style="dim", markup=False)


def print_json(document: Any) -> None:
    """Write the one document of ``--json``."""
    json.dump(document, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def check_writable(path: Path) -> None:
    """Find out before any work is done whether a file can be written.

    Raises:
        OutputError: If it cannot.
    """
    try:
        with path.open("ab"):
            pass
        if path.stat().st_size == 0:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{str(path)!r} must be a file that can be written: {error}.") from error
