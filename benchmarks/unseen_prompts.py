"""Prompts that no drafter was trained on, read from copies of seven public data sets.

Their texts are not part of this project: ``--data`` names a folder that holds, unchanged,

    gsm8k/test.jsonl                    grade school mathematics (openai/grade-school-math)
    humaneval/HumanEval.jsonl.gz        Python functions to complete (openai/human-eval)
    mt_bench/mt_bench_question.jsonl    chat, of which the first turn (lm-sys/FastChat)
    nq_open/NQ-open.dev.jsonl           search questions (google-research-datasets)
    wikitext2/wiki.test.raw             encyclopaedia, continued as plain text (WikiText-2, raw),
                                        one opening of each article to be independent
    mbpp/mbpp.jsonl                     Python from a sentence, its test split (google-research)
    xquad/xquad.en.json                 sentences to translate (google-deepmind/xquad)
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple, final

import numpy as np

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.prompting import Prompt
from smart_speed.workloads.adapters import ADAPTERS, Origin, prompts_of
from smart_speed.workloads.data_files import read_rows
from smart_speed.workloads.said import Said


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenPrompt:
    """One prompt; a chat, or a text to go on with."""

    prompt_id: str
    """Task and line of the file, or article, as in "gsm8k/17"."""
    task: str
    prompt: Prompt
    check: AnswerCheck | None = None
    """What makes an answer right, if that can be checked."""


def unseen_prompts(
    folder: Path, *, per_task: int, seed: int = 0, tasks: Sequence[str] | None = None
) -> list[UnseenPrompt]:
    """Choose prompts at random, the tasks taking turns, so that a run cut short has seen them all.

    Args:
        folder: Where the data sets are.
        per_task: How many of each; all of a set that has fewer. A larger number adds to the
            choice of a smaller one.
        seed: Of the choice.
        tasks: Some of the data sets' names; ``None`` for all.

    Raises:
        ConfigError: If a file is missing or is not what it should be, or a name is unknown.
    """
    check_that(per_task >= 1, "per_task", "at least 1", per_task)
    chosen = []
    for task in tasks or READERS:
        if task not in READERS:
            raise unknown_name("task", task, READERS)
        found = _read(folder, task)
        rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
        chosen.append([found[at] for at in rng.permutation(len(found))[:per_task].tolist()])
    turns = chain.from_iterable(zip_longest(*chosen))
    return [prompt for prompt in turns if prompt is not None]


def _read(folder: Path, task: str) -> list[UnseenPrompt]:
    name, adapter = READERS[task]
    path = folder / task / name
    try:
        said = prompts_of(ADAPTERS[adapter], read_rows(path), Origin(str(path), "test"))
    except ConfigError as error:
        raise ConfigError(f"{str(path)!r} must be the file of that data set: {error}") from error
    check_that(bool(said), "data", "a folder of data sets, none of them empty", str(path))
    first = (each for each in said if each.part == 0)
    return [
        UnseenPrompt(
            prompt_id=f"{task}/{number}", task=task, prompt=_prompt(each), check=each.check
        )
        for number, each in enumerate(first)
    ]


def _prompt(said: Said) -> Prompt:
    text = said.turns[0]
    return [{"role": "user", "content": text}] if said.chat else text


class Reader(NamedTuple):
    """How a data set is read."""

    file: str
    adapter: str
    """Its name in ``smart_speed.workloads.adapters``."""


READERS: Mapping[str, Reader] = {
    "gsm8k": Reader("test.jsonl", "gsm8k"),
    "humaneval": Reader("HumanEval.jsonl.gz", "humaneval"),
    "mt_bench": Reader("mt_bench_question.jsonl", "mt_bench"),
    "nq_open": Reader("NQ-open.dev.jsonl", "nq_open"),
    "wikitext2": Reader("wiki.test.raw", "wikitext"),
    "mbpp": Reader("mbpp.jsonl", "mbpp"),
    "xquad": Reader("xquad.en.json", "xquad"),
}
"""The data sets."""
