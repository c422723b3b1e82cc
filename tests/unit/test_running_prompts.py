"""Prompts of a run: those that fit, cut where they may be, apart from those learned on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smart_speed.engines.base import LoadedModel, Message
from smart_speed.engines.toy import load
from smart_speed.errors import ConfigError
from smart_speed.profiles import LearnedOn
from smart_speed.running.prompts import LivePrompt, Selected, select_prompts
from smart_speed.running.settings import ExperimentConfig
from smart_speed.workloads.prompt import text_hash
from tests.toy_experiments import toy_config


class ChatLetters:
    """A tokenizer with a template: a letter before each message."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        marks = {"user": "b", "assistant": "a"}
        return list(
            self._inner.encode("".join(marks[each["role"]] + each["content"] for each in messages))
        )


@pytest.fixture(scope="module")
def verifier() -> LoadedModel:
    return load("default", order=2)


@pytest.fixture(scope="module")
def chatty(verifier: LoadedModel) -> LoadedModel:
    return replace(verifier, tokenizer=ChatLetters(verifier.tokenizer))


def chosen(config: ExperimentConfig, verifier: LoadedModel, **more: Any) -> tuple[Selected, str]:
    said: list[str] = []
    return select_prompts(config, verifier, say=said.append, **more), " ".join(said)


def chats(folder: Path, *turns: Sequence[str]) -> str:
    path = folder / "chats.jsonl"
    rows = [{"id": f"c{at}", "task": "chat", "turns": list(each)} for at, each in enumerate(turns)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_texts_are_parted_and_the_choice_is_seeded(tmp_path: Path, verifier: LoadedModel) -> None:
    config = toy_config(tmp_path, num_samples=5, num_calibration_samples=4)
    selected, said = chosen(config, verifier)
    assert (len(selected.test), len(selected.calibration), said) == (5, 4, "")
    ids = {each.prompt_id for each in (*selected.test, *selected.calibration)}
    assert len(ids) == 9
    again, _ = chosen(config, verifier)
    assert again == selected
    other, _ = chosen(replace(config, seed=1), verifier)
    assert other.sha256 != selected.sha256


def test_too_few_prompts_are_shared(tmp_path: Path, verifier: LoadedModel) -> None:
    config = toy_config(tmp_path, num_samples=40, num_calibration_samples=20)
    selected, said = chosen(config, verifier)
    assert len(selected.test) + len(selected.calibration) == 20
    assert len(selected.calibration) == 7
    assert "There are 20 prompts, so 13 are answered." in said


def test_none_that_a_profile_has_learned_on_is_answered(
    tmp_path: Path, verifier: LoadedModel
) -> None:
    config = toy_config(tmp_path, num_samples=20, profile="p.json")
    everything, _ = chosen(config, verifier)
    seen = everything.test[:4]
    by_id = LearnedOn(prompt_ids=tuple(each.prompt_id for each in seen))
    by_text = LearnedOn(
        ("others/1",), tuple(text_hash((f" {each.turns[0].upper()}",)) for each in seen)
    )
    for learned_on in (by_id, by_text):
        left, said = chosen(config, verifier, learned_on=learned_on)
        assert set(left.test) == set(everything.test[4:])
        assert "4 prompts are left out, for the profile has learned on them." in said
    everything_seen = LearnedOn(text_hashes=tuple(text_hash(p.turns) for p in everything.test))
    with pytest.raises(ConfigError, match=r"prompts must be .*that the profile has not learned on"):
        chosen(config, verifier, learned_on=everything_seen)


def test_long_text_keeps_its_end(tmp_path: Path, verifier: LoadedModel) -> None:
    config = toy_config(tmp_path, num_samples=3, max_sequence_length=28)
    selected, _ = chosen(config, verifier)
    for each in selected.test:
        assert each.asked([]) == verifier.tokenizer.encode(each.turns[0])[-12:]


def test_chats_go_into_the_template_where_there_is_one(
    tmp_path: Path, verifier: LoadedModel, chatty: LoadedModel
) -> None:
    config = toy_config(tmp_path, dataset_name=chats(tmp_path, ("the drafter", "reads")))
    ((prompt,), _, _), _ = chosen(config, chatty)
    assert prompt.chat
    assert prompt.asked([]) == [{"role": "user", "content": "the drafter"}]
    assert prompt.asked(["writes"]) == [
        {"role": "user", "content": "the drafter"},
        {"role": "assistant", "content": "writes"},
        {"role": "user", "content": "reads"},
    ]
    for other in (chosen(config, verifier), chosen(replace(config, chat_template="never"), chatty)):
        ((text,), _, _), _ = other
        assert not text.chat
        assert text.asked([]) == verifier.tokenizer.encode("the drafter")
        assert text.asked(["writes"]) == "the drafterwrites\n\nreads"


def test_chat_that_leaves_no_room_is_left_out_and_another_taken(
    tmp_path: Path, chatty: LoadedModel
) -> None:
    name = chats(tmp_path, ("the drafter", "reads " * 5), ("the", "verifier"), ("reads",))
    config = toy_config(tmp_path, dataset_name=name, num_samples=3)
    selected, said = chosen(config, chatty)
    assert {len(each.turns) for each in selected.test} == {1, 2}
    assert selected.num_left_out == 1
    assert "1 chats are left out" in said


def test_nothing_that_fits_is_refused(tmp_path: Path, chatty: LoadedModel) -> None:
    name = chats(tmp_path, ("reads " * 40,))
    with pytest.raises(ConfigError, match="prompts must be at least one of at most 64 tokens"):
        chosen(toy_config(tmp_path, dataset_name=name), chatty)


def test_other_data_to_learn_on(tmp_path: Path, verifier: LoadedModel) -> None:
    other = tmp_path / "other.txt"
    other.write_text("stands where it stays\nthe verifier reads\nthe verifier weeds\n")
    config = toy_config(
        tmp_path, num_samples=20, num_calibration_samples=2, calibration_dataset_name=str(other)
    )
    selected, _ = chosen(config, verifier)
    assert (len(selected.test), len(selected.calibration)) == (20, 2)


def test_hash_changes_with_a_prompt() -> None:
    prompt = LivePrompt(prompt_id="a", task="t", turns=("x",), chat=True)
    one = Selected((prompt,), (), 0)
    assert one.sha256 != Selected((replace(prompt, turns=("y",)),), (), 0).sha256
