"""The table of verification rules: what each is built from, and what it reads."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from smart_speed.phases import Phases
from smart_speed.verification.base import VerificationRule
from smart_speed.verification.block import BlockVerification
from smart_speed.verification.easd import EntropyAware
from smart_speed.verification.fly import LooseVerification
from smart_speed.verification.greedy import GreedyMatch
from smart_speed.verification.relaxed import RelaxedAcceptance, RelaxIn
from smart_speed.verification.speculative import SpeculativeSampling
from smart_speed.verification.typical import TypicalAcceptance


@final
@dataclass(frozen=True, slots=True)
class RuleKind:
    """How a rule is built from flat settings."""

    build: Callable[..., VerificationRule]
    lossless: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every setting that the rule reads, with its default."""


def _relaxed(
    *,
    lenience: float,
    strictness: float,
    relax_in: RelaxIn,
    theta_phase: float,
    phase_hysteresis: float,
) -> RelaxedAcceptance:
    phases = Phases(theta_phase=theta_phase, phase_hysteresis=phase_hysteresis)
    return RelaxedAcceptance(
        lenience=lenience, strictness=strictness, relax_in=relax_in, phases=phases
    )


def _defaults(kind: type) -> dict[str, Any]:
    assert dataclasses.is_dataclass(kind)
    return {item.name: item.default for item in dataclasses.fields(kind)}


def _lossy(build: Callable[..., VerificationRule], **settings: Any) -> RuleKind:
    return RuleKind(build, lossless=False, settings=settings)


PHASE_SETTINGS: Mapping[str, Any] = _defaults(Phases)

RULES: Mapping[str, RuleKind] = {
    "greedy": RuleKind(GreedyMatch),
    "speculative": RuleKind(SpeculativeSampling),
    "block": RuleKind(BlockVerification),
    "relaxed": _lossy(_relaxed, lenience=0.5, strictness=1.0, relax_in="low", **PHASE_SETTINGS),
    "easd": _lossy(EntropyAware, **_defaults(EntropyAware)),
    "typical": _lossy(TypicalAcceptance, **_defaults(TypicalAcceptance)),
    "fly": _lossy(LooseVerification, **_defaults(LooseVerification)),
}


def settings_read_by(verification: str, relax_in: RelaxIn | None = None) -> Mapping[str, Any]:
    """Return the settings that a rule reads, with their defaults; none for "auto".

    Args:
        verification: The rule.
        relax_in: Where "relaxed" is lenient; if always, it tells no phases apart.
    """
    if verification not in RULES:
        return {}
    unread = {"strictness", *PHASE_SETTINGS} if relax_in == "always" else set[str]()
    kind = RULES[verification]
    return {name: value for name, value in kind.settings.items() if name not in unread}


def readers_of(setting: str) -> list[str]:
    """Return the rules that read a setting."""
    return [name for name, kind in RULES.items() if setting in kind.settings]


def is_lossless(verification: str) -> bool:
    """Return whether a rule's output law is exactly the verifier's; "auto" is one of those."""
    return verification not in RULES or RULES[verification].lossless
