"""The cache that copies nothing holds what transformers' own would."""

import torch
from transformers import DynamicCache

from smart_speed.engines.hf_cache import GrowingLayer, empty_cache


def states(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn((2, 1, 3, count, 8), generator=generator)
    return keys, values


def test_reading_and_forgetting_as_the_cache_of_transformers() -> None:
    """Feeds and rollbacks, past the room of the first blocks and back to nearly nothing."""
    ours, theirs = empty_cache(), DynamicCache()
    for seed, (count, forgotten) in enumerate(
        ((200, 0), (3, 2), (400, 1), (1, 0), (5, 600), (9, 4))
    ):
        for layer in (0, 1):
            fed = states(count, seed)
            for found, wanted in zip(
                ours.update(*fed, layer), theirs.update(*fed, layer), strict=True
            ):
                assert torch.equal(found, wanted)
        if forgotten:
            ours.crop(-forgotten)
            theirs.crop(-forgotten)
        assert ours.get_seq_length() == theirs.get_seq_length()
    assert all(isinstance(layer, GrowingLayer) for layer in ours.layers)


def test_pass_copies_its_own_tokens_alone() -> None:
    cache = empty_cache()
    keys, _ = cache.update(*states(200, 0), 0)
    place = keys.data_ptr()
    for seed in range(5):
        keys, _ = cache.update(*states(4, seed), 0)
        cache.crop(-2)
    assert keys.data_ptr() == place
    keys, _ = cache.update(*states(300, 1), 0)
    assert keys.data_ptr() != place


def test_memory_that_another_put_in_place_is_kept() -> None:
    """Reordering of beams and resetting replace the tensors behind the layer's back."""
    cache = empty_cache()
    cache.update(*states(5, 0), 0)
    cache.layers[0].keys = cache.layers[0].keys + 1
    before = cache.layers[0].keys.clone()
    keys, _ = cache.update(*states(2, 1), 0)
    assert torch.equal(keys[..., :5, :], before)
    cache.reset()
    keys, _ = cache.update(*states(3, 2), 0)
    assert torch.equal(keys, states(3, 2)[0])
