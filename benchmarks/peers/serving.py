"""A worker's side: requests come in on stdin, answers go out on stdout, one JSON document a line.

Workers run in environments of their own, where smart_speed is not installed, so this needs nothing
but Python.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO, final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, and when it came."""

    tokens: Sequence[int]
    """The output; the token that ended it may be left out."""
    first_s: float
    """From the request to the first tokens: the prompt is read, and one pass is made."""
    first_len: int
    """Tokens that there were then; speculative decoders begin with several."""
    decode_s: float
    """From then to the end."""
    decode_len: int
    """Tokens written in that time."""
    passes: int | None
    """Passes of the verifier in that time, if the engine tells."""


class Peer(Protocol):
    """An engine behind a worker."""

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Load models; return what there is to know of the engine, as JSON values."""
        ...

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        """Go on with a prompt, reading all of it anew; temperature 0 is greedy."""
        ...

    def peak_bytes(self) -> int | None:
        """Return the most memory that the engine has had, if the system tells."""
        ...


@final
class Arrivals:
    """Notes when tokens come, in as many steps as the engine makes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin, just before the request."""
        self._clock = clock
        self._start_s = clock()
        self._at_s: list[float] = []
        self._lens: list[int] = []

    def add(self, count: int) -> None:
        """Note some tokens that are there now."""
        self._at_s.append(self._clock())
        self._lens.append(count)

    def answer(self, tokens: Sequence[int]) -> Answer:
        """Return the answer; each step after the first was a pass of the verifier."""
        if not self._at_s:
            raise RuntimeError("an answer must have at least one token, got none")
        return Answer(
            tokens=list(tokens),
            first_s=self._at_s[0] - self._start_s,
            first_len=self._lens[0],
            decode_s=self._at_s[-1] - self._at_s[0],
            decode_len=sum(self._lens[1:]),
            passes=len(self._lens) - 1,
        )


def peak_of(process: int | str = "self") -> int | None:
    """Return the most memory that a process has had, in bytes; ``None`` where nobody says."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(sizes[0]) * 1024 if sizes else None


def serve(peer: Peer, lines: Iterable[str], out: TextIO) -> None:
    """Do what each line asks for, and say what came of it; an error ends nothing."""
    for line in lines:
        try:
            reply = {"ok": True, **_done(peer, json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver shall hear of it
            said = f"{error}".strip() or "no reason given"
            reply = {"ok": False, "reason": f"{type(error).__name__}: {said.splitlines()[0]}"}
        out.write(json.dumps(reply) + "\n")
        out.flush()


def _done(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    do = request.pop("do")
    if do == "load":
        return {"about": peer.load(request["settings"])}
    if do != "answer":
        raise ValueError(f"do must be load or answer, got {do!r}")
    made = peer.answer(request.pop("prompt"), **request)
    return {"answer": asdict(made), "peak_bytes": peer.peak_bytes()}


def main(peer: Peer) -> None:
    """Serve on this process's stdin and stdout; whatever else is printed goes to stderr."""
    # Told to end, it leaves as usual, so that what it has started goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        serve(peer, sys.stdin, out)
