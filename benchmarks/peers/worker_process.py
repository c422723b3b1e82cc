"""A driver's side: another process, asked one thing at a time."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from smart_speed.errors import SmartSpeedError

_END_S = 10.0
"""For a process to end by itself once its stdin is closed."""
_SHOWN = 3
"""Last lines of a log that are told."""


class PeerError(SmartSpeedError):
    """A peer cannot be had, cannot be run, or did not answer."""


class PeerGoneError(PeerError):
    """A peer's process has ended, or had to be."""


@final
class WorkerProcess:
    """A process that answers each line of JSON with another."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it.

        Args:
            command: What to run.
            log: Where its stderr goes.
            environment: Variables besides those of this process.

        Raises:
            PeerError: If it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as errors:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **(environment or {})},
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,
                )
            except OSError as error:
                raise PeerError(f"{command[0]!r} cannot be started: {error}.") from error
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put(None)

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            PeerError: If the reply is that it failed.
            PeerGoneError: If there is none: the process has ended, or is ended for its silence.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            self.stop(wait_s=0.0)
            raise PeerGoneError(f"It gave no answer within {timeout_s:g} s.") from None
        except (OSError, ValueError):  # it has gone, or been stopped, before
            line = None
        if line is None:
            self.stop()
            status = self._process.returncode
            raise PeerGoneError(f"It ended with status {status}: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if not reply.pop("ok"):
            raise PeerError(f"It failed: {reply['reason'].rstrip('.')}.")
        return reply

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", errors="replace").split("\n")
        return " / ".join([line.strip() for line in lines if line.strip()][-_SHOWN:]) or "silence."

    def stop(self, wait_s: float = _END_S) -> None:
        """End the process, if it has not ended: first by leaving it, then by force."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it went first
            self._process.stdin.close()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            # All that it has started goes with it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(_END_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
