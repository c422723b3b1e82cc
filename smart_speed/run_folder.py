"""A run of an experiment in files: what was to be done, and every answer as it was made.

``run.json`` is written first, whole or not at all; ``sequences.jsonl`` only ever grows, one line an
answer. Both are read without any model. A line that a killed run left half-written is cut off when
the run is opened again, so an answer is there once or not at all.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, final, get_args

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.files import parse_json, whole, writing
from smart_speed.records import SequenceRecord, TextScore

SCHEMA = 1
"""Version of the files written here; readers refuse any other."""
MANIFEST_NAME = "run.json"
ANSWERS_NAME = "sequences.jsonl"
CALIBRATION_NAME = "calibration"
"""Folder inside a run: what ``smart-speed calibrate`` wrote for it, the profile among it."""
OUTCOMES_NAME = "outcomes.json"
"""Which programs in answers passed their tests, by the sha256 of the program."""
PARTINGS_NAME = "partings.json"
TRACES_NAME = "traces"
"""Folder inside a run: traces of the prompts that were answered, for replay and the oracle."""

Role = Literal[
    "plain", "fixed", "tuned-fixed", "entropy", "rival", "calibrated", "ablation", "lossy"
]
"""What a condition is there for. "plain" decodes without drafts; "fixed" is a standard draft
length; "tuned-fixed" the one that was best on the calibration prompts; "lossy" accepts what the
verifier would not have written."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionInfo:
    """One condition of a run."""

    role: Role
    config: Mapping[str, Any]
    """Settings that ``EntropyConfig.from_dict`` reads."""
    group: str = ""
    """Of an ablation: what is varied in it, as in "entropy_type"."""
    learned: bool = False
    """Whether its settings were learned on the calibration prompts."""
    lossless: bool = True

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise unknown_name("role", self.role, get_args(Role))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInfo:
    """One prompt of a run."""

    prompt_id: str
    task: str
    num_turns: int = 1
    check: AnswerCheck | None = None
    """What makes its answer right; ``None`` where that cannot be checked."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PromptInfo":
        """Read the fields as JSON values."""
        check = values.get("check")
        return cls(**{**values, "check": AnswerCheck(**check) if check else None})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """What a run is made from; all of it is known before its first answer."""

    name: str
    config: Mapping[str, Any]
    """The experiment's settings, defaults included."""
    conditions: Mapping[str, ConditionInfo]
    prompts: tuple[PromptInfo, ...]
    calibration_prompt_ids: tuple[str, ...]
    """Prompts that settings were learned on; none of them is among ``prompts``."""
    repeats: int
    verifier: Mapping[str, str]
    """Name, id (``smart_speed.identity``) and description."""
    drafter: Mapping[str, str]
    engine: str
    sampling: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it was begun: command line, commit, versions of packages, machine, clock, date."""

    def __post_init__(self) -> None:
        both = {each.prompt_id for each in self.prompts} & set(self.calibration_prompt_ids)
        rule = "others than those that settings were learned on"
        check_that(not both, "prompts", rule, sorted(both)[:3])

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: Any, source: str) -> "RunManifest":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If it is no such thing, or of another schema.
        """
        check_that(isinstance(document, dict), source, "a JSON object", document)
        values = dict(document)
        schema = values.pop("schema", None)
        check_that(schema == SCHEMA, f"schema of {source}", str(SCHEMA), schema)
        try:
            values["conditions"] = {
                name: ConditionInfo(**each) for name, each in values["conditions"].items()
            }
            values["prompts"] = tuple(PromptInfo.from_json(each) for each in values["prompts"])
            values["calibration_prompt_ids"] = tuple(values["calibration_prompt_ids"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            names = ", ".join(each.name for each in fields(cls))
            raise ConfigError(f"{source} must be made of {names}: {error}.") from error


class Place(NamedTuple):
    """Where texts part from plain decoding's."""

    prompt_id: str
    turn: int
    position: int
    """First output token that differs, from 0."""
    plain_token: int | None
    """``None`` where that text has ended, as for the other."""
    own_token: int | None


class Parting(NamedTuple):
    """What the verifier says of such a place (``smart_speed.divergence``)."""

    logit_gap: float | None
    pass_noise: float | None
    near_tie: bool


class AnswerKey(NamedTuple):
    """What tells the answers of a run apart."""

    condition: str
    prompt_id: str
    turn: int
    repeat: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a run: its record, and what it belongs to.

    The prompt's id in the record is that of the turn: that of the prompt, and from the second turn
    of a chat on "/turn-2" and so on behind it.
    """

    record: SequenceRecord
    prompt_id: str
    task: str
    turn: int
    """Of a chat, from 0."""
    repeat: int
    """From 0."""
    tokens: tuple[int, ...]
    """The output; empty where there is none."""
    machine: str
    """Which machine it was timed on: a hash of its facts, the same for the same machine."""
    peak_memory_bytes: int | None = None
    """Most memory that the process had held by the end of it; ``None`` where unknown."""
    text: str | None = None
    """The output as a text; ``None`` in runs made before it was kept."""
    score: TextScore | None = None
    """What the verifier makes of the output; ``None`` where that was not asked for."""

    @property
    def key(self) -> AnswerKey:
        """What tells it from the other answers of its run."""
        return AnswerKey(self.record.condition, self.prompt_id, self.turn, self.repeat)

    def to_line(self) -> str:
        """Return it as one line of JSON, without the line's end."""
        own = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("record", "score")
        }
        own["score"] = self.score._asdict() if self.score else None
        document = {"schema": SCHEMA, **own, "record": self.record.to_json()}
        return json.dumps(document, allow_nan=False)

    @classmethod
    def from_line(cls, line: str | bytes, source: str) -> "Answer":
        """Read what ``to_line`` wrote.

        Raises:
            ConfigError: If it is no such thing, or of another schema.
        """
        try:
            values = parse_json(line)
        except ValueError as error:
            raise ConfigError(f"{source} must be a line of JSON: {error}.") from error
        check_that(isinstance(values, dict), source, "a JSON object", values)
        schema = values.pop("schema", None)
        check_that(schema == SCHEMA, f"schema of {source}", str(SCHEMA), schema)
        try:
            record = SequenceRecord.from_json(values.pop("record"))
            score = values.pop("score", None)
            return cls(
                **(values | {"tokens": tuple(values["tokens"])}),
                record=record,
                score=TextScore(**score) if score else None,
            )
        except (KeyError, TypeError) as error:
            names = ", ".join(each.name for each in fields(cls))
            raise ConfigError(f"{source} must be made of {names}: {error}.") from error


def read_manifest(folder: Path) -> RunManifest:
    """Read what a run is made from.

    Raises:
        ConfigError: If the folder holds no run, or one of another version.
    """
    path = folder / MANIFEST_NAME
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"A run must be a folder in which `smart-speed experiment` has begun to answer, which "
            f"it does once {MANIFEST_NAME} is written, got {str(folder)!r} without that file; run "
            "the experiment first, or again."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"A run must be a folder with a readable {MANIFEST_NAME}, got {str(folder)!r}: {error}."
        ) from error
    return RunManifest.from_json(document, str(path))


def read_answers(folder: Path) -> list[Answer]:
    """Return all answers of a run, in the order in which they were made.

    Where an answer failed and was made again, only the last stands.

    Raises:
        ConfigError: If a line is none that was written here.
    """
    by_key = {each.key: each for each in _read_lines(folder / ANSWERS_NAME)}
    return list(by_key.values())


def read_outcomes(folder: Path) -> dict[str, bool]:
    """Return which programs passed their tests; none if none were run.

    Raises:
        ConfigError: If the file is none that was written here.
    """
    path = folder / OUTCOMES_NAME
    if not path.is_file():
        return {}
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
        passed: dict[str, bool] = document["passed"]
        known = document["schema"] == SCHEMA and {True, False}.issuperset(passed.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{str(path)!r} must hold outcomes of programs: {error}.") from error
    check_that(known, str(path), f"outcomes of programs, of schema {SCHEMA}", document["schema"])
    return passed


def write_outcomes(folder: Path, passed: Mapping[str, bool]) -> None:
    """Write which programs passed their tests, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with writing("Outcomes", folder), whole(folder / OUTCOMES_NAME) as part:
        text = json.dumps({"schema": SCHEMA, "passed": dict(passed)}, indent=1)
        part.write_text(text + "\n", encoding="utf-8")


def read_partings(folder: Path) -> dict[Place, Parting]:
    """Return what is known of the places where texts part; of a run without such a file nothing.

    Raises:
        ConfigError: If the file holds something else.
    """
    path = folder / PARTINGS_NAME
    if not path.is_file():
        return {}
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
        check_that(document["schema"] == SCHEMA, "schema", str(SCHEMA), document["schema"])
        return {
            Place(*(each[name] for name in Place._fields)): Parting(
                *(each[name] for name in Parting._fields)
            )
            for each in document["partings"]
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{str(path)!r} must be a file that an experiment wrote: {error!r}."
        ) from error


def write_partings(folder: Path, partings: Mapping[Place, Parting]) -> None:
    """Write what is known of the places where texts part, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    rows = [{**place._asdict(), **each._asdict()} for place, each in partings.items()]
    with writing("A run", folder), whole(folder / PARTINGS_NAME) as part:
        text = json.dumps({"schema": SCHEMA, "partings": rows}, indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write what a run is made from, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with writing("A run", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / MANIFEST_NAME) as part:
            text = json.dumps(manifest.to_json(), indent=1, allow_nan=False)
            part.write_text(text + "\n", encoding="utf-8")


@final
class AnswerLog:
    """The answers of a run, to be added to; one process writes at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the file, and cut off what a killed run left half-written.

        Args:
            folder: Of the run.

        Raises:
            ConfigError: If a whole line is none that was written here.
            OutputError: If the file cannot be written.
        """
        self._folder = folder
        path = folder / ANSWERS_NAME
        with writing("A run", folder):
            if path.exists():
                data = path.read_bytes()
                os.truncate(path, data.rfind(b"\n") + 1)
            self._file = path.open("ab")
        made = [each for each in read_answers(folder) if each.record.status == "ok"]
        self.done = {each.key: each.tokens for each in made}
        """Tokens of the answers that need not be made again."""
        self.machines = frozenset(each.machine for each in made)
        """Those that had timed answers when the file was opened."""

    def add(self, answer: Answer) -> None:
        """Add an answer; it is on the disk when this returns.

        Raises:
            OutputError: If it cannot be written.
        """
        with writing("A run", self._folder):
            self._file.write(answer.to_line().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        if answer.record.status == "ok":
            self.done[answer.key] = answer.tokens

    def close(self) -> None:
        """Close the file."""
        # What could not be written was said when it was added.
        with contextlib.suppress(OSError):
            self._file.close()


def _read_lines(path: Path) -> Iterator[Answer]:
    if not path.exists():
        return
    # Only what ends in a line's end was written whole.
    whole_lines = path.read_bytes().rpartition(b"\n")[0]
    for number, line in enumerate(whole_lines.split(b"\n"), 1):
        if line:
            yield Answer.from_line(line, f"line {number} of {str(path)!r}")
