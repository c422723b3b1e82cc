"""Conditions side by side: prompt by prompt, in an order that no earlier prompt changes."""

from collections.abc import Callable

from smart_speed.comparison import BASELINE, compare, compare_each
from smart_speed.config import EntropyConfig
from smart_speed.engines.base import LoadedModel
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]

PROMPTS = [(f"task/{number}", [number, 2, 1]) for number in range(4)]


def decoders(pair: tuple[LoadedModel, LoadedModel]) -> dict[str, EntropyBasedSpeculativeDecoder]:
    made = {BASELINE: EntropyBasedSpeculativeDecoder(pair[0])}
    for strategy in ("fixed", "absolute"):
        made[strategy] = EntropyBasedSpeculativeDecoder(*pair, EntropyConfig(strategy=strategy))
    return made


def test_prompts_are_handed_over_one_by_one(random_pair: Pair) -> None:
    parts = compare_each(decoders(random_pair()), PROMPTS, max_new_tokens=9, sampling=Sampling())
    assert {prompt_id for _, prompt_id in next(parts).results} == {"task/0"}
    assert len(list(parts)) == 3


def test_the_whole_is_its_parts(random_pair: Pair) -> None:
    given = {"max_new_tokens": 9, "sampling": Sampling()}
    seen: list[tuple[int, int]] = []
    whole = compare(
        decoders(random_pair()),
        PROMPTS,
        progress=lambda done, total: seen.append((done, total)),
        **given,
    )
    parts = compare_each(decoders(random_pair()), PROMPTS, **given)  # type: ignore[arg-type]
    tokens = {key: result.tokens for part in parts for key, result in part.results.items()}
    assert {key: result.tokens for key, result in whole.results.items()} == tokens
    assert seen == [(done, 12) for done in range(1, 13)]
    assert whole.divergences == []
    figures = whole.figures("fixed")
    assert (figures["num_sequences"], figures["num_divergences"]) == (4, 0)


def test_order_of_conditions_depends_on_the_prompt_alone(random_pair: Pair) -> None:
    def orders(prompts: list[tuple[str, list[int]]]) -> dict[str, list[str]]:
        asked: dict[str, list[str]] = {}
        made = decoders(random_pair())
        for name, decoder in made.items():
            _remember(decoder, name, asked)
        list(compare_each(made, prompts, max_new_tokens=3, sampling=Sampling(), repeats=2))
        return asked

    whole, rest = orders(PROMPTS), orders(PROMPTS[2:])
    assert whole["task/3"] == rest["task/3"]
    assert whole["task/2"] == rest["task/2"]
    assert len({tuple(order) for name, order in whole.items() if name}) > 1
    assert sorted(whole["task/0"]) == sorted(["plain", "fixed", "absolute"] * 2)


def _remember(
    decoder: EntropyBasedSpeculativeDecoder, name: str, asked: dict[str, list[str]]
) -> None:
    generate = decoder.generate

    def noted(prompt: object, **settings: object) -> object:
        asked.setdefault(str(settings.get("prompt_id", "")), []).append(name)
        return generate(prompt, **settings)  # type: ignore[arg-type]

    decoder.generate = noted  # type: ignore[method-assign, assignment]
