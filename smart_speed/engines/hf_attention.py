"""Attention of a few queries on a processor: heads that share keys and values share a product.

PyTorch's kernel takes several times as long for one query as for two, and under a mask transformers
copies keys and values for each head that shares them. Here such heads count as further queries of
one head, so that nothing is copied and one token is not dearer than two (experiments/LOG.md).
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "smart_speed_grouped"
_MOST_QUERIES = 32
"""Wider passes read prompts, for which the usual kernel is made."""


def group_heads(network: PreTrainedModel) -> bool:
    """Have a network on a processor attend by groups, if it would use PyTorch's attention.

    Returns:
        Whether it does.
    """
    if network.device.type != "cpu" or network.config._attn_implementation != "sdpa":
        return False
    network.set_attn_implementation(NAME)
    return True


def _grouped(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' ``sdpa_attention_forward`` does, whose arguments these are."""
    batch, num_heads, num_queries, width = query.shape
    groups = num_heads // key.shape[1]
    alike = num_queries == 1 if attention_mask is None else attention_mask.shape[1] == 1
    plain = all(others.get(name) is None for name in ("position_bias", "softcap", "cache"))
    plain = plain and not others.get("dropout")
    if groups == 1 or num_queries > _MOST_QUERIES or not (alike and plain):
        usual: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
        return usual
    if attention_mask is not None:
        attention_mask = attention_mask[..., : key.shape[-2]].repeat(1, 1, groups, 1)
    made = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(batch, -1, groups * num_queries, width),
        key,
        value,
        attn_mask=attention_mask,
        scale=scaling,
    )
    made = made.reshape(batch, num_heads, num_queries, -1)
    return made.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _grouped)
AttentionMaskInterface.register(NAME, sdpa_mask)
