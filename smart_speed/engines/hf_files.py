"""Where models of transformers lie, and how to read them without its noise and tracebacks."""

import contextlib
import functools
import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gguf
from huggingface_hub import HfApi, try_to_load_from_cache

from smart_speed.errors import ModelError

Loaded = TypeVar("Loaded")

_LOADING = threading.RLock()


def find(path: str) -> dict[str, Any]:
    """Return where transformers shall look, as arguments of every ``from_pretrained``.

    Raises:
        ModelError: If there is nothing to look into.
    """
    place = Path(path).expanduser()
    # Code that comes with a model is never run; left unsaid, transformers asks on the terminal.
    source: dict[str, Any] = {"trust_remote_code": False}
    if place.is_dir():
        if not (place / "config.json").is_file():
            raise ModelError(
                f"A model's folder must hold a config.json, got {path!r} without one; "
                "a GGUF file is given by its own path."
            )
        return source | {"pretrained_model_name_or_path": str(place)}
    if place.is_file():
        if read(path, lambda: _magic(place)) != b"GGUF":
            raise ModelError(f"A model's file must be in GGUF format, got {path!r}.")
        return source | {
            "pretrained_model_name_or_path": str(place.parent),
            "gguf_file": place.name,
        }
    hub_id = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", path)
    if not hub_id or path.endswith(".gguf"):
        raise ModelError(f"A model must be a folder, a GGUF file or a hub id, found no {path!r}.")
    _ask_hub(path)
    return source | {"pretrained_model_name_or_path": path}


def _magic(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(4)


def _ask_hub(hub_id: str) -> None:
    """Refuse at once what transformers would ask for again and again."""
    try:
        if not isinstance(try_to_load_from_cache(hub_id, "config.json"), str):
            HfApi().model_info(hub_id, timeout=10)
    except Exception as error:
        raise ModelError(
            f"The model {hub_id!r} is neither a folder here nor to be had from the hub "
            f"({first_line(error)}); a local folder or GGUF file may be given instead."
        ) from error


def read(path: str, reader: Callable[[], Loaded]) -> Loaded:
    """Let transformers read something, quietly.

    Raises:
        ModelError: If it cannot.
    """
    try:
        with quiet():
            return reader()
    # Each file format has errors of its own: struct.error, SafetensorError, KeyError ...
    except Exception as error:
        said = first_line(error).rstrip(".")
        raise ModelError(f"The model {path!r} cannot be read: {said}.") from error


@contextlib.contextmanager
def parsing_once() -> Iterator[None]:
    """Let transformers parse a GGUF file once, and not anew for everything that it reads there.

    A header with a vocabulary takes seconds, and is wanted for configuration, tokenizer and
    weights; a table of names takes milliseconds, and is wanted for every module.
    """
    with _LOADING:
        asked = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
        for name, function in asked.items():
            setattr(gguf, name, functools.cache(function))
        try:
            yield
        finally:
            for name, function in asked.items():
                setattr(gguf, name, function)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, log lines and warnings of third parties from the terminal."""
    disabled_level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        logging.disable(disabled_level)


def first_line(error: Exception) -> str:
    """Return what an error says, or its name if it says nothing."""
    return f"{str(error).strip() or type(error).__name__}".splitlines()[0]
