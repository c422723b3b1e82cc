"""What a drafter is before it has learned anything: as much of its verifier as fits.

The embedding, which is the output head as well, is the verifier's own, projected onto the
directions that hold most of it if the drafter is narrower. Layers are chosen ones of the
verifier, if the width is the same, or else random.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from smart_speed.errors import ModelError, check_that
from smart_speed.training.settings import DrafterShape


def start_network(
    verifier: PreTrainedModel, shape: DrafterShape, kept_ids: Sequence[int] | None, *, seed: int = 0
) -> LlamaForCausalLM:
    """Return a drafter to be trained, in float32.

    Args:
        verifier: Any causal language model; of Llama's own form if its layers are to be kept.
        shape: Of what size.
        kept_ids: The verifier's tokens that the drafter knows, ascending; a row for all others
            follows them. ``None`` for all of them, and no such row.
        seed: Of random layers.

    Raises:
        ConfigError: If the verifier has no such layer.
        ModelError: If its layers are not such as Llama's.
    """
    config = _config(verifier, shape, kept_ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config).float()
    head: Any = verifier.get_output_embeddings()
    rows = head.weight.detach().float()
    if kept_ids is not None:
        others = torch.ones(len(rows), dtype=torch.bool)
        others[list(kept_ids)] = False
        unknown = rows[others].mean(dim=0) if others.any() else rows.mean(dim=0)
        rows = torch.cat([rows[list(kept_ids)], unknown[None]])
    with torch.no_grad():
        network.get_input_embeddings().weight.copy_(_project(rows, config.hidden_size))
    if shape.keep_layers:
        _copy_layers(verifier, network, _places(verifier, shape))
    return network


def _config(
    verifier: PreTrainedModel, shape: DrafterShape, kept_ids: Sequence[int] | None
) -> LlamaConfig:
    own: Any = verifier.config.get_text_config()
    heads = shape.num_heads or own.num_attention_heads
    width = shape.width or own.hidden_size
    check_that(width % heads == 0, "width", f"a multiple of the {heads} heads", width)
    their_groups = getattr(own, "num_key_value_heads", None) or heads
    groups = shape.num_key_value_heads or math.gcd(heads, their_groups)
    check_that(heads % groups == 0, "num_heads", f"a multiple of {groups}, the KV heads", heads)
    their_mlp_width = getattr(own, "intermediate_size", None) or 4 * own.hidden_size
    return LlamaConfig(
        vocab_size=own.vocab_size if kept_ids is None else len(kept_ids) + 1,
        hidden_size=width,
        intermediate_size=shape.mlp_width or their_mlp_width * width // own.hidden_size,
        num_hidden_layers=shape.num_layers or len(shape.keep_layers),
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=own.max_position_embeddings,
        rms_norm_eps=getattr(own, "rms_norm_eps", 1e-5),
        rope_parameters=getattr(own, "rope_parameters", None),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )


def _project(
    rows: Float[torch.Tensor, "vocab wide"], width: int
) -> Float[torch.Tensor, "vocab width"]:
    """Return the rows in the ``width`` directions that hold most of them, scaled as before."""
    if rows.shape[1] == width:
        return rows
    if rows.shape[1] < width:
        return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))
    _, vectors = torch.linalg.eigh(rows.T @ rows)  # in ascending order
    projected = rows @ vectors[:, -width:]
    scaled: torch.Tensor = projected * (rows.std() / projected.std())
    return scaled


def _places(verifier: PreTrainedModel, shape: DrafterShape) -> list[int]:
    total = int(verifier.config.get_text_config().num_hidden_layers)
    for layer in shape.keep_layers:
        inside = -total <= layer < total
        check_that(inside, "keep_layers", f"from {-total} to {total - 1}", layer)
    return [layer % total for layer in shape.keep_layers]


def _copy_layers(verifier: PreTrainedModel, network: LlamaForCausalLM, places: list[int]) -> None:
    """Copy chosen layers, and the normalisation after the last."""
    theirs = verifier.state_dict()
    for name, target in network.state_dict().items():
        head, _, rest = name.partition("model.layers.")
        if rest and not head:
            number, _, tail = rest.partition(".")
            source = f"model.layers.{places[int(number)]}.{tail}"
        elif name == "model.norm.weight":
            source = name
        else:
            continue
        if source not in theirs or theirs[source].shape != target.shape:
            raise ModelError(
                "Layers can be kept of a verifier of Llama's form only, got "
                f"{verifier.config.model_type!r} without a fitting {source!r}; give num_layers."
            )
        with torch.no_grad():
            target.copy_(theirs[source].float())
