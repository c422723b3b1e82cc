"""Run a program that a model wrote, within limits.

It gets a process of its own with no environment, an empty folder that is deleted afterwards,
nothing to read and nowhere to write but there, and limits of time, memory, files and processes;
where the system allows it, no network. That keeps honest mistakes from doing harm: loops without
end, memory without end, files all over the place. **It is no security boundary**: the program runs
as the same user and may read what that user may read. Run programs of models that you do not
trust in a container or a virtual machine.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, final

from smart_speed.errors import ConfigError, check_that


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use."""

    seconds: float = 10.0
    """Of the wall's clock; of the processor's as well."""
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 20
    """The most that a file may grow to."""

    def __post_init__(self) -> None:
        check_that(self.seconds > 0, "seconds", "above 0", self.seconds)
        check_that(
            self.memory_bytes >= 1 << 26, "memory_bytes", "at least 2**26", self.memory_bytes
        )
        check_that(self.file_bytes >= 0, "file_bytes", "at least 0", self.file_bytes)


class Outcome(NamedTuple):
    """How a program ended."""

    passed: bool
    """Whether it came to its end without an error."""
    ended_by: str
    """"end", the name of the exception that ended it, "time", or "killed"."""


def run_program(program: str, limits: Limits | None = None) -> Outcome:
    """Run a Python program to its end, or to its limits.

    Args:
        program: Its text.
        limits: ``None`` for the default ones.

    Raises:
        ConfigError: If the system knows no limits, as Windows.
    """
    if os.name != "posix":
        raise ConfigError(f"Programs can only be run on a system with limits, got {os.name!r}.")
    limits = limits or Limits()
    word = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="smart-speed-", ignore_cleanup_errors=True) as name:
        path = Path(name) / "program.py"
        path.write_text(program, encoding="utf-8", errors="replace")
        said = _watched([sys.executable, "-I", "-B", "-c", _LAUNCHER, *_asked(limits)], word, path)
    if said is None:
        return Outcome(False, "time")
    lines = said.split("\n")
    if lines[0] == word:
        return Outcome(True, "end")
    return Outcome(False, lines[0] if lines[0].isidentifier() else "killed")


def _asked(limits: Limits) -> list[str]:
    return [repr(limits.seconds), str(limits.memory_bytes), str(limits.file_bytes)]


def _watched(command: list[str], word: str, path: Path) -> str | None:
    """Return what the launcher said; ``None`` where it took too long."""
    seconds = float(command[-3])
    with subprocess.Popen(
        [*command, word, path.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=path.parent,
        env={},
        start_new_session=True,
        close_fds=True,
        text=True,
        errors="replace",
    ) as process:
        try:
            return process.communicate(timeout=seconds + 1.0)[0]
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Its children, too: they are of its session.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


_LAUNCHER = """
import ctypes, os, resource, sys
seconds, memory, size, word, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    program = file.read()
# What is said here is heard outside, so the program writes elsewhere.
heard = os.dup(1)
quiet = os.open(os.devnull, os.O_RDWR)
os.dup2(quiet, 1)
os.dup2(quiet, 2)
try:
    ctypes.CDLL(None).unshare(0x10000000 | 0x40000000)  # user and network of its own, on Linux
except (AttributeError, OSError):
    pass
import gc, traceback
time = int(float(seconds)) + 1
for name, most in (
    ("CPU", time), ("AS", int(memory)), ("FSIZE", int(size)), ("NOFILE", 64), ("NPROC", 0),
    ("CORE", 0),
):
    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
    except (AttributeError, ValueError, OSError):
        pass
sys.argv = [path]
try:
    exec(compile(program, path, "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    said = word
except BaseException as error:
    said = type(error).__name__
os.write(heard, said.encode())
os._exit(0)
"""
