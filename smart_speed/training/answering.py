"""A verifier answers many prompts at once, and says of every token how likely it found which.

Throughput, not latency: a block of prompts of like length shares every pass, answers that have
ended leave the block, and keys and values are written in place. (transformers copies the whole
cache for every token, which takes longer than the model's own products.)
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

_ATTENTION = "smart_speed_block"
_GROWTH = 32
"""Tokens by which a cache grows."""
_SLICE_LEN = 2048
"""Tokens of prompts that one pass reads; more of them leave the processor's caches."""
_STRAGGLERS = 0.85
"""A block is packed anew when this share of its rows, or less, is still being written."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the verifier wrote after one prompt."""

    tokens: Int[np.ndarray, " answer"]
    """Ends with an end-of-text token, unless it ran into the limit."""
    top_ids: Int[np.ndarray, "answer top"]
    """The verifier's likeliest tokens at each position of the answer, likeliest first."""
    top_logprobs: Float[np.ndarray, "answer top"]
    """Their natural log-probabilities under the verifier's whole law, at temperature 1."""


def answer_block(
    network: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    temperatures: Sequence[float],
    max_new_tokens: int,
    eos_ids: Collection[int],
    top: int,
    generator: torch.Generator,
) -> list[Answer]:
    """Answer prompts side by side.

    Args:
        network: The verifier.
        prompts: Tokens, at least one each; like lengths waste the least.
        temperatures: One for each; 0 takes the likeliest token, otherwise a token is drawn from
            the ``top`` likeliest.
        max_new_tokens: Longest answer.
        eos_ids: Tokens that end one.
        top: Candidates kept of each position, at least 1.
        generator: Of the draws.

    Returns:
        The answers in the order of the prompts.
    """
    with _fast_attention(network) as plain:
        return _answers(
            _Block(network, prompts, temperatures, plain=plain),
            max_new_tokens,
            torch.tensor(sorted(eos_ids), dtype=torch.long),
            top,
            generator,
        )


def _answers(
    block: "_Block", max_new_tokens: int, ends: torch.Tensor, top: int, generator: torch.Generator
) -> list[Answer]:
    parts: list[list[tuple[Any, Any, Any]]] = [[] for _ in block.rows]
    for _ in range(max_new_tokens):
        scores = block.logits.float()
        values, ids = scores.topk(top, dim=-1)
        logprobs = values - scores.logsumexp(dim=-1, keepdim=True)
        tokens = _choose(values, ids, block.temperatures, generator)
        rows = zip(block.rows.tolist(), tokens.tolist(), ids.numpy(), logprobs.numpy(), strict=True)
        for row, token, row_ids, row_logprobs in rows:
            if row >= 0:
                parts[row].append((token, row_ids, row_logprobs))
        block.end(torch.isin(tokens, ends))
        if not block.writing:
            break
        block.feed(tokens)
    return [_answer(part, top) for part in parts]


def _answer(steps: list[tuple[Any, Any, Any]], top: int) -> Answer:
    tokens, ids, logprobs = zip(*steps, strict=True)
    return Answer(
        tokens=np.array(tokens, dtype=np.int32),
        top_ids=np.stack(ids).astype(np.int32).reshape(-1, top),
        top_logprobs=np.stack(logprobs).astype(np.float16).reshape(-1, top),
    )


def _choose(
    values: torch.Tensor, ids: torch.Tensor, temperatures: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return each row's next token."""
    warm = torch.where(temperatures > 0, temperatures, 1.0)
    drawn = (values / warm[:, None]).softmax(dim=-1).multinomial(1, generator=generator)
    rank = torch.where(temperatures > 0, drawn[:, 0], 0)
    return ids.gather(1, rank[:, None])[:, 0]


@final
class _Block:
    """The rows that are being written, and their cache."""

    def __init__(
        self,
        network: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        temperatures: Sequence[float],
        *,
        plain: bool,
    ) -> None:
        """Read the prompts, padded on the left so that all answers begin together."""
        self._network = network
        longest = max(len(prompt) for prompt in prompts)
        padded = torch.zeros((len(prompts), longest), dtype=torch.long)
        self._known = torch.zeros_like(padded, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            padded[row, longest - len(prompt) :] = torch.tensor(prompt)
            self._known[row, longest - len(prompt) :] = True
        self.rows = torch.arange(len(prompts))
        """Which prompt each row answers; -1 for an answer that has ended."""
        self.temperatures = torch.tensor(temperatures)
        self._positions = self._known.cumsum(dim=1).sub(1).clamp(min=0)
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        slices = []
        self._plain = plain
        rows_each = max(1, _SLICE_LEN // longest) if self._plain else len(prompts)
        for start in range(0, len(prompts), rows_each):
            rows = slice(start, start + rows_each)
            # Padding looks at itself, since to look at nothing is not a number.
            visible = self._known[rows, None] & causal | torch.eye(longest, dtype=torch.bool)
            cache = Cache(layer_class_to_replicate=_RoomyLayer) if self._plain else DynamicCache()
            logits = self._pass(padded[rows], visible, self._positions[rows], cache)
            slices.append((logits, cache))
        self._cache = _stacked([cache for _, cache in slices])
        self.logits = torch.cat([logits for logits, _ in slices])
        """What follows each row's last token."""

    @property
    def writing(self) -> bool:
        """Whether any answer goes on."""
        return bool((self.rows >= 0).any())

    def end(self, ended: torch.Tensor) -> None:
        """Note which rows have written their last token."""
        self.rows = torch.where(ended, -1, self.rows)

    def feed(self, tokens: torch.Tensor) -> None:
        """Append a token to every row, ended ones aside if they are many."""
        alive = self.rows >= 0
        if alive.sum() <= _STRAGGLERS * len(alive):
            self._cache.batch_select_indices(alive.nonzero()[:, 0])
            self.rows, self.temperatures = self.rows[alive], self.temperatures[alive]
            self._known, tokens = self._known[alive], tokens[alive]
            self._positions = self._positions[alive]
        self._known = torch.cat([self._known, self._known.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1
        length = self._known.shape[1]
        visible = nn.functional.pad(self._known, (0, _room(length) - length))
        self.logits = self._pass(tokens[:, None], visible[:, None], self._positions, self._cache)

    def _pass(
        self, tokens: torch.Tensor, visible: torch.Tensor, positions: torch.Tensor, cache: Cache
    ) -> torch.Tensor:
        device = self._network.device
        if self._plain:
            zeros = torch.zeros(visible.shape, dtype=self._network.dtype)
            mask = zeros.masked_fill(~visible, -torch.inf)[:, None]
        else:
            mask = self._known.long()  # the model's own code makes of it what its layers need
        with torch.inference_mode():
            logits: torch.Tensor = self._network(
                input_ids=tokens.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
        return logits[:, -1].cpu()


@contextlib.contextmanager
def _fast_attention(network: PreTrainedModel) -> Iterator[bool]:
    """Exchange a network's attention for the one here, where that does the same.

    Yields:
        Whether it does: every layer attends to all that came before, in the usual way.
    """
    config = network.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    narrow = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    capped = getattr(config, "attn_logit_softcapping", None)
    exchangeable = getattr(network, "_supports_attention_backend", False)
    plain = bool(exchangeable and kinds == {"full_attention"} and not narrow and not capped)
    own = network.config._attn_implementation
    if plain:
        network.set_attn_implementation(_ATTENTION)
    try:
        yield plain
    finally:
        network.set_attn_implementation(own)


def _stacked(caches: Sequence[Cache]) -> Cache:
    """Return the caches of several slices of a block as one."""
    whole = caches[0]
    if len(caches) > 1:
        for layer, *others in zip(*(cache.layers for cache in caches), strict=True):
            layer.append_rows(others)
    return whole


def _room(length: int) -> int:
    """Return how many tokens a cache makes room for to hold some."""
    return -(-length // _GROWTH) * _GROWTH


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, in memory for more than they hold.

    A pass of one token is given all of that memory, which is contiguous as a product of matrices
    wants it, and a mask over the part that holds nothing yet.
    """

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._memory = [key_states[:, :, :0], value_states[:, :, :0]]
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for index, states in enumerate((key_states, value_states)):
            memory = self._memory[index]
            if end > memory.shape[-2]:
                rows, heads, _, width = states.shape
                grown = states.new_zeros(rows, heads, _room(end), width)
                grown[:, :, :start] = memory[:, :, :start]
                self._memory[index] = memory = grown
            memory[:, :, start:end] = states
        self.keys, self.values = (memory[:, :, :end] for memory in self._memory)
        if start and end == start + 1:
            return self._memory[0], self._memory[1]
        return self.keys, self.values

    def append_rows(self, others: Sequence["_RoomyLayer"]) -> None:
        """Put the rows of layers of the same length below these."""
        length = self.get_seq_length()
        parts = zip(self._memory, *(other._memory for other in others), strict=True)
        self._memory = [torch.cat(part) for part in parts]
        self.keys, self.values = (memory[:, :, :length] for memory in self._memory)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        length = self.get_seq_length()
        self._memory = [memory[indices.to(memory.device)] for memory in self._memory]
        self.keys, self.values = (memory[:, :, :length] for memory in self._memory)


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend from one token by two products of matrices: a quarter of the fused kernel's time."""
    rows, heads, count, width = query.shape
    if count > 1:
        attended: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )[0]
        return attended, None
    groups = query.reshape(rows, key.shape[1], -1, width)
    scores = groups @ key.transpose(-1, -2)
    scale = width**-0.5 if scaling is None else scaling
    weights = scores.float().mul_(scale).add_(attention_mask).softmax(dim=-1)
    return (weights.to(value.dtype) @ value).reshape(rows, 1, heads, -1), None


AttentionInterface.register(_ATTENTION, _attend)
