"""What a verification rule is: laws and chance in, a verdict out."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from smart_speed.laws import Chance, Law, Proposal

TargetLaws = Callable[[int], Law]
"""The verifier's law at a proposal's position; position ``len(proposal.tokens)`` follows it all.

A function, because shaping a law costs a pass over the vocabulary and those past the first
rejection are never needed.
"""


class Verdict(NamedTuple):
    """What the verifier made of a proposal."""

    accepted_len: int
    """Leading proposed tokens that stay."""
    next_token: int
    """The extra token: a bonus after full acceptance, else a corrected one."""


@runtime_checkable
class VerificationRule(Protocol):
    """Pure but for the chance it is handed."""

    @property
    def lossless(self) -> bool:
        """Whether the output law is exactly the verifier's."""
        ...

    def verify(self, proposal: Proposal, target: TargetLaws, chance: Chance) -> Verdict:
        """Judge a proposal; an empty one yields one token of the verifier's own law."""
        ...
