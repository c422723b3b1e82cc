"""Models that take a known time, on a clock of their own: what a measurement must find."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.laws import Scores
from tests.unit.traced import drafter_of, verifier_of

PASS_S = {1: 1.0, 2: 1.05, 3: 1.2, 4: 1.3, 5: 1.7}
STEP_S = 0.11
PASS_CONTEXT_S = {1: 0.001, 2: 0.002, 3: 0.002, 4: 0.002, 5: 0.003}
STEP_CONTEXT_S = 0.0005
READING_S = 1e-6
"""Of the clock itself, so that every phase takes some time."""


class Machine:
    """A clock that models drive, with noise, interruptions and drift if wanted."""

    def __init__(self, *, noise: float = 0.0, interrupted: float = 0.0, seed: int = 0) -> None:
        self.now = 0.0
        self._rng = np.random.default_rng(seed)
        self._noise, self._interrupted = noise, interrupted

    def __call__(self) -> float:
        self.now += READING_S
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds * float(np.exp(self._noise * self._rng.normal()))
        if self._rng.random() < self._interrupted:
            self.now += 20


class TimedModel:
    """A model that drives a machine's clock."""

    def __init__(self, inner: Any, machine: Machine) -> None:
        self._inner, self._machine = inner, machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        if len(tokens) in PASS_S:  # else it is a prompt
            context_len, width = self._inner.cached_len + 1, len(tokens)
            self._machine.spend(PASS_S[width] + PASS_CONTEXT_S[width] * context_len)
        return self._inner.feed(tokens, last=last)


class TimedDrafter:
    """A drafter that does."""

    def __init__(self, inner: Drafter, machine: Machine) -> None:
        self._inner, self._machine = inner, machine
        self.name = inner.name

    @property
    def context_len(self) -> int | None:
        return self._inner.context_len

    def prefill(self, text: Sequence[int]) -> None:
        self._inner.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self._machine.spend(STEP_S + STEP_CONTEXT_S * len(text))
        return self._inner.scores_after(text, proposal)

    def rollback(self, to_len: int) -> None:
        self._inner.rollback(to_len)


def timed_pair(machine: Machine, seed: int = 1) -> tuple[LoadedModel, Drafter]:
    """Return a verifier and a drafter that take the times above."""
    plain = verifier_of(seed)
    verifier = LoadedModel(
        model=TimedModel(plain.model, machine),
        tokenizer=plain.tokenizer,
        engine="toy",
        path="test",
        description="made for a test",
    )
    return verifier, TimedDrafter(drafter_of("model", seed), machine)
