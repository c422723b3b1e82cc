"""The verifier's laws of one proposal, each computed when a rule asks for it."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import final

import array_api_compat

from smart_speed.entropy import raw_entropy, top_tokens
from smart_speed.laws import Array, Law, Scores
from smart_speed.sampling import Sampling


@final
class VerifierLaws:
    """Rows of logits as ``TargetLaws``; good until the verifier's next pass."""

    def __init__(
        self, rows: Array, sampling: Sampling, text: Sequence[int], proposed: Sequence[int]
    ) -> None:
        """Keep what the verifier said.

        Args:
            rows: Logits of one pass, one row for each proposed token and one that follows it all.
            sampling: What shapes them.
            text: Verified tokens, the prompt included; read when a law is asked for.
            proposed: What was drafted after them.
        """
        self._rows = rows
        self._sampling = sampling
        self._text = text
        self._proposed = proposed
        self._entropies: dict[int, float] = {}

    @property
    def greedy(self) -> bool:
        """Whether every law is one token."""
        return self._sampling.greedy

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        size: int = self._rows.shape[-1]
        return size

    def law(self, position: int) -> Law:
        return self._sampling.law(Scores(self._rows[position]), self._context(position))

    def graded(self, position: int) -> Law:
        return self._sampling.graded(Scores(self._rows[position]), self._context(position))

    def without(self, position: int, token: int) -> Law:
        row = self._rows[position]
        xp = array_api_compat.array_namespace(row)
        others = xp.arange(row.shape[0], device=array_api_compat.device(row))
        scores = Scores(row).keep(others[others != token])
        return self._sampling.law(scores, self._context(position))

    def entropy_nats(self, position: int) -> float:
        if position not in self._entropies:
            self._entropies[position] = raw_entropy(Scores(self._rows[position]))
        return self._entropies[position]

    def top_tokens(self, position: int, number: int) -> frozenset[int]:
        return top_tokens(Scores(self._rows[position]), number)

    def _context(self, position: int) -> Iterable[int]:
        return chain(self._text, self._proposed[:position])
