"""All peers on all prompts: one answers at a time, in random order; a run can be gone on with."""

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np

from benchmarks.peers.worker_process import PeerError, PeerGoneError
from benchmarks.resumable import ResumableRows

_ANSWER_S = 300.0
_MOST_FALLS = 2
"""A peer that has gone so often in a row is not started again."""
_WARM_UPS = 2


class Worker(Protocol):
    """Whoever answers requests; ``WorkerProcess`` does."""

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for its reply."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt in tokens, and the temperature of its answers; 0 is greedy."""

    prompt_id: str
    task: str
    tokens: Sequence[int]
    temperature: float


@final
class Contestant:
    """A peer that is started when it is needed, again if it falls, and given up at last."""

    def __init__(
        self, start: Callable[[], tuple[Worker, dict[str, Any]]], warm_up: Mapping[str, Any]
    ) -> None:
        """Remember how to start it.

        Args:
            start: Returns a worker with its models loaded, and what it says of itself.
            warm_up: A request that it answers after each start, for nothing.
        """
        self._start = start
        self._warm_up = warm_up
        self._worker: Worker | None = None
        self._falls = 0
        self.about: dict[str, Any] = {}
        """What it said of itself."""
        self.given_up: str | None = None
        """Why it is out, in a sentence."""

    def begin(self) -> None:
        """Start it, unless it runs or is out."""
        if self._worker is not None or self.given_up is not None:
            return
        try:
            self._worker, self.about = self._start()
            for _ in range(_WARM_UPS):
                self._worker.ask(self._warm_up, timeout_s=_ANSWER_S)
        # Whatever keeps one from being had is told, and keeps nobody else from running.
        except Exception as error:  # noqa: BLE001
            self.end()
            self.given_up = f"{error}".strip() or type(error).__name__

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer, or why there is none."""
        self.begin()
        if self._worker is None:
            return _failed(self.given_up)
        try:
            reply = self._worker.ask(request, timeout_s=_ANSWER_S)
        except PeerGoneError as error:
            self._worker = None
            self._falls += 1
            if self._falls >= _MOST_FALLS:
                self.given_up = str(error)
            return _failed(str(error))
        except PeerError as error:
            return _failed(str(error))
        self._falls = 0
        return {"status": "ok", "peak_bytes": reply["peak_bytes"], **reply["answer"]}

    def end(self) -> None:
        """Stop its worker, if there is one."""
        if self._worker is not None:
            self._worker.stop()
        self._worker = None


def _failed(reason: str | None) -> dict[str, Any]:
    return {"status": "error", "reason": reason}


def run_all(
    contestants: Mapping[str, Contestant],
    questions: Sequence[Question],
    rows: ResumableRows,
    *,
    max_new_tokens: int,
    sampling: Collection[str],
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> None:
    """Have every question answered by everybody, and keep each question's answers once made.

    The order in which they take turns depends on the question and not on those before it.

    Args:
        contestants: By name.
        questions: Those that ``rows`` has answers to are passed over.
        rows: Where the answers go.
        max_new_tokens: The most tokens of an answer.
        sampling: Who also answers at temperatures above 0.
        seed: Of the order, and of the answers.
        progress: Called with the number of questions done, and of all.
        out_of_time: Asked before each question whether to leave the rest for another run.
    """
    done = {(row["prompt_id"], row["temperature"]) for row in rows.rows}
    todo = [each for each in questions if (each.prompt_id, each.temperature) not in done]
    try:
        for contestant in contestants.values() if todo else ():
            contestant.begin()
        for number, question in enumerate(todo):
            if out_of_time():
                return
            row = _row(contestants, question, max_new_tokens, sampling, seed)
            # Said once: the same workers go on.
            told = {name: each.about for name, each in contestants.items()} if not number else {}
            rows.add(row | {"about": told})
            progress(len(questions) - len(todo) + number + 1, len(questions))
    finally:
        for contestant in contestants.values():
            contestant.end()


def _row(
    contestants: Mapping[str, Contestant],
    question: Question,
    max_new_tokens: int,
    sampling: Collection[str],
    seed: int,
) -> dict[str, Any]:
    names = [each for each in contestants if not question.temperature or each in sampling]
    own_seed = zlib.crc32(f"{question.prompt_id} {question.temperature}".encode())
    order = np.random.default_rng([seed, own_seed]).permutation(len(names))
    request = {
        "do": "answer",
        "prompt": list(question.tokens),
        "max_new_tokens": max_new_tokens,
        "temperature": question.temperature,
        "seed": seed,
    }
    answers = {names[at]: contestants[names[at]].ask(request) for at in order.tolist()}
    return {
        "prompt_id": question.prompt_id,
        "task": question.task,
        "temperature": question.temperature,
        "prompt_len": len(question.tokens),
        "answers": {name: answers[name] for name in names},
        "order": [names[at] for at in order.tolist()],
    }
