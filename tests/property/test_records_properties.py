"""Records survive their JSON line, and refuse what is none of theirs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.errors import ConfigError
from smart_speed.records import SCHEMA, RoundRecord, SequenceRecord

SECONDS = st.floats(0, 1e6)


@st.composite
def rounds(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a round that keeps its invariants."""
    draft_len = draw(st.integers(0, 4))
    accepted_len = draw(st.integers(0, draft_len))
    law = st.tuples(st.floats(0, 12), st.floats(0, 1))
    laws = draw(st.lists(law, min_size=draft_len, max_size=draft_len + 1))
    return {
        "context_len": draw(st.integers(1, 10**6)),
        "entropies_nats": tuple(entropy for entropy, _ in laws),
        "top_probs": tuple(prob for _, prob in laws),
        "draft_len": draft_len,
        "accepted_len": accepted_len,
        "emitted_len": draw(st.integers(1, accepted_len + 1)),
        "stop_reason": draw(st.sampled_from(["absolute", "max_draft_len", "budget", "eos"])),
        **{
            name: draw(SECONDS)
            for name in ("drafter_s", "entropy_s", "strategy_s", "verifier_s", "round_s")
        },
    }


SEQUENCES = st.fixed_dictionaries(
    {
        "condition": st.text(),
        "prompt_id": st.text(),
        "seed": st.integers(0, 2**63),
        "status": st.sampled_from(["ok", "error"]),
        "lossless": st.booleans(),
        "engine": st.text(),
        "prompt_len": st.integers(0, 10**6),
        "reused_len": st.integers(0, 10**6),
        "output_len": st.integers(0, 10**6),
        "finish_reason": st.sampled_from(["eos", "stop", "length", "context", "interrupted", None]),
        "prefill_s": SECONDS,
        "decode_s": SECONDS,
        "rounds": st.lists(rounds(), max_size=3),
        "error": st.none() | st.text(),
    }
)


def record_of(fields: dict[str, Any]) -> SequenceRecord:
    return SequenceRecord(**fields | {"rounds": tuple(RoundRecord(**r) for r in fields["rounds"])})


@pytest.fixture
def document() -> dict[str, Any]:
    """A sequence of one round, as JSON values."""
    one_round = {
        "context_len": 5,
        "entropies_nats": [0.5, 1.5],
        "top_probs": [0.75, 0.25],
        "draft_len": 1,
        "accepted_len": 1,
        "emitted_len": 2,
        "stop_reason": "absolute",
        "drafter_s": 0.1,
        "entropy_s": 0.01,
        "strategy_s": 0.02,
        "verifier_s": 0.3,
        "round_s": 0.5,
    }
    return {
        "schema": SCHEMA,
        "condition": "absolute",
        "prompt_id": "math/01",
        "seed": 3,
        "status": "ok",
        "lossless": True,
        "engine": "toy",
        "prompt_len": 5,
        "reused_len": 0,
        "output_len": 2,
        "finish_reason": "length",
        "prefill_s": 0.2,
        "decode_s": 0.6,
        "error": None,
        "rounds": {name: [value] for name, value in one_round.items()},
    }


def read(document: dict[str, Any]) -> SequenceRecord:
    return SequenceRecord.from_json(json.loads(json.dumps(document)))


@given(fields=SEQUENCES)
def test_a_record_survives_its_line(fields: dict[str, Any]) -> None:
    record = record_of(fields)
    line = record.to_line()
    assert "\n" not in line
    assert SequenceRecord.from_json(json.loads(line)) == record


def test_a_line_holds_rounds_as_columns(document: dict[str, Any]) -> None:
    assert json.loads(read(document).to_line()) == document


def test_reading_leaves_the_document_alone(document: dict[str, Any]) -> None:
    before = json.dumps(document)
    SequenceRecord.from_json(document)
    assert json.dumps(document) == before
    assert document["rounds"]["entropies_nats"] == [[0.5, 1.5]]


@pytest.mark.parametrize("schema", [None, 0, SCHEMA + 1, str(SCHEMA)])
def test_another_schema_is_refused(document: dict[str, Any], schema: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read(document | {"schema": schema})
    assert str(caught.value) == f"schema of a record must be {SCHEMA}, got {schema!r}."


def test_no_schema_is_refused(document: dict[str, Any]) -> None:
    del document["schema"]
    with pytest.raises(ConfigError, match=r"^schema of a record must be 1, got None\.$"):
        read(document)


ONE_SENTENCE = r"^A record must hold exactly the fields written here: [^\n]+\.$"


@pytest.mark.parametrize("name", ["condition", "seed", "finish_reason", "decode_s", "rounds"])
def test_a_missing_field_is_refused_by_name(document: dict[str, Any], name: str) -> None:
    del document[name]
    with pytest.raises(ConfigError, match=ONE_SENTENCE) as caught:
        read(document)
    assert f"'{name}'" in str(caught.value)


@pytest.mark.parametrize("name", ["entropies_nats", "draft_len", "round_s"])
def test_a_missing_column_is_refused_by_name(document: dict[str, Any], name: str) -> None:
    del document["rounds"][name]
    with pytest.raises(ConfigError, match=ONE_SENTENCE) as caught:
        read(document)
    assert f"'{name}'" in str(caught.value)


def test_an_unknown_field_is_refused_by_name(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=ONE_SENTENCE) as caught:
        read(document | {"tokens_per_s": 12.5})
    assert "'tokens_per_s'" in str(caught.value)


def test_an_unknown_column_is_refused_by_name(document: dict[str, Any]) -> None:
    document["rounds"]["tokens_per_s"] = [12.5]
    with pytest.raises(ConfigError, match=ONE_SENTENCE) as caught:
        read(document)
    assert "tokens_per_s" in str(caught.value)


def test_columns_of_different_lengths_are_refused(document: dict[str, Any]) -> None:
    document["rounds"]["draft_len"].append(1)
    with pytest.raises(ConfigError, match=ONE_SENTENCE):
        read(document)


@pytest.mark.parametrize(
    "broken",
    [
        {"accepted_len": 2},  # more than was drafted
        {"accepted_len": -1},
        {"draft_len": 3},  # more than laws were measured
        {"top_probs": (0.5,)},  # of another number of laws
        {"emitted_len": 0},
        {"emitted_len": 3},  # more than accepted and one
    ],
    ids=str,
)
def test_a_round_that_cannot_be_is_refused(
    document: dict[str, Any], broken: dict[str, int]
) -> None:
    fields = {name: column[0] for name, column in document["rounds"].items()}
    for name in ("entropies_nats", "top_probs"):
        fields[name] = tuple(fields[name])
    RoundRecord(**fields)
    with pytest.raises(AssertionError):
        RoundRecord(**fields | broken)
