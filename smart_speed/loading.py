"""From a name to a model: which engine, which file, which drafter.

Engines are optional, so each is imported only when it is chosen.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from smart_speed.drafters import manifest
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.drafters.routed import PREFIX, RoutedDrafter
from smart_speed.engines.base import OPENVINO_GRAPH, EngineName, LoadedModel
from smart_speed.engines.embedded import embedded_model
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.errors import (
    ConfigError,
    EngineMissingError,
    ModelError,
    VocabularyError,
    check_that,
    unknown_name,
)

ENGINES = ("hf", "llama_cpp", "openvino", "toy")
FORMATS = ("bf16", "q8_0", "q4_0")
INSTALLS = {
    "hf": ("transformers", "pip install 'smart-speed[hf]'"),
    "llama_cpp": ("llama_cpp", "pip install 'smart-speed[llama]'"),
    "openvino": ("openvino", "pip install 'smart-speed[openvino]'"),
}
"""What each engine imports, and what installs it."""
DEFAULT_DRAFTERS = {"hf": "nano+ngram", "llama_cpp": "ngram", "openvino": "nano+ngram"}
"""Who drafts for the embedded verifier, by engine, unless somebody else is named. Where a wide pass
costs much more than a narrow one, as on llama.cpp, what is sure is all that pays, and the text's
own n-grams propose it for nothing (experiments/LOG.md)."""
BLENDED = "+ngram"
"""Ends the name of a drafter that is blended with n-grams."""
SHIPPED_FOLDER = Path(__file__).parent / "drafters" / "shipped"
"""Where the drafters lie that come with the package."""


def _silent(_sentence: str) -> None:
    """Say nothing."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How to load models; what an engine would not read is refused."""

    engine: Literal["auto", "hf", "llama_cpp", "openvino", "toy"] = "auto"
    """ "auto" takes llama_cpp for GGUF files and the default, if installed, openvino for folders
    with a graph of its own, else hf."""
    device: str | None = None
    """For hf: "cpu", "cuda", "cuda:1" …; ``None`` takes a GPU if there is one."""
    dtype: str | None = None
    """For hf and openvino: "float32", "bfloat16" or "float16". ``None`` on hf is bfloat16 on a GPU,
    else float32; on openvino bfloat16 where the processor multiplies it, else float16."""
    quantize: Literal["auto", "none", "bf16", "q8_0", "q4_0"] = "auto"
    """For llama_cpp: convert to this format first; "auto" converts the default verifier alone, to
    the format that keeps its text and in which a wide pass costs least (docs/engines.md)."""
    threads: int | None = None
    """Cores to use; ``None`` means all, and PyTorch's own choice for hf."""
    context_len: int | None = None
    """Tokens that a cache holds; ``None`` leaves it to the engine."""
    say: Callable[[str], None] = _silent
    """Called with a line for people about what was chosen and what takes time."""

    def __post_init__(self) -> None:
        if self.engine not in ("auto", *ENGINES):
            raise unknown_name("engine", self.engine, ("auto", *ENGINES))
        formats = ("auto", "none", *FORMATS)
        if self.quantize not in formats:
            raise unknown_name("quantize", self.quantize, formats)
        check_that(self.threads is None or self.threads >= 1, "threads", "at least 1", self.threads)
        length = self.context_len
        check_that(length is None or length >= 1, "context_len", "at least 1", length)

    def for_engine(self, engine: EngineName) -> "LoadOptions":
        """Return the options with the engine settled.

        Raises:
            ConfigError: If an option is set that this engine would not read.
            EngineMissingError: If the engine is not installed.
        """
        real = ("hf", "llama_cpp", "openvino")
        readers: dict[str, tuple[str, ...]] = {"device": ("hf",), "dtype": ("hf", "openvino")}
        readers |= {"threads": real, "context_len": real}
        given = [name for name in readers if getattr(self, name) is not None]
        if self.quantize != "auto":
            readers["quantize"] = ("llama_cpp",)
            given.append("quantize")
        for name in given:
            if engine not in readers[name]:
                raise ConfigError(
                    f"{name} must be left out with engine {engine!r}, which does not read it, "
                    f"got {getattr(self, name)!r}; {' and '.join(readers[name])} would."
                )
        if engine in INSTALLS and not is_installed(engine):
            module, command = INSTALLS[engine]
            raise EngineMissingError(
                f"Engine {engine!r} needs the module {module}, which is not installed: "
                f"run `{command}`."
            )
        return replace(self, engine=engine)


def is_installed(engine: str) -> bool:
    """Return whether an engine's package is there, without importing it."""
    if engine == "openvino" and not is_installed("hf"):  # which reads its models
        return False
    return engine not in INSTALLS or importlib.util.find_spec(INSTALLS[engine][0]) is not None


def choose_engine(path: str) -> tuple[EngineName, str]:
    """Return the engine that "auto" takes for a path, and why."""
    if path == "default" or path.endswith(".gguf"):
        what = "the default verifier is a GGUF file" if path == "default" else "a GGUF file"
        if is_installed("llama_cpp"):
            return "llama_cpp", f"{what}, and llama_cpp is installed"
        return "hf", f"{what}, and llama_cpp is not installed"
    if (Path(path).expanduser() / OPENVINO_GRAPH).is_file():
        return "openvino", f"a folder with {OPENVINO_GRAPH}"
    return "hf", "not a GGUF file, so a folder or a hub id"


def load_model(path: str, options: LoadOptions, *, toy_order: int = 3) -> LoadedModel:
    """Load a model by whatever engine the options ask for.

    Args:
        path: A folder, GGUF file or hub id, or "default" for the embedded verifier.
        options: How to load it.
        toy_order: Letters of context, for the toy engine.

    Raises:
        ModelError: If there is no such model, or it cannot be used.
        EngineMissingError: If the engine is not installed.
    """
    engine: EngineName
    if options.engine == "auto":
        engine, reason = choose_engine(path)
        options.say(f"Engine {engine}: {reason}.")
    else:
        engine = options.engine
    options = options.for_engine(engine)
    if engine == "toy":
        from smart_speed.engines import toy

        return toy.load(path, order=toy_order)
    if engine == "hf":
        from smart_speed.engines import hf

        return hf.load(
            str(embedded_model()) if path == "default" else path,
            device=options.device or "auto",
            dtype=options.dtype or "auto",
            threads=options.threads,
            context_len=options.context_len,
        )
    if engine == "openvino":
        from smart_speed.engines import openvino

        return openvino.load(
            str(embedded_model()) if path == "default" else path,
            dtype=options.dtype or "auto",
            threads=options.threads,
            context_len=options.context_len,
        )
    return _load_gguf(path, options)


def _load_gguf(path: str, options: LoadOptions) -> LoadedModel:
    from smart_speed.engines import llama_cpp, llama_files

    file = embedded_model() if path == "default" else Path(path)
    wanted = options.quantize
    if wanted == "auto" and path == "default":
        wanted = llama_files.flattest_format()
    if wanted != "auto" and wanted != "none":
        file = llama_files.requantized(file, wanted, options.say)
    return llama_cpp.load(str(file), threads=options.threads, context_len=options.context_len)


def load_verifier(path: str, options: LoadOptions) -> LoadedModel:
    """Load the model whose text is wanted; errors are those of ``load_model``."""
    return load_model(path, options)


def shipped_drafters() -> dict[str, Path]:
    """Return the folders of the drafters that come with the package, by their names."""
    found = sorted(SHIPPED_FOLDER.glob(f"*/{manifest.FILE_NAME}"))
    return {path.parent.name: path.parent for path in found}


def load_drafter(name: str, verifier: LoadedModel, options: LoadOptions) -> Drafter:
    """Load what writes ahead.

    Args:
        name: "ngram"; "layers:N" for the verifier's own first N layers; one of
            ``shipped_drafters()``; a folder, GGUF file or hub id; any of these but "ngram" followed
            by "+ngram", for the two blended; "route:" and several of all these, separated by
            commas, for whoever is chosen before each round; or "default": the engine's of
            ``DEFAULT_DRAFTERS`` for verifiers of the vocabulary that it was made for, else "ngram".
        verifier: Whose vocabulary it must share, or have a part of.
        options: How to load it. A shipped drafter runs on the verifier's engine, in its own
            number format, and as far into a text as it can follow.

    Raises:
        VocabularyError: If the models disagree on a token.
        ModelError: If there is no such model, it cannot be used, or its files are not those that
            its manifest names.
        ConfigError: If a drafter to choose among is named twice, or chooses itself.
    """
    if name == "default" and verifier.engine != "toy":
        return _default_drafter(verifier, options)
    if name == "ngram":
        return NgramDrafter()
    if name.startswith(PREFIX):
        return RoutedDrafter(
            {each: load_drafter(each, verifier, options) for each in routed_names(name)}
        )
    if name.endswith(BLENDED):
        return BlendDrafter(load_drafter(name.removesuffix(BLENDED), verifier, options))
    if name.startswith("layers:"):
        return ModelDrafter.for_verifier(_first_layers(name, verifier, options), verifier)
    if (folder := shipped_drafters().get(name)) is not None:
        file = folder / "drafter.gguf"
        return _load_model_drafter(str(file), verifier, _for_shipped(options, verifier, file))
    try:
        return _load_model_drafter(name, verifier, options)
    except ModelError as error:
        if type(error) is not ModelError or not _could_be_a_name(name):
            raise
        known = ", ".join(["default", "layers:N", "ngram", "route:A,B", *shipped_drafters()])
        said = str(error).rstrip(".")
        raise ModelError(f"{said}; drafters that go by a name are {known}.") from error


def _default_drafter(verifier: LoadedModel, options: LoadOptions) -> Drafter:
    name = DEFAULT_DRAFTERS[verifier.engine]
    if name.removesuffix(BLENDED) not in shipped_drafters():
        return NgramDrafter()
    try:
        return load_drafter(name, verifier, options)
    except VocabularyError:  # made for another verifier
        return NgramDrafter()


def routed_names(name: str) -> list[str]:
    """Return the drafters that a name beginning with "route:" chooses among.

    Raises:
        ConfigError: If one is named twice, has no name, or chooses among others itself.
    """
    names = [each.strip() for each in name.removeprefix(PREFIX).split(",")]
    alone = all(each and not each.startswith(PREFIX) for each in names)
    check_that(alone, "drafter", "route: and the names of drafters, as in route:ngram,nano", name)
    check_that(len(set(names)) == len(names), "drafter", "made of drafters named once each", name)
    return names


def _load_model_drafter(path: str, verifier: LoadedModel, options: LoadOptions) -> Drafter:
    """Load a model as a drafter, called what its manifest says if it has one."""
    made = manifest.check_files(Path(path).expanduser())
    if made is not None:
        verifier_name = verifier.path.rpartition("/")[2]
        manifest.check_made_for(made, verifier_name, vocabulary_fingerprint(verifier.tokenizer))
    model = load_model(path, options, toy_order=1)
    return ModelDrafter.for_verifier(model, verifier, name=made["name"] if made else "model")


def _for_shipped(options: LoadOptions, verifier: LoadedModel, file: Path) -> LoadOptions:
    """Return options for a shipped drafter: as it is, and as far into a text as it can follow."""
    if verifier.engine != "llama_cpp":
        return replace(options, engine=verifier.engine, quantize="auto", context_len=None)
    from smart_speed.engines import llama_cpp

    length = min(verifier.model.context_len, llama_cpp.trained_len(file))
    return replace(options, engine=verifier.engine, quantize="none", context_len=length)


def _could_be_a_name(text: str) -> bool:
    path = Path(text)
    return path.name == text and not path.suffix and not path.exists()


def _first_layers(name: str, verifier: LoadedModel, options: LoadOptions) -> LoadedModel:
    count = name.removeprefix("layers:")
    check_that(count.isdecimal(), "layers", "followed by a number, as in layers:6", name)
    if verifier.engine == "hf":
        from smart_speed.engines import hf

        return hf.first_layers(verifier, int(count))
    if verifier.engine == "llama_cpp":
        from smart_speed.engines import llama_cpp, llama_files

        path = Path(verifier.path)
        total = llama_cpp.num_layers(path)
        file = llama_files.first_layers(path, int(count), total, options.say)
        length = verifier.model.context_len
        return llama_cpp.load(str(file), threads=options.threads, context_len=length)
    raise ConfigError(
        f"layers:N must be used with hf or llama_cpp, got engine {verifier.engine!r}."
    )
