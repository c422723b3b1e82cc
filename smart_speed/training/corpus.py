"""A corpus of a verifier's own answers, written block by block into a folder.

What stands in which block follows from the settings and the prompts alone, and a block is a file
that is there whole or not at all. So an interrupted run goes on where it stopped, and no prompt
is lost or answered twice.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float, Int

from smart_speed.errors import ConfigError, ModelError, check_that
from smart_speed.files import whole, writing
from smart_speed.training.settings import CorpusSettings

_COLUMNS = (
    "prompt_index", "prompt_lens", "prompt_tokens", "answer_lens", "answer_tokens", "top_ids",
    "top_logprobs",
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPrompt:
    """One prompt and how it is to be answered."""

    index: int
    """Place in the list of prompts."""
    tokens: Sequence[int]
    temperature: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One answered prompt."""

    prompt: Int[np.ndarray, " prompt"]
    answer: Int[np.ndarray, " answer"]
    top_ids: Int[np.ndarray, "answer top"]
    """The verifier's likeliest tokens at each position of the answer, likeliest first."""
    top_logprobs: Float[np.ndarray, "answer top"]
    """Their natural log-probabilities under the verifier's whole law."""


def plan(
    texts: Sequence[str],
    settings: CorpusSettings,
    *,
    encode_chat: Callable[[str], list[int]] | None,
    encode: Callable[[str], list[int]],
) -> list[list[PlannedPrompt]]:
    """Return the blocks: prompts of like length together, the blocks themselves in random order.

    Args:
        texts: The prompts.
        settings: What is asked.
        encode_chat: Text to tokens in the model's chat template; ``None`` if it has none.
        encode: The same, as plain text.

    Raises:
        ConfigError: If every prompt is too long.
    """
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(texts))[: settings.limit]
    raw = rng.random(len(texts)) < settings.raw_share
    sampled = rng.random(len(texts)) < settings.sampled_share
    planned = []
    for index in order.tolist():
        as_chat = encode_chat is not None and not raw[index]
        tokens = encode_chat(texts[index]) if encode_chat and as_chat else encode(texts[index])
        if 0 < len(tokens) <= settings.max_prompt_len:
            temperature = settings.temperature if sampled[index] else 0.0
            planned.append(PlannedPrompt(index=index, tokens=tokens, temperature=temperature))
    rule = f"at least as large as the shortest of {len(texts)} prompts"
    check_that(bool(planned), "max_prompt_len", rule, settings.max_prompt_len)
    planned.sort(key=lambda prompt: len(prompt.tokens))
    starts = rng.permutation(range(0, len(planned), settings.block_size)).tolist()
    return [planned[start : start + settings.block_size] for start in starts]


@final
class CorpusFolder:
    """The blocks on disk."""

    def __init__(self, path: Path) -> None:
        """Name a folder; nothing is read or made yet."""
        self.path = path

    def open_for(self, description: dict[str, Any]) -> None:
        """Begin, or go on with, a corpus that a description fits.

        Raises:
            ConfigError: If the folder holds a corpus made otherwise.
            OutputError: If it cannot be written.
        """
        file = self.path / "corpus.json"
        if file.is_file():
            kept, wanted = _settings(self.description()), _settings(description)
            differing = [key for key in wanted if kept.get(key) != wanted[key]]
            if differing:
                key = differing[0]
                raise ConfigError(
                    f"{key} must stay {kept.get(key)!r} to go on with the corpus in "
                    f"{str(self.path)!r}, got {wanted[key]!r}."
                )
            return
        with writing("A corpus", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            with whole(file) as part:
                part.write_text(json.dumps(description, indent=1), "utf-8")

    def description(self) -> dict[str, Any]:
        """Return what the corpus was made from.

        Raises:
            ModelError: If there is no corpus, or its description is broken.
        """
        try:
            document: dict[str, Any] = json.loads((self.path / "corpus.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"A corpus must be a readable folder, got {error}.") from error
        return document

    def has(self, number: int) -> bool:
        """Return whether a block is there."""
        return self._file(number).is_file()

    def write(self, number: int, indices: Sequence[int], examples: Sequence[Example]) -> None:
        """Keep a block.

        Raises:
            OutputError: If it cannot be written.
        """
        columns = {
            "prompt_index": np.array(indices, dtype=np.int32),
            "prompt_lens": np.array([len(each.prompt) for each in examples], dtype=np.int32),
            "prompt_tokens": np.concatenate([each.prompt for each in examples]).astype(np.int32),
            "answer_lens": np.array([len(each.answer) for each in examples], dtype=np.int32),
            "answer_tokens": np.concatenate([each.answer for each in examples]).astype(np.int32),
            "top_ids": np.concatenate([each.top_ids for each in examples]).astype(np.int32),
            "top_logprobs": np.concatenate([each.top_logprobs for each in examples]).astype(
                np.float16
            ),
        }
        with (
            writing("A corpus", self.path),
            whole(self._file(number)) as part,
            part.open("wb") as stream,
        ):
            np.savez(stream, **columns)  # type: ignore[arg-type]  # takes arrays by any name

    def numbers(self) -> list[int]:
        """Return which blocks are there."""
        return sorted(int(file.stem.partition("-")[2]) for file in self.path.glob("block-*.npz"))

    def read(self, number: int) -> tuple[list[int], list[Example]]:
        """Return a block's prompts, as places in the list of prompts, and its examples.

        Raises:
            ModelError: If the file is broken.
        """
        file = self._file(number)
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as columns:
                data = {name: columns[name] for name in _COLUMNS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"A block of a corpus must be whole, got {str(file)!r} ({error}); delete it to "
                "have it made again."
            ) from error
        prompt_ends = np.cumsum(data["prompt_lens"])[:-1]
        answer_ends = np.cumsum(data["answer_lens"])[:-1]
        parts = zip(
            np.split(data["prompt_tokens"], prompt_ends),
            np.split(data["answer_tokens"], answer_ends),
            np.split(data["top_ids"], answer_ends),
            np.split(data["top_logprobs"], answer_ends),
            strict=True,
        )
        examples = [
            Example(prompt=prompt, answer=answer, top_ids=ids, top_logprobs=logprobs)
            for prompt, answer, ids, logprobs in parts
        ]
        return data["prompt_index"].tolist(), examples

    def examples(self) -> Iterator[Example]:
        """Return every example, block by block."""
        for number in self.numbers():
            yield from self.read(number)[1]

    def _file(self, number: int) -> Path:
        return self.path / f"block-{number:05}.npz"


def _settings(description: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for two corpora to be one, nothing nested."""
    others = ("settings", "prompts", "smart_speed")  # counts follow from the prompts' sha256
    plain = {key: value for key, value in description.items() if key not in others}
    return plain | dict(description.get("settings", {}))
