"""Traces as a table: a row for each prompt and drafter, arrays as lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smart_speed.errors import ConfigError
from smart_speed.tracing.traces import PassTable, Trace

_MARK = {b"smart_speed.traces": b"1"}
"""Stands in the metadata of every table written here, with the version of its columns."""

_SCALARS = {
    "prompt_id": "string",
    "task": "string",
    "drafter": "string",
    "prompt_len": "int32",
    "max_new_len": "int32",
    "finish_reason": "string",
    "max_draft_len": "int32",
    "drafter_context_len": "int32",
}
_BY_POSITION = {
    "tokens": "uint32",
    "verifier_entropy_nats": "float64",
    "verifier_top_prob": "float64",
    "verifier_agrees": "bool_",
    "own_lens": "uint16",
    "overlap": "float32",
    "accept_prob": "float32",
    "match_len": "uint8",
    "match_prob": "float64",
}
_LATER = ("match_len", "match_prob")
"""Columns that tables of earlier versions lack."""
_OPTIONAL = ("overlap", "accept_prob", *_LATER)
"""Columns whose lists may be null."""
_BY_PASS = {
    "tokens": "uint32",
    "shannon_nats": "float64",
    "renyi_nats": "float64",
    "topk_nats": "float64",
    "top_prob": "float64",
    "margin_nats": "float32",
}
_ENDING = "ending_tokens"
_PREFIX = "pass_"
"""Of the columns with an entry for each pass."""
_DTYPES = {"bool_": "bool"}
"""Arrow's names for types that NumPy calls otherwise."""

Table = Any
"""A table of pyarrow, which is imported only where one is made or read."""


def to_table(traces: Sequence[Trace]) -> Table:
    """Return some traces as a table.

    Raises:
        ConfigError: If pyarrow is not installed.
    """
    pa = _pyarrow()
    schema = _schema(pa)
    columns = {name: [getattr(trace, name) for trace in traces] for name in _SCALARS}
    columns |= {name: [getattr(trace, name) for trace in traces] for name in _BY_POSITION}
    columns |= {
        _PREFIX + name: [getattr(trace.passes, name) for trace in traces] for name in _BY_PASS
    }
    columns[_ENDING] = [list(trace.ending_tokens) for trace in traces]
    return pa.table(
        {field.name: pa.array(columns[field.name], type=field.type) for field in schema},
        schema=schema,
    )


def from_table(table: Table, source: str) -> list[Trace]:
    """Return the traces of a table.

    Args:
        table: What ``to_table`` made.
        source: What to call it in an error.

    Raises:
        ConfigError: If it is another table, or its columns do not fit together.
    """
    schema, known = _schema(_pyarrow()), table.schema.names
    for name in _LATER:
        if name not in known:
            schema = schema.remove(schema.get_field_index(name))
    marks = table.schema.metadata or {}
    marked = all(marks.get(name) == version for name, version in _MARK.items())
    if not marked or not table.schema.equals(schema):
        raise ConfigError(
            f"Traces must be a table with the columns of version 1, got {source!r} with "
            f"{', '.join(table.schema.names)}."
        )
    try:
        return [_trace(table, row) for row in range(table.num_rows)]
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"Columns of traces must fit together, got {source!r} where they do not; record them "
            "again."
        ) from error


def write_table(table: Table, path: Path) -> None:
    """Write a table to a Parquet file."""
    _pyarrow().parquet.write_table(table, path, compression="zstd")


def read_table(path: Path) -> Table:
    """Read a table from a Parquet file.

    Raises:
        ConfigError: If there is no such file, it is broken, or pyarrow is not installed.
    """
    pa = _pyarrow()
    try:
        return pa.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"Traces must be a whole Parquet file, got {str(path)!r}: {said}."
        ) from error


def _trace(table: Table, row: int) -> Trace:
    values: dict[str, Any] = {name: table.column(name)[row].as_py() for name in _SCALARS}
    arrays = {name: _array(table, name, row, kind) for name, kind in _BY_POSITION.items()}
    passes: dict[str, Any] = {
        name: _array(table, _PREFIX + name, row, kind) for name, kind in _BY_PASS.items()
    }
    lens = {len(column) for column in arrays.values() if column is not None}
    pass_lens = {len(column) for column in passes.values()}
    if len(lens) != 1 or pass_lens != {int(arrays["own_lens"].sum())}:
        raise ValueError(f"lengths {sorted(lens)} and {sorted(pass_lens)}")
    values |= arrays
    values[_ENDING] = tuple(table.column(_ENDING)[row].as_py())
    return Trace(**values, passes=PassTable(**passes))


def _array(table: Table, name: str, row: int, kind: str) -> Any:
    """Return a list as an array; ``None`` for what a trace need not have."""
    if name in _LATER and name not in table.schema.names:
        return None
    values = table.column(name)[row].values
    if values is None and name in _OPTIONAL:
        return None
    dtype = np.dtype(_DTYPES.get(kind, kind))
    return np.array(values.to_numpy(zero_copy_only=False), dtype=dtype)


def _schema(pa: Any) -> Any:
    named = {name: getattr(pa, kind)() for name, kind in _SCALARS.items()}
    lists = _BY_POSITION | {_PREFIX + name: kind for name, kind in _BY_PASS.items()}
    lists[_ENDING] = "uint32"
    named |= {name: pa.list_(getattr(pa, kind)()) for name, kind in lists.items()}
    return pa.schema(list(named.items()), metadata=_MARK)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Traces in files need the module pyarrow, which is not installed: run "
            "`pip install 'smart-speed[traces]'`."
        ) from error
    return pyarrow
