"""One prompt under every condition: the order, the conversations, the failures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from smart_speed.engines.base import LoadedModel
from smart_speed.errors import NonFiniteError
from smart_speed.prompting import encode_prompt
from smart_speed.run_folder import Answer, AnswerKey, ConditionInfo
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.prompts import LivePrompt
from smart_speed.sampling import Sampling
from smart_speed.scoring import score_text
from tests.unit.traced import drafter_of, verifier_of

CONDITIONS = {
    name: ConditionInfo(role="fixed", config=config)
    for name, config in (
        ("plain", {"strategy": "plain"}),
        ("fixed-2", {"strategy": "fixed", "max_draft_len": 2}),
        ("absolute", {"strategy": "absolute"}),
    )
}
WORK = Work(CONDITIONS, Sampling(), max_new_tokens=12, repeats=2)
PROMPT = LivePrompt(prompt_id="a/1", task="a", turns=("abc",), chat=False, tokens=(0, 1, 2))
TWO_TURNS = replace(PROMPT, turns=("abc", "fgh"))


def player(verifier: LoadedModel | None = None, work: Work = WORK) -> PromptPlayer:
    return PromptPlayer(verifier or verifier_of(0), drafter_of("model", 0), work)


def played(
    prompt: LivePrompt = PROMPT,
    done: Mapping[AnswerKey, Sequence[int]] | None = None,
    **more: Any,
) -> list[list[Answer]]:
    return list(player(**more).play(prompt, done or {}))


class Breaking:
    """A model that fails when it is fed a certain number of times."""

    def __init__(self, inner: Any, fails: Callable[[int], bool]) -> None:
        self._inner, self._fails, self.calls = inner, fails, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        self.calls += 1
        if self._fails(self.calls):
            raise NonFiniteError("Logits are NaN.")
        return self._inner.feed(tokens, last=last)


def breaking(fails: Callable[[int], bool]) -> LoadedModel:
    verifier = verifier_of(0)
    return replace(verifier, model=Breaking(verifier.model, fails))


def test_every_answer_is_made_once_and_all_texts_are_plain_decodings() -> None:
    answers = [answer for made in played() for answer in made]
    assert sorted(each.key for each in answers) == sorted(WORK.keys(PROMPT))
    assert len({each.tokens for each in answers}) == 1
    assert all(each.record.status == "ok" and each.record.reused_len == 0 for each in answers)
    assert {each.machine for each in answers} == {answers[0].machine}
    assert all((each.peak_memory_bytes or 1) > 0 for each in answers)


def test_order_is_random_and_depends_on_the_prompt_alone() -> None:
    def order(prompt_id: str, seed: int = 0) -> list[AnswerKey]:
        work = WORK._replace(sampling=Sampling(seed=seed), max_new_tokens=1, repeats=3)
        prompt = replace(PROMPT, prompt_id=prompt_id)
        keys = [made[0].key for made in played(prompt, work=work)]
        return [key._replace(prompt_id="") for key in keys]

    assert order("a/1") == order("a/1")
    orders = {tuple(order(f"a/{number}")) for number in range(8)}
    assert len(orders) == 8
    assert order("a/1", seed=1) != order("a/1")
    first = [each[0].condition for each in orders]
    assert len(set(first)) > 1


def test_each_condition_continues_its_own_conversation() -> None:
    conversations = played(TWO_TURNS)
    for made in conversations:
        assert [each.turn for each in made] == [0, 1]
        assert [each.record.prompt_id for each in made] == ["a/1", "a/1/turn-2"]
        assert made[1].record.prompt_len > made[0].record.prompt_len + made[0].record.output_len
        assert made[1].record.reused_len > 0
    assert len({tuple(each.tokens for each in made) for made in conversations}) == 1


def test_what_is_done_is_not_made_again() -> None:
    everything = {each.key: each.tokens for made in played(TWO_TURNS) for each in made}
    missing = AnswerKey("absolute", "a/1", 1, 0)
    done = {key: tokens for key, tokens in everything.items() if key != missing}
    ((made,),) = played(TWO_TURNS, done)
    assert (made.key, made.tokens) == (missing, everything[missing])
    assert played(TWO_TURNS, everything) == []
    assert WORK.is_done(TWO_TURNS, everything)
    assert not WORK.is_done(TWO_TURNS, done)


def test_conversation_goes_on_from_the_answer_that_was_kept() -> None:
    everything = {each.key: each.tokens for made in played(TWO_TURNS) for each in made}
    key = AnswerKey("plain", "a/1", 1, 0)
    done = {each: tokens for each, tokens in everything.items() if each != key}
    done[key._replace(turn=0)] = (3, 3, 3)
    ((made,),) = played(TWO_TURNS, done)
    turns = len(TWO_TURNS.turns[0]) + 3 + len(TWO_TURNS.turns[1])
    assert made.record.prompt_len == turns


def test_texts_are_scored_where_some_need_not_be_the_verifiers() -> None:
    assert all(each.score is None for made in played(TWO_TURNS) for each in made)
    lossy = {**CONDITIONS, "lossy": replace(CONDITIONS["fixed-2"], lossless=False)}
    work = WORK._replace(conditions=lossy)
    conversations = played(TWO_TURNS, work=work)
    plain = next(made for made in conversations if made[0].key.condition == "plain")
    verifier = verifier_of(0)
    first = score_text(verifier.model, [0, 1, 2], plain[0].tokens)
    asked = encode_prompt(TWO_TURNS.asked([verifier.tokenizer.decode(plain[0].tokens)]), verifier)
    second = score_text(verifier.model, asked, plain[1].tokens)
    for made in conversations:
        assert [each.score for each in made] == [first, second]
        assert [each.record.reused_len > 0 for each in made] == [False, True]
        assert made[0].text == verifier.tokenizer.decode(made[0].tokens)
        assert Answer.from_line(made[0].to_line(), "here") == made[0]


def test_failure_is_a_record_and_the_others_go_on() -> None:
    warm_up = 0

    def fails(call: int) -> bool:
        return call > warm_up and verifier.model.cached_len == 5

    verifier = breaking(fails)
    warm_up = 10**9
    runner = PromptPlayer(verifier, drafter_of("model", 0), WORK)
    list(runner.play(PROMPT, {}))
    warm_up = 0
    answers = [answer for made in runner.play(TWO_TURNS, {}) for answer in made]
    failed = [each for each in answers if each.record.status == "error"]
    assert failed
    for each in failed:
        assert each.tokens == ()
        assert (each.record.output_len, each.record.decode_s) == (0, 0.0)
        assert each.record.error is not None
        assert "Logits are NaN." in each.record.error
    keys = [each.key for each in answers]
    assert sorted(keys) == sorted(WORK.keys(TWO_TURNS))
    later = [each for each in failed if each.turn == 1]
    assert all("Turn 1 before it failed" in (each.record.error or "") for each in later)


def test_what_fails_while_warming_up_is_recorded_where_it_is_answered() -> None:
    answers = [a for made in played(verifier=breaking(lambda call: True)) for a in made]
    assert {each.record.status for each in answers} == {"error"}
    assert len(answers) == 6


def test_sampled_answers_are_the_same_in_every_repeat() -> None:
    work = WORK._replace(sampling=Sampling(temperature=1.0, seed=4))
    answers = [each for made in played(work=work) for each in made]
    by_condition = {
        name: {each.tokens for each in answers if each.record.condition == name}
        for name in CONDITIONS
    }
    assert all(len(texts) == 1 for texts in by_condition.values())


@pytest.mark.parametrize("repeats", [1, 3])
def test_counts(repeats: int) -> None:
    work = WORK._replace(repeats=repeats)
    assert work.num_answers(TWO_TURNS) == 3 * 2 * repeats == len(list(work.keys(TWO_TURNS)))
