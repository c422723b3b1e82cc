"""``smart-speed distill`` for a verifier that is nobody's default, as a user would run it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

from smart_speed import cli
from smart_speed.config import EntropyConfig
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import EngineName
from smart_speed.errors import ModelError, VocabularyError
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.training.gguf_file import write_gguf
from tests.contract.tiny_drafter import whole_tokenizer
from tests.contract.tiny_gguf import VOCABULARY
from tests.contract.tiny_hf import build
from tests.integration.cli_runs import assert_refused, run

SMALL = (
    *("--max-new-tokens", "16", "--block-size", "16", "--top", "4", "--limit", "40"),
    *("--vocab-size", "200", "--row-len", "64", "--batch-rows", "2", "--epochs", "2"),
    *("--save-steps", "5"),
    *("--keep-layers=-1", "--number-format", "f32", "--dtype", "float32"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny verifier, as Hugging Face folder and as GGUF."""
    folder = tmp_path_factory.mktemp("distilled")
    network = build("Llama", vocab_size=len(VOCABULARY), max_position_embeddings=2048)
    tokenizer = whole_tokenizer()
    network.save_pretrained(folder / "verifier")
    tokenizer.save_pretrained(folder / "verifier")
    write_gguf(network, tokenizer, folder / "verifier.gguf", name="tiny", number_format="f32")
    return folder


@pytest.fixture(scope="module")
def drafter(made: Path) -> Path:
    """Return the folder of a drafter that the command made for it."""
    run = ["distill", str(made / "run"), "--verifier", str(made / "verifier"), "--name", "tiny"]
    assert cli.main([*run, *SMALL]) == 0
    return made / "run/tiny"


def engines(made: Path, drafter: Path) -> list[tuple[EngineName, str, str]]:
    gguf, folder = str(drafter / "drafter.gguf"), str(drafter)
    verifier, verifier_gguf = str(made / "verifier"), str(made / "verifier.gguf")
    return [
        ("hf", verifier, folder),
        ("hf", verifier, gguf),
        ("llama_cpp", verifier_gguf, gguf),
    ]


def test_the_drafter_works_in_every_engine_and_changes_no_text(made: Path, drafter: Path) -> None:
    for engine, verifier_path, drafter_path in engines(made, drafter):
        options = LoadOptions(engine=engine, threads=1)
        verifier = load_verifier(verifier_path, options)
        pair = load_drafter(drafter_path, verifier, options)
        assert pair.name == "tiny"
        fixed = EntropyConfig(strategy="fixed", max_draft_len=3)
        decoder = EntropyBasedSpeculativeDecoder(verifier, pair, fixed)
        drafted = decoder.generate("ab", max_new_tokens=20)
        plain = EntropyBasedSpeculativeDecoder(verifier).generate("ab", max_new_tokens=20)
        assert drafted.tokens == plain.tokens
        assert sum(turn.draft_len for turn in drafted.record.rounds) > 0


def test_manifest_and_card_say_what_was_done(drafter: Path) -> None:
    manifest = json.loads((drafter / "drafter.json").read_text("utf-8"))
    assert manifest["trimmed"]
    assert manifest["shape"] | {"parameters": 0} == {
        "parameters": 0, "num_layers": 1, "kept_layers": [-1], "width": 16, "vocab_size": 200,
    }  # fmt: skip
    assert set(manifest["evaluation"]["cost"]) == {"hf"}
    assert 0 <= manifest["evaluation"]["mean"]["agreement"]["value"] <= 1
    card = (drafter / "README.md").read_text("utf-8")
    assert "# tiny: a drafter for verifier" in card
    assert "199 tokens" in card
    assert "| smart_speed | Apache-2.0 | 72 |" in card


def test_a_run_that_was_killed_goes_on_and_ends_the_same(
    made: Path, drafter: Path, tmp_path: Path
) -> None:
    """By SIGKILL, once while the corpus is made and once while the drafter is trained."""
    run = ["distill", str(tmp_path), "--verifier", str(made / "verifier"), "--name", "tiny"]
    command = [*run, *SMALL, "--only", "corpus,train,export"]
    for sign in ("corpus/block-*.npz", "tiny/checkpoints/checkpoint-*/trainer_state.json"):
        with subprocess.Popen([sys.executable, "-m", "smart_speed", *command]) as process:
            while process.poll() is None and not any(tmp_path.glob(sign)):
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -signal.SIGKILL, sign
    assert cli.main(command) == 0
    manifests = [
        json.loads((folder / "drafter.json").read_text("utf-8"))
        for folder in (drafter, tmp_path / "tiny")
    ]
    assert manifests[0] | {"evaluation": None} == manifests[1]


def test_a_drafter_can_be_widened_for_other_engines(made: Path, drafter: Path) -> None:
    run = ["distill", str(made / "run"), "--verifier", str(made / "verifier"), "--name", "wide"]
    shutil.copytree(drafter, drafter.parent / "wide")
    assert cli.main([*run, *SMALL, "--only", "export", "--whole-vocabulary"]) == 0
    options = LoadOptions(engine="llama_cpp", threads=1)
    verifier = load_verifier(str(made / "verifier.gguf"), options)
    pair = load_drafter(str(drafter.parent / "wide/drafter.gguf"), verifier, options)
    assert isinstance(pair, ModelDrafter)
    assert pair.support_len == len(VOCABULARY)


def test_a_tampered_drafter_is_refused(made: Path, drafter: Path, tmp_path: Path) -> None:
    for file in drafter.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("model.safetensors", "drafter.gguf"):
        damaged = bytearray((tmp_path / name).read_bytes())
        damaged[-1] ^= 1
        (tmp_path / name).write_bytes(damaged)
    for engine, verifier_path, drafter_path in engines(made, tmp_path):
        options = LoadOptions(engine=engine, threads=1)
        with pytest.raises(ModelError, match="was changed after it was made"):
            load_drafter(drafter_path, load_verifier(verifier_path, options), options)


def test_a_drafter_of_another_verifier_is_refused(drafter: Path) -> None:
    options = LoadOptions(engine="toy")
    with pytest.raises(VocabularyError, match="was made for verifier"):
        load_drafter(str(drafter), load_verifier("default", options), options)


def test_bad_input_is_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def refused(*argv: str) -> tuple[int, str]:
        return run(capsys, "distill", str(folder), *argv)

    assert_refused(refused("--only", "corpus,tain"), "Unknown stage 'tain'", "'train'")
    assert_refused(refused("--keep-layers", "0,x"), "keep_layers", "'0,x'")
    assert_refused(refused("--keep-layers", "0", "--width", "8"), "width", "left out")
    assert_refused(refused("--num-layers", "0"), "num_layers must be at least 1, got 0")
    assert_refused(refused("--vocab-size", "1"), "vocab_size must be at least 2, got 1")
    assert_refused(refused("--epochs", "0"), "epochs must be above 0")
    assert_refused(refused("--name", "a/b"), "name must be", "'a/b'")
    assert_refused(refused("--prompts", str(tmp_path / "none.txt")), "none.txt")
    assert_refused(refused("--licences", "MIT"), "under MIT", "Apache-2.0")
    assert not folder.exists()


@pytest.mark.parametrize(
    "argv", [("--soft-targets", "all"), ("--number-format", "q4"), ("--precision", "half")]
)
def test_unknown_words_are_refused(argv: tuple[str, str], tmp_path: Path) -> None:
    """In a process of its own, where no runtime check of types speaks first."""
    command = [sys.executable, "-m", "smart_speed", "distill", str(tmp_path / "run"), *argv]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    name = argv[0].removeprefix("--").replace("-", "_")
    assert_refused((ended.returncode, ended.stderr.strip()), f"Unknown {name} {argv[1]!r}")
