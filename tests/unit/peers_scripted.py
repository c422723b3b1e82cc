"""Peers that answer as a test wants them to."""

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.catalogue import PeerSpec
from benchmarks.peers.interleaving import Contestant, Worker

WARM_UP = {"do": "answer", "prompt": [0], "max_new_tokens": 4, "temperature": 0.0, "seed": 0}


class Scripted:
    """A worker that needs no process: each reply is a document or an error."""

    def __init__(self, replies: list[Any]) -> None:
        self.replies, self.asked, self.stopped = replies, list[Any](), 0

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        self.asked.append(request)
        reply = self.replies.pop(0) if self.replies else answer_of(request)
        if isinstance(reply, Exception):
            raise reply
        return dict(reply)

    def stop(self) -> None:
        self.stopped += 1


def answer_of(
    request: Mapping[str, Any], *, decode_s: float = 1.0, step: int = 1
) -> dict[str, Any]:
    count = request["max_new_tokens"]
    answer = {
        "tokens": [request["prompt"][-1] + step * at for at in range(1, count + 1)],
        "first_s": 0.25,
        "first_len": 1,
        "decode_s": decode_s,
        "decode_len": count - 1,
        "passes": 2,
    }
    return {"answer": answer, "peak_bytes": 1000}


def contestant(worker: Worker, starts: list[int] | None = None) -> Contestant:
    def start() -> tuple[Worker, dict[str, Any]]:
        if starts is not None:
            starts.append(1)
        return worker, {"version": "1"}

    return Contestant(start, WARM_UP)


def specs() -> list[PeerSpec]:
    def spec(name: str, baseline: str, **more: Any) -> PeerSpec:
        return PeerSpec(
            name=name, baseline=baseline, engine="toy", worker="none", settings={}, **more
        )

    return [
        spec("ours, plain", "ours, plain", ours=True),
        spec("ours", "ours, plain", ours=True),
        spec("theirs, plain", "theirs, plain"),
        spec("theirs", "theirs, plain", samples=False),
        spec("absent", "theirs, plain"),
    ]
