"""Prompts that no drafter was trained on, read from copies of seven public data sets.

Their texts are not part of this project: ``--data`` names a folder that holds, unchanged,

    gsm8k/test.jsonl                    grade school mathematics (openai/grade-school-math)
    humaneval/HumanEval.jsonl.gz        Python functions to complete (openai/human-eval)
    mt_bench/mt_bench_question.jsonl    chat, of which the first turn (lm-sys/FastChat)
    nq_open/NQ-open.dev.jsonl           search questions (google-research-datasets)
    wikitext2/wiki.test.raw             encyclopaedia, continued as plain text (WikiText-2, raw)
    mbpp/mbpp.jsonl                     Python from a sentence, its test split (google-research)
    xquad/xquad.en.json                 sentences to translate (google-deepmind/xquad)
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, zip_longest
from pathlib import Path
from typing import Any, final

import numpy as np

from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.prompting import Prompt

_MBPP_TEST = range(11, 511)
"""Task ids of the test split."""
_OPENING_LEN = 64
"""Words of an article that are given."""
_PARAGRAPH_LEN = 96
"""Words that the paragraph they are from has at least, so that it does go on."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenPrompt:
    """One prompt; a chat, or a text to go on with."""

    prompt_id: str
    """Task and line of the file, or article, as in "gsm8k/17"."""
    task: str
    prompt: Prompt


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
    name, read = READERS[task]
    path = folder / task / name
    try:
        lines = _lines(path)
        found = [
            UnseenPrompt(prompt_id=f"{task}/{number}", task=task, prompt=prompt)
            for number, prompt in enumerate(read(lines))
        ]
    except (OSError, EOFError, ValueError, LookupError, TypeError, zlib.error) as error:
        raise ConfigError(f"{str(path)!r} must be the file of that data set: {error!r}.") from error
    check_that(bool(found), "data", "a folder of data sets, none of them empty", str(path))
    return found


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return text.decode().split("\n")  # splitlines would split inside of texts


def _chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _rows(lines: Sequence[str]) -> Iterator[Any]:
    return (json.loads(line) for line in lines if line.strip())


def _questions(lines: Sequence[str]) -> Iterator[Prompt]:
    return (_chat(row["question"]) for row in _rows(lines))


def _functions(lines: Sequence[str]) -> Iterator[Prompt]:
    """Ask for the rest of a function: bare code is not what people send to a chat model."""
    begin = "Complete this Python function:\n\n"
    return (_chat(begin + row["prompt"].strip("\n")) for row in _rows(lines))


def _first_turns(lines: Sequence[str]) -> Iterator[Prompt]:
    return (_chat(row["turns"][0]) for row in _rows(lines))


def _openings(lines: Sequence[str]) -> Iterator[Prompt]:
    """Return how the first long paragraph of each article begins, one each to be independent."""
    waiting = False
    for line in map(str.strip, lines):
        if line.startswith("= ") and line.endswith(" ="):
            waiting = waiting or not line.startswith("= =")
        elif waiting and len(words := line.split()) >= _PARAGRAPH_LEN:
            waiting = False
            yield " ".join(words[:_OPENING_LEN])


def _programs(lines: Sequence[str]) -> Iterator[Prompt]:
    """Ask for the programs of the test split, each with a test as in the paper's prompts."""
    for row in _rows(lines):
        if row["task_id"] in _MBPP_TEST:
            yield _chat(f"{row['text']} Your code should pass this test: {row['test_list'][0]}")


def _translations(lines: Sequence[str]) -> Iterator[Prompt]:
    """Ask for the first sentence of each paragraph in German and Spanish, in turns."""
    articles = json.loads("\n".join(lines))["data"]
    paragraphs = (part["context"] for article in articles for part in article["paragraphs"])
    for paragraph, language in zip(paragraphs, cycle(("German", "Spanish"))):
        sentence = paragraph.lstrip("\ufeff").split(". ")[0].rstrip(".")
        yield _chat(f"Translate into {language}: {sentence}.")


READERS: Mapping[str, tuple[str, Callable[[Sequence[str]], Iterator[Prompt]]]] = {
    "gsm8k": ("test.jsonl", _questions),
    "humaneval": ("HumanEval.jsonl.gz", _functions),
    "mt_bench": ("mt_bench_question.jsonl", _first_turns),
    "nq_open": ("NQ-open.dev.jsonl", _questions),
    "wikitext2": ("wiki.test.raw", _openings),
    "mbpp": ("mbpp.jsonl", _programs),
    "xquad": ("xquad.en.json", _translations),
}
"""The data sets: file, and how its lines become prompts."""
