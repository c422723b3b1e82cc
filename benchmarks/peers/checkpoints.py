"""The one pair of models in the form that each engine reads, made once.

All are the embedded verifier and a drafter that comes with the package: rounded to bfloat16 for
PyTorch and OpenVINO; as GGUF, the very file that smart_speed runs, and the drafter in the format
that it ships in.
"""

import copy
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

from benchmarks.peers.openvino_models import convert
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.embedded import embedded_model
from smart_speed.engines.vocabulary import shared_vocabulary
from smart_speed.errors import unknown_name
from smart_speed.files import file_sha256
from smart_speed.loading import BLENDED, shipped_drafters

VERIFIER_FOLDER, VERIFIER_GGUF = "@verifier-folder", "@verifier-gguf"
DRAFTER_FOLDER, DRAFTER_GGUF = "@drafter-folder", "@drafter-gguf"
VERIFIER_OPENVINO, DRAFTER_OPENVINO = "@verifier-openvino", "@drafter-openvino"
"""What stands for the path of a model in a peer's settings."""

_OPENVINO = {
    VERIFIER_OPENVINO: (VERIFIER_FOLDER, "verifier-openvino"),
    DRAFTER_OPENVINO: (DRAFTER_FOLDER, "{}-openvino"),
}
"""What each is converted from, and its folder's name."""

Writer = Callable[[Path], None]


@final
class Checkpoints:
    """Models by the names that settings of peers have for them."""

    def __init__(self, folder: Path, drafter: str, *, venvs: Path) -> None:
        """Name what is to be made, and where.

        Args:
            folder: For what is made.
            venvs: For the environments of what makes it.
            drafter: One that comes with the package.

        Raises:
            ConfigError: If there is no such drafter.
        """
        if (found := shipped_drafters().get(drafter)) is None:
            raise unknown_name("drafter", drafter, shipped_drafters())
        self._folder = folder
        self._venvs = venvs
        self._drafter = drafter
        self._source = found / "drafter.gguf"

    def ids(self) -> dict[str, str]:
        """Return what the models are made from, by sha256."""
        sources = {"verifier": embedded_model(), "drafter": self._source}
        return {name: file_sha256(path) for name, path in sources.items()}

    def fill_in(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the path of each model for its name; it is made if need be."""
        return {key: self._path(value) for key, value in settings.items()}

    def _path(self, value: Any) -> Any:
        if isinstance(value, str) and value.endswith(BLENDED):
            return f"{self._path(value.removesuffix(BLENDED))}{BLENDED}"
        if value == VERIFIER_GGUF:
            return str(_verifier_gguf())
        if value == VERIFIER_FOLDER:
            return str(self._made("verifier", _write_verifier))
        if value == DRAFTER_FOLDER:
            return str(self._made(f"{self._drafter}-folder", self._write_drafter_folder))
        if value == DRAFTER_GGUF:
            made = self._made(f"{self._drafter}-gguf", self._write_drafter_gguf)
            return str(made / "drafter.gguf")
        if value in (VERIFIER_OPENVINO, DRAFTER_OPENVINO):
            return self._openvino(*_OPENVINO[value])
        return value

    def _openvino(self, source: str, name: str) -> str:
        folder = Path(self._path(source))
        made = self._made(
            name.format(self._drafter), lambda part: convert(folder, part, self._venvs)
        )
        return str(made)

    def _made(self, name: str, write: Writer) -> Path:
        """Return a folder, which is there whole or not at all."""
        target = self._folder / name
        if not target.is_dir():
            part = self._folder / f".{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write(part)
            part.replace(target)
        return target

    def _write_drafter_folder(self, folder: Path) -> None:
        from benchmarks.peers.widened import as_mistral

        verifier = _loaded(embedded_model())
        as_mistral(self._widened(verifier)).bfloat16().save_pretrained(folder)
        _backend(verifier).save_pretrained(folder)

    def _write_drafter_gguf(self, folder: Path) -> None:
        from smart_speed.training.gguf_file import write_gguf

        verifier = _loaded(embedded_model())
        write_gguf(
            self._widened(verifier),
            _backend(verifier),
            folder / "drafter.gguf",
            name=f"{self._drafter}, its vocabulary widened",
            number_format="q8_0",
        )

    def _widened(self, verifier: LoadedModel) -> Any:
        from benchmarks.peers.widened import with_masked_vocabulary

        drafter = _loaded(self._source)
        kept_ids = shared_vocabulary(verifier.tokenizer, drafter.tokenizer)
        assert kept_ids is not None
        return with_masked_vocabulary(
            plain_network(drafter), kept_ids.tolist(), verifier.model.vocab_size
        )


def plain_network(loaded: LoadedModel) -> Any:
    """Return a network that was read from a GGUF file as one that never was, so it can be saved."""
    from transformers import LlamaForCausalLM

    own: Any = loaded.model
    config = copy.deepcopy(own.network.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    network = LlamaForCausalLM(config)
    network.load_state_dict(own.network.state_dict())
    return network.eval()


def _loaded(path: Path) -> LoadedModel:
    from smart_speed.engines import hf

    return hf.load(str(path), device="cpu", dtype="float32")


def _backend(loaded: LoadedModel) -> Any:
    tokenizer: Any = loaded.tokenizer
    return tokenizer.backend


def _write_verifier(folder: Path) -> None:
    verifier = _loaded(embedded_model())
    plain_network(verifier).bfloat16().save_pretrained(folder)
    _backend(verifier).save_pretrained(folder)


def _verifier_gguf() -> Path:
    from smart_speed.engines import llama_files

    return llama_files.requantized(embedded_model(), llama_files.flattest_format(), print)
