"""Texts that part from plain decoding's: the verifier judges each place, the report shows it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed import divergence
from smart_speed.evaluation import evaluate_run
from smart_speed.loaded_run import load_run
from smart_speed.reporting.report_document import Table
from smart_speed.reporting.run_findings import find
from smart_speed.reporting.run_sameness import same_text, sameness_blocks
from smart_speed.run_folder import (
    ANSWERS_NAME,
    PARTINGS_NAME,
    AnswerKey,
    Parting,
    Place,
    write_partings,
)
from smart_speed.running import live, partings
from tests.toy_experiments import quiet_runner, toy_config
from tests.unit.report_runs import CONDITIONS, write_run

AT = 2


@pytest.fixture
def strays(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int, int]]:
    """Conditions, turns and repeats whose answers have another token at one place."""
    found: set[tuple[str, int, int]] = set()
    answer = live.PromptPlayer._answer

    def straying(self: Any, decoder: Any, prompt: Any, said: Any, key: AnswerKey) -> Any:
        result = answer(self, decoder, prompt, said, key)
        if (key.condition, key.turn, key.repeat) not in found:
            return result
        tokens = list(result.tokens)
        tokens[AT] = (tokens[AT] + 1) % 5
        return replace(result, tokens=tuple(tokens))

    monkeypatch.setattr(live.PromptPlayer, "_answer", straying)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """Prompts of the places that the verifier was asked about."""
    prompts: list[Sequence[int]] = []
    judge = divergence.find_divergence

    def seen(model: Any, prompt: Sequence[int], *texts: Any, **about: Any) -> Any:
        prompts.append(prompt)
        return judge(model, prompt, *texts, **about)

    monkeypatch.setattr(partings, "find_divergence", seen)
    return prompts


def test_every_place_is_judged_once(
    tmp_path: Path, strays: set[tuple[str, int, int]], asked: list[Sequence[int]]
) -> None:
    """Catches: repeats that are not compared; a place that is judged once for each condition."""
    strays |= {("svip", 0, 1), ("fixed-4", 0, 0)}
    config = toy_config(tmp_path, num_samples=2, repeats=2, conditions=("plain", "svip", "fixed-4"))
    quiet_runner(config).run_full_experiment()
    found = evaluate_run(config.folder)["identity"]["conditions"]
    for name, repeat in (("svip", 1), ("fixed-4", 0)):
        assert (found[name]["num_compared"], found[name]["num_same"]) == (4, 2)
        assert [each["repeat"] for each in found[name]["differences"]] == [repeat] * 2
    assert (found["plain"]["num_compared"], found["plain"]["num_same"]) == (2, 2)
    judged = load_run(config.folder).partings
    assert [place.position for place in judged] == [AT] * 2
    assert all((each.logit_gap or 0) > 0 and not each.near_tie for each in judged.values())
    assert len(asked) == 2
    quiet_runner(config).run_full_experiment()
    assert len(asked) == 2
    (config.folder / PARTINGS_NAME).unlink()
    quiet_runner(config).run_full_experiment()
    assert load_run(config.folder).partings == judged


def test_turns_are_judged_in_their_conversation(
    tmp_path: Path, strays: set[tuple[str, int, int]], asked: list[Sequence[int]]
) -> None:
    strays.add(("svip", 1, 0))
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"turns": ["the drafter", "reads"]}))
    config = toy_config(
        tmp_path, dataset_name=str(path), max_sequence_length=96, conditions=("plain", "svip")
    )
    quiet_runner(config).run_full_experiment()
    run = load_run(config.folder)
    (record,) = (
        each.record for each in run.answers if each.turn == 1 and each.record.condition == "plain"
    )
    assert [len(prompt) for prompt in asked] == [record.prompt_len]
    ((place, parting),) = run.partings.items()
    assert (place.turn, place.position) == (1, AT)
    assert (parting.logit_gap or 0) > 0


def test_nothing_is_judged_where_raw_logits_do_not_decide(
    tmp_path: Path, strays: set[tuple[str, int, int]], asked: list[Sequence[int]]
) -> None:
    strays.add(("svip", 0, 0))
    config = toy_config(tmp_path, num_samples=1, sampling={"repetition_penalty": 1.3})
    quiet_runner(config).run_full_experiment()
    assert (asked, load_run(config.folder).partings) == ([], {})


def test_report_says_of_each_place_whether_rounding_explains_it(tmp_path: Path) -> None:
    """Catches: a parting that is shown without a word on whether it is a near-tie."""
    names = ("plain", "absolute")
    write_run(tmp_path, conditions={name: CONDITIONS[name] for name in names}, tasks={"verse": 0})
    path = tmp_path / ANSWERS_NAME
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    places: list[Place] = []
    for row in rows[1:8:2]:
        tokens = row["tokens"]
        places.append(Place(row["prompt_id"], 0, AT, tokens[AT], tokens[AT] + 1))
        tokens[AT] += 1
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tie, no_tie = Parting(0.01, 0.02, True), Parting(3.0, 0.02, False)
    write_partings(tmp_path, {places[0]: tie, places[1]: no_tie})
    found = find(tmp_path)
    wide = next(
        each.trace for each in found.run.texts if each.trace.prompt_id == places[2].prompt_id
    )
    agrees = np.ones(wide.output_len, dtype=bool)
    agrees[AT] = False
    texts = [
        type(each)(replace(each.trace, verifier_agrees=agrees)) if each.trace is wide else each
        for each in found.run.texts
    ]
    vars(found.run)["texts"] = texts
    assert same_text(found).endswith(
        "The others part at 4 places, listed below: near-ties of the engine's rounding at 2, "
        "no rounding explains it at 1, not judged at 1."
    )
    (table,) = (
        each
        for each in sameness_blocks(found)
        if isinstance(each, Table) and each.name != "identity"
    )
    shown = {row[0]: list(row[-3:]) for row in table.rows}
    assert shown == {
        places[0].prompt_id: [0.01, 0.02, "near-tie"],
        places[1].prompt_id: [3.0, 0.02, "no near-tie"],
        places[2].prompt_id: [None, None, "near-tie"],
        places[3].prompt_id: [None, None, "unknown"],
    }
