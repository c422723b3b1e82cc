"""Causal language models of transformers, on PyTorch."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)

from smart_speed.engines.base import CachedTokens, LoadedModel, check_feed, check_rollback
from smart_speed.engines.hf_attention import group_heads
from smart_speed.engines.hf_cache import empty_cache
from smart_speed.engines.hf_files import find, first_line, parsing_once, read
from smart_speed.engines.hf_packed import pack_linears
from smart_speed.engines.hf_tokenizer import HfTokenizer, read_tokenizer
from smart_speed.errors import ConfigError, ModelError, RollbackError, check_that, unknown_name

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_KEEPS_ALL = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Layers whose keys and values can all be kept, so that a rollback only has to drop the last."""

_SHORT_LEN = 32
"""Tokens of a pass that is as long as asked; a longer one is as long as few others."""

_UNBOUNDED_CONTEXT_LEN = 4096
"""Context of a model that names no limit, unless more is asked for."""


@final
class HfModel(CachedTokens):
    """A causal language model of transformers, batch size 1."""

    def __init__(self, network: PreTrainedModel, *, context_len: int | None = None) -> None:
        """Wrap a model where it is; any number of these may share one.

        Args:
            network: The model.
            context_len: The most tokens the cache will hold; ``None`` for what the model can.

        Raises:
            RollbackError: If the model's cache cannot forget tokens.
            ModelError: If the model has an encoder.
            ConfigError: If ``context_len`` is more than the model can.
        """
        check_kind(network.config)
        parameters = inspect.signature(network.forward).parameters
        if network._is_stateful or "past_key_values" not in parameters:
            raise _cannot_forget(network.config, network.config.model_type)
        self.network = network.eval()
        self._keeps_rows = "logits_to_keep" in parameters
        self._cache = empty_cache()
        super().__init__(
            vocab_size=int(network.config.get_text_config().vocab_size),
            context_len=checked_context_len(network.config, context_len),
        )

    def feed(self, tokens: Sequence[int], *, last: int) -> Float[Any, "last vocab"]:
        check_feed(tokens, last, self.cached_len, self.context_len)
        device = self.network.device
        end = len(tokens)
        extra = min(_usual_len(end) - end, self.context_len - self.cached_len - end)
        read = [*tokens, *[tokens[-1]] * extra]
        num_rows = max(last, 1)  # to keep 0 means to keep all
        kept = torch.arange(end - num_rows, end, device=device) if extra else num_rows
        wanted = {"logits_to_keep": kept} if self._keeps_rows else {}
        try:
            with torch.inference_mode():
                logits: torch.Tensor = self.network(
                    input_ids=torch.tensor([read], device=device),
                    past_key_values=self._cache,
                    use_cache=True,
                    **wanted,
                ).logits[0]
        except BaseException:
            # Some layers may have cached the tokens and others not.
            self.rollback(0)
            raise
        self._tokens.extend(tokens)
        if self._cache.get_seq_length() != self.cached_len + extra:
            raise ModelError(
                "A model must cache every token it reads, "
                f"got {self.network.config.model_type!r}, which does not."
            )
        if extra:
            self._cache.crop(-extra)
        end = num_rows if self._keeps_rows else end
        logits = logits[end - last : end]
        if device.type == "cpu":
            # The same memory seen by NumPy, whose argmax is ten times as fast as torch's on a
            # CPU; bfloat16, which NumPy does not know, is widened.
            rows: np.ndarray = logits.float().numpy()
            return rows
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return logits

    def rollback(self, to_len: int) -> None:
        check_rollback(to_len, self.cached_len)
        if to_len == 0:
            self._cache = empty_cache()
        elif to_len < self.cached_len:
            # Negative: tokens to remove. What 0 or a length mean depends on the version.
            self._cache.crop(to_len - self.cached_len)
        del self._tokens[to_len:]


def _usual_len(length: int) -> int:
    """Return how many tokens a pass reads that was asked to read so many, those to forget included.

    Kernels keep memory for every length that they have seen, up to 3 MB each. So only short passes,
    which decoding is made of, are as long as asked; of others up to 31 tokens are read for nothing,
    of those of more than 256 up to every eighth.
    """
    step = max(_SHORT_LEN, 1 << max(length.bit_length() - 4, 0))
    return length if length <= _SHORT_LEN else -(-length // step) * step


def check_kind(config: PretrainedConfig) -> None:
    """Refuse what cannot be decoded speculatively, as far as the config tells.

    Raises:
        ModelError: If the model has an encoder.
        RollbackError: If layers of it cannot forget tokens.
    """
    if config.is_encoder_decoder:
        raise ModelError(
            f"A model must be decoder-only, got {config.model_type!r}, which has an encoder."
        )
    layer_types = getattr(config.get_text_config(), "layer_types", None) or []
    if others := sorted(set(layer_types) - _KEEPS_ALL):
        raise _cannot_forget(config, ", ".join(others))


def _cannot_forget(config: PretrainedConfig, layer_types: str) -> RollbackError:
    return RollbackError(
        f"A model must be able to forget rejected tokens, got {config.model_type!r} with layers of "
        f"type {layer_types}, whose state cannot be rolled back."
    )


def checked_context_len(config: PretrainedConfig, asked: int | None) -> int:
    """Return how many tokens the cache may hold: what is asked for, or what the model can.

    Raises:
        ConfigError: If more is asked for than the model can.
    """
    limit = _own_context_len(config.get_text_config())
    if asked is None:
        return limit or _UNBOUNDED_CONTEXT_LEN
    rule = f"1 to {limit}, the model's own" if limit else "at least 1"
    check_that(1 <= asked <= (limit or asked), "context_len", rule, asked)
    return asked


def _own_context_len(config: PretrainedConfig) -> int | None:
    """Return the model's limit, or how far its position code stays the same if that is less.

    Past a certain length, "longrope" recodes every position: keys cached before it no longer fit,
    and what a token is answered with would depend on how many were fed together.
    """
    limit: int | None = getattr(config, "max_position_embeddings", None)
    ropes = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for rope in (ropes, *ropes.values()):
        if isinstance(rope, dict) and "longrope" in (rope.get("rope_type"), rope.get("type")):
            own = getattr(config, "original_max_position_embeddings", None)
            limit = rope.get("original_max_position_embeddings", own) or limit
    return limit


@parsing_once()
def load(
    path: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    context_len: int | None = None,
) -> LoadedModel:
    """Load a model and its tokenizer.

    Args:
        path: A folder, a GGUF file, or a hub id.
        device: A device of PyTorch, such as "cpu" or "cuda:1"; "auto" is the first GPU, or else
            the processor.
        dtype: Number format of the weights; "float32", "bfloat16" or "float16"; "auto" is
            bfloat16 on a GPU and float32 elsewhere.
        threads: Processor threads, for the whole process; ``None`` leaves them as they are.
        context_len: The most tokens the cache will hold; ``None`` for what the model can.

    Raises:
        ModelError: If there is no such model, or it cannot be read.
        RollbackError: If the model's cache cannot forget tokens.
        ConfigError: If a setting breaks a rule.
    """
    check_that(threads is None or threads >= 1, "threads", "at least 1", threads)
    where = _device(device)
    number_format = _dtype(dtype, where)
    source = find(path)
    config = read(path, lambda: AutoConfig.from_pretrained(**source))
    check_kind(config)
    context_len = checked_context_len(config, context_len)
    tokenizer = read_tokenizer(path, source, config)
    network = read_network(path, source, config, number_format)
    if threads is not None:
        torch.set_num_threads(threads)
    network = network.to(where)
    packed = ", packed weights" if pack_linears(network) else ""
    grouped = ", grouped heads" if group_heads(network) else ""
    return LoadedModel(
        model=HfModel(network, context_len=context_len),
        tokenizer=HfTokenizer(tokenizer, network.generation_config),
        engine="hf",
        path=path,
        description=f"{_describe(network)}{packed}{grouped}",
    )


def read_network(
    path: str, source: dict[str, Any], config: PretrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """Read the weights of a model.

    Args:
        path: What was asked for.
        source: Where it lies, from ``hf_files.find``.
        config: The model's own.
        dtype: Number format that the weights shall have.

    Raises:
        ModelError: If they cannot be read, or not all are there.
    """
    network, info = read(
        path,
        lambda: AutoModelForCausalLM.from_pretrained(
            **source, config=config, dtype=dtype, output_loading_info=True
        ),
    )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"{path!r} must hold every weight of its model, but lacks {missing[0]!r} "
            f"({len(missing)} are missing)."
        )
    return network


def _describe(network: PreTrainedModel) -> str:
    num_layers = network.config.get_text_config().num_hidden_layers
    number_format = str(network.dtype).removeprefix("torch.")
    return (
        f"{type(network).__name__}, {num_layers} layers, {number_format}, {network.device}, "
        f"{torch.get_num_threads()} threads"
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # Builds without CUDA answer with an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device must be one that this PyTorch can use, got {name!r} ({first_line(error)})."
        ) from error
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    automatic = torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in (known := {"auto": automatic, **_DTYPES}):
        raise unknown_name("dtype", name, known)
    return known[name]


def first_layers(loaded: LoadedModel, num_layers: int) -> LoadedModel:
    """Return a model's first layers as a model of their own, sharing its weights.

    Embedding, last normalisation and output head are the whole model's, so this is a drafter that
    costs no memory but its cache (as in Elhoushi et al. 2024, "LayerSkip", arXiv 2404.16710).

    Args:
        loaded: A model of this engine whose layers form one list, as in Llama and GPT-2.
        num_layers: How many to keep, from 1 to one less than there are.

    Raises:
        ConfigError: If ``num_layers`` is none of these.
        ModelError: If the model is another engine's.
    """
    if not isinstance(loaded.model, HfModel):
        raise ModelError(
            f"first_layers must be given a model of the hf engine, got {loaded.engine!r}."
        )
    whole = loaded.model.network
    total = int(whole.config.get_text_config().num_hidden_layers)
    inside = 1 <= num_layers < total
    check_that(inside, "num_layers", f"1 to {total - 1} for a model of {total} layers", num_layers)
    return LoadedModel(
        model=HfModel(_cut(whole, total, num_layers), context_len=loaded.model.context_len),
        tokenizer=loaded.tokenizer,
        engine=loaded.engine,
        path=f"layers:{num_layers}",
        description=f"first {num_layers} of {total} layers of {loaded.path}",
    )


def _cut(whole: PreTrainedModel, total: int, num_layers: int) -> PreTrainedModel:
    """Copy a model down to its list of layers, which is cut; everything else is shared."""
    lists = (item for item in whole.named_modules() if isinstance(item[1], nn.ModuleList))
    place = next((name for name, layers in lists if len(layers) == total), None)
    if place is None:
        kind = whole.config.model_type
        raise ModelError(f"first_layers needs a model whose layers form one list, got {kind!r}.")
    *parents, name = place.split(".")
    module = network = _shallow_copy(whole, num_layers)
    for parent in parents:
        child = _shallow_copy(getattr(module, parent), num_layers)
        setattr(module, parent, child)
        module = child
    setattr(module, name, getattr(module, name)[:num_layers])
    return network


def _shallow_copy(module: nn.Module, num_layers: int) -> nn.Module:
    """Copy a module so that others can be put into it, and its config says how many layers."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    if "config" in vars(twin):
        config: Any = copy.deepcopy(module.config)
        config.get_text_config().num_hidden_layers = num_layers
        twin.config = config
    return twin
