"""Traces on disk: a part for each prompt while they are made, then one Parquet file.

::

    traces.json      what they were made from; with the file's sha256 once it is there
    traces.parquet   a row for each prompt and drafter
    parts/           a file for each prompt, until there are all of them

The manifest is written first, and any file is there whole or not at all. So an interrupted run
goes on where it stopped.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, final

from smart_speed.errors import ConfigError, check_that
from smart_speed.files import file_sha256, parse_json, whole, writing
from smart_speed.tracing.columns import from_table, read_table, to_table, write_table
from smart_speed.tracing.traces import Trace

SCHEMA = 1
"""Version of the manifest; readers refuse any other."""
MANIFEST_NAME = "traces.json"
FILE_NAME = "traces.parquet"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TraceManifest:
    """What the traces of a folder were made from."""

    models: Mapping[str, Any]
    """Verifier and drafters: names, files, hashes."""
    engine: str
    settings: Mapping[str, Any]
    """Whatever else decides what a trace holds, such as the longest continuation."""
    prompt_ids: tuple[str, ...]
    """All that there are to be, in the order of the file."""
    prompts_sha256: str
    """Of the prompts themselves, by ``prompts_sha256``."""
    text_hashes: tuple[str, ...] = ()
    """Of each prompt's text, by ``workloads.prompt.text_hash``; none in older traces."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What is worth knowing but decides nothing, such as the machine; of the run that began."""
    traces_sha256: str | None = None
    """Of the Parquet file; ``None`` while there are only parts."""

    def __post_init__(self) -> None:
        ids = self.prompt_ids
        check_that(0 < len(set(ids)) == len(ids), "prompt_ids", "at least one, once each", ids)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return {"schema": SCHEMA, **asdict(self), **lists}


def prompts_sha256(prompts: Sequence[tuple[str, Any]]) -> str:
    """Return a sha256 that changes with any prompt, its id, or their order.

    Args:
        prompts: Ids and prompts: texts, tokens, or the messages of chats.
    """
    return hashlib.sha256(json.dumps([list(each) for each in prompts]).encode()).hexdigest()


def read_manifest(folder: Path) -> TraceManifest:
    """Return what the traces of a folder were made from.

    Raises:
        ConfigError: If there is no manifest, or it is broken or of another schema.
    """
    path = folder / MANIFEST_NAME
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Traces must have a readable manifest, got {str(path)!r}: {error}."
        ) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    check_that(schema == SCHEMA, f"schema of {str(path)!r}", str(SCHEMA), schema)
    del document["schema"]
    document.setdefault("text_hashes", [])
    lists = {name: document.get(name) for name in _LISTS}
    same = set(document) == set(_FIELDS) and all(isinstance(each, list) for each in lists.values())
    check_that(same, str(path), f"made of {', '.join(_FIELDS)}", sorted(document))
    return TraceManifest(**(document | {name: tuple(lists[name]) for name in _LISTS}))


def read_traces(folder: Path) -> list[Trace]:
    """Return all traces of a folder, prompts in the order of the manifest.

    Raises:
        ConfigError: If they are not finished, or a file is broken, or not the manifest's.
    """
    manifest, path = read_manifest(folder), folder / FILE_NAME
    wanted = manifest.traces_sha256
    if wanted is None:
        left = len(TraceFolder(folder, manifest).missing())
        raise ConfigError(
            f"Traces must be finished to be read: {left} of {len(manifest.prompt_ids)} prompts of "
            f"{str(folder)!r} are still to be recorded, or to be put together."
        )
    found = file_sha256(path) if path.is_file() else None
    rule = f"the file whose sha256 {MANIFEST_NAME} gives, {wanted}"
    check_that(found == wanted, str(path), rule, found)
    return from_table(read_table(path), str(path))


def read_recorded(folder: Path) -> list[Trace]:
    """Return the traces that a folder has by now, finished or not.

    Raises:
        ConfigError: If a file is broken, or not the manifest's.
    """
    manifest = read_manifest(folder)
    if manifest.traces_sha256 is not None:
        return read_traces(folder)
    return TraceFolder(folder, manifest).recorded()


@final
class TraceFolder:
    """A folder that traces are written into, prompt by prompt."""

    def __init__(self, path: Path, manifest: TraceManifest) -> None:
        """Name a folder; nothing is read or made yet.

        Args:
            path: The folder.
            manifest: What its traces are made from.
        """
        self.path = path
        self._manifest = replace(manifest, traces_sha256=None)
        self._parts = path / "parts"

    def open(self) -> None:
        """Begin, or go on with, traces made from what the manifest says.

        Raises:
            ConfigError: If the folder holds traces that were made otherwise.
            OutputError: If it cannot be written.
        """
        if (self.path / MANIFEST_NAME).exists():
            kept = read_manifest(self.path)
            self._check_same(kept)
            if kept.text_hashes != self._manifest.text_hashes:  # from before there were any
                with writing("Traces", self.path):
                    self._write_manifest(replace(kept, text_hashes=self._manifest.text_hashes))
            return
        with writing("Traces", self.path):
            self._parts.mkdir(parents=True, exist_ok=True)
            self._write_manifest(self._manifest)

    def missing(self) -> list[str]:
        """Return the ids of the prompts that are still to be recorded."""
        if self._is_finished():
            return []
        return [each for each in self._manifest.prompt_ids if not self._part(each).is_file()]

    def write(self, traces: Sequence[Trace]) -> None:
        """Keep the traces of one prompt, with all its drafters.

        Raises:
            ConfigError: If they are not those of one prompt of the manifest.
            OutputError: If they cannot be written.
        """
        ids = sorted({trace.prompt_id for trace in traces})
        known = len(ids) == 1 and ids[0] in self._manifest.prompt_ids
        check_that(known, "traces", "those of one prompt of the manifest", ids)
        with writing("Traces", self.path), whole(self._part(ids[0])) as part:
            write_table(to_table(traces), part)

    def recorded(self) -> list[Trace]:
        """Return the traces of all parts, prompts in the order of the manifest.

        Raises:
            ConfigError: If a part is broken.
        """
        parts = [path for path in map(self._part, self._manifest.prompt_ids) if path.is_file()]
        return list(chain.from_iterable(from_table(read_table(each), str(each)) for each in parts))

    def finish(self) -> None:
        """Put the parts together, and remove them.

        Raises:
            ConfigError: If prompts are missing, or a part is broken.
            OutputError: If the file cannot be written.
        """
        if self._is_finished():
            self._remove_parts()
            return
        missing = self.missing()
        check_that(not missing, "prompts", "recorded before traces are finished", missing)
        traces = self.recorded()
        with writing("Traces", self.path):
            with whole(self.path / FILE_NAME) as part:
                write_table(to_table(traces), part)
            sha256 = file_sha256(self.path / FILE_NAME)
            self._write_manifest(replace(self._manifest, traces_sha256=sha256))
        self._remove_parts()

    def _check_same(self, kept: TraceManifest) -> None:
        """Refuse to go on with traces that were made otherwise."""
        # As JSON says it, which knows no tuples.
        wanted = json.loads(json.dumps(self._manifest.to_json()))
        before = replace(kept, traces_sha256=None).to_json()
        if any(before[key] != wanted[key] for key in ("prompt_ids", "prompts_sha256")):
            raise ConfigError(
                f"prompts must stay the same to go on with the traces in {str(self.path)!r}, got "
                "others; choose another folder for them."
            )
        kept_settings, asked = before.pop("settings"), wanted.pop("settings")
        before, wanted = before | kept_settings, wanted | asked
        for key in sorted((before.keys() | wanted.keys()) - {"about", "text_hashes"}):
            if (value := before.get(key)) != wanted.get(key):
                raise ConfigError(
                    f"{key} must stay {value!r} to go on with the traces in {str(self.path)!r}, "
                    f"got {wanted.get(key)!r}."
                )

    def _remove_parts(self) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)

    def _is_finished(self) -> bool:
        return read_manifest(self.path).traces_sha256 is not None

    def _write_manifest(self, manifest: TraceManifest) -> None:
        with whole(self.path / MANIFEST_NAME) as part:
            part.write_text(json.dumps(manifest.to_json(), indent=1), encoding="utf-8")

    def _part(self, prompt_id: str) -> Path:
        """Return the file of a prompt, whose id may hold what no file name can."""
        return self._parts / f"{hashlib.sha256(prompt_id.encode()).hexdigest()[:32]}.parquet"


_FIELDS = tuple(field.name for field in fields(TraceManifest))
_LISTS = ("prompt_ids", "text_hashes")
