"""Graphs for OpenVINO: of models like Llama, and with paged attention.

``llama_graph`` lays a model of transformers out the way exporters do, so that OpenVINO recognises
what it has fused kernels for; ``paged_graph`` takes any graph of that form.
"""

from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset15 as ops
from openvino._offline_transformations import paged_attention_transformation
from openvino.op import Parameter
from openvino.op.util import Variable, VariableInfo
from transformers import PretrainedConfig, PreTrainedModel

from smart_speed.errors import ModelError, RollbackError

LIKE_LLAMA = ("llama", "mistral", "qwen2")
"""Architectures that ``llama_graph`` can lay out."""
ROWS = "rows"
"""Input of a paged graph: which of the tokens read are to be scored."""


def check_like_llama(config: PretrainedConfig, path: str) -> None:
    """Check that ``llama_graph`` can lay a model out.

    Raises:
        ModelError: If its architecture is none of ``LIKE_LLAMA``, or its layers see a window only.
    """
    window = getattr(config, "sliding_window", None)
    if config.model_type not in LIKE_LLAMA or window:
        what = config.model_type + (f" with a sliding window of {window} tokens" if window else "")
        raise ModelError(
            f"Engine 'openvino' must be given a model like {', '.join(LIKE_LLAMA)}, or a folder "
            f"that `optimum-cli export openvino` wrote, got {path!r}, which is {what}."
        )


def paged_graph(graph: ov.Model, path: str) -> ov.Model:
    """Give a graph paged attention, and let it score the asked rows alone; changes ``graph``.

    Raises:
        ModelError: If OpenVINO cannot.
        RollbackError: If it keeps a state that cannot forget tokens.
    """
    try:
        paged_attention_transformation(graph)
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1]
        raise ModelError(
            f"The graph of {path!r} must be one that OpenVINO can page: {said}"
        ) from error
    if graph.get_sinks():
        raise RollbackError(
            f"A model must be able to forget rejected tokens, got {path!r}, whose graph keeps "
            f"{len(graph.get_sinks())} states that cannot be rolled back."
        )
    head = graph.output("logits").get_node()
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    rows = ops.parameter([-1], np.int64, name=ROWS)
    rows.output(0).set_names({ROWS})
    graph.add_parameters([rows])
    scored = ops.gather(head.input_value(0), rows, np.int64(0))
    head.input(0).replace_source_output(scored.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def of_width(graph: ov.Model, width: int) -> ov.Model:
    """Return a paged graph for passes of so many tokens; it shares weights until compiled."""
    fixed = graph.clone()
    sizes = {"input_ids": width, "position_ids": width, "past_lens": 1}
    sizes |= {"subsequence_begins": 2, "block_indices_begins": 2}
    fixed.reshape({name: ov.PartialShape([size]) for name, size in sizes.items()})
    return fixed


def fits_float16(graph: ov.Model) -> bool:
    """Return whether float16 reaches as far as every matrix of a graph."""
    held = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    matrices = (
        node.data
        for node in held
        if node.get_element_type() == ov.Type.f32 and len(list(node.shape)) > 1
    )
    most = float(np.finfo(np.float16).max)
    return all(-most <= each.min(initial=0) and each.max(initial=0) <= most for each in matrices)


def num_weights(graph: ov.Model) -> int:
    """Return how many numbers its constants hold."""
    held = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    return sum(int(np.prod(list(node.shape))) for node in held)


def llama_graph(network: PreTrainedModel) -> ov.Model:
    """Lay out a model like Llama; the graph shares its weights, which must be float32."""
    config: Any = network.config
    inner: Any = network.model
    inputs = {
        name: ops.parameter(shape, kind, name=name)
        for name, shape, kind in (
            ("input_ids", [-1, -1], np.int64),
            ("attention_mask", [-1, -1], np.int64),
            ("position_ids", [-1, -1], np.int64),
            ("beam_idx", [-1], np.int32),
        )
    }
    for name, node in inputs.items():
        node.output(0).set_names({name})
    waves = _rope_waves(inner.rotary_emb, inputs["position_ids"])
    # Paged attention masks by position; until then a mask has to stand here.
    mask = ops.unsqueeze(ops.convert(inputs["attention_mask"], "f32"), np.array([1, 2]))
    hidden = ops.gather(_weight(inner.embed_tokens), inputs["input_ids"], np.int64(0))
    sinks: list[Any] = []
    for at, layer in enumerate(inner.layers):
        normed = _rms_norm(layer.input_layernorm, hidden)
        attended = _attention(at, layer.self_attn, config, normed, waves, mask, inputs, sinks)
        hidden = ops.add(hidden, attended)
        hidden = ops.add(hidden, _mlp(layer.mlp, _rms_norm(layer.post_attention_layernorm, hidden)))
    logits = _linear(network.lm_head, _rms_norm(inner.norm, hidden))
    logits.output(0).set_names({"logits"})
    return ov.Model([ops.result(logits, name="logits")], sinks, list(inputs.values()))


def _weight(module: Any, name: str = "weight") -> Any:
    values: torch.Tensor = getattr(module, name).detach()
    return ops.constant(values.numpy(), shared_memory=True)


def _linear(module: Any, x: Any) -> Any:
    product = ops.matmul(x, _weight(module), transpose_a=False, transpose_b=True)
    return product if module.bias is None else ops.add(product, _weight(module, "bias"))


def _rms_norm(module: Any, x: Any) -> Any:
    one = np.float32(1)
    square = ops.reduce_mean(ops.power(x, np.float32(2)), np.array([-1]), keep_dims=True)
    scale = ops.divide(one, ops.sqrt(ops.add(square, np.float32(module.variance_epsilon))))
    return ops.multiply(_weight(module), ops.multiply(x, scale))


def _mlp(module: Any, x: Any) -> Any:
    gate = ops.swish(_linear(module.gate_proj, x))
    return _linear(module.down_proj, ops.multiply(gate, _linear(module.up_proj, x)))


def _rope_waves(rope: Any, position_ids: Parameter) -> tuple[Any, Any]:
    """Return cosine and sine of every angle, ``[batch, 1, tokens, head]``."""
    frequency = rope.inv_freq.detach().float().numpy().reshape(1, -1, 1)
    position = ops.convert(ops.unsqueeze(position_ids, np.int64(1)), "f32")
    angle = ops.transpose(ops.matmul(frequency, position, False, False), np.array([0, 2, 1]))
    both = ops.concat([angle, angle], -1)
    scaling = float(rope.attention_scaling)
    waves = []
    for wave in (ops.cos(both), ops.sin(both)):
        scaled = wave if scaling == 1 else ops.multiply(wave, np.float32(scaling))
        waves.append(ops.unsqueeze(scaled, np.int64(1)))
    return waves[0], waves[1]


def _rotated(x: Any, waves: tuple[Any, Any], head_dim: int) -> Any:
    half, end, step, axis = (np.array([n]) for n in (head_dim // 2, 2**31 - 1, 1, 3))
    upper = ops.slice(x, half, end, step, axis)
    lower = ops.slice(x, np.array([0]), half, step, axis)
    turned = ops.concat([ops.multiply(upper, np.float32(-1)), lower], -1)
    return ops.add(ops.multiply(x, waves[0]), ops.multiply(turned, waves[1]))


def _attention(
    at: int,
    module: Any,
    config: Any,
    x: Any,
    waves: tuple[Any, Any],
    mask: Any,
    inputs: dict[str, Any],
    sinks: list[Any],
) -> Any:
    head_dim = int(module.head_dim)
    num_heads, num_kept = int(config.num_attention_heads), int(config.num_key_value_heads)

    def heads(projection: Any, count: int) -> Any:
        split = ops.reshape(_linear(projection, x), np.array([0, 0, count, head_dim]), True)
        return ops.transpose(split, np.array([0, 2, 1, 3]))

    def kept(kind: str, new: Any) -> Any:
        """Put what is new behind what is kept, and give every head its copy."""
        shape = ov.PartialShape([-1, num_kept, -1, head_dim])
        info = VariableInfo()
        info.data_shape, info.data_type = shape, ov.Type.f32
        info.variable_id = f"past_key_values.{at}.{kind}present.{at}.{kind}"
        variable = Variable(info)
        batch = ops.gather(ops.shape_of(inputs["input_ids"]), np.array([0]), np.int64(0))
        sizes = [batch, *(np.array([n]) for n in (num_kept, 0, head_dim))]
        empty = ops.broadcast(np.float32(0), ops.concat(sizes, 0))
        old = ops.gather(ops.read_value(empty, variable), inputs["beam_idx"], np.int64(0))
        whole = ops.concat([old, new], -2)
        sinks.append(ops.assign(whole, variable))
        if num_heads == num_kept:
            return whole
        size = ops.shape_of(whole)
        first = ops.gather(size, np.array([0, 1]), np.int64(0))
        rest = ops.gather(size, np.array([2, 3]), np.int64(0))
        target = ops.concat([first, np.array([num_heads // num_kept]), rest], 0)
        copies = ops.broadcast(ops.unsqueeze(whole, np.int64(2)), target, "BIDIRECTIONAL")
        return ops.reshape(copies, np.array([0, num_heads, -1, head_dim]), True)

    query = _rotated(heads(module.q_proj, num_heads), waves, head_dim)
    key = kept("key", _rotated(heads(module.k_proj, num_kept), waves, head_dim))
    value = kept("value", heads(module.v_proj, num_kept))
    scale = np.float32(module.scaling)
    attended = ops.scaled_dot_product_attention(query, key, value, mask, scale)
    merged = ops.reshape(
        ops.transpose(attended, np.array([0, 2, 1, 3])),
        np.array([0, 0, num_heads * head_dim]),
        True,
    )
    return _linear(module.o_proj, merged)
