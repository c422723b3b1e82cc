"""The loop on toys: what it writes, why it stops, what it feeds, what it leaves behind."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines.base import CachedModel, LoadedModel
from smart_speed.engines.toy import LetterTokenizer
from smart_speed.errors import (
    ConfigError,
    ContextLengthError,
    ModelError,
    NonFiniteError,
    SmartSpeedError,
    VocabularyError,
)
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]
Scripted = Callable[..., LoadedModel]

ALPHABET = {"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "a", ".": "a"}
END = 5
"""The token that ends a text of a random pair."""


def slow_greedy(model: CachedModel, prompt: list[int], count: int) -> list[int]:
    """Write the likeliest tokens one by one, each after reading the whole text again."""
    text = list(prompt)
    while len(text) < len(prompt) + count and END not in text[len(prompt) :]:
        model.rollback(0)
        text.append(int(np.argmax(model.feed(text, last=1)[0])))
    model.rollback(0)
    return text[len(prompt) :]


@final
class Watched:
    """A model that remembers how much it was fed, and fails when it is told to."""

    def __init__(self, model: CachedModel) -> None:
        self._model = model
        self.fed: list[int] = []
        self.break_at: int | None = None
        self.failure: Exception | None = None

    @property
    def vocab_size(self) -> int:
        return self._model.vocab_size

    @property
    def context_len(self) -> int:
        return self._model.context_len

    @property
    def cached_tokens(self) -> Sequence[int]:
        return self._model.cached_tokens

    @property
    def cached_len(self) -> int:
        return self._model.cached_len

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        self.fed.append(len(tokens))
        rows = self._model.feed(tokens, last=last)
        if len(self.fed) - 1 != self.break_at:
            return rows
        if self.failure is not None:
            raise self.failure
        return np.full_like(rows, np.nan)

    def rollback(self, to_len: int) -> None:
        self._model.rollback(to_len)


def watched(loaded: LoadedModel) -> tuple[LoadedModel, Watched]:
    model = Watched(loaded.model)
    return dataclasses.replace(loaded, model=model), model


def decoder_of(
    verifier: LoadedModel, drafter: LoadedModel, **settings: Any
) -> EntropyBasedSpeculativeDecoder:
    return EntropyBasedSpeculativeDecoder(verifier, drafter, EntropyConfig(**settings))


class TestGreedyText:
    @pytest.mark.parametrize("prompt", [[2], [0, 1, 2, 3, 4, 3]], ids=["one token", "six"])
    @pytest.mark.parametrize("cap", range(9))
    @pytest.mark.parametrize(
        "settings",
        [
            {"strategy": "fixed"},
            {"strategy": "absolute", "stop_placement": "before"},
            {"strategy": "relative", "theta_rel": 1.1},
            {"strategy": "adaptive", "warmup": 3},
        ],
        ids=lambda settings: str(settings["strategy"]),
    )
    def test_is_that_of_the_verifier_alone(
        self, settings: dict[str, Any], cap: int, prompt: list[int], random_pair: Pair
    ) -> None:
        verifier, drafter = random_pair(seed=cap)
        decoder = decoder_of(verifier, drafter, max_draft_len=cap, **settings)
        result = decoder.generate(prompt, max_new_tokens=30)
        assert list(result.tokens) == slow_greedy(verifier.model, prompt, 30)

    def test_comes_from_drafts_of_which_some_but_not_all_are_kept(self, random_pair: Pair) -> None:
        decoder = decoder_of(*random_pair(), strategy="fixed")
        rounds = decoder.generate([2], max_new_tokens=100).record.rounds
        shares = [turn.accepted_len / turn.draft_len for turn in rounds if turn.draft_len]
        assert 0.1 < sum(shares) / len(shares) < 0.9

    def test_penalises_drafted_tokens_as_it_would_written_ones(self, random_pair: Pair) -> None:
        """A drafter that is the verifier over again is always right, penalty included."""
        penalty = {"sampling": Sampling(repetition_penalty=4.0), "max_new_tokens": 30}
        for seed in range(6):
            verifier, drafter = random_pair(seed)[0], random_pair(seed)[0]
            plain = EntropyBasedSpeculativeDecoder(verifier).generate([2], **penalty)
            drafted = decoder_of(verifier, drafter, strategy="fixed").generate([2], **penalty)
            assert drafted.tokens == plain.tokens
            assert all(turn.accepted_len == turn.draft_len for turn in drafted.record.rounds)

    def test_is_the_same_with_a_drafter_that_is_no_model(self, random_pair: Pair) -> None:
        verifier, _ = random_pair()
        decoder = EntropyBasedSpeculativeDecoder(
            verifier, NgramDrafter(), EntropyConfig(strategy="fixed")
        )
        for prompt in ([2], [0, 1, 0, 1, 0]):
            result = decoder.generate(prompt, max_new_tokens=40)
            assert list(result.tokens) == slow_greedy(verifier.model, prompt, 40)


class TestPrompt:
    def test_text_and_tokens_are_alike(self, scripted: Scripted) -> None:
        decoder = EntropyBasedSpeculativeDecoder(scripted(ALPHABET))
        settings = {"max_new_tokens": 5}
        by_text = decoder.generate("abc", **settings)
        assert by_text.text == "defab"
        assert decoder.generate([0, 1, 2], **settings).tokens == by_text.tokens

    @pytest.mark.parametrize("prompt", ["", []])
    def test_an_empty_one_becomes_the_token_that_texts_begin_with(
        self, prompt: Any, scripted: Scripted
    ) -> None:
        decoder = decoder_of(scripted(ALPHABET), scripted(ALPHABET), strategy="fixed")
        result = decoder.generate(prompt, max_new_tokens=4)
        assert result.text == "abcd"
        assert result.record.prompt_len == 1

    def test_an_empty_one_is_refused_where_there_is_no_such_token(
        self, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LetterTokenizer, "bos_id", None)
        with pytest.raises(ConfigError) as caught:
            EntropyBasedSpeculativeDecoder(scripted(ALPHABET)).generate("")
        expected = "prompt must be at least one token long for this model, got ''."
        assert str(caught.value) == expected

    @pytest.mark.parametrize("token", [-1, 7])
    def test_a_token_of_another_model_is_refused(self, token: int, scripted: Scripted) -> None:
        with pytest.raises(ConfigError) as caught:
            EntropyBasedSpeculativeDecoder(scripted(ALPHABET)).generate([0, token])
        assert str(caught.value) == f"prompt must be made of tokens from 0 to 6, got {token}."

    def test_a_chat_needs_a_template(self, scripted: Scripted) -> None:
        decoder = EntropyBasedSpeculativeDecoder(scripted(ALPHABET))
        with pytest.raises(ModelError, match="chat template"):
            decoder.generate([{"role": "user", "content": "abc"}])

    @pytest.mark.parametrize("length", [6, 7])
    def test_one_that_fills_the_context_is_refused(self, length: int, scripted: Scripted) -> None:
        decoder = EntropyBasedSpeculativeDecoder(scripted(ALPHABET, context_len=6))
        with pytest.raises(ContextLengthError) as caught:
            decoder.generate("a" * length)
        assert str(caught.value) == (
            f"The prompt must be shorter than the context of 6 tokens, got {length}."
        )
        assert decoder.generate("abcde").text == "f"


class TestDraft:
    @pytest.mark.parametrize(
        ("placement", "drafted", "measured"),
        [("after", [3, 5], [3, 5]), ("before", [2, 5], [3, 6])],
    )
    def test_ends_after_or_before_the_token_whose_law_was_uncertain(
        self, placement: str, drafted: list[int], measured: list[int], scripted: Scripted
    ) -> None:
        """What follows "c" is uncertain; from "a" on, "bc" or "bcd" is drafted."""
        pair = scripted(ALPHABET), scripted(ALPHABET, unsure="c")
        decoder = decoder_of(*pair, stop_placement=placement)
        rounds = decoder.generate("a", max_new_tokens=20).record.rounds[:2]
        assert [turn.draft_len for turn in rounds] == drafted
        assert [len(turn.entropies_nats) for turn in rounds] == measured
        assert [turn.stop_reason for turn in rounds] == ["absolute"] * 2
        assert [turn.entropies_nats[2] > 1 for turn in rounds] == [True, False]

    @pytest.mark.parametrize(
        ("placement", "min_draft_len", "drafted", "measured", "reason"),
        [
            ("after", 0, 1, 1, "absolute"),
            ("after", 1, 1, 1, "absolute"),
            ("after", 3, 3, 3, "absolute"),
            ("after", 4, 4, 4, "absolute"),
            ("before", 0, 0, 1, "absolute"),
            ("before", 1, 1, 2, "absolute"),
            ("before", 3, 3, 4, "absolute"),
            ("before", 4, 4, 4, "max_draft_len"),
        ],
    )
    def test_has_its_least_length_even_where_all_is_uncertain(
        self,
        placement: str,
        min_draft_len: int,
        drafted: int,
        measured: int,
        reason: str,
        scripted: Scripted,
    ) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET, unsure="abcdef")
        decoder = decoder_of(
            *pair, max_draft_len=4, stop_placement=placement, min_draft_len=min_draft_len
        )
        turn = decoder.generate("a", max_new_tokens=20).record.rounds[0]
        assert (turn.draft_len, len(turn.entropies_nats)) == (drafted, measured)
        assert turn.stop_reason == reason

    @pytest.mark.parametrize(
        ("settings", "drafted", "reason"),
        [
            ({"strategy": "plain"}, 0, "max_draft_len"),
            ({"strategy": "fixed", "max_draft_len": 3}, 3, "max_draft_len"),
            ({"strategy": "heuristic"}, 5, "heuristic"),
            ({"strategy": "heuristic", "max_draft_len": 4}, 4, "max_draft_len"),
            ({"strategy": "heuristic", "start_len": 2, "min_draft_len": 3}, 3, "heuristic"),
            ({"strategy": "ema"}, 3, "ema"),
            ({"strategy": "confidence"}, 3, "confidence"),
            ({"strategy": "svip"}, 3, "svip"),
            ({"strategy": "adaedl"}, 3, "adaedl"),
            ({"strategy": "relative"}, 2, "relative"),
            ({"strategy": "window", "window_size": 2, "theta_abs": 0.5}, 2, "window"),
            ({"strategy": "combined", "require_all": True}, 2, "absolute+relative"),
        ],
        ids=str,
    )
    def test_is_labelled_with_what_ended_it(
        self, settings: dict[str, Any], drafted: int, reason: str, scripted: Scripted
    ) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET, unsure="c")
        turn = decoder_of(*pair, **settings).generate("a", max_new_tokens=20).record.rounds[0]
        assert (turn.draft_len, turn.stop_reason) == (drafted, reason)

    @pytest.mark.parametrize(
        ("prompt", "drafted"), [("a", [5, 1, 0]), ("abcdefa", [1, 0]), ("abcdefabcdefa", [0])]
    )
    def test_ends_where_the_drafters_context_does(
        self, prompt: str, drafted: list[int], scripted: Scripted
    ) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET, context_len=8)
        result = decoder_of(*pair, strategy="fixed").generate(prompt, max_new_tokens=15)
        rounds = result.record.rounds[: len(drafted)]
        assert result.text == "bcdefabcdefabcd"
        assert [turn.draft_len for turn in rounds] == drafted
        assert rounds[-1].stop_reason == "drafter_context"

    def test_learns_from_the_rounds_before(self, scripted: Scripted) -> None:
        decoder = decoder_of(scripted(ALPHABET), scripted(ALPHABET), strategy="heuristic")
        rounds = decoder.generate("a", max_new_tokens=30).record.rounds
        assert [turn.draft_len for turn in rounds] == [5, 7, 9, 5]
        assert rounds[-1].stop_reason == "budget"

    @pytest.mark.parametrize(("entropy_of", "certain"), [("raw", False), ("sampled", True)])
    def test_measures_the_law_it_was_asked_to(
        self, entropy_of: str, certain: bool, scripted: Scripted
    ) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET, unsure="abcdef")
        decoder = decoder_of(*pair, strategy="fixed", entropy_of=entropy_of)
        sampling = Sampling(temperature=1.0, top_k=1)
        turn = decoder.generate("a", max_new_tokens=5, sampling=sampling).record.rounds[0]
        assert [nats == 0 for nats in turn.entropies_nats] == [certain] * 4


class TestCaches:
    def test_cover_all_but_the_last_token_after_every_round(self, random_pair: Pair) -> None:
        verifier, drafter = random_pair()
        decoder = decoder_of(verifier, drafter, strategy="fixed", max_draft_len=3)
        prompt = [1, 2, 3]
        generation = decoder.stream(prompt, max_new_tokens=30)
        for _ in generation:
            text = [*prompt, *generation.result().tokens]
            assert list(verifier.model.cached_tokens) == text[:-1]
            cached = list(drafter.model.cached_tokens)
            assert cached == text[: len(cached)]

    def test_are_read_on_from_where_a_growing_chat_differs(self, random_pair: Pair) -> None:
        (verifier, verifier_model), (drafter, drafter_model) = map(watched, random_pair())
        decoder = decoder_of(verifier, drafter, strategy="fixed", max_draft_len=3)
        chat = [1, 2, 3, 0]
        reused = []
        for _ in range(3):
            verifier_model.fed.clear()
            drafter_model.fed.clear()
            unread_by_drafter = len(chat) - 1 - drafter_model.cached_len
            result = decoder.generate(chat, max_new_tokens=9)
            reused.append(result.record.reused_len)
            unread = len(chat) - 1 - reused[-1]
            widths = [turn.draft_len + 1 for turn in result.record.rounds]
            assert verifier_model.fed == [unread, *widths]
            assert drafter_model.fed[0] == unread_by_drafter
            assert list(result.tokens) == slow_greedy(random_pair()[0].model, chat, 9)
            chat = [*chat, *result.tokens, 4, 4, 2]
        assert reused == [0, 12, 24]

    @pytest.mark.parametrize(
        ("prompt", "reused_len"),
        [([1, 2, 3, 0], 3), ([1, 2, 3], 2), ([1, 2, 4, 4], 2), ([0, 1], 0), ([1], 0)],
        ids=str,
    )
    def test_keep_what_two_prompts_share_but_for_the_last_token(
        self, prompt: list[int], reused_len: int, random_pair: Pair
    ) -> None:
        decoder = decoder_of(*random_pair(), strategy="fixed")
        decoder.generate([1, 2, 3, 0], max_new_tokens=9)
        result = decoder.generate(prompt, max_new_tokens=9)
        assert result.record.reused_len == reused_len
        assert list(result.tokens) == slow_greedy(random_pair()[0].model, prompt, 9)

    def test_may_be_forgotten(self, random_pair: Pair) -> None:
        verifier, drafter = random_pair()
        decoder = decoder_of(verifier, drafter, strategy="fixed")
        first = decoder.generate([1, 2, 3], max_new_tokens=9)
        decoder.forget()
        assert verifier.model.cached_len == drafter.model.cached_len == 0
        again = decoder.generate([1, 2, 3], max_new_tokens=9)
        assert again.tokens == first.tokens
        assert again.record.reused_len == 0

    def test_shared_by_two_decoders_stay_true(self, random_pair: Pair) -> None:
        pair = random_pair()
        decoders = [decoder_of(*pair, strategy=strategy) for strategy in ("fixed", "absolute")]
        for prompt in ([1, 2, 3, 0], [1, 2, 4, 4, 4], [1, 2, 3, 0], [3]):
            for decoder in decoders:
                result = decoder.generate(prompt, max_new_tokens=9)
                assert list(result.tokens) == slow_greedy(random_pair()[0].model, prompt, 9)

    def test_belong_to_one_text_at_a_time(self, random_pair: Pair) -> None:
        decoder = decoder_of(*random_pair(), strategy="fixed")
        first = decoder.stream([1, 2], max_new_tokens=30)
        next(iter(first))
        decoder.stream([3, 4], max_new_tokens=30)
        with pytest.raises(SmartSpeedError, match=r"^A \w+ writes one text at a time, and has "):
            first.finish()


class TestFailure:
    @pytest.mark.parametrize("which", ["verifier", "drafter"])
    @pytest.mark.parametrize("break_at", [0, 1, 4])
    @pytest.mark.parametrize(
        ("failure", "raised"), [(RuntimeError("it broke"), RuntimeError), (None, NonFiniteError)]
    )
    def test_of_a_model_leaves_the_decoder_usable(
        self,
        which: str,
        break_at: int,
        failure: Exception | None,
        raised: type[Exception],
        random_pair: Pair,
    ) -> None:
        verifier, drafter = random_pair()
        if which == "verifier":
            verifier, model = watched(verifier)
        else:
            drafter, model = watched(drafter)
        prompt = [1, 2, 3, 0] if failure else [1]  # an empty prefill has no rows to spoil
        decoder = decoder_of(verifier, drafter, strategy="fixed", max_draft_len=3)
        model.break_at, model.failure = break_at, failure
        with pytest.raises(raised):
            decoder.generate(prompt, max_new_tokens=20)
        model.break_at = None
        result = decoder.generate(prompt, max_new_tokens=20)
        assert list(result.tokens) == slow_greedy(random_pair()[0].model, prompt, 20)
        assert result.record.finish_reason == "length"

    def test_of_a_refused_prompt_leaves_a_running_text_alone(self, scripted: Scripted) -> None:
        decoder = EntropyBasedSpeculativeDecoder(scripted(ALPHABET, context_len=9))
        generation = decoder.stream("a", max_new_tokens=4)
        next(iter(generation))
        with pytest.raises(ContextLengthError):
            decoder.stream("abcdefabcdef")
        assert generation.finish().text == "bcde"

    def test_without_a_drafter_nothing_is_drafted(self, scripted: Scripted) -> None:
        verifier = scripted(ALPHABET)
        assert EntropyBasedSpeculativeDecoder(verifier).config == EntropyConfig(strategy="plain")
        with pytest.raises(ConfigError) as caught:
            EntropyBasedSpeculativeDecoder(verifier, None, EntropyConfig(strategy="fixed"))
        assert str(caught.value) == "strategy must be 'plain' without a drafter, got 'fixed'."

    def test_with_a_drafter_the_default_is_the_absolute_strategy(self, scripted: Scripted) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET)
        assert EntropyBasedSpeculativeDecoder(*pair).config == EntropyConfig()

    @pytest.mark.parametrize(
        ("follows", "difference"),
        [
            (
                {"a": "b", "b": "x", "x": "a", ".": "a"},
                "token 2: 'x' and 'c' (1 differ; sizes 4 and 4)",
            ),
            (
                {"a": "b", "b": "a", ".": "a"},
                "token 2: '<end>' and 'c' (2 differ; sizes 3 and 4)",
            ),
        ],
    )
    def test_models_that_disagree_on_a_token_are_not_paired(
        self, follows: dict[str, str], difference: str, scripted: Scripted
    ) -> None:
        with pytest.raises(VocabularyError) as caught:
            EntropyBasedSpeculativeDecoder(
                scripted({"a": "b", "b": "c", "c": "a", ".": "a"}), scripted(follows)
            )
        assert str(caught.value) == (
            f"Drafter and verifier disagree on {difference}. Use models that share a tokenizer."
        )

    def test_greedy_match_above_temperature_zero_is_refused_at_once(
        self, scripted: Scripted
    ) -> None:
        pair = scripted(ALPHABET), scripted(ALPHABET)
        decoder = decoder_of(*pair, verification="greedy")
        with pytest.raises(ConfigError, match=r"^verification must be "):
            decoder.stream("a", sampling=Sampling(temperature=1.0))


class TestSampling:
    @pytest.mark.parametrize("strategy", ["plain", "fixed", "absolute"])
    def test_repeats_with_its_seed_and_prompt_id_and_differs_with_another(
        self, strategy: str, random_pair: Pair
    ) -> None:
        decoder = decoder_of(*random_pair(), strategy=strategy)

        def tokens(seed: int, prompt_id: str) -> tuple[int, ...]:
            sampling = Sampling(temperature=1.0, seed=seed)
            settings = {"sampling": sampling, "prompt_id": prompt_id, "max_new_tokens": 30}
            return decoder.generate([2], **settings).tokens

        assert tokens(0, "a") == tokens(0, "a")
        assert len({tokens(0, "a"), tokens(1, "a"), tokens(0, "b")}) == 3

    def test_takes_chance_from_elsewhere_if_it_is_given(self, random_pair: Pair) -> None:
        class Stubborn:
            def flip(self, probability: float) -> bool:
                return False

            def draw(self, law: Any) -> int:
                return 3

        decoder = decoder_of(*random_pair(), strategy="fixed")
        sampling = Sampling(temperature=1.0)
        result = decoder.generate([2], max_new_tokens=6, sampling=sampling, chance=Stubborn())
        assert result.tokens == (3,) * 6
        assert {turn.accepted_len for turn in result.record.rounds} == {0}
