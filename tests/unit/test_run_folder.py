"""A run in files: what is written is read back, and nothing is lost, doubled or half there."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smart_speed.errors import ConfigError, OutputError
from smart_speed.loaded_run import load_run
from smart_speed.records import SequenceRecord
from smart_speed.run_folder import (
    ANSWERS_NAME,
    MANIFEST_NAME,
    PARTINGS_NAME,
    Answer,
    AnswerKey,
    AnswerLog,
    ConditionInfo,
    Parting,
    Place,
    PromptInfo,
    RunManifest,
    read_answers,
    read_manifest,
    read_partings,
    write_manifest,
    write_partings,
)


def manifest(**more: Any) -> RunManifest:
    values: dict[str, Any] = {
        "name": "a run",
        "config": {"num_samples": 1},
        "conditions": {"plain": ConditionInfo(role="plain", config={"strategy": "plain"})},
        "prompts": (PromptInfo(prompt_id="a/1", task="a", num_turns=2),),
        "calibration_prompt_ids": ("a/2",),
        "repeats": 1,
        "verifier": {"name": "default", "id": "1", "description": "letters"},
        "drafter": {"name": "ngram", "id": "ngram", "description": "ngram"},
        "engine": "toy",
        "sampling": {"temperature": 0.0},
    }
    return RunManifest(**(values | more))


def answer(*, turn: int = 0, status: Any = "ok", tokens: tuple[int, ...] = (1, 2)) -> Answer:
    record = SequenceRecord(
        condition="plain",
        prompt_id="a/1",
        seed=0,
        status=status,
        lossless=True,
        engine="toy",
        prompt_len=3,
        reused_len=0,
        output_len=len(tokens),
        finish_reason="length" if status == "ok" else None,
        prefill_s=0.1,
        decode_s=0.2,
        rounds=(),
        error=None if status == "ok" else "It failed.",
    )
    return Answer(
        record=record,
        prompt_id="a/1",
        task="a",
        turn=turn,
        repeat=0,
        tokens=tokens,
        machine="m",
        peak_memory_bytes=4096,
    )


def test_manifest_comes_back(tmp_path: Path) -> None:
    write_manifest(tmp_path / "run", manifest())
    assert read_manifest(tmp_path / "run") == manifest()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [MANIFEST_NAME]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"schema": 2}, "schema of"), ({"repeats": None, "more": 1}, "made of name, config")],
)
def test_other_manifests_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / MANIFEST_NAME
    path.write_text(json.dumps(manifest().to_json() | change))
    with pytest.raises(ConfigError, match=words):
        read_manifest(tmp_path)


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run the experiment first, or again"):
        load_run(tmp_path)


def test_answer_without_a_number_is_not_written(tmp_path: Path) -> None:
    broken = answer()
    log = AnswerLog(tmp_path)
    with pytest.raises(ValueError, match="JSON compliant"):
        log.add(replace(broken, record=replace(broken.record, decode_s=float("nan"))))
    log.close()
    assert (tmp_path / ANSWERS_NAME).read_bytes() == b""


def test_partings_are_read_back(tmp_path: Path) -> None:
    assert read_partings(tmp_path) == {}
    partings = {
        Place("a/1", 0, 3, 5, 6): Parting(0.25, 0.5, True),
        Place("a/1", 1, 0, 5, None): Parting(None, None, False),
    }
    write_partings(tmp_path, partings)
    assert read_partings(tmp_path) == partings
    (tmp_path / PARTINGS_NAME).write_text('{"schema": 1, "partings": [{"turn": 0}]}')
    with pytest.raises(ConfigError, match="must be a file that an experiment wrote"):
        read_partings(tmp_path)


def test_prompts_that_were_learned_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="others than those that settings were learned on"):
        manifest(calibration_prompt_ids=("a/1",))


def test_answers_come_back(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    log.add(answer())
    log.add(answer(turn=1, tokens=(3,)))
    log.close()
    assert read_answers(tmp_path) == [answer(), answer(turn=1, tokens=(3,))]
    log = AnswerLog(tmp_path)
    log.close()
    assert log.done == {
        AnswerKey("plain", "a/1", 0, 0): (1, 2),
        AnswerKey("plain", "a/1", 1, 0): (3,),
    }


def test_half_written_line_is_read_over_and_cut_off(tmp_path: Path) -> None:
    whole = f"{answer().to_line()}\n"
    (tmp_path / ANSWERS_NAME).write_text(whole + answer(turn=1).to_line()[:50])
    assert read_answers(tmp_path) == [answer()]
    AnswerLog(tmp_path).close()
    assert (tmp_path / ANSWERS_NAME).read_text() == whole


def test_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / ANSWERS_NAME).write_text(f"{answer().to_line()}\n{{}}\n")
    with pytest.raises(ConfigError, match=r"line 2 of .*sequences.jsonl"):
        read_answers(tmp_path)


def test_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ANSWERS_NAME).write_bytes(answer().to_line().encode() + b"\n\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"line 2 of .* must be a line of JSON"):
        read_answers(tmp_path)


def test_failure_is_made_again_and_the_last_stands(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    log.add(answer(status="error", tokens=()))
    assert not log.done
    log.add(answer())
    log.close()
    assert log.done
    assert read_answers(tmp_path) == [answer()]


def test_full_disk_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AnswerLog(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"A run must go to a folder .*No space left"):
        log.add(answer())
    log.close()


def test_file_in_the_way_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="must go to a folder that can be written"):
        write_manifest(tmp_path / "file" / "run", manifest())
    with pytest.raises(OutputError, match="must go to a folder that can be written"):
        AnswerLog(tmp_path / "nowhere")


def test_run_without_calibration_and_traces_loads(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    run = load_run(tmp_path)
    assert (run.answers, run.profile, run.costs, run.texts) == ([], None, None, [])
    assert replace(run.manifest, name="other") != run.manifest
