"""From a verifier and prompts to a corpus, with a word on how far it is."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
import torch

from smart_speed import __version__
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.hf import HfModel
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.errors import ModelError
from smart_speed.training.answering import answer_block
from smart_speed.training.corpus import CorpusFolder, Example, PlannedPrompt, plan
from smart_speed.training.prompts import TrainingPrompt, fingerprint
from smart_speed.training.settings import CorpusSettings


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a corpus is."""

    done: int
    """Prompts answered, in this run and before."""
    total: int
    tokens: int
    """Answer tokens of this run."""
    seconds: float
    """Of this run."""


def generate_corpus(
    verifier: LoadedModel,
    prompts: Sequence[TrainingPrompt],
    folder: CorpusFolder,
    settings: CorpusSettings,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Have a verifier answer prompts, leaving out what the folder holds already.

    Args:
        verifier: A model of the hf engine.
        prompts: What to answer.
        folder: Where the answers go.
        settings: How to answer.
        progress: Called after every block.
        clock: Seconds.

    Raises:
        ModelError: If the verifier is another engine's.
        ConfigError: If the folder holds a corpus of another verifier, prompts or settings.
        OutputError: If the folder cannot be written.
    """
    if not isinstance(verifier.model, HfModel):
        raise ModelError(f"A corpus needs a verifier of the hf engine, got {verifier.engine!r}.")
    folder.open_for(describe_corpus(verifier, prompts, settings))
    tokenizer = verifier.tokenizer
    blocks = plan(
        [prompt.text for prompt in prompts],
        settings,
        encode_chat=chat_encoder(verifier),
        encode=tokenizer.encode,
    )
    total = sum(map(len, blocks))
    done = sum(len(block) for number, block in enumerate(blocks) if folder.has(number))
    tokens, start = 0, clock()
    progress(Progress(done=done, total=total, tokens=0, seconds=0.0))
    for number, block in enumerate(blocks):
        if folder.has(number):
            continue
        examples = _answer(verifier.model, tokenizer.eos_ids, number, block, settings)
        folder.write(number, [prompt.index for prompt in block], examples)
        done += len(block)
        tokens += sum(len(example.answer) for example in examples)
        progress(Progress(done=done, total=total, tokens=tokens, seconds=clock() - start))


def describe_corpus(
    verifier: LoadedModel, prompts: Sequence[TrainingPrompt], settings: CorpusSettings
) -> dict[str, Any]:
    """Return what a corpus is made from, as JSON values."""
    kinds = Counter((prompt.source, prompt.licence) for prompt in prompts)
    return {
        "schema": 1,
        "smart_speed": __version__,
        "verifier": verifier.path.rpartition("/")[2],
        "vocabulary_sha256": vocabulary_fingerprint(verifier.tokenizer),
        "prompts_sha256": fingerprint(prompts),
        "prompts": [
            {"source": source, "licence": licence, "count": count}
            for (source, licence), count in sorted(kinds.items())
        ],
        "settings": asdict(settings),
    }


def chat_encoder(verifier: LoadedModel) -> Callable[[str], list[int]] | None:
    """Return what encodes a question in the model's chat template, ``None`` if it has none."""

    def encode(text: str) -> list[int]:
        return verifier.tokenizer.encode_chat([{"role": "user", "content": text}])

    try:
        encode("?")
    except ModelError:
        return None
    return encode


def _answer(
    model: HfModel,
    eos_ids: frozenset[int],
    number: int,
    block: Sequence[PlannedPrompt],
    settings: CorpusSettings,
) -> list[Example]:
    answers = answer_block(
        model.network,
        [prompt.tokens for prompt in block],
        temperatures=[prompt.temperature for prompt in block],
        max_new_tokens=settings.max_new_tokens,
        eos_ids=eos_ids,
        top=settings.top,
        generator=torch.Generator().manual_seed(settings.seed * 1_000_003 + number),
    )
    return [
        Example(
            prompt=np.array(prompt.tokens, dtype=np.int32),
            answer=answer.tokens,
            top_ids=answer.top_ids,
            top_logprobs=answer.top_logprobs,
        )
        for prompt, answer in zip(block, answers, strict=True)
    ]
