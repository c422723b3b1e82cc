"""Items of every known data set, made up, become prompts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.errors import ConfigError
from smart_speed.training.prompts import read_prompts
from smart_speed.workloads.adapters import (
    ADAPTERS,
    Origin,
    adapter_for,
    adapter_named,
    prompts_of,
)
from smart_speed.workloads.loading import read_workload
from smart_speed.workloads.prompt import text_hash
from smart_speed.workloads.said import Said


def said(key: str, *rows: Mapping[str, Any], name: str = "", split: str = "test") -> list[Said]:
    return prompts_of(ADAPTERS[key], rows, Origin(name, split))


def words(count: int, word: str) -> str:
    return " ".join(f"{word}{number}" for number in range(count))


@pytest.mark.parametrize(
    ("key", "row", "text", "reference"),
    [
        ("gsm8k", {"question": "1 + 1?", "answer": "So\n#### 2"}, "1 + 1?", "So\n#### 2"),
        ("math", {"problem": "$x$?", "solution": "$1$"}, "$x$?", "$1$"),
        ("math", {"problem": "$x$?", "solution": "So 1.", "answer": "1"}, "$x$?", "1"),
        ("nq_open", {"question": "who", "answer": ["A", "B", "A"]}, "who", "A\nB"),
        ("nq_open", {"question": "who"}, "who", None),
        ("ifeval", {"key": 1, "prompt": "Write it.", "kwargs": []}, "Write it.", None),
        (
            "humaneval",
            {"prompt": "\n\ndef f():\n", "entry_point": "f", "canonical_solution": "  pass"},
            "Complete this Python function:\n\ndef f():",
            "  pass",
        ),
        (
            "mbpp",
            {"task_id": 11, "text": "Add.", "test_list": ["assert a", "assert b"], "code": "c"},
            "Add. Your code should pass this test: assert a",
            "c",
        ),
        (
            "mbpp",
            {"task_id": 11, "prompt": "Add.", "test_list": ["assert a"]},
            "Add. Your code should pass this test: assert a",
            None,
        ),
        (
            "cnn_dailymail",
            {"article": "Once.\n", "highlights": "So."},
            "Summarize this article in a few sentences:\n\nOnce.",
            "So.",
        ),
        (
            "squad",
            {"context": "It is red. ", "question": "What? ", "answers": {"text": ["red", "red"]}},
            "It is red.\n\nWhat?",
            "red",
        ),
        (
            "squad",
            {"context": "It is red.", "question": "What?", "answers": [{"text": "red"}]},
            "It is red.\n\nWhat?",
            "red",
        ),
        ("generic", {"prompt": "Hello", "text": "no"}, "Hello", None),
        ("generic", {"prompt": " ", "question": "Why?", "response": "So"}, "Why?", "So"),
        ("generic", {"instruction": "Do", "input": "b a", "output": "a b"}, "Do\n\nb a", "a b"),
        ("generic", {"instruction": "Rhyme.", "input": ""}, "Rhyme.", None),
    ],
)  # fmt: skip
def test_one_item(key: str, row: dict[str, Any], text: str, reference: str | None) -> None:
    (found,) = said(key, row)
    assert found._replace(item_text=None, check=None) == Said((text,), reference=reference)


@pytest.mark.parametrize(
    ("key", "row", "check"),
    [
        (
            "gsm8k",
            {"question": "1 + 1?", "answer": "So\n#### 2"},
            AnswerCheck(kind="number", expected="2"),
        ),
        ("gsm8k", {"question": "1 + 1?"}, None),
        (
            "nq_open",
            {"question": "who", "answer": ["A", "B"]},
            AnswerCheck(kind="phrase", expected="A\nB"),
        ),
        (
            "humaneval",
            {"prompt": "def f():\n", "entry_point": "f", "test": "def check(candidate): pass"},
            AnswerCheck(
                kind="python",
                expected="def check(candidate): pass\ncheck(f)",
                opening="def f():\n",
                entry_point="f",
            ),
        ),
        ("humaneval", {"prompt": "def f():\n", "entry_point": "f"}, None),
        (
            "mbpp",
            {
                "task_id": 11, "text": "Add.", "code": "c", "test_list": ["assert a", "assert b"],
                "test_setup_code": "x = 1",
            },
            AnswerCheck(kind="python", expected="x = 1\nassert a\nassert b"),
        ),
        ("mt_bench", {"turns": ["Hello"], "reference": ["A"]}, None),
    ],
)  # fmt: skip
def test_what_makes_an_answer_right(key: str, row: dict[str, Any], check: Any) -> None:
    assert [each.check for each in said(key, row)] == [check]


@pytest.mark.parametrize(
    "row",
    [
        {"turns": ["One", "Two"]},
        {"prompt": ["One", "Two"]},
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "One"},
                {"role": "assistant", "content": "Yes"},
                {"role": "user", "content": "Two"},
            ]
        },
        {"conversations": [{"from": "human", "value": "One"}, {"from": "human", "value": "Two"}]},
    ],
)
@pytest.mark.parametrize("key", ["mt_bench", "generic"])
def test_every_turn_of_a_chat(key: str, row: dict[str, Any]) -> None:
    (prompt,) = said(key, row)
    assert prompt.turns == ("One", "Two")


def test_answers_to_several_turns_are_on_lines_of_their_own() -> None:
    (prompt,) = said("mt_bench", {"turns": ["One", "Two"], "reference": ["1", "2"]})
    assert prompt.reference == "1\n2"


def test_mbpp_has_its_splits_in_one_file() -> None:
    rows = [
        {"task_id": number, "text": str(number), "test_list": ["assert"]}
        for number in (10, 11, 510, 511, 601, 974)
    ]

    def numbers(split: str) -> list[str]:
        return [prompt.turns[0].split()[0] for prompt in said("mbpp", *rows, split=split)]

    assert numbers("test") == ["11", "510"]
    assert numbers("train") == ["601", "974"]
    assert numbers("validation") == ["511"]
    assert numbers("prompt") == ["10"]
    assert len(numbers("all")) == 6


@pytest.mark.parametrize(
    ("name", "into"),
    [("xquad.en.json", ["German", "Spanish"]), ("google/xquad:xquad.de", ["English", "English"])],
)
def test_xquad_gives_a_sentence_of_each_paragraph_to_translate(name: str, into: list[str]) -> None:
    contexts = ["\ufeffOne is. Two.", "\ufeffOne is. Two.", "Three."]
    rows = [{"context": context, "question": "?"} for context in contexts]
    texts = [prompt.turns[0] for prompt in said("xquad", *rows, name=name)]
    assert texts == [f"Translate into {into[0]}: One is.", f"Translate into {into[1]}: Three."]


def test_spec_bench_has_tasks_of_its_own() -> None:
    rows = [
        {"question_id": 81, "category": "roleplay", "turns": ["a", "b"]},
        {"question_id": 161, "category": "translation", "turns": ["c"]},
        {"question_id": 241, "category": "math_reasoning", "turns": ["d"]},
    ]
    tasks = [prompt.task for prompt in said("spec_bench", *rows)]
    assert tasks == ["mt_bench", "translation", "math_reasoning"]


def test_articles_take_turns_with_their_long_paragraphs() -> None:
    lines = [
        "", " = First = ", words(20, "short"), words(100, "a"), " = = Section = = ",
        words(96, "b"), " = Stub = ", words(95, "s"), " = Second = ", words(200, "c"),
    ]  # fmt: skip
    found = said("wikitext", *({"text": line} for line in lines))
    assert [(prompt.turns[0], prompt.part) for prompt in found] == [
        (words(64, "a"), 0),
        (words(64, "c"), 0),
        (words(64, "b"), 1),
    ]
    assert not any(prompt.chat for prompt in found)


def plain(tmp_path: Path, text: str) -> list[tuple[str, bool]]:
    (tmp_path / "some.txt").write_text(text, "utf-8")
    return [(prompt.turns[0], prompt.chat) for prompt in read_workload(str(tmp_path / "some.txt"))]


def test_single_lines_of_plain_text_are_instructions(tmp_path: Path) -> None:
    assert plain(tmp_path, "one\n\n two\n") == [("one", True), (" two", True)]
    assert plain(tmp_path, "one\ntwo") == [("one", True), ("two", True)]


def test_paragraphs_of_plain_text_are_gone_on_with(tmp_path: Path) -> None:
    verse = "\n".join(words(10, f"v{line}_") for line in range(5))
    found = plain(tmp_path, f"{verse}\n\n{verse}\n\n{verse}")
    begun = "\n".join(verse.split("\n")[:2]).rpartition(" v1_4")[0]
    assert found == [(f"{verse}\n\n{begun}", False)]  # the last one is too short to go on


def test_a_mere_text_is_gone_on_with() -> None:
    short, long = said("generic", {"text": " A short one. "}, {"text": words(500, "w")})
    assert (short.turns, short.chat) == (("A short one.",), False)
    assert long.turns == (words(64, "w"),)


def test_items_may_name_their_tasks() -> None:
    first, second = said("generic", {"prompt": "a", "task": "math"}, {"prompt": "b", "task": None})
    assert (first.task, second.task) == ("math", "")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("openai_humaneval", "humaneval"),
        ("mt_bench_question", "mt_bench"),
        ("MATH-500", "math"),
        ("wikitext2", "wikitext"),
        ("NQ-open.dev", "nq_open"),
        ("squad_v2", "squad"),
        ("Spec-Bench", "spec_bench"),
        ("mine", None),
    ],
)
def test_names_tell_data_sets(name: str, key: str | None) -> None:
    assert adapter_named(name) == key


@pytest.mark.parametrize(
    ("row", "names", "key"),
    [
        ({"question": ""}, ["gsm8k"], "gsm8k"),
        ({"question": ""}, ["math", "gsm8k"], "gsm8k"),
        ({"question": ""}, ["math"], "generic"),
        ({"prompt": "", "entry_point": ""}, ["a"], "humaneval"),
        ({"task_id": 1, "text": "", "test_list": []}, [], "mbpp"),
        ({"article": ""}, [], "cnn_dailymail"),
        ({"category": "", "turns": []}, [], "spec_bench"),
        ({"category": "", "turns": []}, ["mt_bench"], "mt_bench"),
        ({"context": "", "question": ""}, [], "squad"),
        ({"context": "", "question": ""}, ["xquad"], "xquad"),
        ({"line": 1, "text": ""}, [], "plain_text"),
        ({"line": 1, "text": ""}, ["wikitext"], "wikitext"),
        ({"text": ""}, [], "generic"),
    ],
)
def test_fields_tell_what_names_do_not(row: dict[str, Any], names: list[str], key: str) -> None:
    assert adapter_for(row, names) == key


@pytest.mark.parametrize(
    ("key", "row", "why"),
    [
        ("gsm8k", {"text": "a"}, "no field 'question', got an item of text"),
        ("gsm8k", {"question": None}, "a prompt must be a text that is not empty, got None"),
        ("gsm8k", {"question": " "}, "a prompt must be a text that is not empty, got ' '"),
        ("gsm8k", {"question": "\ud800"}, ".*surrogates not allowed"),
        ("gsm8k", {}, "no field 'question', got an item of no fields"),
        ("generic", {"answer": "a"}, "it must have a prompt in turns, .*, got an item of answer"),
        ("generic", {"turns": ["a", " "]}, "a turn must be a text, got ' '"),
        ("generic", {"messages": [{"role": "user"}]}, "a turn must be a text, got None"),
        ("humaneval", {"prompt": 3}, "'int' object has no attribute 'strip'"),
        ("mbpp", {"task_id": 11, "text": "a", "test_list": []}, "list index out of range"),
        ("mbpp", {"task_id": "11", "text": "a", "test_list": "['b']"}, "test_list must be a list"),
        ("mt_bench", {"turns": []}, "it must have a prompt"),
    ],
)
def test_an_item_of_something_else_is_named(key: str, row: dict[str, Any], why: str) -> None:
    good = {"question": "a", "prompt": "a", "task_id": 11, "test_list": ["a"]}
    with pytest.raises(ConfigError, match=f"^Item 2 of 'x' is not one of that data set: {why}"):
        said(key, good, row, name="x")


def test_the_table_is_whole() -> None:
    for key, adapter in ADAPTERS.items():
        assert adapter_named(key) == key
        assert set(adapter.needs) <= set(adapter.telling) or not adapter.telling
        json.dumps([adapter.hub, adapter.config, adapter.test_split])


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("gsm8k", {"question": "1 + 1?", "answer": "2"}),
        ("humaneval", {"prompt": "def f():\n", "entry_point": "f"}),
        ("mbpp", {"task_id": 11, "text": "Add.", "test_list": ["assert a"]}),
        ("squad", {"context": "One is.", "question": "What is?"}),
        ("some", {"text": words(500, "w")}),
    ],
)
def test_prompt_is_known_by_what_calibrate_reads_of_its_item(
    key: str, row: Mapping[str, Any], tmp_path: Path
) -> None:
    """Catches: a profile's own prompts answered, since an experiment says them in other words."""
    path = tmp_path / f"{key}.jsonl"
    path.write_text(json.dumps(row), "utf-8")
    (asked,), (learned,) = read_workload(str(path)), read_prompts(str(path))
    assert text_hash((learned.text,)) in asked.text_hashes
    assert text_hash(asked.turns) in asked.text_hashes
    assert text_hash(("another",)) not in asked.text_hashes
