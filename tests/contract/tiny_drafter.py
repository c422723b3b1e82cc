"""Tiny drafters with a trimmed byte-level vocabulary, and how far two models are apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from smart_speed.engines import hf, llama_cpp
from smart_speed.engines.base import LoadedModel
from tests.contract.tiny_gguf import CHATML, MERGES, VOCABULARY
from tests.contract.tiny_hf import build

DROPPED = {"e", "Q", "Ġthe"}
KEPT = [token for token, spelling in enumerate(VOCABULARY) if spelling not in DROPPED]
SIZE = len(KEPT) + 1
TEXT = np.random.default_rng(5).integers(SIZE, size=20).tolist()

Engine = Callable[[Path], LoadedModel]


def whole_tokenizer(*, digits: bool = True, begins: bool = False, named: bool = True) -> Any:
    """Return a byte-level tokenizer of transformers with the tiny GGUF files' vocabulary."""
    ids = {spelling: at for at, spelling in enumerate(VOCABULARY)}
    merges = [(left, right) for left, right in (merge.split() for merge in MERGES)]
    backend = Tokenizer(models.BPE(ids, merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    apart = [pre_tokenizers.Digits(individual_digits=True), byte_level]
    backend.pre_tokenizer = pre_tokenizers.Sequence(apart) if digits else byte_level
    backend.decoder = decoders.ByteLevel()
    if begins:
        backend.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", pair=None, special_tokens=[("<|im_start|>", 1)]
        )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=CHATML)
    tokenizer.add_tokens(list(VOCABULARY[:3]), special_tokens=True)
    if named:
        tokenizer.bos_token, tokenizer.eos_token = "<|im_start|>", "<|im_end|>"
    return tokenizer


def llama(**changes: Any) -> Any:
    """Build a network with rows that divide into the blocks of q8_0, and grouped heads."""
    size = {"vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 64, "head_dim": 8}
    return build("Llama", **{**size, "initializer_range": 0.2, "rope_theta": 5e4, **changes})


def load_llama_cpp(path: Path) -> LoadedModel:
    return llama_cpp.load(str(path), threads=1)


def load_hf(path: Path) -> LoadedModel:
    return hf.load(str(path), device="cpu", threads=1)


def distance(model: LoadedModel, network: Any) -> float:
    """Return how far logits after some text are apart: 0 is equal, about 1.4 is unrelated."""
    expected = hf.HfModel(network).feed(TEXT, last=len(TEXT))
    difference = model.model.feed(TEXT, last=len(TEXT)) - expected
    return float(difference.std() / expected.std())
