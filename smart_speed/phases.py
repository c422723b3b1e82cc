"""Predictable or reasoning: the two phases of a text, told apart by the verifier's entropy.

The entropy is Shannon's, in nats, of the verifier's raw law (temperature 1) of each token of the
output. Every token has one, whoever drafted it and whether it was drafted at all; the entropies
of different drafters would not compare. So the phase of a token depends on the text before it and
on nothing else: not on where rounds begin, nor on the drafter.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

from smart_speed.errors import check_that

Phase = Literal["predictable", "reasoning"]


@final
@dataclass(frozen=True, kw_only=True)
class Phases:
    """Where one phase ends and the other begins; two thresholds, so that noise does not flicker."""

    theta_phase: float = 1.0
    """Nats between predictable (below) and reasoning (above)."""
    phase_hysteresis: float = 0.2
    """Share of ``theta_phase`` by which an entropy must pass it to change the phase; 0 for none."""

    def __post_init__(self) -> None:
        positive = 0 < self.theta_phase < math.inf
        check_that(positive, "theta_phase", "a positive number of nats", self.theta_phase)
        share = 0 <= self.phase_hysteresis < 1
        check_that(share, "phase_hysteresis", "at least 0 and below 1", self.phase_hysteresis)

    def phase_after(self, phase: Phase | None, entropy_nats: float) -> Phase:
        """Return the phase that a law belongs to. Pure.

        Args:
            phase: That of the law before; ``None`` for the first, which the bare threshold decides.
            entropy_nats: Entropy of the law.
        """
        if phase is None:
            limit = self.theta_phase
        elif phase == "predictable":
            limit = self.theta_phase * (1 + self.phase_hysteresis)
        else:
            limit = self.theta_phase * (1 - self.phase_hysteresis)
        return "reasoning" if entropy_nats > limit else "predictable"

    def phases_along(self, entropies_nats: Iterable[float]) -> list[Phase]:
        """Return the phase of each token of a text, given the entropies of their laws. Pure."""
        found: list[Phase] = []
        for entropy in entropies_nats:
            found.append(self.phase_after(found[-1] if found else None, entropy))
        return found
