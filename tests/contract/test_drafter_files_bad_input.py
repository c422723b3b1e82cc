"""What has no place in a drafter's file is refused in one sentence, and leaves no file."""

from pathlib import Path
from typing import Any

import gguf
import pytest

from smart_speed.errors import ConfigError, ModelError, OutputError
from smart_speed.training.gguf_file import write_gguf
from smart_speed.training.trimmed_tokenizer import trimmed_tokenizer
from tests.contract.tiny_drafter import KEPT, llama, whole_tokenizer
from tests.contract.tiny_gguf import VOCABULARY
from tests.contract.tiny_hf import build, fast_tokenizer


@pytest.mark.parametrize(
    ("network", "tokenizer", "error", "complaint"),
    [
        ({"attention_bias": True}, {}, ModelError, "has no place for 'model.layers.0.self_attn"),
        ({"hidden_act": "gelu"}, {}, ModelError, "must use silu, got 'gelu'"),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
            {},
            ModelError,
            "must be of type 'default' in a GGUF file, got 'linear'",
        ),
        ({"vocab_size": 20}, {}, ConfigError, "tokenizer must be of 20 tokens at most, got 263"),
        ({}, {"named": False}, ModelError, "needs a tokenizer with an end-of-text token"),
    ],
    ids=["bias", "activation", "rope", "size", "end"],
)
def test_what_has_no_place_in_a_file_is_refused(
    network: dict[str, Any],
    tokenizer: dict[str, Any],
    error: type[Exception],
    complaint: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "drafter.gguf"
    settings: Any = {"name": "tiny", "number_format": "f32"}
    size = {"vocab_size": len(VOCABULARY)}
    with pytest.raises(error, match=complaint):
        write_gguf(llama(**{**size, **network}), whole_tokenizer(**tokenizer), path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    settings: Any = {"name": "tiny", "number_format": "f32"}
    with pytest.raises(ModelError, match="a byte-level BPE tokenizer, got one of type WordLevel"):
        write_gguf(build("Llama"), fast_tokenizer(), tmp_path / "drafter.gguf", **settings)
    mergeless = trimmed_tokenizer(whole_tokenizer(), KEPT[:40])
    with pytest.raises(ModelError, match="needs a tokenizer with merges, got one that keeps none"):
        write_gguf(llama(), mergeless, tmp_path / "drafter.gguf", **settings)


def test_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = llama(vocab_size=len(VOCABULARY)), tmp_path / "drafter.gguf"

    def fail(self: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", fail)
    with pytest.raises(OutputError, match="can be written: No space left on device"):
        write_gguf(network, whole_tokenizer(), path, name="tiny", number_format="f32")
    assert list(tmp_path.iterdir()) == []
