"""Data sets read from made-up files of the same form."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.unseen_prompts import READERS, UnseenPrompt, unseen_prompts
from smart_speed.errors import ConfigError


def write_rows(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def words(count: int, word: str) -> str:
    return " ".join(f"{word}{number}" for number in range(count))


ARTICLES = f"""\
 = First =

 {words(20, "short")}
 {words(100, "a")}
 {words(100, "b")}
 = = Section = =
 {words(100, "c")}
 = Second =
 = = Section = =
 {words(96, "d")}
 = Stub =
 nothing much
""".replace("\n", " \n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    questions = [{"question": f"How many is {number}?", "answer": "1"} for number in range(9)]
    write_rows(tmp_path / "gsm8k/test.jsonl", questions)
    write_rows(tmp_path / "nq_open/NQ-open.dev.jsonl", [{"question": "who\u2028is", "answer": []}])
    function = {"task_id": "x/0", "prompt": "\n\ndef f():\n    '''One.'''\n"}
    write_rows(tmp_path / "humaneval/HumanEval.jsonl.gz", [function, function])
    turns = [{"question_id": 81, "turns": [f"First {at}", "Second"]} for at in range(3)]
    write_rows(tmp_path / "mt_bench/mt_bench_question.jsonl", turns)
    program = {"text": "Add.", "test_list": ["assert add(1) == 2", "assert add(0) == 1"]}
    programs = [{**program, "task_id": number} for number in (10, 11, 510, 511)]
    write_rows(tmp_path / "mbpp/mbpp.jsonl", programs)
    contexts = [{"context": f"\ufeffText {at}. The rest. And more."} for at in range(3)]
    articles = {"data": [{"paragraphs": contexts[:1]}, {"paragraphs": contexts[1:]}]}
    (tmp_path / "xquad").mkdir()
    (tmp_path / "xquad/xquad.en.json").write_text(json.dumps(articles, indent=1), "utf-8")
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2/wiki.test.raw").write_text(ARTICLES, "utf-8")
    return tmp_path


def said(prompt: UnseenPrompt) -> str:
    """Return the one message of a chat."""
    assert not isinstance(prompt.prompt, str)
    (message,) = prompt.prompt
    assert isinstance(message, dict)
    assert message["role"] == "user"
    return message["content"]


def test_every_set_becomes_prompts(data: Path) -> None:
    prompts = {prompt.prompt_id: prompt for prompt in unseen_prompts(data, per_task=100)}
    assert len(prompts) == 9 + 2 + 3 + 1 + 2 + 2 + 3
    assert said(prompts["gsm8k/4"]) == "How many is 4?"
    assert said(prompts["humaneval/1"]) == (
        "Complete this Python function:\n\ndef f():\n    '''One.'''"
    )
    assert said(prompts["mt_bench/2"]) == "First 2"
    assert said(prompts["nq_open/0"]) == "who\u2028is"
    assert said(prompts["mbpp/1"]) == "Add. Your code should pass this test: assert add(1) == 2"
    assert said(prompts["xquad/0"]) == "Translate into German: Text 0."
    assert said(prompts["xquad/1"]) == "Translate into Spanish: Text 1."


def test_articles_are_texts_to_go_on_with_one_each(data: Path) -> None:
    prompts = unseen_prompts(data, per_task=9, tasks=["wikitext2"])
    assert sorted(str(prompt.prompt) for prompt in prompts) == [words(64, "a"), words(64, "d")]


def test_tasks_take_turns(data: Path) -> None:
    tasks = [prompt.task for prompt in unseen_prompts(data, per_task=2)]
    assert tasks[: len(READERS)] == list(READERS)
    assert tasks[len(READERS) :] == [task for task in READERS if task != "nq_open"]


def test_a_larger_choice_holds_the_smaller(data: Path) -> None:
    few = unseen_prompts(data, per_task=3, tasks=["gsm8k"])
    many = unseen_prompts(data, per_task=6, tasks=["gsm8k"])
    assert many[:3] == few


def test_the_seed_chooses(data: Path) -> None:
    def ids(seed: int) -> list[str]:
        chosen = unseen_prompts(data, per_task=4, seed=seed, tasks=["gsm8k"])
        return [prompt.prompt_id for prompt in chosen]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (None, "gsm8k/test.jsonl"),
        (b"{", "gsm8k/test.jsonl"),
        (b'{"text": "no question"}', "gsm8k/test.jsonl"),
        (b"[1]", "gsm8k/test.jsonl"),
        (b"\xff", "gsm8k/test.jsonl"),
        (b"not gzip", "humaneval/HumanEval.jsonl.gz"),
        (gzip.compress(b"{}", mtime=0)[:-9], "humaneval/HumanEval.jsonl.gz"),
        (gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 9, "humaneval/HumanEval.jsonl.gz"),
        (b'{"turns": []}', "mt_bench/mt_bench_question.jsonl"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    data: Path, content: bytes | None, path: str
) -> None:
    if content is None:
        (data / path).unlink()
    else:
        (data / path).write_bytes(content)
    with pytest.raises(ConfigError, match="must be the file of that data set") as caught:
        unseen_prompts(data, per_task=1)
    assert path in str(caught.value)


def test_an_empty_file_is_refused(data: Path) -> None:
    (data / "gsm8k/test.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="none of them empty"):
        unseen_prompts(data, per_task=1)


def test_settings_are_checked(data: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'gsm8k'"):
        unseen_prompts(data, per_task=1, tasks=["gsm8"])
    with pytest.raises(ConfigError, match="per_task must be at least 1"):
        unseen_prompts(data, per_task=0)
