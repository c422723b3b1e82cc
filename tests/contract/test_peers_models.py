"""What peers are given is what smart_speed runs, and their workers say what they wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.peers.checkpoints import plain_network
from benchmarks.peers.smart_speed_worker import SmartSpeed
from benchmarks.peers.transformers_worker import Transformers
from benchmarks.peers.widened import as_mistral, with_masked_vocabulary
from smart_speed.engines import hf
from smart_speed.errors import ConfigError
from smart_speed.training.gguf_file import write_gguf
from tests.contract.tiny_drafter import (
    KEPT,
    SIZE,
    TEXT,
    llama,
    load_hf,
    load_llama_cpp,
    whole_tokenizer,
)
from tests.contract.tiny_gguf import VOCABULARY
from tests.contract.tiny_hf import VOCAB_SIZE, build, shaken

OUTSIDE = sorted({*range(len(VOCABULARY))} - {*KEPT})
WHOLE_TEXT = [[*KEPT, OUTSIDE[0]][token] for token in TEXT]


def laws_of(logits: Any) -> Any:
    rows = torch.as_tensor(np.array(logits)).double()
    return torch.softmax(rows, dim=-1).numpy()


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_widened_drafter_drafts_from_the_same_law(tied: bool) -> None:
    network = llama(tie_word_embeddings=tied)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "norm" in name:
                weights += 0.3 * torch.randn_like(weights)
    wide = with_masked_vocabulary(network, KEPT, len(VOCABULARY))
    own = laws_of(hf.HfModel(network).feed(TEXT, last=20)[:, :-1])
    laws = laws_of(hf.HfModel(wide).feed(WHOLE_TEXT, last=20))
    assert np.abs(laws[:, KEPT] - own).max() < 1e-3
    assert laws[:, OUTSIDE].max() == 0
    assert network.config.vocab_size == SIZE


def test_widened_drafter_is_one_for_llama_cpp_as_well(tmp_path: Path) -> None:
    wide = with_masked_vocabulary(llama(), KEPT, len(VOCABULARY))
    path = tmp_path / "drafter.gguf"
    write_gguf(wide, whole_tokenizer(), path, name="tiny", number_format="q8_0")
    loaded = load_llama_cpp(path)
    laws = laws_of(loaded.model.feed(WHOLE_TEXT, last=20))
    assert np.abs(laws - laws_of(hf.HfModel(wide).feed(WHOLE_TEXT, last=20))).max() < 0.1
    assert laws[:, OUTSIDE].max() == 0


def test_widened_drafter_is_saved_as_a_network_that_allows_its_width(tmp_path: Path) -> None:
    network = llama(hidden_size=48, num_attention_heads=6)  # 6 does not divide 48 + 32
    wide = with_masked_vocabulary(network, KEPT, len(VOCABULARY))
    as_mistral(wide).save_pretrained(tmp_path)
    whole_tokenizer().save_pretrained(tmp_path)
    laws = laws_of(load_hf(tmp_path).model.feed(WHOLE_TEXT, last=20))
    assert np.abs(laws - laws_of(hf.HfModel(wide).feed(WHOLE_TEXT, last=20))).max() < 1e-5


def test_network_from_gguf_can_be_saved(tmp_path: Path) -> None:
    network, path = llama(vocab_size=len(VOCABULARY)), tmp_path / "drafter.gguf"
    write_gguf(network, whole_tokenizer(), path, name="tiny", number_format="f32")
    read = load_hf(path)
    plain = plain_network(read)
    plain.save_pretrained(tmp_path / "plain")
    whole_tokenizer().save_pretrained(tmp_path / "plain")
    again = load_hf(tmp_path / "plain")
    assert np.array_equal(again.model.feed(TEXT, last=5), read.model.feed(TEXT, last=5))


def test_ids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="kept_ids must be"):
        with_masked_vocabulary(llama(), KEPT[:-1], len(VOCABULARY))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("peers")
    verifier = build("Llama")
    for name, network in (
        ("verifier", verifier),
        ("drafter", shaken(build("Llama"), seed=1, strength=0.02)),
    ):
        network.save_pretrained(folder / name)
    return {name: str(folder / name) for name in ("verifier", "drafter")}


NEVER = VOCAB_SIZE - 1
"""No text here ends with it, so they are long enough to repeat themselves."""
ASSISTANT = {
    "num_assistant_tokens": 3,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.0,
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("way", ["plain", "assisted", "prompt lookup"])
def test_transformers_writes_its_greedy_text_in_steps(way: str, folders: dict[str, str]) -> None:
    settings: dict[str, Any] = {
        "verifier": folders["verifier"], "dtype": "float32", "threads": 1, "ending": [NEVER],
    }  # fmt: skip
    if way == "assisted":
        settings |= {"drafter": folders["drafter"], "assistant": ASSISTANT}
    if way == "prompt lookup":
        settings |= {"generate": {"prompt_lookup_num_tokens": 3}}
    peer = Transformers()
    assert set(peer.load(settings)) == {"transformers", "torch"}
    prompt = [5, 6, 7, 5, 6, 7, 5]
    made = peer.answer(prompt, max_new_tokens=30, temperature=0.0, seed=0)
    assert list(made.tokens) == greedy(folders["verifier"], prompt, 30)
    assert made.first_len + made.decode_len == len(made.tokens)
    assert made.passes is not None
    assert (made.passes == made.decode_len) is (way == "plain")
    drawn = [
        peer.answer(prompt, max_new_tokens=6, temperature=0.9, seed=seed).tokens
        for seed in (1, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1]
    assert len({tuple(each) for each in drawn}) > 1


def greedy(folder: str, prompt: list[int], count: int) -> list[int]:
    from transformers import AutoModelForCausalLM

    model = hf.HfModel(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    tokens: list[int] = []
    fed = prompt
    while len(tokens) < count:
        fed = [int(model.feed(fed, last=1)[0].argmax())]
        tokens += fed
    return tokens


def test_smart_speed_answers_as_a_worker(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcabdabcabd" * 20, "utf-8")
    load = {"engine": "toy", "verifier": str(tmp_path / "text.txt")}
    peer = SmartSpeed()
    about = peer.load({"drafter": "ngram", "config": {"strategy": "absolute"}, "load": load})
    assert about["strategy"] == "absolute"
    plain = SmartSpeed()
    plain.load({"drafter": None, "config": {"strategy": "plain"}, "load": load})
    prompt = [0, 1, 2, 0, 1]
    made, own = (
        each.answer(prompt, max_new_tokens=10, temperature=0.0, seed=0) for each in (peer, plain)
    )
    assert made.tokens == own.tokens
    assert own.passes == own.decode_len == len(own.tokens) - 1
    assert made.passes is not None
    assert made.passes < own.passes
    assert made.decode_s > 0
