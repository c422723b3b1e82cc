"""Exactly as lossy as documented: each rule's output law, enumerated, is what its formula implies.

Each test names the change it must catch.
"""

from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.rules import RULES
from smart_speed.sampling import Sampling
from tests.law.enumeration import OutputLaw, random_model, total_variation, verifier_law
from tests.law.implied import Decoding, Kernel, easd, relaxed, typical
from tests.law.test_output_law import EXACT, PROMPT, make_drafter, output_law

LENGTH = 3
CAP = 2
WARM = Sampling(temperature=1.0)
SAMPLINGS = [
    Sampling(),
    WARM,
    Sampling(temperature=0.7, top_k=2),
    Sampling(repetition_penalty=1.8),
    Sampling(temperature=0.9, repetition_penalty=1.3, top_p=0.9),
]
DRAFTERS = ["model", "ngram", "model+ngram", "without b", "only b", "without the end+ngram"]
PHASES: dict[str, Any] = {"theta_phase": 0.75, "phase_hysteresis": 0.2}

CASES: list[tuple[dict[str, Any], Kernel]] = [
    (
        {"verification": "relaxed", "lenience": lenience, "relax_in": relax_in, **phases},
        relaxed(lenience, 1.0, relax_in),
    )
    for lenience, relax_in, phases in [
        (0.5, "low", PHASES),
        (0.1, "low", PHASES),
        (0.5, "high", PHASES),
        (0.2, "high", {"theta_phase": 0.9, "phase_hysteresis": 0.0}),
        (0.3, "always", {}),
        (1.0, "low", PHASES),
    ]
] + [
    (
        {"verification": "typical", "typical_epsilon": epsilon, "typical_delta": delta},
        typical(epsilon, delta),
    )
    for epsilon, delta in [(0.09, 0.3), (0.3, 0.9), (1.0, 0.6)]
] + [
    (
        {
            "verification": "easd",
            "easd_theta": theta,
            "easd_top_n": top_n,
            "easd_overlap": overlap,
        },
        easd(theta, top_n, overlap),
    )
    for theta, top_n, overlap in [(0.5, 2, 0.6), (0.7, 1, 1.0), (0.2, 3, 0.5)]
]  # fmt: skip


def _name(value: object) -> str:
    """Return the name of a case's half, the same in every process."""
    return "formula" if callable(value) else str(value)


def implied(config: EntropyConfig, drafter: str, sampling: Sampling, seed: int) -> Decoding:
    return Decoding(
        verifier=random_model(seed),
        drafter=make_drafter(drafter, seed),
        sampling=sampling,
        prompt=PROMPT,
        length=LENGTH,
        cap=config.draft_cap,
        **({"theta_abs": config.theta_abs} if config.theta_abs is not None else {}),
        **(
            {"theta_phase": config.phases.theta_phase, "hysteresis": config.phases.phase_hysteresis}
            if config.phases
            else {}
        ),
    )


def check(config: EntropyConfig, found: OutputLaw, expected: OutputLaw) -> None:
    assert not config.lossless
    assert sum(found.values()) == pytest.approx(1, abs=EXACT)
    assert sum(expected.values()) == pytest.approx(1, abs=EXACT)
    assert total_variation(found, expected) <= EXACT


@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize(("settings", "kernel"), CASES, ids=_name)
def test_a_rule_writes_what_its_formula_implies(
    settings: dict[str, Any], kernel: Kernel, sampling: Sampling, drafter: str
) -> None:
    """Catches: a ratio or a lenience the wrong way round; a correction from another law; the raw
    law taken for the shaped one; a phase that a round's beginning resets; phases swapped."""
    config = EntropyConfig(strategy="fixed", max_draft_len=CAP, **settings)
    found = output_law(config, drafter, sampling, 0)
    check(config, found, implied(config, drafter, sampling, 0).law(kernel))


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("settings", "kernel"), CASES, ids=_name)
def test_a_forced_stop_is_no_rejection(settings: dict[str, Any], kernel: Kernel, seed: int) -> None:
    """Catches: a lossy rule that treats the end of a draft as a rejected token; what one lucky pair
    of models would hide."""
    config = EntropyConfig(strategy="absolute", theta_abs=0.8, max_draft_len=CAP, **settings)
    found = output_law(config, "model", WARM, seed)
    check(config, found, implied(config, "model", WARM, seed).law(kernel))


@pytest.mark.parametrize("strictness", [1.5, 4.0])
@pytest.mark.parametrize("relax_in", ["low", "high"])
@pytest.mark.parametrize("drafter", ["model", "ngram"])
def test_a_phase_may_be_stricter_than_exact(drafter: str, relax_in: Any, strictness: float) -> None:
    """Catches: strictness ignored; the lenience of one phase used in the other."""
    config = EntropyConfig(
        strategy="fixed", max_draft_len=CAP, verification="relaxed", lenience=0.6,
        strictness=strictness, relax_in=relax_in, **PHASES,
    )  # fmt: skip
    kernel = relaxed(0.6, strictness, relax_in)
    found = output_law(config, drafter, WARM, 0)
    check(config, found, implied(config, drafter, WARM, 0).law(kernel))


@pytest.mark.parametrize(
    ("theta", "window", "full"),
    [(0.3, 6, False), (0.6, 1, False), (0.6, 0, False), (0.6, 1, True), (0.0, 2, True)],
)
@pytest.mark.parametrize("sampling", [Sampling(), WARM, SAMPLINGS[2]], ids=repr)
@pytest.mark.parametrize("drafter", ["model", "ngram", "only b"])
def test_loose_verification_looks_ahead_as_documented(
    drafter: str, sampling: Sampling, theta: float, window: int, full: bool
) -> None:
    """Catches: a window one token too long or short; the second mismatch rejected in place of the
    first; a correction drawn from the law of another position."""
    config = EntropyConfig(
        strategy="fixed", max_draft_len=CAP, verification="fly", fly_theta=theta,
        fly_window=window, fly_full=full,
    )  # fmt: skip
    for seed in (0, 1):
        found = output_law(config, drafter, sampling, seed)
        decoding = implied(config, drafter, sampling, seed)
        check(config, found, decoding.fly_law(theta, window, full=full))


@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if not kind.lossless])
def test_lossy_rules_do_lose_something(name: Any) -> None:
    """Catches: a lossy rule that never differs from the exact one, which no test here would."""
    eager: dict[str, dict[str, Any]] = {
        "relaxed": {"lenience": 0.05, "relax_in": "always"},
        "typical": {},
        "easd": {"easd_theta": 0.1, "easd_top_n": 1, "easd_overlap": 1.0},
        "fly": {"fly_theta": 0.0},
    }
    config = EntropyConfig(strategy="fixed", max_draft_len=CAP, verification=name, **eager[name])
    expected = verifier_law(random_model(0), PROMPT, LENGTH, WARM)
    assert total_variation(output_law(config, "model", WARM, 0), expected) > 0.01


def test_relaxing_costs_what_it_keeps() -> None:
    """The bound of the docs: a drafted position's law is off by what is kept beyond exact."""
    decoding = Decoding(
        random_model(0), make_drafter("model", 0), WARM, PROMPT, length=LENGTH, cap=CAP
    )
    at = decoding.at((), None)
    for lenience in (0.9, 0.5, 0.1):
        kept, corrected = relaxed(lenience, 1.0, "always")(at)
        off = abs(kept + corrected - at.p).sum() / 2
        more = kept.sum() - (abs(at.p - at.q).sum() / -2 + 1)
        assert off == pytest.approx(more, abs=EXACT)
        assert max((kept + corrected) / at.p) <= 1 / lenience + EXACT
