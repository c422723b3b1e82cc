"""Traces in files: the same after a round trip, whole after any interruption, refused if broken."""

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed.errors import ConfigError, OutputError
from smart_speed.files import file_sha256
from smart_speed.sampling import Sampling
from smart_speed.tracing import trace_files
from smart_speed.tracing.columns import from_table, read_table, to_table, write_table
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.trace_files import (
    FILE_NAME,
    MANIFEST_NAME,
    TraceFolder,
    TraceManifest,
    prompts_sha256,
    read_manifest,
    read_traces,
)
from smart_speed.tracing.traces import Trace
from tests.unit.traced import DRAFTERS, ENDING, PROMPTS, trace_of

pa = pytest.importorskip("pyarrow")

KINDS = ("model", "ngram")


def manifest_of(*prompts: tuple[int, ...], **changes: Any) -> TraceManifest:
    settings: dict[str, Any] = {
        "models": {"verifier": {"name": "toy"}, "drafters": list(KINDS)},
        "engine": "toy",
        "settings": {"max_draft_len": 8, "ending_tokens": [11]},
        "prompt_ids": tuple(f"0/{prompt}" for prompt in prompts),
        "prompts_sha256": prompts_sha256([(f"0/{prompt}", prompt) for prompt in prompts]),
    }
    return TraceManifest(**(settings | changes))


def traces_of(prompt: tuple[int, ...]) -> list[Trace]:
    return [trace_of(kind, 0, prompt) for kind in KINDS]


def folder_with(path: Path, *prompts: tuple[int, ...], wanted: Any = PROMPTS) -> TraceFolder:
    folder = TraceFolder(path, manifest_of(*wanted))
    folder.open()
    for prompt in prompts:
        folder.write(traces_of(prompt))
    return folder


def assert_same(found: Trace, expected: Trace) -> None:
    for one, other in ((found, expected), (found.passes, expected.passes)):
        for field in fields(one):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            if isinstance(mine, np.ndarray):
                assert mine.dtype == theirs.dtype
                np.testing.assert_array_equal(mine, theirs)
            elif field.name != "passes":
                assert mine == theirs
                assert type(mine) is type(theirs)


@pytest.mark.parametrize("finished", [False, True])
def test_traces_from_before_there_were_hashes_of_texts_are_given_them(
    finished: bool, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, *PROMPTS)
    if finished:
        folder.finish()
    path = tmp_path / MANIFEST_NAME
    document = json.loads(path.read_text("utf-8"))
    del document["text_hashes"]
    path.write_text(json.dumps(document), "utf-8")
    assert read_manifest(tmp_path).text_hashes == ()
    hashes = tuple("ab" for _ in PROMPTS)
    folder = TraceFolder(tmp_path, manifest_of(*PROMPTS, text_hashes=hashes))
    folder.open()
    folder.finish()
    assert read_manifest(tmp_path).text_hashes == hashes
    assert len(read_traces(tmp_path)) == len(PROMPTS) * len(KINDS)


def test_a_table_holds_every_field() -> None:
    traces = [trace_of(kind, seed, PROMPTS[1]) for kind in DRAFTERS for seed in ENDING]
    overlap = np.linspace(0, 1, traces[0].output_len).astype(np.float32)
    traces.append(replace(traces[0], overlap=overlap))
    traces.append(trace_of("model", 0, PROMPTS[0], sampling=Sampling(ignore_eos=True)))
    found = from_table(to_table(traces), "memory")
    for mine, theirs in zip(found, traces, strict=True):
        assert_same(mine, theirs)
    assert found[-1].ending_tokens == ()
    assert found[-2].overlap is not None
    assert {trace.drafter_context_len for trace in found} == {20, 4096, None}


def test_a_folder_holds_all_prompts_in_their_order(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, *reversed(PROMPTS))
    folder.finish()
    found = read_traces(tmp_path)
    expected = [trace for prompt in PROMPTS for trace in traces_of(prompt)]
    for mine, theirs in zip(found, expected, strict=True):
        assert_same(mine, theirs)
        PreparedTrace(mine)
    manifest = read_manifest(tmp_path)
    assert manifest.traces_sha256 == file_sha256(tmp_path / FILE_NAME)
    assert replace(manifest, traces_sha256=None).to_json() == manifest_of(*PROMPTS).to_json()
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST_NAME, FILE_NAME]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, PROMPTS[1])
    expected = [f"0/{prompt}" for prompt in (PROMPTS[0], PROMPTS[2])]
    assert folder.missing() == expected
    again = folder_with(tmp_path)
    assert again.missing() == expected
    for prompt in (PROMPTS[0], PROMPTS[2]):
        again.write(traces_of(prompt))
    assert again.missing() == []
    again.finish()
    assert len(read_traces(tmp_path)) == 2 * len(PROMPTS)
    last = folder_with(tmp_path)
    assert last.missing() == []
    last.finish()
    assert len(read_traces(tmp_path)) == 2 * len(PROMPTS)


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path)

    def half(table: Any, path: Path) -> None:
        path.write_bytes(b"PAR1")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trace_files, "write_table", half)
        with pytest.raises(OutputError, match="No space left on device"):
            folder.write(traces_of(PROMPTS[0]))
    assert len(folder.missing()) == len(PROMPTS)
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_run_killed_while_it_finishes_can_finish_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, *PROMPTS)

    def killed(self: TraceFolder, manifest: TraceManifest) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TraceFolder, "_write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.finish()
    with pytest.raises(ConfigError, match="must be finished to be read"):
        read_traces(tmp_path)
    folder_with(tmp_path).finish()
    assert len(read_traces(tmp_path)) == 2 * len(PROMPTS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"engine": "hf"}, "engine must stay 'toy' to go on with the traces in "),
        (
            {"settings": {"max_draft_len": 9, "ending_tokens": [11]}},
            "max_draft_len must stay 8 to go on with the traces in ",
        ),
        ({"settings": {"max_draft_len": 8}}, "ending_tokens must stay [11] to go on with"),
        (
            {"settings": {"max_draft_len": 8, "ending_tokens": [11], "seed": 1}},
            "seed must stay None to go on with",
        ),
        ({"prompts_sha256": "0"}, "prompts must stay the same to go on with the traces in "),
        ({"prompt_ids": ("a", "b")}, "prompts must stay the same to go on with the traces in "),
    ],
)
def test_traces_made_otherwise_are_not_mixed(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder_with(tmp_path)
    with pytest.raises(ConfigError) as caught:
        TraceFolder(tmp_path, manifest_of(*PROMPTS, **changes)).open()
    assert str(caught.value).startswith(sentence)


def test_traces_must_be_the_manifests(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, wanted=PROMPTS[:1])
    for traces in ([], traces_of(PROMPTS[1]), [*traces_of(PROMPTS[0]), *traces_of(PROMPTS[1])]):
        with pytest.raises(ConfigError, match="traces must be those of one prompt of the manifest"):
            folder.write(traces)
    with pytest.raises(ConfigError, match="prompts must be recorded before traces are finished"):
        folder.finish()
    with pytest.raises(ConfigError, match="prompt_ids must be at least one, once each"):
        manifest_of(PROMPTS[0], PROMPTS[0])


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here", "utf-8")
    with pytest.raises(OutputError, match="Traces must go to a folder that can be written"):
        TraceFolder(tmp_path / "file" / "inside", manifest_of(*PROMPTS)).open()


def finished(path: Path) -> Path:
    folder_with(path, PROMPTS[0], wanted=PROMPTS[:1]).finish()
    return path


class TestReading:
    def test_unfinished(self, tmp_path: Path) -> None:
        folder_with(tmp_path, PROMPTS[1])
        with pytest.raises(ConfigError) as caught:
            read_traces(tmp_path)
        assert str(caught.value) == (
            f"Traces must be finished to be read: 2 of 3 prompts of {str(tmp_path)!r} are still "
            "to be recorded, or to be put together."
        )

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="Traces must have a readable manifest, got"):
            read_traces(tmp_path)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("{", "Traces must have a readable manifest"),
            ("[]", "must be 1, got None"),
            ('{"schema": 2}', "must be 1, got 2"),
            ('{"schema": 1, "engine": "toy"}', "must be made of models, engine, settings"),
        ],
    )
    def test_another_manifest(self, content: str, sentence: str, tmp_path: Path) -> None:
        (finished(tmp_path) / MANIFEST_NAME).write_text(content, "utf-8")
        with pytest.raises(ConfigError, match=sentence):
            read_traces(tmp_path)

    def test_a_manifest_with_fields_of_another_kind(self, tmp_path: Path) -> None:
        path = finished(tmp_path) / MANIFEST_NAME
        document = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(document | {"prompt_ids": "all"}), "utf-8")
        with pytest.raises(ConfigError, match="must be made of models"):
            read_traces(tmp_path)

    @pytest.mark.parametrize("change", ["cut", "gone", "other"])
    def test_another_file(self, change: str, tmp_path: Path) -> None:
        path = finished(tmp_path) / FILE_NAME
        if change == "cut":
            path.write_bytes(path.read_bytes()[:-7])
        elif change == "gone":
            path.unlink()
        else:
            write_table(to_table(traces_of(PROMPTS[1])), path)
        with pytest.raises(ConfigError, match=r"must be the file whose sha256 traces\.json"):
            read_traces(tmp_path)

    def test_no_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "part"
        for content in (None, b"", b"PAR1 and nothing else PAR1"):
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(ConfigError) as caught:
                read_table(path)
            assert str(caught.value).startswith("Traces must be a whole Parquet file, got ")
            assert "\n" not in str(caught.value)

    def test_another_table(self, tmp_path: Path) -> None:
        foreign = pa.table({"text": ["a"], "label": [1]})
        write_table(foreign, tmp_path / "foreign")
        with pytest.raises(ConfigError) as caught:
            from_table(read_table(tmp_path / "foreign"), "foreign")
        assert str(caught.value) == (
            "Traces must be a table with the columns of version 1, got 'foreign' with text, label."
        )

    def test_a_table_of_another_version(self) -> None:
        table = to_table(traces_of(PROMPTS[0]))
        other = table.replace_schema_metadata({"smart_speed.traces": "2"})
        with pytest.raises(ConfigError, match="Traces must be a table with the columns of version"):
            from_table(other, "other")

    @pytest.mark.parametrize("name", ["own_lens", "tokens", "pass_tokens"])
    def test_columns_that_do_not_fit_together(self, name: str) -> None:
        table = to_table(traces_of(PROMPTS[0]))
        at = table.schema.get_field_index(name)
        column = table.column(name)
        short = pa.array([row.as_py()[:-1] for row in column], type=column.type)
        broken = table.set_column(at, table.schema.field(at), short)
        with pytest.raises(ConfigError, match="Columns of traces must fit together"):
            from_table(broken, "broken")


def test_pyarrow_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError) as caught:
        to_table(traces_of(PROMPTS[0]))
    assert str(caught.value) == (
        "Traces in files need the module pyarrow, which is not installed: run "
        "`pip install 'smart-speed[traces]'`."
    )


def test_the_hash_of_prompts_changes_with_any() -> None:
    prompts: list[tuple[str, Any]] = [("a", "x"), ("b", [1, 2]), ("c", [{"role": "user"}])]
    others = [prompts[:2], prompts[::-1], [("a", "y"), *prompts[1:]], [("d", "x"), *prompts[1:]]]
    hashes = {prompts_sha256(each) for each in [prompts, *others]}
    assert len(hashes) == 5
