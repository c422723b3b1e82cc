"""How the items of a data set become prompts: one function for each, and one table of them all.

A data set is known by its name, else by fields that only its items have; whatever is left is read
as prompts under one of the usual names.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from typing import NamedTuple, final

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.errors import ConfigError
from smart_speed.workloads.data_files import Row
from smart_speed.workloads.running_text import article_openings, has_passages, passages
from smart_speed.workloads.said import Said, answer_of, said_by

_MBPP_SPLITS: Mapping[str, range] = {
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
"""Task ids of the splits; its one file holds them all."""
_MT_BENCH_CATEGORIES = frozenset(
    ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
)


class Origin(NamedTuple):
    """Where rows are from."""

    name: str
    """Of the file, or of the data set and its configuration."""
    split: str


Adapt = Callable[[Iterator[Row], Origin], Iterator[Said]]
"""Turns rows into prompts; not every row need give one."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What is known of one data set."""

    adapt: Adapt
    needs: tuple[str, ...] = ()
    """Fields without which an item is none of this data set, whatever its name says."""
    telling: tuple[str, ...] = ()
    """Fields that tell it without a name; none if there are no such fields."""
    hub: str = ""
    """Its name there."""
    config: str | None = None
    """What is read from there if no configuration is named."""
    test_split: str = "test"
    """What the split that it is tested on is called there."""


def prompts_of(adapter: Adapter, rows: Sequence[Row], origin: Origin) -> list[Said]:
    """Return what the rows of a data set say.

    Raises:
        ConfigError: If one of them is no item of that data set.
    """
    seen: list[Row] = []

    def watched() -> Iterator[Row]:
        for row in rows:
            seen.append(row)
            yield row

    try:
        return [_checked(each) for each in adapter.adapt(watched(), origin)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            f"Item {len(seen)} of {origin.name!r} is not one of that data set: {why}, got an item "
            f"of {', '.join(map(str, seen[-1])) or 'no fields'}."
        ) from error


def _checked(said: Said) -> Said:
    for turn in said.turns:
        if not isinstance(turn, str) or not turn.strip():
            raise ValueError(f"a prompt must be a text that is not empty, got {turn!r}")
        turn.encode()  # half a character is none; the error says so
    return said


def adapter_named(name: str) -> str | None:
    """Return the key in ``ADAPTERS`` of the data set that a name speaks of; ``None`` if of none."""
    plain = re.sub(r"[\W_]", "", name.lower())
    return max((key for key in ADAPTERS if key.replace("_", "") in plain), key=len, default=None)


def adapter_for(row: Row, names: Sequence[str]) -> str:
    """Return the key in ``ADAPTERS`` that suits an item.

    Args:
        row: Such an item.
        names: What the data set may be known by, the most telling first.
    """
    for name in names:
        key = adapter_named(name)
        if key is not None and row.keys() >= set(ADAPTERS[key].needs):
            return key
    told = (key for key, each in ADAPTERS.items() if each.telling)
    return next((key for key in told if row.keys() >= set(ADAPTERS[key].telling)), "generic")


def _each(say: Callable[[Row], Said]) -> Adapt:
    return lambda rows, _origin: map(say, rows)


def _word_problem(row: Row) -> Said:
    """Keep the final number of the solution, which stands behind "####", to check answers with."""
    said = _question(row)
    final = (said.reference or "").rpartition("####")[2].strip()
    return said._replace(check=AnswerCheck(kind="number", expected=final) if final else None)


def _trivia(row: Row) -> Said:
    said = _question(row)
    known = said.reference
    return said._replace(check=AnswerCheck(kind="phrase", expected=known) if known else None)


def _question(row: Row) -> Said:
    return Said((row["question"],), reference=answer_of(row.get("answer")))


def _problem(row: Row) -> Said:
    return Said((row["problem"],), reference=answer_of(row.get("answer", row.get("solution"))))


def _chat(row: Row) -> Said:
    """Take every turn of a chat, whatever its category."""
    return said_by(row)._replace(task="")


def _spec_bench(row: Row) -> Said:
    """Take its tasks for ours; one of them is MT-bench in all of its categories."""
    category = str(row["category"])
    return said_by(row)._replace(task="mt_bench" if category in _MT_BENCH_CATEGORIES else category)


def _function(row: Row) -> Said:
    """Ask for the rest of a function: bare code is not what people send to a chat model."""
    text = "Complete this Python function:\n\n" + row["prompt"].strip("\n")
    reference = answer_of(row.get("canonical_solution"))
    check = None
    if isinstance(row.get("test"), str) and isinstance(row.get("entry_point"), str):
        name = row["entry_point"]
        tests = f"{row['test']}\ncheck({name})"
        check = AnswerCheck(kind="python", expected=tests, opening=row["prompt"], entry_point=name)
    return Said((text,), reference=reference, check=check, item_text=row["prompt"])


def _programs(rows: Iterator[Row], origin: Origin) -> Iterator[Said]:
    """Ask for the programs of a split, each with a test as in the paper's prompts."""
    wanted = _MBPP_SPLITS.get(origin.split)
    for row in rows:
        if wanted is None or int(row["task_id"]) in wanted:
            wish, tests = row.get("text") or row["prompt"], row["test_list"]
            if isinstance(tests, str):  # of a table
                raise ValueError("test_list must be a list")
            text = f"{wish} Your code should pass this test: {tests[0]}"
            needed = filter(None, [row.get("test_setup_code"), *tests])
            check = AnswerCheck(kind="python", expected="\n".join(needed))
            reference = answer_of(row.get("code"))
            yield Said((text,), reference=reference, check=check, item_text=str(wish))


def _summary(row: Row) -> Said:
    text = f"Summarize this article in a few sentences:\n\n{row['article'].strip()}"
    return Said((text,), reference=answer_of(row.get("highlights")))


def _reading(row: Row) -> Said:
    text = f"{row['context'].strip()}\n\n{row['question'].strip()}"
    return Said((text,), reference=answer_of(row.get("answers")), item_text=row["question"])


def _translations(rows: Iterator[Row], origin: Origin) -> Iterator[Said]:
    """Ask for the first sentence of each paragraph in German and Spanish, in turns.

    Or in English, if the paragraphs are in another language.
    """
    language = re.search(r"xquad\.(\w\w)\b", origin.name)
    english = language is None or language[1] == "en"
    paragraphs = (paragraph for paragraph, _ in groupby(rows, lambda row: row["context"]))
    for paragraph, into in zip(paragraphs, cycle(("German", "Spanish"))):
        sentence = paragraph.lstrip("\ufeff").split(". ")[0].rstrip(".")
        yield Said((f"Translate into {into if english else 'English'}: {sentence}.",))


def _articles(rows: Iterator[Row], _origin: Origin) -> Iterator[Said]:
    for found in article_openings(row["text"] for row in rows):
        yield Said((found.text,), chat=False, part=found.part)


def _plain_text(rows: Iterator[Row], _origin: Origin) -> Iterator[Said]:
    """Go on with running text; take any other for one instruction a line."""
    lines = [row["text"] for row in rows]
    if has_passages(lines):
        return (Said((text,), chat=False) for text in passages(lines))
    return (Said((line,)) for line in lines if line.strip())


ADAPTERS: Mapping[str, Adapter] = {
    "gsm8k": Adapter(
        adapt=_each(_word_problem), needs=("question",), hub="openai/gsm8k", config="main"
    ),
    "math": Adapter(adapt=_each(_problem), needs=("problem",), hub="HuggingFaceH4/MATH-500"),
    "humaneval": Adapter(
        adapt=_each(_function),
        needs=("prompt",),
        telling=("prompt", "entry_point"),
        hub="openai/openai_humaneval",
    ),
    "mbpp": Adapter(
        adapt=_programs,
        needs=("test_list",),
        telling=("test_list",),
        hub="google-research-datasets/mbpp",
        config="full",
    ),
    "mt_bench": Adapter(
        adapt=_each(_chat), hub="HuggingFaceH4/mt_bench_prompts", test_split="train"
    ),
    "spec_bench": Adapter(
        adapt=_each(_spec_bench), needs=("category", "turns"), telling=("category", "turns")
    ),
    "ifeval": Adapter(
        adapt=_each(_chat), needs=("prompt",), hub="google/IFEval", test_split="train"
    ),
    "nq_open": Adapter(
        adapt=_each(_trivia),
        needs=("question",),
        hub="google-research-datasets/nq_open",
        test_split="validation",
    ),
    "cnn_dailymail": Adapter(
        adapt=_each(_summary),
        needs=("article",),
        telling=("article",),
        hub="abisee/cnn_dailymail",
        config="3.0.0",
    ),
    "xquad": Adapter(
        adapt=_translations,
        needs=("context",),
        hub="google/xquad",
        config="xquad.en",
        test_split="validation",
    ),
    "squad": Adapter(
        adapt=_each(_reading),
        needs=("context", "question"),
        telling=("context", "question"),
        hub="rajpurkar/squad",
        test_split="validation",
    ),
    "wikitext": Adapter(
        adapt=_articles, needs=("text",), hub="Salesforce/wikitext", config="wikitext-2-raw-v1"
    ),
    "plain_text": Adapter(adapt=_plain_text, needs=("line", "text"), telling=("line", "text")),
    "generic": Adapter(adapt=_each(said_by)),
}
"""The data sets known, by their names; what is none of them is generic."""
