"""Tiny transformers models with random weights, built here: no hub, no network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from smart_speed.engines import hf
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.hf_tokenizer import HfTokenizer

WORDS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz?.:"]
VOCAB_SIZE = 40
"""More than there are words: models pad their embeddings."""
WINDOW = 5
TEXT = np.random.default_rng(7).integers(5, len(WORDS), size=18).tolist()

CHATML = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('No system turns') }}{% endif %}"
    "<|im_start|> {{ message['role'][0] }} : {{ message['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> a :{% endif %}"
)


def build(kind: str, *, seed: int = 0, **changes: Any) -> Any:
    """Return a tiny model of an architecture, with weights spread enough to have opinions."""
    size = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    own: dict[str, dict[str, Any]] = {
        "GPT2": {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64},
        "Mistral": {"sliding_window": WINDOW},
        "Gemma2": {"sliding_window": WINDOW},
        "Gemma3": {
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "Llama4": {
            "attention_chunk_size": WINDOW,
            "intermediate_size_mlp": 24,
            "num_local_experts": 2,
        },
    }
    if kind == "GPT2":
        size = {key: size[key] for key in size if key not in ("hidden_size", "num_hidden_layers")}
    suffix = "TextConfig" if kind in ("Gemma3", "Llama4") else "Config"
    config_class = getattr(transformers, kind + suffix)
    model_class = getattr(transformers, kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"))
    torch.manual_seed(seed)
    return model_class(config_class(**{**size, **own.get(kind, {}), **changes})).eval()


def shaken(network: Any, *, seed: int, strength: float) -> Any:
    """Add noise to a model's weights, so that it often but not always agrees with what it was."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in network.parameters():
            weights += strength * weights.std() * torch.randn_like(weights)
    return network


def fast_tokenizer(**settings: Any) -> Any:
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **settings,
    )


def loaded(network: Any, **settings: Any) -> LoadedModel:
    return LoadedModel(
        model=hf.HfModel(network, **settings),
        tokenizer=HfTokenizer(fast_tokenizer(), network.generation_config),
        engine="hf",
        path="test",
        description="made for a test",
    )


def network_of(model: LoadedModel) -> Any:
    assert isinstance(model.model, hf.HfModel)
    return model.model.network


def greedy_text(network: Any, prompt: Sequence[int], count: int) -> list[int]:
    """Decode without a cache: the slow oracle."""
    text = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([text]), use_cache=False).logits
        text.append(int(logits[0, -1].argmax()))
    return text[len(prompt) :]
