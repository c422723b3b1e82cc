"""Attention by groups of heads is PyTorch's attention."""

from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from smart_speed.engines import hf_attention
from tests.contract.tiny_hf import build


@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_grouped_heads_attend_as_single_ones_do(num_queries: int, masked: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    query = torch.randn(1, 6, num_queries, 8, generator=draw)
    key, value = torch.randn(2, 1, 2, 10, 8, generator=draw)
    mask = torch.ones(1, 1, num_queries, 10, dtype=torch.bool).tril(10 - num_queries)
    mask[..., :2] = False
    module: Any = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 3, True
    given = (query, key, value, mask if masked else None)
    expected, _ = sdpa_attention_forward(module, *given, scaling=0.5)
    made, _ = hf_attention._grouped(module, *given, scaling=0.5)
    torch.testing.assert_close(made, expected)


def test_network_with_another_attention_keeps_it() -> None:
    network = build("Llama")
    network.set_attn_implementation("eager")
    assert not hf_attention.group_heads(network)
    assert network.config._attn_implementation == "eager"
    network.set_attn_implementation("sdpa")
    assert hf_attention.group_heads(network)
    assert network.config._attn_implementation == hf_attention.NAME
