"""A drafter with a trimmed vocabulary, widened to its verifier's."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from transformers import LlamaForCausalLM

from smart_speed.training.trimmed_tokenizer import check_kept_ids

_NAMED = ("bos_token_id", "eos_token_id", "pad_token_id")


def with_whole_vocabulary(
    network: LlamaForCausalLM, kept_ids: Sequence[int], vocab_size: int
) -> LlamaForCausalLM:
    """Return a copy of a drafter that speaks of tokens by the verifier's ids.

    Other people's engines want drafter and verifier to have one vocabulary. Here every token that
    the drafter does not know has the row of ``UNKNOWN_TOKEN``, and so the same logit. Where that
    logit is high, the many tokens that share it make any other look unlikely: the best known token
    stays the best of those known, but its probability is not the trimmed drafter's.

    Args:
        network: The drafter, whose last token is ``UNKNOWN_TOKEN``; it stays as it is.
        kept_ids: The verifier's ids of the tokens before that, in ascending order.
        vocab_size: Width of the verifier's logits.

    Raises:
        ConfigError: If ``kept_ids`` do not fit the drafter or the verifier.
    """
    check_kept_ids(kept_ids, vocab_size, count=int(network.config.vocab_size) - 1)
    whole = copy.deepcopy(network)
    embedding, head = whole.get_input_embeddings(), whole.get_output_embeddings()
    tied = head.weight is embedding.weight
    for layer in (embedding,) if tied else (embedding, head):
        rows = layer.weight.detach()
        layer.weight = nn.Parameter(spread(rows[:-1], rows[-1], kept_ids, vocab_size))
    if tied:
        head.weight = embedding.weight
    embedding.num_embeddings = head.out_features = vocab_size
    embedding.padding_idx = None  # of use in training only
    whole.config.vocab_size = whole.vocab_size = whole.model.vocab_size = vocab_size
    for config in filter(None, (whole.config, whole.generation_config)):
        for name in _NAMED:
            setattr(config, name, _translated(getattr(config, name, None), kept_ids))
    return whole


def spread(
    rows: Float[torch.Tensor, "known width"],
    other: Float[torch.Tensor, " width"],
    kept_ids: Sequence[int],
    vocab_size: int,
) -> Float[torch.Tensor, "vocab width"]:
    """Return each row where the verifier has its token, and the other one everywhere else."""
    found = other.repeat(vocab_size, 1)
    found[list(kept_ids)] = rows
    return found


def _translated(named: Any, kept_ids: Sequence[int]) -> Any:
    """Return the verifier's id of a token, or of each in a list; ``UNKNOWN_TOKEN`` has none."""
    if isinstance(named, list):
        return [kept_ids[token] for token in named if token < len(kept_ids)] or None
    return kept_ids[named] if isinstance(named, int) and named < len(kept_ids) else None
