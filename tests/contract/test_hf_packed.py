"""Weights that are arranged once: the same results, and nothing lost that reads them."""

import pytest
import torch
from torch import nn

from smart_speed.engines.hf_packed import PackedLinear, pack_linears
from tests.contract.tiny_hf import VOCAB_SIZE, build


class Quantised(nn.Linear):
    """As a library for quantised weights would put in place of a linear layer."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_layer_computes_what_the_layer_does(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(33, 17, bias=bias).to(dtype)
    if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        with pytest.raises(RuntimeError, match="needs the cpu support"):
            PackedLinear(linear)
        network = nn.Sequential(linear)
        assert not pack_linears(network)
        assert network[0] is linear
        return
    packed = PackedLinear(linear)
    assert torch.equal(packed.weight, linear.weight)
    for shape in ((1, 33), (5, 33), (1, 40, 33), (2, 3, 33)):
        rows = torch.randn(shape).to(dtype)
        with torch.inference_mode():
            torch.testing.assert_close(packed(rows), linear(rows))


@pytest.mark.parametrize("family", ["Llama", "GPT2", "Gemma2"])
def test_packed_network_gives_the_same_logits_and_can_be_saved(family: str) -> None:
    network, packed = build(family), build(family)
    assert pack_linears(packed)
    assert any(isinstance(each, PackedLinear) for each in packed.modules())
    assert not any(type(each) is nn.Linear for each in packed.modules())
    tokens = torch.arange(12).remainder(VOCAB_SIZE)[None]
    with torch.inference_mode():
        wanted, found = network(input_ids=tokens).logits, packed(input_ids=tokens).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    saved = packed.state_dict()
    assert saved.keys() == network.state_dict().keys()
    for name, weight in network.state_dict().items():
        assert torch.equal(saved[name], weight), name


def test_other_layers_are_left_alone() -> None:
    network = nn.Sequential(Quantised(4, 4), nn.LayerNorm(4))
    assert not pack_linears(network)
    assert type(network[0]) is Quantised


def test_number_format_without_kernel_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("needs the cpu support avx_ne_convert")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    network = nn.Sequential(nn.Linear(4, 4))
    assert not pack_linears(network)
    assert type(network[0]) is nn.Linear


def test_processor_without_onednn_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not pack_linears(nn.Sequential(nn.Linear(4, 4)))
