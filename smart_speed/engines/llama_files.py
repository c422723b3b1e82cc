"""GGUF files made from other GGUF files, once, and kept in the user's cache folder."""

import ctypes
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import llama_cpp
import platformdirs

from smart_speed.engines.llama_cpp import check_gguf, features
from smart_speed.engines.llama_log import quiet
from smart_speed.errors import ModelError, OutputError, check_that
from smart_speed.files import file_sha256

Format = Literal["bf16", "q8_0", "q4_0"]

_FILE_TYPES: dict[Format, int] = {
    "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
}


def cache_folder() -> Path:
    """Return the folder of derived models, which ``SMART_SPEED_CACHE`` moves."""
    root = os.environ.get("SMART_SPEED_CACHE") or platformdirs.user_cache_path("smart_speed")
    return Path(root) / "models"


def flattest_format() -> Format:
    """Return the format that keeps a model's text and in which a wide pass costs least.

    Where the processor multiplies bfloat16, a pass of 5 tokens costs about 1.5 times one of 1,
    and about 4 times in Q8_0; elsewhere bfloat16 is slow. Q4_0 is flat as well, but rounding a
    Q4_1 file to it turns a small model's text into another (docs/engines.md has the figures).
    """
    return "bf16" if "BF16" in features() else "q8_0"


def requantized(path: Path, to: Format, say: Callable[[str], None]) -> Path:
    """Return a copy of a model in another number format.

    Args:
        path: The GGUF file.
        to: The format.
        say: Called with a line for people while there is something to wait for.

    Raises:
        ModelError: If llama.cpp refuses the file.
        OutputError: If the cache folder cannot be written.
    """
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = _FILE_TYPES[to]
    params.allow_requantize = True
    return _derived(path, to, params, f"Converting {path.name} to {to.upper()}, once", say)


def first_layers(path: Path, num_layers: int, total: int, say: Callable[[str], None]) -> Path:
    """Return a copy of a model that ends after its first layers.

    Args:
        path: The GGUF file.
        num_layers: How many to keep.
        total: How many there are.
        say: Called with a line for people while there is something to wait for.

    Raises:
        ConfigError: If ``num_layers`` is not between 1 and ``total - 1``.
    """
    check_that(0 < num_layers < total, "layers", f"1 to {total - 1} for this model", num_layers)
    params = llama_cpp.llama_model_quantize_default_params()
    params.only_copy = True
    pruned = (ctypes.c_int32 * (total - num_layers + 1))(*range(num_layers, total), -1)
    params.prune_layers = ctypes.cast(pruned, ctypes.POINTER(ctypes.c_int32))
    sentence = f"Cutting {path.name} after {num_layers} layers, once"
    return _derived(path, f"layers{num_layers}", params, sentence, say)


def _derived(
    path: Path,
    suffix: str,
    params: llama_cpp.llama_model_quantize_params,
    sentence: str,
    say: Callable[[str], None],
) -> Path:
    """Return the cached file for a source's content and a derivation, made if need be."""
    check_gguf(path)
    target = cache_folder() / f"{path.stem}-{file_sha256(path)[:12]}-{suffix}.gguf"
    if target.is_file():
        return target
    say(f"{sentence} …")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
        os.close(handle)
    except OSError as error:
        raise OutputError(f"The cache folder must be writable, got {error}.") from error
    part = Path(name)
    try:
        with quiet:
            status = llama_cpp.llama_model_quantize(os.fsencode(path), os.fsencode(part), params)
        if status:
            raise ModelError(f"llama.cpp must be able to convert {str(path)!r}: {quiet.last}.")
        part.replace(target)  # atomic: another process sees a whole file or none
    finally:
        part.unlink(missing_ok=True)
    return target
