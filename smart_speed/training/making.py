"""From a corpus to a drafter's folder: training, or going on with it, and export."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from transformers import LlamaForCausalLM
from transformers.trainer_utils import get_last_checkpoint

from smart_speed import __version__
from smart_speed.drafters import manifest as manifests
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.hf import HfModel
from smart_speed.engines.hf_files import first_line, quiet
from smart_speed.engines.hf_tokenizer import HfTokenizer
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.errors import ConfigError, ModelError
from smart_speed.files import file_sha256, whole, writing
from smart_speed.training.corpus import CorpusFolder, Example
from smart_speed.training.distilling import distill
from smart_speed.training.gguf_file import write_gguf
from smart_speed.training.model_card import model_card
from smart_speed.training.packing import PackedRows, token_map
from smart_speed.training.settings import Recipe
from smart_speed.training.starting import start_network
from smart_speed.training.trimmed_tokenizer import trimmed_tokenizer
from smart_speed.training.vocabulary import most_frequent, token_weights
from smart_speed.training.whole_vocabulary import with_whole_vocabulary

_HELDOUT_EVERY = 50
"""One example in so many is kept from training, to draw the learning curve."""
_HELDOUT_ROWS = 48


@final
class DrafterFolder:
    """Checkpoints and exported files of one drafter."""

    def __init__(self, path: Path, recipe: Recipe, verifier: LoadedModel, corpus: CorpusFolder):
        """Put a recipe together; nothing is read or written yet.

        Args:
            path: The drafter's folder.
            recipe: What is to be made.
            verifier: For whom; a model of the hf engine.
            corpus: Its answers.

        Raises:
            ModelError: If the verifier is another engine's.
        """
        if not isinstance(verifier.model, HfModel) or not isinstance(
            verifier.tokenizer, HfTokenizer
        ):
            raise ModelError(
                f"Distilling needs a verifier of the hf engine, got {verifier.engine!r}."
            )
        self.path = path
        self._recipe = recipe
        self._verifier = verifier
        self._network = verifier.model.network
        self._tokenizer = verifier.tokenizer
        self._corpus = corpus

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def train(
        self,
        *,
        report: Callable[[dict[str, Any]], None] = lambda _: None,
        max_steps: int | None = None,
    ) -> None:
        """Train, or go on from the last checkpoint.

        Args:
            report: Called with what the trainer logs.
            max_steps: End at this step with a checkpoint; the schedule stays the whole run's.

        Raises:
            ConfigError: If the folder holds a run of another recipe or corpus.
            ModelError: If the corpus or a checkpoint is broken.
            OutputError: If the folder cannot be written.
        """
        examples = list(self._corpus.examples())
        order = np.random.default_rng(self._recipe.training.seed).permutation(len(examples))
        examples = [examples[index] for index in order.tolist()]
        kept = self._open(examples)
        vocab_size = self._network.config.get_text_config().vocab_size
        row_len = self._recipe.training.row_len

        def packed(chosen: list[Example]) -> PackedRows:
            return PackedRows(chosen, row_len=row_len, kept_ids=kept, vocab_size=vocab_size)

        learned = [each for index, each in enumerate(examples) if index % _HELDOUT_EVERY]
        heldout = packed(examples[::_HELDOUT_EVERY])
        heldout.shorten(_HELDOUT_ROWS)
        shape = self._recipe.shape
        start = start_network(self._network, shape, kept, seed=self._recipe.training.seed)
        distill(
            start,
            packed(learned),
            heldout,
            self._checkpoints,
            self._recipe.training,
            kept_map=torch.from_numpy(token_map(kept, vocab_size)).long(),
            verifier=self._network,
            report=report,
            max_steps=max_steps,
        )

    def export(self) -> dict[str, Any]:
        """Write the last checkpoint as a Hugging Face folder and as GGUF, with manifest and card.

        Returns:
            The manifest.

        Raises:
            ModelError: If there is no checkpoint, or it cannot be read.
            OutputError: If the folder cannot be written.
        """
        last = get_last_checkpoint(str(self._checkpoints)) if self._checkpoints.is_dir() else None
        if last is None:
            raise ModelError(
                f"A drafter to export must have a checkpoint, got none in {str(self.path)!r}."
            )
        network = read_checkpoint(Path(last))
        run = self._run()
        tokenizer = self._tokenizer.backend
        if run["kept_ids"] is not None:
            if self._recipe.whole_vocabulary:
                vocab_size = self._network.config.get_text_config().vocab_size
                network = with_whole_vocabulary(network, run["kept_ids"], vocab_size)
            else:
                tokenizer = trimmed_tokenizer(tokenizer, run["kept_ids"])
        with writing("A drafter", self.path), quiet():
            network.save_pretrained(self.path)
            tokenizer.save_pretrained(self.path)
        write_gguf(
            network,
            tokenizer,
            self.path / "drafter.gguf",
            name=f"{self._recipe.name} for {run['corpus']['verifier']}",
            number_format=self._recipe.number_format,
        )
        manifest = self._manifest(network, run, _state(Path(last)))
        self._write_manifest(manifest)
        return manifest

    def add_evaluation(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        """Put into the exported drafter's manifest and card how good it is.

        Returns:
            The manifest.

        Raises:
            ModelError: If nothing was exported, or the manifest is broken.
            OutputError: If the folder cannot be written.
        """
        manifest = manifests.read_manifest(self.path)
        if manifest is None:
            raise ModelError(
                f"A drafter to evaluate must have been exported, got none in {str(self.path)!r}."
            )
        manifest |= {"evaluation": evaluation}
        self._write_manifest(manifest)
        return manifest

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        with writing("A drafter", self.path):
            with whole(self.path / "README.md") as part:
                part.write_text(model_card(manifest), "utf-8")
            with whole(self.path / manifests.FILE_NAME) as part:
                part.write_text(json.dumps(manifest, indent=1), "utf-8")

    def _kept(self, examples: list[Example]) -> list[int] | None:
        size = self._recipe.shape.vocab_size
        if size is None:
            return None
        vocab_size = self._network.config.get_text_config().vocab_size
        weights = token_weights(examples, vocab_size)
        weights = weights[: self._tokenizer.vocab_size]
        return most_frequent(weights, size, always=self._tokenizer.eos_ids)

    def _open(self, examples: list[Example]) -> list[int] | None:
        """Note what the run is made from, or check that it is still the same.

        Returns:
            The verifier's tokens that the drafter knows; ``None`` for all.
        """
        description = self._corpus.description()
        document = {
            "shape": asdict(self._recipe.shape),
            "training": asdict(self._recipe.training),
            "corpus": description
            | {
                "examples": len(examples),
                "answer_tokens": sum(len(example.answer) for example in examples),
            },
        }
        document = json.loads(json.dumps(document))
        if (self.path / "run.json").is_file():
            run = self._run()
            for key, value in document.items():
                if run.get(key) != value:
                    raise ConfigError(
                        f"{key} must stay as it was to go on with {str(self.path)!r}, got another; "
                        "give the drafter another name to begin anew."
                    )
            kept: list[int] | None = run["kept_ids"]
            return kept
        kept = document["kept_ids"] = self._kept(examples)
        with writing("A drafter", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            with whole(self.path / "run.json") as part:
                part.write_text(json.dumps(document), "utf-8")
        return kept

    def _run(self) -> dict[str, Any]:
        file = self.path / "run.json"
        try:
            document: dict[str, Any] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"A drafter's run must be readable, got {error}.") from error
        return document

    def _manifest(
        self,
        network: LlamaForCausalLM,
        run: dict[str, Any],
        state: dict[str, Any],
    ) -> dict[str, Any]:
        config = network.config
        losses = [log["loss"] for log in state["log_history"] if "loss" in log]
        curve = [
            [log["step"], log["heldout_agreement"]]
            for log in state["log_history"]
            if "heldout_agreement" in log
        ]
        names = ["config.json", "model.safetensors", "drafter.gguf"]
        names += sorted(file.name for file in self.path.glob("*token*.json*"))
        names += [name for name in ("generation_config.json",) if (self.path / name).is_file()]
        return {
            "schema": manifests.SCHEMA,
            "name": self._recipe.name,
            "smart_speed": __version__,
            "verifier": {
                "name": run["corpus"]["verifier"].removesuffix(".gguf"),
                "vocabulary_sha256": vocabulary_fingerprint(self._tokenizer),
            },
            "trimmed": run["kept_ids"] is not None and not self._recipe.whole_vocabulary,
            "shape": {
                "parameters": sum(weights.numel() for weights in network.parameters()),
                "num_layers": config.num_hidden_layers,
                "kept_layers": list(self._recipe.shape.keep_layers),
                "width": config.hidden_size,
                "vocab_size": config.vocab_size,
            },
            "corpus": run["corpus"],
            "training": run["training"]
            | {
                "steps": state["global_step"],
                "of_steps": state["max_steps"],
                "epochs": state["epoch"],
                "loss": losses[-1] if losses else None,
                "heldout_agreement": curve,
            },
            "evaluation": None,
            "files": {name: file_sha256(self.path / name) for name in names},
        }


def read_checkpoint(path: Path) -> LlamaForCausalLM:
    """Return the drafter that a checkpoint holds, in float32.

    Raises:
        ModelError: If it is broken.
    """
    try:
        with quiet():
            network: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)
    # Each file format has errors of its own: SafetensorError, KeyError, RuntimeError ...
    except Exception as error:
        raise ModelError(
            f"The checkpoint {str(path)!r} must be whole, got: {first_line(error)}; "
            "delete it to go on from the one before."
        ) from error
    network.config.architectures = ["LlamaForCausalLM"]
    return network


def _state(checkpoint: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    return document
