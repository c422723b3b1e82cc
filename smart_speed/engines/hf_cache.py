"""A cache of keys and values in which a pass writes its own tokens and copies no others."""

from typing import Any, final

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_BLOCK_LEN = 256
"""Tokens: room is made in multiples of it."""


@final
class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, at the beginning of memory that has room for more.

    ``DynamicLayer`` joins old and new in every pass, which in a long context moves as much memory
    as the weights of a small model take. Here ``keys`` and ``values`` are views of the part in
    use, before and after ``crop`` has made them shorter.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._rooms: list[torch.Tensor | None] = [None, None]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add what was computed of new tokens; return keys and values of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._extended(0, self.keys, key_states)
        self.values = self._extended(1, self.values, value_states)
        return self.keys, self.values

    def _extended(self, which: int, used: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        start = used.shape[-2] if used.numel() else 0
        end = start + new.shape[-2]
        room = self._rooms[which]
        if room is None or room.shape[-2] < end or (start and room.data_ptr() != used.data_ptr()):
            blocks = -(-max(end, start * 3 // 2) // _BLOCK_LEN)
            room = new.new_empty((*new.shape[:-2], blocks * _BLOCK_LEN, new.shape[-1]))
            if start:
                room[..., :start, :] = used
            self._rooms[which] = room
        room[..., start:end, :] = new
        return room[..., :end, :]


def empty_cache() -> DynamicCache:
    """Return a cache for any model, which makes its layers as it meets them."""
    # Not told of the model's config, it keeps what a sliding window has passed: the mask hides
    # those tokens, and a rollback brings some of them back into the window.
    cache = DynamicCache()
    cache.layer_class_to_replicate = GrowingLayer
    return cache
