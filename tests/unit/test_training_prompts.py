import json
from pathlib import Path

import pytest

from smart_speed.errors import ConfigError
from smart_speed.training.prompts import fingerprint, read_prompts

ROWS = [
    {"prompt": "one\u2028line", "licence": "MIT", "source": "a", "task": "math", "id": 7},
    {"question": "two", "license": "CC-BY-4.0 (a remark)", "source": "b"},
    {"instruction": "three", "licence": "CC-BY-SA-4.0"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), "utf-8")
    return path


def test_json_lines_are_read_with_all_that_they_say(file: Path) -> None:
    first, second, third = read_prompts(str(file))
    assert (first.text, first.licence, first.source) == ("one\u2028line", "MIT", "a")
    assert (first.task, first.prompt_id) == ("math", "7")
    assert (second.text, second.task, second.prompt_id) == ("two", "", "prompts:2")
    assert third.source == "prompts.jsonl"


def test_licences_are_told_apart_to_the_letter(file: Path) -> None:
    kept = read_prompts(str(file), {"MIT", "CC-BY-4.0"})
    assert [prompt.text for prompt in kept] == ["one\u2028line", "two"]
    with pytest.raises(ConfigError, match=r"under CC-BY, not only CC-BY-4.0, CC-BY-SA-4.0, MIT"):
        read_prompts(str(file), {"CC-BY"})


def test_text_files_have_one_prompt_a_line(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("one\n\n  two\n", "utf-8")
    assert [prompt.text for prompt in read_prompts(str(tmp_path / "some.txt"))] == ["one", "  two"]


def test_a_local_folder_is_read_as_a_data_set(file: Path) -> None:
    pytest.importorskip("datasets")
    folder = file.parent / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"question": "why?"}\n{"question": "how?"}\n', "utf-8")
    assert [prompt.text for prompt in read_prompts(str(folder))] == ["why?", "how?"]
    (folder / "train.jsonl").write_text('{"answer": "so"}\n', "utf-8")
    with pytest.raises(ConfigError, match=r"must have a text in .* with answer"):
        read_prompts(str(folder))
    with pytest.raises(ConfigError, match=r"looked for .*; give the path of a local copy\.$"):
        read_prompts(str(folder / "none"))


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": ""}', '{"prompt": 3}', '"text"'])
def test_a_line_without_a_prompt_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "good"}\n' + line, "utf-8")
    with pytest.raises(ConfigError, match="line 2 of"):
        read_prompts(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="readable UTF-8"):
        read_prompts(str(tmp_path / "bad.jsonl"))


def test_the_fingerprint_knows_every_prompt_and_their_order(file: Path) -> None:
    prompts = read_prompts(str(file))
    assert len({fingerprint(prompts), fingerprint(prompts[::-1]), fingerprint(prompts[:2])}) == 3
    assert fingerprint(prompts) == fingerprint(read_prompts(str(file)))


def test_the_builtin_prompts_are_there() -> None:
    assert len(read_prompts("builtin", {"Apache-2.0"})) == 72
