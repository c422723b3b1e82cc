"""A run of ten lines, whose figures were worked on paper: they agree to the last digit.

Ten lines: plain decoding, drafts of two tokens and an entropy threshold, each on two prompts of
code and one of mathematics, and a second one of mathematics that failed.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from smart_speed.evaluation import evaluate_run

RUN = Path(__file__).parent / "run"
UNKNOWN = {"value": None, "low": None, "high": None}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return evaluate_run(RUN)


@pytest.fixture(scope="module")
def absolute(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["conditions"]["absolute"]
    return found


def of(above: float, below: float = 1) -> float:
    return float(Fraction(above) / Fraction(below))


def test_prompts_that_all_conditions_answered_are_compared(document: dict[str, Any]) -> None:
    run = document["run"]
    assert (run["num_prompts_evaluated"], run["num_prompts"]) == (3, 4)
    # Three conditions of four prompts; math/2 has only one answer, and that one failed.
    assert (run["num_answers"], run["num_answers_planned"], run["complete"]) == (9, 12, False)
    assert document["tasks"] == ["code", "math"]
    assert run["baselines"] == {"plain": "plain", "fixed_best": "fixed-best"}
    assert (run["machine"], run["peak_memory_bytes"]) == ("m1", 2000)


def test_failures(document: dict[str, Any]) -> None:
    assert document["failures"] == {
        "num_failed": 1,
        "answers": [
            {
                "condition": "absolute",
                "prompt_id": "math/2",
                "turn": 0,
                "repeat": 0,
                "task": "math",
                "error": "The drafter's logits hold NaN.",
            }
        ],
    }
    failed = {name: each["num_failed"] for name, each in document["conditions"].items()}
    assert failed == {"plain": 0, "fixed-best": 0, "absolute": 1}


def test_rates_of_time(absolute: dict[str, Any]) -> None:
    overall = absolute["overall"]
    # Nine tokens in rounds of .5 + .5, .5 + 1 and .5 + .5 seconds.
    assert (overall["num_tokens"], overall["decode_s"], overall["prefill_s"]) == (9, 3.5, 0.75)
    assert overall["tokens_per_decode_s"] == of(18, 7)
    assert overall["time_per_output_token_s"] == of(7, 18)
    shares = {
        "drafter": of(3, 14),  # .125 + .125 + .125 + .25 + .125
        "verifier": of(15, 28),  # .125 + .25 + .25 + .5 + .25 + .5
        "entropy": of(1, 28),
        "strategy": of(1, 56),
        "overhead": of(1, 4),  # (3.5 - .75 - 1.875) / 3.5
    }
    assert overall["time_shares"] == shares


def test_latency(absolute: dict[str, Any]) -> None:
    latency = absolute["overall"]["latency"]
    assert latency["time_to_first_token_s"] == {"p50": 0.75, "p90": 0.75, "p99": 0.75}
    # Sorted: five of .5 and one of 1; 90 % lie half-way between the fifth and the sixth.
    rounds = {"p50": 0.5, "p90": 0.75, "p99": pytest.approx(0.975, rel=1e-15)}
    assert latency["round_s"] == rounds
    # 1, 1, 1.5: 90 % lie .8 of the way between the second and the third, 99 % .98 of it.
    assert latency["sequence_s"] == {"p50": 1.0, "p90": 1.4, "p99": 1.49}


def test_speed_over_plain(document: dict[str, Any], absolute: dict[str, Any]) -> None:
    # Code: 7 tokens in 2.5 s where plain took 7 s; its prompts alone 4/1 and 3/1.5. The extremes
    # are drawn once in four times, so they are the ends.
    code = absolute["by_task"]["code"]["speedup_over_plain"]
    assert code == {"value": of(14, 5), "low": 2.0, "high": 4.0}
    assert absolute["by_task"]["math"]["speedup_over_plain"] == {**UNKNOWN, "value": 2.0}
    # One prompt of a task tells no spread.
    overall = absolute["overall"]
    assert overall["speedup_over_plain"] == {**UNKNOWN, "value": of(12, 5)}
    pooled = {"value": of(18, 7), "low": 2.0, "high": 4.0}
    assert overall["pooled_speedup_over_plain"] == pooled
    plain = document["conditions"]["plain"]["overall"]
    assert plain["pooled_speedup_over_plain"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    fixed = document["conditions"]["fixed-best"]
    assert fixed["overall"]["speedup_over_plain"]["value"] == of(17, 10)  # 7/5 and 2


def test_speed_over_the_best_fixed_length(absolute: dict[str, Any]) -> None:
    code = absolute["by_task"]["code"]["speedup_over_fixed_best"]
    assert code == {"value": 2.0, "low": 2.0, "high": 2.0}  # 2/1 and 3/1.5
    assert absolute["by_task"]["math"]["speedup_over_fixed_best"]["value"] == 1.0
    overall = absolute["overall"]
    assert overall["speedup_over_fixed_best"] == {**UNKNOWN, "value": 1.5}
    pooled = overall["pooled_speedup_over_fixed_best"]
    assert pooled == {"value": of(12, 7), "low": 1.0, "high": 2.0}


def test_drafting(absolute: dict[str, Any]) -> None:
    overall = absolute["overall"]
    # Rounds propose 2, 1, 0, 2, 1, 0 and have 1, 1, 0, 1, 0, 0 accepted, after 3, 1, 1, 2, 2, 0
    # drafter passes.
    assert overall["num_rounds"] == 6
    assert overall["acceptance_rate"] == of(1, 2)
    assert overall["mean_emitted_len"] == of(3, 2)
    assert overall["mean_draft_len"] == 1.0
    assert overall["empty_draft_share"] == of(1, 3)
    assert overall["draft_lens"] == [2, 2, 2]
    assert overall["drafter_passes_per_token"] == 1.0
    wasted = {"num_passes": 9, "num_unproposed": 3, "num_rejected": 3, "share": of(2, 3)}
    assert overall["wasted_passes"] == wasted
    assert overall["stop_reasons"] == {"absolute": 3, "budget": 3}


def test_acceptance_by_position(document: dict[str, Any], absolute: dict[str, Any]) -> None:
    assert absolute["overall"]["acceptance_by_position"] == [
        {"position": 0, "num_tested": 4, "num_accepted": 3, "share": of(3, 4)},
        {"position": 1, "num_tested": 2, "num_accepted": 0, "share": 0.0},
    ]
    # Of code/2 the first is rejected, so the second is not tested.
    fixed = document["conditions"]["fixed-best"]["overall"]
    assert fixed["acceptance_by_position"] == [
        {"position": 0, "num_tested": 4, "num_accepted": 3, "share": of(3, 4)},
        {"position": 1, "num_tested": 2, "num_accepted": 2, "share": 1.0},
    ]
    plain = document["conditions"]["plain"]["overall"]
    assert plain["acceptance_by_position"] == []
    assert plain["acceptance_rate"] is None


def test_entropy_and_acceptance(absolute: dict[str, Any]) -> None:
    found = absolute["overall"]["entropy_acceptance"]
    # Accepted at .1, .2, .3 nats, rejected at .2, .6, .9. Of nine pairs seven are in order, and
    # one is a tie.
    assert (found["num_tested"], found["num_accepted"]) == (6, 3)
    assert found["auc"]["value"] == of(5, 6)
    # Means .2 and 1.7/3, a variance of 2.81/36, and half of the tokens accepted.
    biserial = -1.1 / math.sqrt(2.81)
    assert found["point_biserial"]["value"] == pytest.approx(biserial, rel=1e-14)
    # Ranks 1, 2.5, 4 and 2.5, 5, 6: means 2.5 and 4.5, a variance of 17/6.
    spearman = -math.sqrt(6 / 17)
    assert found["spearman"]["value"] == pytest.approx(spearman, rel=1e-14)
    assert [(each["num_tested"], each["num_accepted"]) for each in found["bins"]] == [
        (3, 2), (1, 1), (2, 0), (0, 0), (0, 0), (0, 0),
    ]  # fmt: skip
    assert found["bins"][0]["share"] == of(2, 3)
    assert found["bins"][-1]["high"] is None


def test_reliability(absolute: dict[str, Any]) -> None:
    found = absolute["overall"]["top_prob_reliability"]
    # Accepted at .9, .95 and .9 (one bin, mean 11/12), rejected at .7, .5 and .6.
    rows = [
        (each["low"], each["num_tested"], each["num_accepted"])
        for each in found["bins"]
        if each["num_tested"]
    ]
    assert rows == [(0.5, 1, 0), (0.6, 1, 0), (0.7, 1, 0), (0.9, 3, 3)]
    error = (0.7 + 0.5 + 0.6 + 3 * (1 - 11 / 12)) / 6
    assert found["calibration_error"] == pytest.approx(error, rel=1e-14)


def test_identity(document: dict[str, Any]) -> None:
    found = document["identity"]
    assert (found["baseline"], found["compared"], found["reason"]) == ("plain", True, None)
    assert found["conditions"]["fixed-best"] == {
        "num_compared": 3, "num_same": 3, "num_left_out": 0, "differences": [],
    }  # fmt: skip
    # Plain decoding ends math/1 with token 2, this condition with token 3.
    assert found["conditions"]["absolute"] == {
        "num_compared": 3,
        "num_same": 2,
        "num_left_out": 0,
        "differences": [
            {
                "prompt_id": "math/1",
                "task": "math",
                "turn": 0,
                "repeat": 0,
                "position": 1,
                "tokens": [2, 3],
            },
        ],
    }


def test_repetition(absolute: dict[str, Any]) -> None:
    repeated = {"num_4grams": 1, "num_repeated": 0, "share": 0.0}
    assert absolute["overall"]["repetition"] == repeated
    none = {"num_4grams": 0, "num_repeated": 0, "share": None}
    assert absolute["by_task"]["math"]["repetition"] == none
