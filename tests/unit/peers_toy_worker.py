"""A worker with nothing but Python: counts on from the prompt's last token, or does what it fears.

Settings: ``step`` (what it counts by) and ``fears`` (a prompt's last token, by what it then does).
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.serving import Answer, Arrivals, main

PAIR = 2
"""Tokens of each pass."""


class Counting:
    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        if settings["step"] == 0:
            raise ValueError("step must not be 0\nand more")
        os.write(1, b"noise of a library on stdout\n")
        self._step = settings["step"]
        self._fears = settings.get("fears", {})
        return {"toy": "1.0"}

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        last = prompt[-1]
        match next((what for what, token in self._fears.items() if token == last), None):
            case "dying":
                os._exit(7)
            case "failing":
                raise RuntimeError("no such token")
            case "sleeping":
                time.sleep(60)
        arrivals = Arrivals()
        for _ in range(0, max_new_tokens, PAIR):
            arrivals.add(PAIR)
        return arrivals.answer([last + self._step * at for at in range(1, max_new_tokens + 1)])

    def peak_bytes(self) -> int | None:
        return 4096


if __name__ == "__main__":
    main(Counting())
