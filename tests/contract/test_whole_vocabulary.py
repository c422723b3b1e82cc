"""A drafter that was widened to its verifier's vocabulary scores what it knows as before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smart_speed.engines import hf
from smart_speed.errors import ConfigError
from smart_speed.training.gguf_file import write_gguf
from smart_speed.training.whole_vocabulary import with_whole_vocabulary
from tests.contract.tiny_drafter import (
    KEPT,
    SIZE,
    TEXT,
    distance,
    llama,
    load_hf,
    load_llama_cpp,
    whole_tokenizer,
)
from tests.contract.tiny_gguf import VOCABULARY


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_widened_drafter_scores_what_it_knows_as_before(tied: bool, tmp_path: Path) -> None:
    network = llama(tie_word_embeddings=tied, eos_token_id=[2, SIZE - 1], pad_token_id=SIZE - 1)
    padded = len(VOCABULARY) + 9
    whole = with_whole_vocabulary(network, KEPT, padded)
    expected = hf.HfModel(network).feed(TEXT, last=20)
    outside = len(VOCABULARY)  # past the tokenizer's end
    scores = hf.HfModel(whole).feed([[*KEPT, outside][token] for token in TEXT], last=20)
    assert scores.shape == (20, padded)
    assert np.array_equal(scores[:, KEPT], expected[:, :-1])
    others = sorted({*range(padded)} - {*KEPT})
    assert np.array_equal(scores[:, others], expected[:, -1:].repeat(len(others), axis=1))
    assert (whole.lm_head.weight is whole.model.embed_tokens.weight) is tied
    assert (whole.config.bos_token_id, whole.config.eos_token_id) == (1, [2])
    assert whole.config.pad_token_id is None
    assert network.config.vocab_size == SIZE
    whole.save_pretrained(tmp_path)
    whole_tokenizer().save_pretrained(tmp_path)
    assert np.array_equal(
        load_hf(tmp_path).model.feed(KEPT[:20], last=20), hf.HfModel(whole).feed(KEPT[:20], last=20)
    )


def test_widened_drafter_is_one_for_other_engines(tmp_path: Path) -> None:
    network, path = llama(), tmp_path / "drafter.gguf"
    whole = with_whole_vocabulary(network, KEPT, len(VOCABULARY))
    write_gguf(whole, whole_tokenizer(), path, name="tiny", number_format="f32")
    loaded = load_llama_cpp(path)
    spellings = [loaded.tokenizer.spelling(token) for token in range(loaded.tokenizer.vocab_size)]
    assert spellings == list(VOCABULARY)
    assert distance(loaded, whole) < 0.02


@pytest.mark.parametrize(
    ("kept_ids", "vocab_size", "complaint"),
    [
        (KEPT[:-1], 300, f"kept_ids must be {len(KEPT)} in number, got {len(KEPT) - 1}"),
        (KEPT, KEPT[-1], f"kept_ids must be tokens from 0 to {KEPT[-1] - 1}"),
        (KEPT[::-1], 300, "kept_ids must be ascending"),
    ],
    ids=["too-few", "too-high", "descending"],
)
def test_ids_that_do_not_fit_the_drafter_are_refused(
    kept_ids: list[int], vocab_size: int, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        with_whole_vocabulary(llama(), kept_ids, vocab_size)


def test_number_format_stays() -> None:
    network = llama().to(torch.bfloat16)
    assert with_whole_vocabulary(network, KEPT, len(VOCABULARY)).dtype == torch.bfloat16
