"""What a verification rule is: laws and chance in, a verdict out."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from smart_speed.laws import Chance, Law, Proposal


@runtime_checkable
class TargetLaws(Protocol):
    """What the verifier says at each position of a proposal.

    Position ``len(proposal.tokens)`` follows it all. Nothing is computed before it is asked for:
    each answer costs a pass over the vocabulary, lossless rules need but one of them, and those
    past the first rejection are never needed.
    """

    @property
    def greedy(self) -> bool:
        """Whether every law is one token, as at temperature 0."""
        ...

    @property
    def vocab_size(self) -> int:
        """Tokens that the verifier knows."""
        ...

    def law(self, position: int) -> Law:
        """Return the target law: what a token is drawn from, temperature and truncation applied."""
        ...

    def graded(self, position: int) -> Law:
        """Return the law that tells a good token from a bad one.

        The target law, except at temperature 0, where that is one token: there the law of
        temperature 1, the repetition penalty applied.
        """
        ...

    def without(self, position: int, token: int) -> Law:
        """Return the target law that would hold if a token did not exist.

        It is taken out before temperature and truncation, so that something is always left.
        """
        ...

    def entropy_nats(self, position: int) -> float:
        """Return Shannon's entropy of the raw law, in nats."""
        ...

    def top_tokens(self, position: int, number: int) -> frozenset[int]:
        """Return the likeliest tokens of the raw law."""
        ...


class Verdict(NamedTuple):
    """What the verifier made of a proposal."""

    accepted_len: int
    """Leading proposed tokens that stay."""
    next_token: int
    """The extra token: a bonus after full acceptance, else a corrected one."""
    inexact: tuple[int, ...] = ()
    """Positions up to ``accepted_len`` that the exact test, by the same chance, decides otherwise:
    kept against it, or rejected."""
    state: Any = None
    """What the rule is to be handed with the next proposal of the text."""


@runtime_checkable
class VerificationRule(Protocol):
    """Pure but for the chance it is handed."""

    @property
    def lossless(self) -> bool:
        """Whether the output law is exactly the verifier's."""
        ...

    def verify(
        self, proposal: Proposal, target: TargetLaws, chance: Chance, state: Any = None
    ) -> Verdict:
        """Judge a proposal; an empty one yields one token of the verifier's own law.

        Args:
            proposal: Tokens and the laws that they were drawn from.
            target: The verifier's laws.
            chance: Where randomness comes from.
            state: That of the last verdict on this text; ``None`` for the first.
        """
        ...


@runtime_checkable
class GlancingRule(VerificationRule, Protocol):
    """A rule that looks at what the drafter thought, beyond what it drew from."""

    @property
    def glance_len(self) -> int:
        """The likeliest tokens of each raw draft law that it reads, at least 1."""
        ...
