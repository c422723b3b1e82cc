"""Tiny GGUF files with random weights, built here: a second for a whole contract, no download."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH = 32
HEADS = 2
HIDDEN = 64
CONTEXT_LEN = 2048
WINDOW = 4
"""Tokens that a sliding layer of gemma2 sees."""

CHATML = (
    "{% for message in messages %}"
    "{% if message['role'] == 'robot' %}{{ raise_exception('No robots') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("t h", "th e", "Ġ the", "i n")


def byte_letters() -> list[str]:
    """Return the letter that stands for each byte in the vocabulary of a byte-level tokenizer.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", whose
    encoder leaves printable bytes as they are and shifts the others past U+0100.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(shifted)) for byte in range(256)]


VOCABULARY = (*SPECIAL, *byte_letters(), *(merge.replace(" ", "") for merge in MERGES))


def write(
    path: Path,
    *,
    architecture: str = "llama",
    num_layers: int = 3,
    seed: int = 0,
    vocabulary: Sequence[str] = VOCABULARY,
    chat_template: str | None = CHATML,
    context_len: int = CONTEXT_LEN,
) -> Path:
    """Write a model and return its path."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(context_len)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(num_layers)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    if architecture == "gemma2":
        writer.add_sliding_window(WINDOW)
    if architecture == "mamba":
        writer.add_ssm_conv_kernel(4)
        writer.add_ssm_inner_size(2 * WIDTH)
        writer.add_ssm_state_size(8)
        writer.add_ssm_time_step_rank(2)
    _add_tokenizer(writer, vocabulary, chat_template)
    generator = np.random.default_rng(seed)
    for name, shape in _shapes(architecture, num_layers, len(vocabulary)).items():
        writer.add_tensor(name, _weights(name, shape, generator))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, vocabulary: Sequence[str], chat_template: str | None) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(list(vocabulary))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if t in SPECIAL else kinds.NORMAL for t in vocabulary])
    writer.add_token_merges([merge for merge in MERGES if _is_known(merge, vocabulary)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)


def _is_known(merge: str, vocabulary: Sequence[str]) -> bool:
    """Return whether a vocabulary holds a merge's parts and what becomes of them."""
    return {*merge.split(), merge.replace(" ", "")} <= set(vocabulary)


def _shapes(architecture: str, num_layers: int, vocab_size: int) -> Mapping[str, tuple[int, ...]]:
    """Return the tensors of an architecture, outermost axis first."""
    shapes = {"token_embd.weight": (vocab_size, WIDTH), "output_norm.weight": (WIDTH,)}
    attention = {
        **{f"attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        **{f"ffn_{part}.weight": (HIDDEN, WIDTH) for part in ("gate", "up")},
        "ffn_down.weight": (WIDTH, HIDDEN),
        "ffn_norm.weight": (WIDTH,),
    }
    norms = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
    state = {
        "ssm_in.weight": (4 * WIDTH, WIDTH),
        "ssm_conv1d.weight": (2 * WIDTH, 4),
        "ssm_conv1d.bias": (2 * WIDTH,),
        "ssm_x.weight": (2 + 2 * 8, 2 * WIDTH),
        "ssm_dt.weight": (2 * WIDTH, 2),
        "ssm_dt.bias": (2 * WIDTH,),
        "ssm_a": (2 * WIDTH, 8),
        "ssm_d": (2 * WIDTH,),
        "ssm_out.weight": (WIDTH, 2 * WIDTH),
    }
    layer = {"llama": attention, "gemma2": attention | norms, "mamba": state}[architecture]
    for index in range(num_layers):
        for name, shape in {"attn_norm.weight": (WIDTH,), **layer}.items():
            shapes[f"blk.{index}.{name}"] = shape
    return shapes


def _weights(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
    """Draw a tensor; the embedding is spread enough for the model to have opinions."""
    if "norm" in name:
        return np.ones(shape, dtype=np.float32)
    spread = 1 if name.startswith("token_embd") else 1 / np.sqrt(shape[-1])
    return (spread * generator.normal(size=shape)).astype(np.float32)
