"""Files of data, whatever their format, as rows of named fields."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smart_speed.errors import ConfigError, EngineMissingError, check_that
from smart_speed.files import parse_json
from smart_speed.workloads.hub import Place

Row = Mapping[str, Any]
"""One item of a data set."""

_SPLITS = (
    ("test",),
    ("train", "training"),
    ("validation", "valid", "val", "dev"),
)
"""Words for a split in a file's name; those of one line mean the same."""
_SPLIT_WORDS = frozenset(word for words in _SPLITS for word in words)
_ANY_DATA = ("data", "input", "input_data", "question", "questions")
_NO_DATA = ("readme", "license", "licence", "source")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


def data_suffix(path: Path) -> str:
    """Return what a file's name ends with, without dot and ".gz"; empty if with nothing."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower().lstrip(".")


def bare_name(path: Path) -> str:
    """Return a file's name without what its format and the number of its shard add to it."""
    name = path.name.removesuffix(".gz")
    return _SHARD.sub("", name.removesuffix(Path(name).suffix))


def split_of(name: str) -> str | None:
    """Return the split that a name speaks of; ``None`` if of none, or of several."""
    words = set(re.split(r"[\W_]+", name.lower()))
    found = [each[0] for each in _SPLITS if words & set(each)]
    return found[0] if len(found) == 1 else None


def tells_nothing(name: str) -> bool:
    """Whether a file's bare name is a split's, or one that any data set may have."""
    return name.lower() in _SPLIT_WORDS or name.lower() in _ANY_DATA


def local_path(name: str) -> Path | None:
    """Return the path of a file or folder that is here; ``None`` if a name is of none."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError):  # too long for a path, or of an unknown user
        return None


def read_text(path: Path) -> str:
    """Return the text of a file, which may be compressed.

    Raises:
        ConfigError: If it cannot be read, or is no UTF-8.
    """
    try:
        return _bytes_of(path).decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(
            f"A file of prompts must be readable UTF-8 text, got {str(path)!r} ({error})."
        ) from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file: JSON lines, JSON, Parquet, CSV or TSV; of any other, its lines.

    Args:
        path: With ".gz" behind its name if it is compressed. JSON is a list, or an object with a
            list "data"; where that holds paragraphs with questions (SQuAD), a row is a question.
            A text that stands where a row should be is its "prompt". A line of plain text has
            the fields "text" and "line", its number.

    Raises:
        ConfigError: If it cannot be read, or is not what its name says.
        EngineMissingError: If it is Parquet, and the package pyarrow is not installed.
    """
    return list(_READERS.get(data_suffix(path), _plain_rows)(path))


def find_files(folder: Path, place: Place) -> list[Path]:
    """Return the file of a split in a folder, or all of its shards.

    Args:
        folder: Its files, and those of a folder "data" in it, are looked at.
        place: Whose configuration is a folder inside of it to look into instead, or a part of the
            file's name, and whose split is a word of that name; a single file that names no split
            will do.

    Raises:
        ConfigError: If there is no such file, or several.
    """
    inside = folder / place.config if place.config else folder
    apart = inside != folder and inside.is_dir()
    places = (inside,) if apart else (folder, folder / "data")
    files = sorted(
        path for each in places if each.is_dir() for path in each.iterdir() if _is_data(path)
    )
    if place.config and not apart:
        files = [path for path in files if place.config in path.name]
    meant = next((words for words in _SPLITS if place.split in words), (place.split,))
    found = [path for path in files if _words(path) & set(meant)]
    found = found or [path for path in files if not _words(path) & _SPLIT_WORDS]
    if len({bare_name(path) for path in found}) != 1:
        there = ", ".join(path.name for path in found or files) or "none"
        raise ConfigError(
            f"A folder of prompts must hold one file for {place.wanted}, got {str(folder)!r} with "
            f"{there}; give the path of the file itself."
        )
    return found


def _is_data(path: Path) -> bool:
    return (
        data_suffix(path) in DATA_SUFFIXES
        and path.is_file()
        and not path.name.lower().startswith((".", *_NO_DATA))
    )


def _words(path: Path) -> set[str]:
    return set(re.split(r"[\W_]+", path.name.lower()))


def _bytes_of(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _plain_rows(path: Path) -> Iterator[Row]:
    lines = read_text(path).split("\n")  # splitlines would split inside of texts
    return ({"text": line, "line": number} for number, line in enumerate(lines, 1))


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield _json_row(line, f"line {number} of {str(path)!r}")


def _json_row(line: str, source: str) -> Row:
    try:
        return _row(parse_json(line), source)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source} must be JSON: {error}.") from error


def _row(item: Any, source: str) -> Row:
    if isinstance(item, str):
        return {"prompt": item}
    check_that(isinstance(item, dict), source, "a JSON object or a text", item)
    return item  # type: ignore[no-any-return]


def _json_document(path: Path) -> Iterator[Row]:
    try:
        document = parse_json(read_text(path))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        if getattr(error, "msg", "") == "Extra data":  # JSON lines under another name
            yield from _json_lines(path)
            return
        raise ConfigError(f"{str(path)!r} must be JSON: {error}.") from error
    items = document.get("data") if isinstance(document, dict) else document
    rule = 'a JSON list, or an object with a list "data"'
    if not isinstance(items, list):
        raise ConfigError(f"{str(path)!r} must be {rule}, got {type(items).__name__}.")
    for number, item in enumerate(items, 1):
        source = f"item {number} of {str(path)!r}"
        row = _row(item, source)
        yield from _questions(row, source) if isinstance(row.get("paragraphs"), list) else (row,)


def _questions(article: Row, source: str) -> Iterator[Row]:
    """Flatten an article of SQuAD's form; a paragraph without questions is a row as well."""
    for paragraph in article["paragraphs"]:
        check_that(isinstance(paragraph, dict), f"a paragraph of {source}", "an object", paragraph)
        about = {"title": article.get("title"), "context": paragraph.get("context")}
        for question in paragraph.get("qas") or [{}]:
            check_that(isinstance(question, dict), f"a question of {source}", "an object", question)
            yield {**about, **question}


def _parquet(path: Path) -> Sequence[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EngineMissingError(
            f"Parquet files need pyarrow, to read {str(path)!r}; run "
            "`pip install 'smart-speed[data]'`."
        ) from error
    try:
        rows: list[Row] = pyarrow.parquet.read_table(io.BytesIO(_bytes_of(path))).to_pylist()
    except (OSError, EOFError, zlib.error, pyarrow.ArrowException) as error:
        raise ConfigError(f"{str(path)!r} must be a readable Parquet file: {error}.") from error
    return rows


def _table(delimiter: str) -> Callable[[Path], Iterator[Row]]:
    def rows(path: Path) -> Iterator[Row]:
        lines = io.StringIO(read_text(path), newline="")
        try:
            yield from csv.DictReader(lines, delimiter=delimiter, strict=True)
        except csv.Error as error:
            raise ConfigError(
                f"{str(path)!r} must be a table with a first line of names: {error}."
            ) from error

    return rows


_READERS: Mapping[str, Callable[[Path], Iterator[Row] | Sequence[Row]]] = {
    "jsonl": _json_lines,
    "ndjson": _json_lines,
    "json": _json_document,
    "parquet": _parquet,
    "csv": _table(","),
    "tsv": _table("\t"),
}
"""By what a file's name ends with."""
DATA_SUFFIXES = (*_READERS, "txt", "raw", "tokens")
"""Names of files in a folder that end so are taken for data."""
