"""Lossless means proved: the output law of the shipped loop, enumerated, is the verifier's.

Each test names the change it must catch.
"""

from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter, BlendWeights
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.drafters.routed import PREFIX, RoutedDrafter
from smart_speed.laws import Proposal
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import Draft, EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES
from tests.calibrations import beside, routing_of
from tests.law.enumeration import (
    OutputLaw,
    enumerate_outputs,
    random_model,
    total_variation,
    verifier_law,
)

PROMPT = [0, 1, 0]
LENGTH = 3
EXACT = 1e-12

# Thresholds in the middle of what three tokens can have, so that every rule sometimes fires.
SETTINGS: dict[str, dict[str, Any]] = {
    "absolute": {"theta_abs": 0.7},
    "relative": {"theta_rel": 1.1},
    "window": {"theta_abs": 0.7, "window_size": 2},
    "combined": {"theta_abs": 0.8, "theta_rel": 1.2},
    "adaptive": {"warmup": 1, "z": 0.0},
    "confidence": {"theta_conf": 0.6},
    "heuristic": {"start_len": 1},
    "adaedl": {"adaedl_gamma": 0.5},
    "specdec_pp": {"specdec_h": 0.6},
    "ema": {"tiers": (1, 2), "ema_alpha": 0.9},
}


PLACED = [
    (name, placement)
    for name, kind in sorted(STRATEGIES.items())
    for placement in ([None] if "stop_placement" in kind.ignores else ["after", "before"])
]


TRIMMED = {
    "without b": [0, 2],  # and the prompt holds a b
    "without the end": [0, 1],
    "only b": [1],  # a law of one token, from a row of logits padded to three
}
"""Of a, b and the end, what drafters of a trimmed vocabulary keep."""


def make_drafter(kind: str, seed: int) -> Drafter:
    if kind == "ngram":
        return NgramDrafter(max_order=2)
    if kind.startswith(PREFIX):
        names = kind.removeprefix(PREFIX).split(",")
        # Each model is another one, so that it matters who was asked.
        parts = {name: make_drafter(name, seed + at) for at, name in enumerate(names)}
        return RoutedDrafter(parts)
    if kind.endswith("+ngram"):
        # Weights at which both parts count.
        weights = BlendWeights(bias=-1.0, per_token=0.5, per_prob=1.0)
        return BlendDrafter(make_drafter(kind.removesuffix("+ngram"), seed), weights, max_order=2)
    ids = np.array(TRIMMED[kind]) if kind in TRIMMED else None
    return ModelDrafter(random_model(seed + 1000, order=1).model, vocab_size=3, ids=ids)


def make_config(strategy: str, **settings: Any) -> EntropyConfig:
    cap: dict[str, Any] = {} if strategy == "plain" else {"max_draft_len": 2}
    own = SETTINGS.get(strategy, {}) | beside(strategy)
    return EntropyConfig(strategy=strategy, **cap, **own, **settings)


def output_law(config: EntropyConfig, drafter: str, sampling: Sampling, seed: int) -> OutputLaw:
    decoder = EntropyBasedSpeculativeDecoder(
        random_model(seed), make_drafter(drafter, seed), config
    )
    return enumerate_outputs(
        lambda chance: (
            decoder.generate(PROMPT, max_new_tokens=LENGTH, sampling=sampling, chance=chance).tokens
        )
    )


def distance(config: EntropyConfig, drafter: str, sampling: Sampling, seed: int = 0) -> float:
    expected = verifier_law(random_model(seed), PROMPT, LENGTH, sampling)
    found = output_law(config, drafter, sampling, seed)
    assert sum(found.values()) == pytest.approx(1, abs=EXACT)
    return total_variation(expected, found)


@pytest.mark.parametrize("drafter", ["model", "ngram", "model+ngram"])
@pytest.mark.parametrize("rule", ["speculative", "block"])
@pytest.mark.parametrize(("strategy", "placement"), PLACED)
def test_every_strategy_and_rule_keeps_the_law(
    strategy: str, rule: Any, placement: Any, drafter: str
) -> None:
    """Catches: the residual drawn after a forced stop; a ratio the wrong way round; a bonus token
    from the wrong row; a draft law other than the one that was drawn from."""
    config = make_config(strategy, verification=rule, stop_placement=placement)
    assert distance(config, drafter, Sampling(temperature=1.0)) <= EXACT


@pytest.mark.parametrize("drafter", ["model", "ngram"])
@pytest.mark.parametrize("rule", ["speculative", "block"])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.6),
        Sampling(temperature=1.3, top_k=2),
        Sampling(temperature=1.0, top_p=0.8),
        Sampling(temperature=1.0, min_p=0.3),
        Sampling(temperature=0.9, repetition_penalty=1.7),
        Sampling(temperature=0.9, repetition_penalty=1.3, top_k=2, top_p=0.9, min_p=0.1),
        Sampling(temperature=1.0, ignore_eos=True),
        Sampling(temperature=1.0, stop_tokens=(1,)),
    ],
    ids=repr,
)
def test_every_processor_keeps_the_law(sampling: Sampling, rule: Any, drafter: str) -> None:
    """Catches: processors that shape one law and not the other; a repetition penalty that does not
    see the drafted tokens; supports that differ between the two laws."""
    config = make_config("absolute", verification=rule, entropy_of="sampled")
    assert distance(config, drafter, sampling) <= EXACT


@pytest.mark.parametrize("rule", ["speculative", "block"])
@pytest.mark.parametrize("seed", range(20))
def test_many_random_pairs_keep_the_law(seed: int, rule: Any) -> None:
    """Catches: an error that one lucky pair of models would hide."""
    config = make_config("absolute", verification=rule, stop_placement="before", min_draft_len=1)
    assert distance(config, "model", Sampling(temperature=1.0), seed) <= EXACT


@pytest.mark.parametrize("drafter", [*TRIMMED, *(f"{name}+ngram" for name in TRIMMED)])
@pytest.mark.parametrize("rule", ["speculative", "block"])
@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.9, repetition_penalty=1.3, top_k=2, top_p=0.9, min_p=0.1),
    ],
    ids=["plain", "processed"],
)
def test_drafters_of_a_trimmed_vocabulary_keep_the_law(
    sampling: Sampling, placement: Any, rule: Any, drafter: str
) -> None:
    """Catches: the entry of a law over some tokens taken for a token; a residual that lacks the
    tokens that the drafter cannot name, or has one that stands for all of them."""
    for strategy, seed in (("fixed", 0), ("absolute", 1), ("absolute", 2)):
        placed = {} if strategy == "fixed" else {"stop_placement": placement}
        config = make_config(strategy, verification=rule, **placed)
        assert distance(config, drafter, sampling, seed) <= EXACT


@pytest.mark.parametrize("drafter", ["model", "ngram", *TRIMMED])
@pytest.mark.parametrize("rule", ["auto", "greedy", "speculative", "block"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_at_temperature_zero_the_law_is_one_text(strategy: str, rule: Any, drafter: str) -> None:
    """Catches: temperature 0 treated as a small temperature."""
    config = make_config(strategy, verification=rule)
    found = output_law(config, drafter, Sampling(), 3)
    assert found == verifier_law(random_model(3), PROMPT, LENGTH, Sampling())
    assert len(found) == 1


def _cut_where_a_token_was_unlikely(draft: Draft, *, keep: bool) -> Draft:
    """End a draft at the first token of low probability, with or without that token."""
    tokens, laws = draft.proposal.tokens, draft.proposal.laws
    for index, (token, law) in enumerate(zip(tokens, laws, strict=True)):
        if law.prob_of(token) < 0.4:
            end = index + keep
            return draft._replace(proposal=Proposal(tokens[:end], laws[:end]))
    return draft


@pytest.mark.parametrize("keep", [False, True])
def test_peeking_at_a_drawn_token_biases_the_law_unless_the_token_is_kept(
    keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule that strategies never see tokens, shown to be needed: dropping one that its own
    probability condemned must *fail* to match, stopping after it must not."""
    original = EntropyBasedSpeculativeDecoder._draft
    monkeypatch.setattr(
        EntropyBasedSpeculativeDecoder,
        "_draft",
        lambda self, *args: _cut_where_a_token_was_unlikely(original(self, *args), keep=keep),
    )
    config = make_config("fixed", verification="speculative")
    worst = max(distance(config, "model", Sampling(temperature=1.0), seed) for seed in range(2))
    assert (worst <= EXACT) if keep else (worst > 0.01)


CHOICES = ["model,ngram", "ngram,without b,model", "model+ngram,only b"]
"""Drafters to choose among."""


def routed_config(names: str, **settings: Any) -> EntropyConfig:
    routing = routing_of(*names.split(","))
    return EntropyConfig(strategy="route", max_draft_len=2, routing=routing, **settings)


@pytest.mark.parametrize("names", CHOICES)
@pytest.mark.parametrize("rule", ["speculative", "block"])
@pytest.mark.parametrize("route_by", ["gain", "chain", "hedge"])
def test_a_choice_of_drafters_keeps_the_law(route_by: str, rule: Any, names: str) -> None:
    """Catches: a draft law of one drafter and a token of another; a drafter that is chosen by what
    was drawn; a drafter that still holds tokens which were not kept."""
    config = routed_config(names, verification=rule, route_by=route_by)
    processed = Sampling(temperature=0.9, repetition_penalty=1.3, top_k=2)
    for seed, sampling in enumerate((Sampling(temperature=1.0), processed)):
        assert distance(config, PREFIX + names, sampling, seed) <= EXACT


@pytest.mark.parametrize("names", CHOICES)
@pytest.mark.parametrize("rule", ["greedy", "speculative", "block"])
def test_at_temperature_zero_a_choice_of_drafters_writes_one_text(rule: Any, names: str) -> None:
    """Catches: caches that idle drafters leave in doubt."""
    for seed in range(3):
        config = routed_config(names, verification=rule)
        found = output_law(config, PREFIX + names, Sampling(), seed)
        assert found == verifier_law(random_model(seed), PROMPT, LENGTH, Sampling())


def test_choosing_by_what_was_drawn_biases_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule that a drafter is chosen before it draws, shown to be needed: whoever has another
    draft instead of an unlikely token must *fail* to match."""
    original = EntropyBasedSpeculativeDecoder._draft

    def second_opinion(self: EntropyBasedSpeculativeDecoder, *args: Any) -> Draft:
        drafter = self.drafter
        assert isinstance(drafter, RoutedDrafter)
        drafter.choose(0)
        draft = original(self, *args)
        tokens, laws = draft.proposal.tokens, draft.proposal.laws
        if tokens and laws[0].prob_of(tokens[0]) < 0.4:
            drafter.choose(1)
            return original(self, *args)
        return draft

    monkeypatch.setattr(EntropyBasedSpeculativeDecoder, "_draft", second_opinion)
    config = routed_config("model,ngram", verification="speculative", route_by="model")
    drafter = f"{PREFIX}model,ngram"
    worst = max(distance(config, drafter, Sampling(temperature=1.0), seed) for seed in range(2))
    assert worst > 0.01
