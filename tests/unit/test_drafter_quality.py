"""A drafter's report: tasks count the same, positions fall into bins, JSON has no NaN."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, VocabularyError
from smart_speed.training.drafter_quality import judge_drafter, summarise
from smart_speed.training.drafter_scores import AnswerScores, VerifiedAnswer

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]


def scores_of(task: str, agrees: str, **given: Any) -> AnswerScores:
    """Build scores from a word: "1" where the models agree."""
    bits = np.array([letter == "1" for letter in agrees])
    values: dict[str, Any] = {
        "overlap": np.full(len(bits), 0.5),
        "entropy_nats": np.zeros(len(bits)),
        "covered": np.ones(len(bits), dtype=bool),
        "greedy": np.ones(len(bits), dtype=bool),
        "num_4grams": max(len(bits) - 3, 0),
        "num_repeated_4grams": 0,
    }
    return AnswerScores(task=task, agrees=bits, **values | given)


def test_shares_are_of_positions_and_tasks_count_the_same() -> None:
    quality = summarise(
        [
            scores_of("a", "1111", covered=np.array([True, True, True, False])),
            scores_of("a", "00", greedy=np.array([False, True])),
            scores_of("b", "0"),
            scores_of("b", "0"),
        ]
    )
    a, b = quality.tasks["a"], quality.tasks["b"]
    assert (a.agreement.value, b.agreement.value) == (4 / 6, 0)
    assert (a.num_prompts, a.num_positions) == (2, 6)
    assert (a.coverage, a.greedy_share) == (5 / 6, 5 / 6)
    assert quality.mean.agreement.value == pytest.approx(1 / 3)
    assert quality.mean.coverage == pytest.approx(11 / 12)
    assert (quality.mean.num_prompts, quality.mean.num_positions) == (4, 8)
    assert (a.agreement.low, a.agreement.high) == (0, 1)
    assert tuple(quality.mean.overlap) == (0.5, 0.5, 0.5)


def test_repeats_are_a_share_of_4grams() -> None:
    quality = summarise(
        [
            scores_of("a", "1" * 13, num_repeated_4grams=4),
            scores_of("a", "11"),  # too short for one
        ]
    )
    assert quality.mean.repeated_4gram_share == 0.4


def test_a_bin_holds_its_lower_edge() -> None:
    entropies = np.array([0, 0.25, 0.49, 0.5, 1.0, 1.9, 2.0, 3.0, 9.0])
    overlap = np.arange(9) / 10
    bins = summarise(
        [scores_of("a", "101010101", entropy_nats=entropies, overlap=overlap)]
    ).calibration
    assert [each.num_positions for each in bins] == [1, 2, 1, 2, 1, 2]
    assert [each.agreement for each in bins] == [1, 0.5, 0, 0.5, 1, 0.5]
    assert [each.overlap for each in bins] == pytest.approx([0, 0.15, 0.3, 0.45, 0.6, 0.75])
    assert (bins[0].low_nats, bins[-1].high_nats) == (0, float("inf"))


def test_json_says_null_where_nothing_is_known() -> None:
    document = summarise([scores_of("a", "1")]).to_json()
    text = json.dumps(document, allow_nan=False)
    task = document["tasks"]["a"]
    assert task["agreement"] == {"value": 1.0, "low": None, "high": None}
    assert task["repeated_4gram_share"] is None
    assert document["calibration"][1] == {
        "low_nats": 0.25, "high_nats": 0.5, "num_positions": 0, "agreement": None, "overlap": None,
    }  # fmt: skip
    assert set(json.loads(text)) == {"tasks", "mean", "calibration"}


def test_models_are_paired_and_judged(random_pair: Pair) -> None:
    verifier, drafter = random_pair()
    answers = [
        VerifiedAnswer(task=task, prompt=[1], answer=[2, 3, 4])
        for task in ("first", "second", "first")
    ]
    seen: list[tuple[int, int]] = []
    quality = judge_drafter(
        verifier, drafter, answers, progress=lambda done, total: seen.append((done, total))
    )
    assert list(quality.tasks) == ["first", "second"]
    assert quality.mean.num_positions == 9
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_models_of_other_vocabularies_are_refused(
    random_pair: Pair, scripted: Callable[..., LoadedModel]
) -> None:
    answer = VerifiedAnswer(task="", prompt=[1], answer=[2])
    with pytest.raises(VocabularyError):
        judge_drafter(random_pair()[0], scripted({"x": "y", "y": "x", ".": "x"}), [answer])


def test_nothing_to_judge_is_refused(random_pair: Pair) -> None:
    with pytest.raises(ConfigError, match="answers must be at least one"):
        judge_drafter(*random_pair(), [])
