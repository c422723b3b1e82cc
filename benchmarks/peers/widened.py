"""A trimmed drafter that other engines take: of the verifier's vocabulary, and of the same law.

Its width grows by one block. A coordinate of it holds a constant that no layer reads or changes;
the head turns it into a logit far below all others for every token that the drafter does not know.
Normalisation divides by the mean square over all coordinates, so its weights and its epsilon make
up for those that were added.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch.nn.functional import pad
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

from smart_speed.errors import check_that
from smart_speed.training.trimmed_tokenizer import check_kept_ids
from smart_speed.training.whole_vocabulary import spread

BLOCK = 32
"""Added coordinates: what Q8_0 gives a scale of its own, so that the others keep theirs."""
_CONSTANT = 2.0**-6
"""Small beside the others, so that a mean square hardly notices it."""
_FAR = -1e4
"""What the head makes of the constant where the mean square is 1."""
_READS_RESIDUAL = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
_WRITES_RESIDUAL = ("o_proj", "down_proj")


def with_masked_vocabulary(
    network: LlamaForCausalLM, kept_ids: Sequence[int], vocab_size: int
) -> LlamaForCausalLM:
    """Return a drafter that numbers tokens as its verifier does and drafts as it did before.

    Args:
        network: The drafter, whose last token stands for all that it does not know; it stays as it
            is.
        kept_ids: The verifier's ids of the tokens before that, in ascending order.
        vocab_size: Width of the verifier's logits.

    Raises:
        ConfigError: If ``kept_ids`` do not fit the drafter or the verifier.
    """
    check_kept_ids(kept_ids, vocab_size, count=int(network.config.vocab_size) - 1)
    width = int(network.config.hidden_size)
    shrunk = math.sqrt(width / (width + BLOCK))
    wide = LlamaForCausalLM(_config(network.config, shrunk, vocab_size)).to(network.dtype).eval()
    weights = {name: _grown(name, each, shrunk) for name, each in network.state_dict().items()}
    rows = weights["model.embed_tokens.weight"]
    rows[:, width] = _CONSTANT
    # A tied head is the embedding without the constant, which only masked tokens may hear.
    known_rows = pad(network.get_output_embeddings().weight.detach(), (0, BLOCK))
    masked = torch.zeros_like(known_rows[-1])
    masked[width] = 1.0
    weights["model.norm.weight"][width] = _FAR / _CONSTANT
    weights["model.embed_tokens.weight"] = spread(rows[:-1], rows[-1], kept_ids, vocab_size)
    weights["lm_head.weight"] = spread(known_rows[:-1], masked, kept_ids, vocab_size)
    wide.load_state_dict(weights)
    return wide


def as_mistral(network: LlamaForCausalLM) -> MistralForCausalLM:
    """Return the same network under another name, whose config lets it be saved.

    Llama's insists that the width divide into the heads, even where their own width is given.
    """
    own = network.config
    names = MistralConfig().to_dict().keys() & own.to_dict().keys()
    fields = {name: getattr(own, name) for name in names - {"model_type", "architectures"}}
    twin = MistralForCausalLM(MistralConfig(**fields, sliding_window=None)).to(network.dtype)
    twin.load_state_dict(network.state_dict())
    return twin.eval()


def _config(own: Any, shrunk: float, vocab_size: int) -> Any:
    config = copy.deepcopy(own)
    config.head_dim = own.head_dim or own.hidden_size // own.num_attention_heads
    config.hidden_size = own.hidden_size + BLOCK
    config.rms_norm_eps = own.rms_norm_eps * shrunk**2
    config.vocab_size = vocab_size
    config.tie_word_embeddings = False
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return config


def _grown(name: str, weights: Float[torch.Tensor, "..."], shrunk: float) -> torch.Tensor:
    """Add what meets the new coordinates, with nothing in it."""
    kind = name.split(".")[-2]
    if weights.ndim == 1:
        return pad(weights * shrunk, (0, BLOCK))
    if kind in _WRITES_RESIDUAL:
        return pad(weights, (0, 0, 0, BLOCK))
    check_that(
        kind in (*_READS_RESIDUAL, "embed_tokens", "lm_head"), "network", "a plain Llama", name
    )
    return pad(weights, (0, BLOCK))
