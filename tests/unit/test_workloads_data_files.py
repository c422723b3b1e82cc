"""Every format of file, folders of them, and what is wrong with some."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from smart_speed.errors import ConfigError, EngineMissingError
from smart_speed.workloads.data_files import find_files, read_rows
from smart_speed.workloads.hub import Place

ROWS = [{"prompt": "one\u2028line", "answer": "1"}, {"prompt": "two, or 2", "answer": "2"}]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table(delimiter: str) -> str:
    return f'prompt{delimiter}answer\r\n"one\u2028line"{delimiter}1\r\n"two, or 2"{delimiter}2\r\n'


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", lines(ROWS)),
        ("a.ndjson", "\ufeff\n" + lines(ROWS)),
        ("a.json", json.dumps(ROWS)),
        ("a.json", json.dumps({"version": 1, "data": ROWS}, indent=1)),
        ("a.json", lines(ROWS)),
        ("a.csv", table(",")),
        ("a.TSV", table("\t")),
    ],
)
def test_formats_of_text_give_the_same_rows(
    tmp_path: Path, name: str, text: str, compressed: bool
) -> None:
    path = tmp_path / (name + ".gz" if compressed else name)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if compressed else text.encode())
    assert read_rows(path) == ROWS


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz"])
def test_parquet_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert read_rows(tmp_path / name) == ROWS


def test_texts_may_stand_for_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["one", {"question": "two"}]', "utf-8")
    assert read_rows(tmp_path / "a.json") == [{"prompt": "one"}, {"question": "two"}]


def test_paragraphs_with_questions_are_rows_of_their_own(tmp_path: Path) -> None:
    questions = [{"id": "q1", "question": "Who?"}, {"id": "q2", "question": "Why?"}]
    paragraphs = [{"context": "C1", "qas": questions}, {"context": "C2", "qas": []}]
    document = {"data": [{"title": "T", "paragraphs": paragraphs}]}
    (tmp_path / "a.json").write_text(json.dumps(document), "utf-8")
    assert read_rows(tmp_path / "a.json") == [
        {"title": "T", "context": "C1", "id": "q1", "question": "Who?"},
        {"title": "T", "context": "C1", "id": "q2", "question": "Why?"},
        {"title": "T", "context": "C2"},
    ]


def test_plain_text_is_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\n\r\n two")
    rows = read_rows(tmp_path / "a.txt")
    assert [(row["line"], row["text"]) for row in rows] == [(1, "one"), (2, ""), (3, " two")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"prompt": "a"}\n\n{', "line 3 of .* must be JSON"),
        ("a.jsonl", b"[1]", "line 1 of .* must be a JSON object or a text"),
        ("a.jsonl", b"\xff\xfe", "must be readable UTF-8 text"),
        ("a.jsonl.gz", b"no gzip", "must be readable UTF-8 text"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "must be readable UTF-8 text"),
        ("a.json", b"{", "a.json' must be JSON"),
        ("a.json", b'{"rows": []}', 'must be a JSON list, or an object with a list "data"'),
        ("a.jsonl", b"[" * 10**5, "line 1 of .* must be JSON: it is nested too deeply"),
        ("a.json", b'{"data":' * 10**5, "a.json' must be JSON: it is nested too deeply"),
        ("a.json", b"[[]]", "item 1 of .* must be a JSON object or a text"),
        (
            "a.json",
            b'{"data": [{"paragraphs": [3]}]}',
            "a paragraph of item 1 of .* an object, got",
        ),
        (
            "a.json",
            b'{"data": [{"paragraphs": [{"qas": [1]}]}]}',
            "a question of item 1 of .* got 1",
        ),
        ("a.csv", b'prompt\n"open', "must be a table with a first line of names"),
        ("a.parquet.gz", b"no gzip", "must be a readable Parquet file"),
        ("a.parquet", b"no parquet", "must be a readable Parquet file"),
        ("a.txt", b"\xff", "must be readable UTF-8 text"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_rows(tmp_path / name)


def test_parquet_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EngineMissingError, match=r"pip install 'smart-speed\[data\]'"):
        read_rows(tmp_path / "a.parquet")


def found(folder: Path, config: str | None = None, split: str = "test") -> list[str]:
    files = find_files(folder, Place("a", config, split))
    return [str(path.relative_to(folder)) for path in files]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_gives_the_file_of_a_split(tmp_path: Path) -> None:
    fill(tmp_path, "test.jsonl", "train.jsonl", "my.dev.json.gz", "README.txt", ".test.csv", "x.md")
    assert found(tmp_path) == ["test.jsonl"]
    assert found(tmp_path, split="train") == ["train.jsonl"]
    assert found(tmp_path, split="validation") == ["my.dev.json.gz"]


def test_a_single_file_that_names_no_split_will_do(tmp_path: Path) -> None:
    assert found(fill(tmp_path, "HumanEval.jsonl.gz", "LICENSE.txt")) == ["HumanEval.jsonl.gz"]


def test_a_file_of_another_split_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one file for split 'test', got .* with train.jsonl"):
        found(fill(tmp_path, "train.jsonl"))


def test_shards_are_read_together(tmp_path: Path) -> None:
    shards = [f"data/test-0000{number}-of-00002.parquet" for number in range(2)]
    assert found(fill(tmp_path, *shards, "data/train-00000-of-00001.parquet")) == shards


def test_a_configuration_is_a_folder_or_part_of_a_name(tmp_path: Path) -> None:
    fill(tmp_path, "main/test.jsonl", "socratic/test.jsonl", "a.de.json", "a.en.json")
    assert found(tmp_path, "main") == ["main/test.jsonl"]
    assert found(tmp_path, "en") == ["a.en.json"]
    with pytest.raises(ConfigError, match=r"for config 'fr', split 'test', got .* with none; give"):
        found(tmp_path, "fr")


def test_several_files_of_a_split_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"with a_test.jsonl, b_test.jsonl; give the path of the"):
        found(fill(tmp_path, "a_test.jsonl", "b_test.jsonl"))
