"""GGUF files through the low-level interface of llama-cpp-python.

Tokens go into the batch's own arrays and logits are read where llama.cpp left them: no Python
object per token, no copy per pass.
"""

import ctypes
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import llama_cpp
import numpy as np
from jaxtyping import Float

from smart_speed.engines.base import (
    CachedTokens,
    LoadedModel,
    check_feed,
    check_rollback,
    usable_cores,
)
from smart_speed.engines.llama_log import quiet
from smart_speed.engines.llama_tokenizer import LlamaTokenizer, metadata
from smart_speed.errors import ModelError, RollbackError, check_that

_BATCH_LEN = 256
"""Most tokens of one pass; longer feeds take several."""
_DEFAULT_CONTEXT_LEN = 4096
"""Where none is asked for: the cache is allocated at once, and few models are used to their end."""


@final
class Weights:
    """A loaded ``llama_model``, freed once no context and no tokenizer needs it.

    Functions of llama.cpp take it as the pointer that it stands for.
    """

    def __init__(self, pointer: int) -> None:
        self._as_parameter_ = pointer
        weakref.finalize(self, llama_cpp.llama_model_free, pointer)


@final
class LlamaModel(CachedTokens):
    """A GGUF model and one sequence's cache."""

    def __init__(self, model: Weights, *, context_len: int, threads: int) -> None:
        """Make a context for a loaded model.

        Raises:
            RollbackError: If the model is recurrent, so that its state cannot forget tokens.
            ModelError: If the context cannot be made, for want of memory.
        """
        _refuse_recurrent(model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_len
        params.n_batch = params.n_ubatch = min(_BATCH_LEN, context_len)
        params.n_threads = params.n_threads_batch = threads
        if not _flash_attention():
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.swa_full = True  # a sliding window that drops old tokens could not roll back
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise ModelError(f"A context of {context_len} tokens must fit in memory: {quiet.last}.")
        self._memory = llama_cpp.llama_get_memory(self._context)
        vocab = llama_cpp.llama_model_get_vocab(model)
        vocab_size = int(llama_cpp.llama_vocab_n_tokens(vocab))
        super().__init__(vocab_size=vocab_size, context_len=context_len)
        self._batch_len = int(params.n_batch)
        self._batch = llama_cpp.llama_batch_init(self._batch_len, 0, 1)
        shape = (self._batch_len,)
        self._token = np.ctypeslib.as_array(self._batch.token, shape)
        self._pos = np.ctypeslib.as_array(self._batch.pos, shape)
        self._wanted = np.ctypeslib.as_array(self._batch.logits, shape)
        np.ctypeslib.as_array(self._batch.n_seq_id, shape)[:] = 1
        for index in range(self._batch_len):
            self._batch.seq_id[index][0] = 0
        # The weights are held until then, since a context may not outlive its model.
        weakref.finalize(self, _free, self._context, self._batch, model)

    def feed(self, tokens: Sequence[int], *, last: int) -> Float[np.ndarray, "last vocab"]:
        check_feed(tokens, last, self.cached_len, self._context_len)
        blocks = []
        for start in range(0, len(tokens), self._batch_len):
            part = tokens[start : start + self._batch_len]
            rows = min(last - (len(tokens) - start - len(part)), len(part))
            blocks.append(self._decode(part, max(rows, 0)))
            if start + len(part) < len(tokens):
                blocks[-1] = blocks[-1].copy()  # the next pass overwrites it
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _decode(self, tokens: Sequence[int], rows: int) -> Float[np.ndarray, "rows vocab"]:
        count, start = len(tokens), self.cached_len
        self._batch.n_tokens = count
        self._token[:count] = tokens
        self._pos[:count] = np.arange(start, start + count)
        self._wanted[: count - rows] = 0
        self._wanted[count - rows : count] = 1
        # A pass that failed or was interrupted may have left tokens that nobody counted.
        llama_cpp.llama_memory_seq_rm(self._memory, 0, start, -1)
        if status := llama_cpp.llama_decode(self._context, self._batch):
            raise ModelError(f"llama.cpp must decode {count} tokens, got status {status}.")
        self._tokens.extend(tokens)
        if rows == 0:
            llama_cpp.llama_synchronize(self._context)
            return np.empty((0, self._vocab_size), dtype=np.float32)
        logits = llama_cpp.llama_get_logits(self._context)
        memory: Any = (ctypes.c_float * (rows * self._vocab_size)).from_address(
            ctypes.addressof(logits.contents)
        )
        memory.owner = self  # the view must keep alive what it looks at
        return np.frombuffer(memory, dtype=np.float32).reshape(rows, self._vocab_size)

    def rollback(self, to_len: int) -> None:
        check_rollback(to_len, self.cached_len)
        if to_len == self.cached_len:
            return
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, to_len, -1):
            raise RollbackError(f"llama.cpp must forget tokens from {to_len} on, and refused.")
        del self._tokens[to_len:]


def load(path: str, *, threads: int | None = None, context_len: int | None = None) -> LoadedModel:
    """Load a GGUF file.

    Args:
        path: The file.
        threads: Cores to use; ``None`` means all that this process may run on.
        context_len: Tokens that the cache holds; ``None`` means 4096, or what the model was
            trained for if that is less.

    Raises:
        ModelError: If the file is missing, is no GGUF file, or is broken.
        ConfigError: If ``context_len`` exceeds what the model was trained for.
        RollbackError: If the model is recurrent.
    """
    check_that(threads is None or threads >= 1, "threads", "at least 1", threads)
    check_gguf(Path(path))
    model = _open(Path(path))
    trained = int(llama_cpp.llama_model_n_ctx_train(model))
    if context_len is not None:
        rule = f"1 to {trained}, which the model was trained for"
        check_that(1 <= context_len <= trained, "context_len", rule, context_len)
    threads = threads or usable_cores()
    attention = "" if _flash_attention() else ", flash attention off"
    cached = LlamaModel(
        model, context_len=context_len or min(trained, _DEFAULT_CONTEXT_LEN), threads=threads
    )
    return LoadedModel(
        model=cached,
        tokenizer=LlamaTokenizer(model),
        engine="llama_cpp",
        path=path,
        description=f"{_describe(model)}, {threads} threads{attention}",
    )


def _flash_attention() -> bool:
    """Return whether it is worth while.

    On a processor it goes through the context once for every query of every head, and passes of
    several tokens are what verification is made of.
    """
    return bool(llama_cpp.llama_supports_gpu_offload())


def check_gguf(path: Path) -> None:
    """Look at a file's first bytes, so that llama.cpp is only given what it may read.

    Raises:
        ModelError: If the file is missing or does not begin as GGUF files do.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"A model must be a readable file, got {str(path)!r}: {error}.") from error
    if magic != b"GGUF":
        raise ModelError(
            f"A model for llama_cpp must be a GGUF file, got {str(path)!r}, which begins with "
            f"{magic!r}."
        )


def num_layers(path: Path) -> int:
    """Return how many layers a GGUF file has."""
    return _header_number(path, "block_count")


def trained_len(path: Path) -> int:
    """Return the context that the model of a GGUF file was trained for, in tokens.

    Raises:
        ModelError: If the file is missing, is no GGUF file, or is broken.
    """
    check_gguf(path)
    return _header_number(path, "context_length")


def _header_number(path: Path, key: str) -> int:
    model = _open(path, vocab_only=True)
    return int(metadata(model, f"{metadata(model, 'general.architecture')}.{key}"))


def _open(path: Path, *, vocab_only: bool = False) -> Weights:
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = vocab_only  # reads the header alone
    # Kernels for AMX tiles crash on passes of two tokens and more with quantised weights.
    params.use_extra_bufts = not _has_amx()
    with quiet:
        model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelError(f"A model must be a whole GGUF file, got {str(path)!r}: {quiet.last}.")
    return Weights(model)


def _has_amx() -> bool:
    return "AMX_INT8" in features()


def features() -> str:
    """Return the processor features that llama.cpp was built with, in its own words."""
    words = llama_cpp.llama_print_system_info().decode().replace("CPU :", "").split("|")
    return " ".join(word.split(" = ")[0].strip() for word in words if word.strip().endswith("= 1"))


def _refuse_recurrent(model: Any) -> None:
    kinds = {
        "recurrent": llama_cpp.llama_model_is_recurrent(model),
        "hybrid recurrent": llama_cpp.llama_model_is_hybrid(model),
    }
    for kind, is_so in kinds.items():
        if is_so:
            raise RollbackError(
                f"A model's cache must be able to forget tokens, but the layers of "
                f"{metadata(model, 'general.architecture')} are {kind}."
            )


def _describe(model: Any) -> str:
    buffer = ctypes.create_string_buffer(128)
    llama_cpp.llama_model_desc(model, buffer, len(buffer))
    size = llama_cpp.llama_model_size(model) / 1e6
    name = metadata(model, "general.name") or "unnamed"
    plain = ", without AMX kernels" if _has_amx() else ""
    return f"{name}: {buffer.value.decode()}, {size:.0f} MB{plain}"


def _free(context: Any, batch: Any, _weights: Weights) -> None:
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
