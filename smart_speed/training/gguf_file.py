"""A network of Llama architecture and its tokenizer, written as one GGUF file."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import quantize
from jaxtyping import Float
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from smart_speed.errors import ModelError
from smart_speed.files import whole, writing
from smart_speed.training.gguf_tokenizer import add_tokenizer
from smart_speed.training.settings import NumberFormat

_TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_Q8_0_BLOCK = 32
"""Numbers of a row that share a scale."""


def write_gguf(
    network: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    *,
    name: str,
    number_format: NumberFormat,
) -> None:
    """Write a file that llama.cpp and transformers read; it is there whole or not at all.

    Args:
        network: The weights.
        tokenizer: A byte-level one of as many tokens as the network, or fewer.
        path: The file.
        name: What the model is called inside.
        number_format: Of the matrices; vectors are f32, and under "q8_0" matrices whose rows do
            not divide into its blocks are bf16.

    Raises:
        ModelError: If the file format has no place for something about network or tokenizer.
        ConfigError: If the tokenizer has more tokens than the network.
        OutputError: If the file cannot be written.
    """
    with writing("A drafter", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part, contextlib.closing(gguf.GGUFWriter(part, "llama")) as writer:
            writer.add_name(name)
            writer.add_file_type(_TYPES[number_format][1])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            _add_shape(writer, network.config)
            add_tokenizer(writer, tokenizer, int(network.config.vocab_size))
            _add_tensors(writer, network, number_format)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()


def _add_tensors(writer: Any, network: LlamaForCausalLM, number_format: NumberFormat) -> None:
    for tensor_name, weights in _tensors(network):
        is_matrix = weights.ndim > 1
        kind = _TYPES[number_format if is_matrix else "f32"][0]
        if number_format == "q8_0" and is_matrix and weights.shape[-1] % _Q8_0_BLOCK:
            kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(tensor_name, quantize(weights, kind), raw_dtype=kind)


def _add_shape(writer: Any, config: Any) -> None:
    head_width = config.head_dim or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_rope_dimension_count(head_width)
    writer.add_rope_freq_base(_rope_base(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.hidden_act != "silu":
        raise ModelError(f"A GGUF file of a Llama must use silu, got {config.hidden_act!r}.")


def _rope_base(config: Any) -> float:
    """Return the base of the rotary angles, under the name of either generation of transformers."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ModelError(
            f"Rotary positions must be of type 'default' in a GGUF file, got {kind!r}."
        )
    return float(rope.get("rope_theta", getattr(config, "rope_theta", 10_000.0)))


def _tensors(network: LlamaForCausalLM) -> Iterator[tuple[str, Float[np.ndarray, "..."]]]:
    """Return the weights by their names in the file; a tied head, being the embedding, is none."""
    config = network.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for own_name, parameter in network.named_parameters():
        tensor_name = names.get_name(own_name, try_suffixes=(".weight",))
        if tensor_name is None:
            raise ModelError(f"A GGUF file of a Llama has no place for {own_name!r}.")
        weights = parameter.detach().to("cpu", torch.float32).numpy()
        if own_name.endswith("q_proj.weight"):
            weights = _interleaved(weights, config.num_attention_heads)
        if own_name.endswith("k_proj.weight"):
            weights = _interleaved(weights, config.num_key_value_heads)
        yield tensor_name, weights


def _interleaved(
    weights: Float[np.ndarray, "rows width"], num_heads: int
) -> Float[np.ndarray, "rows width"]:
    """Put next to each other the rows of a head that are rotated together.

    transformers rotates row i with row i + head_width / 2, llama.cpp row 2 i with row 2 i + 1.
    """
    rows, width = weights.shape
    halves = weights.reshape(num_heads, 2, rows // num_heads // 2, width)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows, width)
