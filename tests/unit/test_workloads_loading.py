"""Data sets by their names: tasks, ids, choices, the hub, and what can be missing."""

import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smart_speed.errors import ConfigError, EngineMissingError
from smart_speed.workloads.loading import load_workload, read_workload, split_workload
from smart_speed.workloads.prompt import WorkloadPrompt


def write(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def questions(count: int, about: str = "it") -> list[Any]:
    return [{"question": f"What is {about}, {number}?"} for number in range(count)]


def ids(prompts: list[WorkloadPrompt]) -> list[str]:
    return [prompt.prompt_id for prompt in prompts]


def prompts(count: int, task: str) -> list[WorkloadPrompt]:
    return [
        WorkloadPrompt(prompt_id=f"{task}/{number}", task=task, turns=(f"{task} {number}",))
        for number in range(count)
    ]


def test_the_builtin_prompts_keep_ids_and_tasks() -> None:
    found = read_workload("builtin")
    assert len(found) == 72
    assert (found[0].prompt_id, found[0].task, found[0].chat) == ("math/01", "math", True)
    assert read_workload("mine=builtin")[3].prompt_id == "mine/3"


@pytest.mark.parametrize(
    ("file", "task"),
    [
        ("gsm8k/test.jsonl", "gsm8k"),
        ("gsm8k_questions.jsonl", "gsm8k"),
        ("mine/test.jsonl", "mine"),
        ("mine/input.jsonl", "mine"),
        ("mine/puzzles.jsonl", "puzzles"),
    ],
)
def test_a_task_has_the_name_of_its_data(tmp_path: Path, file: str, task: str) -> None:
    (prompt,) = read_workload(write(tmp_path / file, questions(1)))
    assert (prompt.task, prompt.prompt_id) == (task, f"{task}/0")


def test_a_task_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k/test.jsonl", [*questions(2), {"question": "!", "task": "x"}])
    assert ids(read_workload(f"numbers={path}")) == ["numbers/0", "numbers/1", "numbers/2"]


def test_the_task_tells_how_items_are_read(tmp_path: Path) -> None:
    row = {"context": "It is. So.", "question": "Is it?"}
    path = write(tmp_path / "a.jsonl", [row])
    assert read_workload(f"xquad={path}")[0].turns == ("Translate into German: It is.",)
    assert read_workload(path)[0].turns == ("It is. So.\n\nIs it?",)


def test_items_with_tasks_are_counted_in_them(tmp_path: Path) -> None:
    rows = [{"prompt": str(at), "task": task} for at, task in enumerate("abab")]
    assert ids(read_workload(write(tmp_path / "mix.jsonl", rows))) == ["a/0", "b/0", "a/1", "b/1"]


def test_several_data_sets_make_one_workload(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", questions(2))
    two = write(tmp_path / "two.jsonl", questions(1))
    expected = ["one/0", "one/1", "b/0"]
    assert ids(read_workload(f"{one}, b={two}")) == expected
    assert ids(read_workload([one, f"b={two}"])) == expected


def test_data_sets_of_one_task_share_no_id(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.jsonl", questions(15)) for name in ("one", "two"))
    found = ids(read_workload([f"math={one}", "builtin", f"math={two}"]))
    assert len(set(found)) == len(found) == 15 + 72 + 15
    assert found[:15] == [f"math/{number}" for number in range(15)]


def test_wikitext_files_are_known_by_their_endings(tmp_path: Path) -> None:
    path = tmp_path / "wiki.test.raw"
    path.write_text(" = A = \n" + "word " * 100, "utf-8")
    (prompt,) = read_workload(str(path))
    assert (prompt.task, prompt.chat) == ("wikitext", False)
    assert prompt.turns == (("word " * 64).strip(),)


def test_a_folder_holds_the_file_of_a_split(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k/main/test-00000-of-00002.jsonl", questions(2))
    write(tmp_path / "gsm8k/main/test-00001-of-00002.jsonl", questions(1))
    write(tmp_path / "gsm8k/main/train.jsonl", questions(5))
    folder = tmp_path / "gsm8k"
    assert ids(read_workload(f"{folder}:main:test")) == ["gsm8k/0", "gsm8k/1", "gsm8k/2"]
    trained = [f"gsm8k/train-{number}" for number in range(5)]
    assert ids(read_workload(f"{folder}:main:train", split="test")) == trained
    assert ids(read_workload(f"gsm8k={folder / 'main'}", split="train")) == trained
    assert ids(read_workload(f"gsm8k={folder}/main/train.jsonl", split="test")) == trained


def test_paths_may_hold_what_parts_names(tmp_path: Path) -> None:
    path = write(tmp_path / "split=test,a:b/gsm8k.jsonl", questions(3))
    assert len(read_workload(path)) == 3


def test_splits_share_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"task_id": at, "text": str(at), "test_list": ["t"]} for at in (500, 560, 620)]
    path = write(tmp_path / "mbpp.jsonl", rows)
    assert ids(read_workload([path, f"{path}:train", f"{path}:valid"])) == [
        "mbpp/0",
        "mbpp/train-0",
        "mbpp/validation-0",
    ]
    fake_hub(monkeypatch, questions(1))
    found = read_workload(["nq_open:train", "nq_open:validation", "gsm8k:train"])
    assert ids(found) == ["nq_open/train-0", "nq_open/0", "gsm8k/train-0"]
    dev = write(tmp_path / "nq_open.dev.jsonl", questions(1))
    assert ids(read_workload(dev)) == ["nq_open/0"]


def test_a_larger_limit_adds_to_a_smaller(tmp_path: Path) -> None:
    names = [write(tmp_path / f"{name}.jsonl", questions(9)) for name in ("a", "b")]
    every = load_workload(names)
    assert sorted(ids(every)) == sorted(ids(read_workload(names)))
    assert load_workload(names, limit=5) == every[:5]
    assert [prompt.task for prompt in every] == ["a", "b"] * 9
    assert ids(load_workload(names, seed=1)) != ids(every)


def fake_hub(monkeypatch: pytest.MonkeyPatch, rows: Any) -> list[Any]:
    """Put a package in place of datasets; returns what it is asked for."""
    asked: list[Any] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> Any:
        asked.append((name, config, split))
        if isinstance(rows, Exception):
            raise rows
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


@pytest.mark.parametrize(
    ("name", "split", "place"),
    [
        ("gsm8k", None, ("openai/gsm8k", "main", "test")),
        ("openai/gsm8k", "train", ("openai/gsm8k", "main", "train")),
        ("qa=gsm8k:socratic:train", "test", ("openai/gsm8k", "socratic", "train")),
        ("gsm8k:test[:100]", None, ("openai/gsm8k", "main", "test[:100]")),
        ("nq_open", "test", ("google-research-datasets/nq_open", None, "validation")),
        ("mt_bench_prompts", None, ("HuggingFaceH4/mt_bench_prompts", None, "train")),
        ("Someone/gsm8k-harder", None, ("Someone/gsm8k-harder", None, "test")),
    ],
)
def test_the_hub_is_asked_for_known_names(
    monkeypatch: pytest.MonkeyPatch, name: str, split: str | None, place: tuple[str, ...]
) -> None:
    asked = fake_hub(monkeypatch, questions(2))
    assert [prompt.turns[0] for prompt in read_workload(name, split=split)] == [
        "What is it, 0?",
        "What is it, 1?",
    ]
    assert asked == [place]


def test_a_task_from_the_hub_has_the_name_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, questions(1))
    assert ids(read_workload(["openai/gsm8k", "Some/Riddles", "qa=Some/Other"])) == [
        "gsm8k/0",
        "riddles/0",
        "qa/0",
    ]


def test_what_the_hub_does_not_have_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, ConnectionError("Couldn't reach it.\nAnd more"))
    with pytest.raises(ConfigError) as caught:
        read_workload("gsm8k")
    assert str(caught.value) == (
        "prompts must be 'builtin', a file or folder here, or a data set on the hub, looked for "
        "'openai/gsm8k' (config 'main', split 'test'): Couldn't reach it; give the path of a "
        "local copy, as in gsm8k=PATH."
    )


def test_the_hub_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EngineMissingError, match=r"found no file or folder 'openai/gsm8k'; for th"):
        read_workload("gsm8k")


def test_names_may_be_longer_than_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, questions(1))
    names = [f"task{number}=Some/Riddles{number}" for number in range(300)]
    assert len(read_workload(",".join(names))) == 300


@pytest.mark.parametrize(
    "name", ["~nobody-of-that-name/a", "/no/such", "./gsm8k", "~/no/such", "gsm8k.jsonl", "a/b/c"]
)
def test_a_path_that_is_missing_is_not_looked_for_on_the_hub(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = fake_hub(monkeypatch, questions(1))
    with pytest.raises(ConfigError, match=f"found no file or folder '{name}'; give the path of"):
        read_workload(name)
    assert asked == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "dataset_name must be at least one name, got ''"),
        ([], r"dataset_name must be at least one name, got \[\]"),
        ("builtin,builtin", "dataset_name must be named once each"),
        (", ", "dataset_name must be at least one name, got ', '"),
        ("a:b:c:d", "must be NAME, NAME:SPLIT or NAME:CONFIG:SPLIT, got 'a:b:c:d'"),
    ],
)
def test_names_are_checked(name: str | list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_workload(name)


def test_a_part_of_a_split_is_for_the_hub(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k.jsonl", questions(9))
    for name in (path, str(tmp_path)):
        with pytest.raises(ConfigError, match=r"split must be a word for .*, got 'test\[:5\]'"):
            read_workload(f"{name}:test[:5]")


def test_data_without_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prompts must be a source of at least one prompt, got"):
        read_workload(write(tmp_path / "a.jsonl", []))
    early = [{"task_id": 1, "text": "a", "test_list": ["b"]}]
    with pytest.raises(ConfigError, match="at least one prompt of split 'test', got"):
        read_workload(write(tmp_path / "mbpp.jsonl", early))
    with pytest.raises(ConfigError, match=r"Item 2 of .* a text that is not empty, got ' '"):
        read_workload(write(tmp_path / "gsm8k.jsonl", [*questions(1), {"question": " "}]))
    with pytest.raises(ConfigError, match="limit must be at least 1, got 0"):
        load_workload("builtin", limit=0)


def test_a_text_to_go_on_with_has_one_turn() -> None:
    with pytest.raises(ConfigError, match="turns of a must be one, as it is no chat"):
        WorkloadPrompt(prompt_id="a", task="", turns=("b", "c"), chat=False)


def test_parts_are_of_the_sizes_asked_for_and_apart() -> None:
    every = [*prompts(40, "a"), *prompts(30, "b"), *prompts(2, "c"), *prompts(1, "d")]
    for num_calibration, num_test in [(32, 41), (1, 1), (10, 20), (20, 10), (3, 60), (0, 73)]:
        parts = split_workload(every, num_calibration, num_test)
        assert (len(parts.calibration), len(parts.test)) == (num_calibration, num_test)
        assert not set(ids(parts.calibration)) & set(ids(parts.test))
        assert len({*ids(parts.calibration), *ids(parts.test)}) == num_calibration + num_test


def test_tasks_take_turns_on_both_sides() -> None:
    every = [*prompts(40, "a"), *prompts(30, "b"), *prompts(2, "c"), *prompts(1, "d")]
    parts = split_workload(every, 15, 30)
    assert Counter(each.task for each in parts.test) == {"a": 14, "b": 14, "c": 1, "d": 1}
    assert Counter(each.task for each in parts.calibration) == {"a": 7, "b": 7, "c": 1}
    assert [each.task for each in parts.test[:4]] == ["a", "b", "c", "d"]


def test_equal_texts_are_on_one_side() -> None:
    every = [*prompts(10, "a"), *prompts(10, "A")]
    copies = [
        WorkloadPrompt(prompt_id=f"copy/{each.prompt_id}", task="b", turns=(f" {each.turns[0]} ",))
        for each in every
    ]
    parts = split_workload([*every, *copies], 5, 5)
    texts = [each.turns[0].lower() for each in (*parts.calibration, *parts.test)]
    assert len(set(texts)) == 10
    with pytest.raises(ConfigError, match="got 10 of different texts"):
        split_workload([*every, *copies], 5, 6)


def test_the_seed_parts() -> None:
    every = prompts(30, "a")
    assert split_workload(every, 5, 5, 1) == split_workload(every, 5, 5, 1)
    assert split_workload(every, 5, 5, 1) != split_workload(every, 5, 5, 2)


def test_too_few_prompts_to_part_are_said() -> None:
    with pytest.raises(ConfigError) as caught:
        split_workload(prompts(9, "a"), 5, 5)
    assert str(caught.value) == (
        "prompts must be at least 5 to learn on and 5 others to answer, got 9 of different texts; "
        "ask for fewer, or name more data."
    )
    with pytest.raises(ConfigError, match="num_test must be at least 1"):
        split_workload(prompts(9, "a"), 5, 0)
    with pytest.raises(ConfigError, match="num_calibration must be at least 0"):
        split_workload(prompts(9, "a"), -1, 5)
