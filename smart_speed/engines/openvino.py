"""Models on OpenVINO, with its paged attention.

Keys and values lie in blocks that belong to us, and every pass says how many tokens it shall see
there. So to forget tokens is not to count them, and the next pass writes over them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import openvino as ov
import torch
from jaxtyping import Float
from openvino._offline_transformations import compress_model_transformation
from transformers import AutoConfig, GenerationConfig, PretrainedConfig

from smart_speed.engines import hf
from smart_speed.engines.base import (
    OPENVINO_GRAPH,
    CachedTokens,
    LoadedModel,
    check_feed,
    check_rollback,
    usable_cores,
)
from smart_speed.engines.hf_files import find, parsing_once, read
from smart_speed.engines.hf_tokenizer import HfTokenizer, read_tokenizer
from smart_speed.engines.openvino_graph import (
    ROWS,
    check_like_llama,
    fits_float16,
    llama_graph,
    num_weights,
    of_width,
    paged_graph,
)
from smart_speed.errors import check_that, unknown_name

_COMPUTED_IN = {"float32": "f32", "float16": "f32", "bfloat16": "bf16"}
_STEPS = {"float32": 4, "float16": 4, "bfloat16": 8}
"""Passes of several tokens are filled up to a multiple of so many: up to it, a pass takes about as
long as one of a single token, and a width that differs from the last pass's makes OpenVINO prepare
every layer anew, which takes longer than a few tokens more (experiments/LOG.md)."""
_NARROW = {"float32": (1, 4), "float16": (1, 4), "bfloat16": (1, 4, 8)}
"""Tokens of passes that have a graph of their own, where nothing is ever prepared anew."""
_FEWEST_LAYERS, _MOST_WEIGHTS = 8, 2**28
"""Networks of at least so many layers and at most so many weights get those graphs, each for
another copy of the weights. In shallower networks it takes no time to prepare a layer, in larger
ones it is lost beside the pass."""
_FIRST_BLOCKS = 16
"""Blocks of cache that a model begins with; they double as often as need be."""


@final
class OpenVinoModel(CachedTokens):
    """Compiled graphs with paged attention, and the cache of one sequence."""

    def __init__(
        self,
        compiled: ov.CompiledModel,
        *,
        context_len: int,
        step: int = 1,
        of_width: Mapping[int, ov.CompiledModel] | None = None,
    ) -> None:
        """Wrap a graph that ``paged_graph`` made; any number of these may share one.

        Args:
            compiled: The graph.
            context_len: The most tokens the cache will hold.
            step: Passes of several tokens are filled up to a multiple of this.
            of_width: The same for passes of so many tokens alone, ascending, to which narrower ones
                are filled up; wider passes take ``compiled``.
        """
        self._request = compiled.create_infer_request()
        self._of_width = {
            width: graph.create_infer_request() for width, graph in (of_width or {}).items()
        }
        self._step = step
        self._cache_ports = [
            port
            for port in compiled.inputs
            if port.get_any_name().startswith(("key_cache.", "value_cache."))
        ]
        self._block_len = self._cache_ports[0].partial_shape[2].get_length()
        self._caches: list[ov.Tensor] = []
        self._num_blocks = 0
        vocab_size = int(compiled.output(0).partial_shape[-1].get_length())
        super().__init__(vocab_size=vocab_size, context_len=context_len)

    def feed(self, tokens: Sequence[int], *, last: int) -> Float[np.ndarray, "last vocab"]:
        check_feed(tokens, last, self.cached_len, self._context_len)
        count, start = len(tokens), self.cached_len
        # What fills up comes last: nothing sees it, and the next pass writes over it.
        width = self._width_for(count)
        end = start + width
        num_blocks = -(-end // self._block_len)
        self._hold(num_blocks)
        request = self._of_width.get(width, self._request)
        for name, values, dtype in (
            ("input_ids", [*tokens, *[tokens[-1]] * (width - count)], np.int64),
            ("position_ids", np.arange(start, end).clip(max=self._context_len - 1), np.int64),
            ("max_context_len", end, np.int32),
            ("past_lens", [start], np.int32),
            ("subsequence_begins", [0, width], np.int32),
            ("block_indices", np.arange(num_blocks), np.int32),
            ("block_indices_begins", [0, num_blocks], np.int32),
            # At least one row: kernels for none are not to be relied on.
            (ROWS, np.arange(count - max(last, 1), count), np.int64),
        ):
            request.set_tensor(name, ov.Tensor(np.array(values, dtype)))
        request.start_async()
        request.wait()
        self._tokens.extend(tokens)
        logits: np.ndarray = request.get_output_tensor(0).data
        return logits.reshape(-1, self._vocab_size)[:last]

    def rollback(self, to_len: int) -> None:
        check_rollback(to_len, self.cached_len)
        del self._tokens[to_len:]

    def _width_for(self, count: int) -> int:
        """Return how many tokens a pass of so many is filled up to."""
        filled = -(-count // self._step) * self._step
        return next((width for width in (1, *self._of_width) if count <= width), filled)

    def _hold(self, num_blocks: int) -> None:
        """Make room for so many blocks, keeping what is in those that there are."""
        if num_blocks <= self._num_blocks:
            return
        most = -(-(self._context_len + self._step) // self._block_len)
        wanted = max(num_blocks, min(most, max(2 * self._num_blocks, _FIRST_BLOCKS)))
        caches = []
        for at, port in enumerate(self._cache_ports):
            block = [size.get_length() for size in list(port.partial_shape)[1:]]
            cache = ov.Tensor(port.get_element_type(), ov.Shape([wanted, *block]))
            if self._caches:
                old = self._caches[at]
                begin, end = ov.Coordinate([0, 0, 0, 0]), ov.Coordinate(list(old.shape))
                old.copy_to(ov.Tensor(cache, begin, end))
            for request in (self._request, *self._of_width.values()):
                request.set_tensor(port.get_any_name(), cache)
            caches.append(cache)
        self._caches, self._num_blocks = caches, wanted


@parsing_once()
def load(
    path: str,
    *,
    dtype: str = "auto",
    threads: int | None = None,
    context_len: int | None = None,
) -> LoadedModel:
    """Load a model and its tokenizer for the processor.

    Args:
        path: A folder that `optimum-cli export openvino` wrote; or a folder, a GGUF file or a hub
            id of a model like Llama.
        dtype: Number format of the weights. "float32" and "bfloat16" are computed in as well;
            "float16" weights are half as much to read, and are computed with in float32. "auto"
            is bfloat16 where the processor multiplies it, else float16.
        threads: Cores to use; ``None`` means all that this process may run on.
        context_len: The most tokens the cache will hold; ``None`` for what the model can.

    Raises:
        ModelError: If there is no such model, or it cannot be read.
        RollbackError: If the model's cache cannot forget tokens.
        ConfigError: If a setting breaks a rule.
    """
    check_that(threads is None or threads >= 1, "threads", "at least 1", threads)
    core = ov.Core()
    if dtype not in (known := ("auto", *_COMPUTED_IN)):
        raise unknown_name("dtype", dtype, known)
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if dtype == "auto":
        dtype = "bfloat16" if able else "float16"
    rule = "float32 or float16 on a processor that does not multiply bfloat16"
    check_that(able or dtype != "bfloat16", "dtype", rule, dtype)
    source = find(path)
    config = read(path, lambda: AutoConfig.from_pretrained(**source))
    hf.check_kind(config)
    context_len = hf.checked_context_len(config, context_len)
    tokenizer = read_tokenizer(path, source, config)
    folder = Path(path).expanduser()
    if (folder / OPENVINO_GRAPH).is_file():
        graph = read(path, lambda: core.read_model(folder / OPENVINO_GRAPH))
    else:
        check_like_llama(config, path)
        graph = llama_graph(hf.read_network(path, source, config, torch.float32))
    if dtype == "float16":
        # Weights past its range would be cut off, and nothing said.
        rule = "float32 for a model with weights that float16 cannot hold"
        check_that(fits_float16(graph), "dtype", rule, dtype)
        compress_model_transformation(graph)
    threads = threads or usable_cores()
    settings = {
        "INFERENCE_PRECISION_HINT": _COMPUTED_IN[dtype],
        "KV_CACHE_PRECISION": _COMPUTED_IN[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    graph, step = paged_graph(graph, path), _STEPS[dtype]
    num_layers = config.get_text_config().num_hidden_layers
    gains = num_layers >= _FEWEST_LAYERS and num_weights(graph) <= _MOST_WEIGHTS
    narrow = {
        width: core.compile_model(of_width(graph, width), "CPU", settings)
        for width in (_NARROW[dtype] if gains else ())
    }
    compiled = core.compile_model(graph, "CPU", settings)
    # Said, because costs that were measured before are kept by the description.
    own = f", graphs for {', '.join(map(str, narrow))} tokens" if narrow else ""
    return LoadedModel(
        model=OpenVinoModel(compiled, context_len=context_len, step=step, of_width=narrow),
        tokenizer=HfTokenizer(tokenizer, _generation_config(source, config)),
        engine="openvino",
        path=path,
        description=(
            f"{config.model_type}, {num_layers} layers, {dtype}, cpu, {threads} threads{own}"
        ),
    )


def _generation_config(source: dict[str, Any], config: PretrainedConfig) -> GenerationConfig:
    """Return what a model says of its answers, as transformers finds it with the weights."""
    try:
        return GenerationConfig.from_pretrained(source["pretrained_model_name_or_path"])
    except OSError:
        return GenerationConfig.from_model_config(config)
