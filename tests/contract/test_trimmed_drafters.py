"""Drafters of a trimmed vocabulary on real engines, from files, with and without a manifest."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smart_speed import cli, loading
from smart_speed.cli import arguments
from smart_speed.divergence import find_divergence
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.manifest import check_files
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines import hf, llama_cpp
from smart_speed.engines.base import UNKNOWN_TOKEN, LoadedModel
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.errors import ModelError, VocabularyError
from smart_speed.files import file_sha256
from smart_speed.loading import (
    LoadOptions,
    load_drafter,
    load_model,
    load_verifier,
    shipped_drafters,
)
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.testing import check_drafter
from tests.contract import tiny_gguf, tiny_hf
from tests.contract.test_engines_hf import as_tensors

PROMPT = "the drafter writes"
WORDS = tiny_gguf.VOCABULARY
KEPT = sorted({0, 1, 2, *range(3, len(WORDS), 2), *map(WORDS.index, ("t", "h", "th"))})
"""Tokens that the drafter's file holds; those of a merge among them, or engines refuse it."""

ENGINES: list[Any] = ["llama_cpp", "hf", "openvino"]


def manifest_of(verifier: Path, *files: Path, name: str) -> dict[str, Any]:
    fingerprint = vocabulary_fingerprint(llama_cpp.load(str(verifier)).tokenizer)
    return {
        "schema": 1,
        "name": name,
        "verifier": {"name": "tiny", "vocabulary_sha256": fingerprint},
        "files": {file.name: file_sha256(file) for file in files},
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verifier, one of another vocabulary, and a folder with a drafter as it is shipped."""
    folder = tmp_path_factory.mktemp("files")
    verifier = tiny_gguf.write(folder / "tiny.gguf")
    tiny_gguf.write(folder / "other.gguf", vocabulary=(*WORDS[:-1], "other"))
    small = folder / "shipped" / "small"
    small.mkdir(parents=True)
    words = [*(WORDS[token] for token in KEPT), UNKNOWN_TOKEN]
    drafter = tiny_gguf.write(small / "drafter.gguf", vocabulary=words, num_layers=1, seed=3)
    document = manifest_of(verifier, drafter, name="small")
    (small / "drafter.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def shipped(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the drafter come with the package."""
    monkeypatch.setattr(loading, "SHIPPED_FOLDER", files / "shipped")
    monkeypatch.setattr(loading, "DEFAULT_DRAFTERS", dict.fromkeys(ENGINES, "small+ngram"))
    return files / "shipped" / "small"


@pytest.fixture
def copied(files: Path, tmp_path: Path) -> Path:
    """A copy of the drafter's folder, to be changed."""
    return shutil.copytree(files / "shipped" / "small", tmp_path / "copy")


def verifier_of(files: Path, engine: Any, name: str = "tiny.gguf") -> LoadedModel:
    return load_verifier(str(files / name), LoadOptions(engine=engine, threads=1))


def model_of(drafter: Drafter) -> Any:
    """Return the model inside a drafter, after checking that it is trimmed."""
    assert isinstance(drafter, ModelDrafter)
    assert drafter.support_len == len(KEPT)
    return drafter._model


def test_drafters_of_the_package_are_as_they_were_made() -> None:
    for name, folder in shipped_drafters().items():
        manifest = check_files(folder / "drafter.gguf")
        assert manifest is not None
        assert manifest["name"] == name
        assert (folder / "README.md").is_file()


@pytest.mark.parametrize("engine", ENGINES)
def test_text_is_plain_decoding_s(engine: Any, files: Path, shipped: Path) -> None:
    verifier = verifier_of(files, engine)
    drafter = load_drafter("small", verifier, LoadOptions(engine=engine, threads=1))
    assert drafter.name == "small"
    prompt = verifier.tokenizer.encode(PROMPT)
    assert set(prompt) - set(KEPT)
    settings: dict[str, Any] = {"max_new_tokens": 24, "sampling": Sampling(ignore_eos=True)}
    expected = EntropyBasedSpeculativeDecoder(verifier).generate(prompt, **settings)
    result = EntropyBasedSpeculativeDecoder(verifier, drafter).generate(prompt, **settings)
    gap = find_divergence(
        verifier.model, prompt, expected.tokens, result.tokens, prompt_id="", condition=""
    )
    assert gap is None or (engine != "hf" and gap.near_tie), gap  # the others may round
    drafted = {token for turn in result.rounds for token in turn.proposed}
    assert drafted <= set(KEPT)
    assert drafted


@pytest.mark.parametrize("engine", ENGINES)
def test_drafter_keeps_the_contract(engine: Any, files: Path) -> None:
    verifier = verifier_of(files, engine)
    path = str(files / "shipped" / "small" / "drafter.gguf")
    exact = None if engine == "llama_cpp" else "float32"
    options = LoadOptions(engine=engine, dtype=exact, threads=1)
    check_drafter(
        lambda: ModelDrafter.for_verifier(load_model(path, options), verifier),
        verifier.tokenizer.encode(PROMPT)[:8],
        vocab_size=verifier.model.vocab_size,
        tolerance=0.05,
    )


@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.7, repetition_penalty=1.3, top_k=9, top_p=0.9, min_p=0.01),
        Sampling(temperature=1.2),
    ],
    ids=["greedy", "everything", "temperature"],
)
def test_ids_follow_the_scores_into_tensors(sampling: Sampling, number_format: torch.dtype) -> None:
    """As on a GPU; the text is that of NumPy's rows."""
    verifier = tiny_hf.loaded(tiny_hf.build("Llama").to(number_format))
    model = tiny_hf.loaded(tiny_hf.build("Llama", vocab_size=20, seed=1).to(number_format))
    ids = np.arange(5, 24)
    texts = []
    for one, other in ((verifier, model), (as_tensors(verifier), as_tensors(model))):
        drafter = ModelDrafter(other.model, vocab_size=tiny_hf.VOCAB_SIZE, ids=ids)
        decoder = EntropyBasedSpeculativeDecoder(one, drafter)
        texts.append(decoder.generate([6, 30, 8], max_new_tokens=16, sampling=sampling).tokens)
        drafter.prefill([6, 30, 8])
        scores = drafter.scores_after([6, 30, 8], [])
        assert type(scores.ids) is type(scores.logits)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_default_is_the_shipped_one_for_its_vocabulary(
    engine: Any, files: Path, shipped: Path
) -> None:
    options = LoadOptions(engine=engine, threads=1)
    drafter = load_drafter("default", verifier_of(files, engine), options)
    assert drafter.name == "small+ngram"
    other = load_drafter("default", verifier_of(files, engine, "other.gguf"), options)
    assert isinstance(other, NgramDrafter)


def test_default_is_ngram_where_none_is_shipped(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SHIPPED_FOLDER", tmp_path / "none")
    assert shipped_drafters() == {}
    drafter = load_drafter("default", verifier_of(files, "llama_cpp"), LoadOptions())
    assert isinstance(drafter, NgramDrafter)


def test_default_of_the_toy_engine_is_a_toy(shipped: Path) -> None:
    options = LoadOptions(engine="toy")
    assert load_drafter("default", load_verifier("default", options), options).name == "model"


def test_shipped_drafter_is_loaded_as_it_is(
    files: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither converted with the verifier, nor held to its options, nor on another engine."""
    monkeypatch.setenv("SMART_SPEED_CACHE", str(tmp_path))
    verifier = verifier_of(files, "llama_cpp")
    asked = LoadOptions(engine="auto", quantize="q8_0", context_len=64, threads=1)
    drafter = load_drafter("small", verifier, asked)
    assert isinstance(model_of(drafter), llama_cpp.LlamaModel)
    assert drafter.context_len == tiny_gguf.CONTEXT_LEN
    assert not list(tmp_path.iterdir())
    asked = LoadOptions(engine="auto", dtype="bfloat16")
    model = model_of(load_drafter("small", verifier_of(files, "hf"), asked))
    assert isinstance(model, hf.HfModel)
    assert model.network.dtype == torch.bfloat16


@pytest.mark.parametrize(("asked", "length"), [(64, 64), (2048, 2048), (8192, 2048)])
def test_shipped_drafter_follows_a_text_as_far_as_it_can(
    asked: int, length: int, files: Path, shipped: Path, tmp_path: Path
) -> None:
    """To the verifier's own end, unless it was trained for less."""
    file = tiny_gguf.write(tmp_path / "patient.gguf", context_len=8192)
    options = LoadOptions(engine="llama_cpp", quantize="none", context_len=asked, threads=1)
    drafter = load_drafter("small", load_verifier(str(file), options), options)
    assert drafter.context_len == length


@pytest.mark.parametrize("engine", ENGINES)
def test_verifier_of_another_vocabulary_is_refused(engine: Any, files: Path, shipped: Path) -> None:
    verifier = verifier_of(files, engine, "other.gguf")
    complaint = (
        "Drafter small was made for tiny, whose vocabulary is another than that of other.gguf"
    )
    for name in ("small", str(shipped / "drafter.gguf")):
        with pytest.raises(VocabularyError, match=complaint):
            load_drafter(name, verifier, LoadOptions(engine=engine))


def test_toy_verifier_is_refused(shipped: Path) -> None:
    options = LoadOptions(engine="toy")
    with pytest.raises(VocabularyError, match="another than that of default"):
        load_drafter("small", load_verifier("default", options), options)


def test_manifest_names_the_drafter_and_guards_its_file(files: Path, copied: Path) -> None:
    verifier = verifier_of(files, "llama_cpp")
    file = copied / "drafter.gguf"
    options = LoadOptions(threads=1)
    assert load_drafter(str(file), verifier, options).name == "small"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"'drafter\.gguf' of drafter 'small' was changed after"):
        load_drafter(str(file), verifier, options)
    (copied / "drafter.json").unlink()
    drafter = load_drafter(str(file), verifier, options)
    assert drafter.name == "model"
    model_of(drafter)


def test_file_without_a_manifest_is_compared_token_by_token(files: Path, copied: Path) -> None:
    (copied / "drafter.json").unlink()
    words = [*(WORDS[token] for token in KEPT[:-1]), "stranger", UNKNOWN_TOKEN]
    tiny_gguf.write(copied / "drafter.gguf", vocabulary=words, num_layers=1)
    with pytest.raises(VocabularyError, match="none but the verifier's tokens, got 'stranger'"):
        load_drafter(str(copied / "drafter.gguf"), verifier_of(files, "llama_cpp"), LoadOptions())


def test_folder_of_transformers_is_guarded_as_well(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("verifier", "drafter")]
    for folder in folders:
        tiny_hf.build("Llama").save_pretrained(folder)
        tiny_hf.fast_tokenizer().save_pretrained(folder)
    options = LoadOptions(engine="hf", device="cpu")
    verifier = load_verifier(str(folders[0]), options)
    weights = folders[1] / "model.safetensors"
    document = {
        "schema": 1,
        "name": "mine",
        "verifier": {
            "name": "tiny",
            "vocabulary_sha256": vocabulary_fingerprint(verifier.tokenizer),
        },
        "files": {weights.name: file_sha256(weights), "drafter.gguf": "", "README.md": ""},
    }
    (folders[1] / "drafter.json").write_text(json.dumps(document))
    assert load_drafter(str(folders[1]), verifier, options).name == "mine"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"'model\.safetensors' of drafter 'mine' was changed"):
        load_drafter(str(folders[1]), verifier, options)


@pytest.mark.parametrize("engine", ENGINES)
def test_unknown_name_is_answered_with_those_that_are_known(
    engine: Any, files: Path, shipped: Path
) -> None:
    with pytest.raises(
        ModelError, match=r"'smal'.* by a name are default, .* ngram, route:A,B, small\.$"
    ):
        load_drafter("smal", verifier_of(files, engine), LoadOptions(engine=engine))
    with pytest.raises(ModelError) as caught:
        load_drafter("smal.gguf", verifier_of(files, engine), LoadOptions(engine=engine))
    assert "by a name" not in str(caught.value)


def test_help_and_doctor_tell_of_it(
    files: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments._shipped() == ", or 'small' (made for the embedded verifier)"
    assert cli.main(("doctor", "--json", "--verifier", str(files / "tiny.gguf"))) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["drafter"] == "small+ngram"
    known = f"{len(WORDS)} tokens, of which the drafter knows {len(KEPT)}"
    assert document["vocabulary"] == f"{known} and those of the text"
