"""Distilling on tiny models: what is resumed ends as what was never interrupted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers.trainer_utils import get_last_checkpoint  # noqa: E402

from smart_speed.engines import hf  # noqa: E402
from smart_speed.engines.base import LoadedModel  # noqa: E402
from smart_speed.engines.hf_tokenizer import HfTokenizer  # noqa: E402
from smart_speed.errors import ConfigError, ModelError  # noqa: E402
from smart_speed.training.corpus import CorpusFolder  # noqa: E402
from smart_speed.training.generating import Progress, generate_corpus  # noqa: E402
from smart_speed.training.making import DrafterFolder  # noqa: E402
from smart_speed.training.prompts import TrainingPrompt  # noqa: E402
from smart_speed.training.settings import (  # noqa: E402
    CorpusSettings,
    DrafterShape,
    Recipe,
    TrainingSettings,
)
from tests.contract.tiny_drafter import whole_tokenizer  # noqa: E402
from tests.contract.tiny_gguf import VOCABULARY  # noqa: E402
from tests.contract.tiny_hf import build  # noqa: E402

PROMPTS = [
    TrainingPrompt(prompt_id=str(at), text="ab the cd hello"[: 3 + at % 11] * (1 + at % 3))
    for at in range(60)
]
CORPUS = CorpusSettings(max_prompt_len=60, max_new_tokens=24, block_size=8, top=4)
TRAINING = TrainingSettings(
    epochs=2.0, batch_rows=4, row_len=32, save_steps=5, learning_rate=0.01, precision="float32"
)


@pytest.fixture(scope="module")
def verifier() -> LoadedModel:
    network = build("Llama", vocab_size=len(VOCABULARY), max_position_embeddings=128)
    return LoadedModel(
        model=hf.HfModel(network),
        tokenizer=HfTokenizer(whole_tokenizer(), network.generation_config),
        engine="hf",
        path="models/tiny",
        description="made for a test",
    )


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("block-*.npz"))}


@pytest.fixture(scope="module")
def corpus(verifier: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> CorpusFolder:
    folder = CorpusFolder(tmp_path_factory.mktemp("corpus"))
    generate_corpus(verifier, PROMPTS, folder, CORPUS)
    return folder


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def test_a_killed_corpus_goes_on_with_no_prompt_lost_or_answered_twice(
    verifier: LoadedModel, corpus: CorpusFolder, tmp_path: Path
) -> None:
    folder = CorpusFolder(tmp_path)

    def kill_at_20(progress: Progress) -> None:
        if progress.done >= 20:
            raise Killed

    with pytest.raises(Killed):
        generate_corpus(verifier, PROMPTS, folder, CORPUS, progress=kill_at_20)
    (tmp_path / "block-00005.part").write_bytes(b"half a block")
    assert 0 < len(folder.numbers()) < len(corpus.numbers())
    generate_corpus(verifier, PROMPTS, folder, CORPUS)
    assert files(tmp_path) == files(corpus.path)
    answered = [index for number in folder.numbers() for index in folder.read(number)[0]]
    assert sorted(answered) == list(range(len(PROMPTS)))


def test_a_corpus_of_other_prompts_or_settings_is_not_gone_on_with(
    verifier: LoadedModel, corpus: CorpusFolder
) -> None:
    with pytest.raises(ConfigError, match="prompts_sha256 must stay"):
        generate_corpus(verifier, PROMPTS[:-1], corpus, CORPUS)
    with pytest.raises(ConfigError, match="max_prompt_len must stay 60"):
        generate_corpus(verifier, PROMPTS, corpus, CorpusSettings(block_size=8))


def test_a_broken_block_is_refused(corpus: CorpusFolder, tmp_path: Path) -> None:
    for name, content in files(corpus.path).items():
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="block of a corpus must be whole"):
        CorpusFolder(tmp_path).read(0)


def recipe(vocab_size: int = 200) -> Recipe:
    shape = DrafterShape(keep_layers=(0, -1), vocab_size=vocab_size)
    return Recipe(name="tiny", shape=shape, training=TRAINING, number_format="f32")


def trained(
    path: Path,
    verifier: LoadedModel,
    corpus: CorpusFolder,
    making: Recipe | None = None,
    **settings: Any,
) -> DrafterFolder:
    drafter = DrafterFolder(path, making or recipe(), verifier, corpus)
    drafter.train(**settings)
    return drafter


def schedule(path: Path) -> tuple[int, list[tuple[int, float, float]]]:
    checkpoint = Path(str(get_last_checkpoint(str(path / "checkpoints"))))
    state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    return state["global_step"], [
        (log["step"], log["learning_rate"], log["loss"])
        for log in state["log_history"]
        if "loss" in log
    ]


def test_a_killed_training_ends_as_one_that_was_not(
    verifier: LoadedModel, corpus: CorpusFolder, tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole", verifier, corpus).export()

    def kill_at_20(log: dict[str, Any]) -> None:
        if log["step"] >= 20:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "killed", verifier, corpus, report=kill_at_20)
    trained(tmp_path / "killed", verifier, corpus, max_steps=25)
    resumed = trained(tmp_path / "killed", verifier, corpus).export()
    assert schedule(tmp_path / "killed") == schedule(tmp_path / "whole")
    assert whole["files"] == resumed["files"]
    _, losses = schedule(tmp_path / "whole")
    assert losses[-1][2] < 0.85 * losses[0][2]
    assert [step for step, _ in whole["training"]["heldout_agreement"]] == [*range(5, 44, 5), 44]


def test_another_recipe_does_not_go_on_with_a_run(
    verifier: LoadedModel, corpus: CorpusFolder, tmp_path: Path
) -> None:
    trained(tmp_path, verifier, corpus, max_steps=5)
    with pytest.raises(ConfigError, match="shape must stay as it was"):
        trained(tmp_path, verifier, corpus, recipe(vocab_size=100))


def test_a_damaged_checkpoint_is_refused_in_a_sentence(
    verifier: LoadedModel, corpus: CorpusFolder, tmp_path: Path
) -> None:
    drafter = trained(tmp_path, verifier, corpus, max_steps=5)
    weights = tmp_path / "checkpoints/checkpoint-5/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:999])
    for act in (drafter.train, drafter.export):
        with pytest.raises(ModelError, match=r"checkpoint .* must be whole"):
            act()


def test_whole_laws_and_random_layers_of_another_width_are_learned_too(
    verifier: LoadedModel, corpus: CorpusFolder, tmp_path: Path
) -> None:
    settings = TrainingSettings(
        epochs=1.0, batch_rows=4, row_len=32, soft_targets="whole", precision="float32"
    )
    shape = DrafterShape(num_layers=1, width=12, num_heads=2, num_key_value_heads=1)
    making = Recipe(name="narrow", shape=shape, training=settings)
    manifest = trained(tmp_path, verifier, corpus, making).export()
    assert not manifest["trimmed"]
    assert manifest["shape"]["width"] == 12
    assert np.isfinite(manifest["training"]["loss"])
