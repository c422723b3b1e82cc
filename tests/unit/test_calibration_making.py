"""A profile from traces and costs: whole, readable, and honest about what it was learned on."""

import json
from functools import cache
from pathlib import Path

import pytest

from smart_speed.calibration.making import FEATURE_SETS, MadeFor, make_profile
from smart_speed.calibration.search import GRIDS
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.profiles import Profile, read_profile
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from smart_speed.tracing.traces import ENTROPY_TYPES
from tests.unit.planted import few_settings, planted_trace, toy_texts
from tests.unit.traced import LONGEST, costs_of

MADE_FOR = MadeFor(
    verifier={"name": "toy", "id": "a"},
    drafter={"name": "model", "id": "b"},
    engine="toy",
    sampling={"temperature": 0.0},
    machine={"processor": "test"},
    version="0",
)
COSTS = costs_of(0.1)
TEXTS = toy_texts()[:3]
SEEN: list[tuple[int, int, str]] = []


@cache
def made() -> Profile:
    with few_settings():
        return make_profile(
            TEXTS,
            COSTS,
            MADE_FOR,
            text_hashes={each.trace.prompt_id: "aa" for each in TEXTS[1:]},
            progress=lambda *step: SEEN.append(step),
        )


@pytest.mark.slow
def test_a_profile_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profile.json"
    made().write(path)
    found = read_profile(path)
    assert found.to_json() == json.loads(json.dumps(made().to_json()))
    assert EntropyConfig.from_dict(found.config) == EntropyConfig.from_dict(made().config)


def test_its_calibration_decodes_as_predicted() -> None:
    config = EntropyConfig.from_dict(made().config)
    assert config.strategy == "calibrated"
    assert config.draft_cap == LONGEST
    assert config.calibration is not None
    seconds = sum(COSTS.seconds(replay(each, config)) for each in TEXTS)
    rate = sum(each.output_len for each in TEXTS) / seconds
    assert rate == pytest.approx(config.calibration.rate, rel=0.01)
    (speed,) = made().learned["predicted"]["calibrated"]["speed_by_task"].values()
    plain_s = sum(COSTS.seconds(replay(each, EntropyConfig(strategy="plain"))) for each in TEXTS)
    assert speed == pytest.approx(plain_s / seconds)


def test_every_strategy_has_settings_and_figures() -> None:
    predicted = made().learned["predicted"]
    for strategy in GRIDS:
        config = EntropyConfig.from_dict(made().settings_of(strategy))
        assert config.strategy == strategy
        assert config.draft_cap <= LONGEST
        if strategy != "fixed":
            assert f"{strategy}, learned" in predicted
    assert {"plain", "calibrated", "oracle", "svip, learned"} <= set(predicted)
    chosen = made().config["calibration"]
    assert made().settings_of("specdec_pp")["calibration"] == chosen
    assert "calibration" not in made().learned["strategies"]["specdec_pp"]["settings"]
    speeds = {name: row["speed"]["value"] for name, row in predicted.items()}
    assert max(speeds, key=lambda name: speeds[name]) == "oracle"
    assert speeds["plain"] == 1
    (fixed,) = (name for name in predicted if name.startswith("best fixed"))
    assert predicted[fixed]["share"]["value"] == pytest.approx(0)
    assert predicted["oracle"]["share"]["value"] == pytest.approx(1)
    learned = made().learned["strategies"]["absolute"]
    curve = dict(map(tuple, learned["curves"]["theta_abs"]))
    assert curve[learned["settings"]["theta_abs"]] == learned["rate"]


def test_it_says_what_it_was_learned_on() -> None:
    split = made().learned["split"]
    assert split["prompt_ids"] == [each.trace.prompt_id for each in TEXTS]
    assert split["text_hashes"] == ["aa"] * (len(TEXTS) - 1)
    assert split["num_by_task"] == {"toy": len(TEXTS)}
    assert split["num_tokens"] == sum(each.output_len for each in TEXTS)
    assert made().learned["measured"] == {"costs": COSTS.to_json()}
    assert (made().verifier, made().engine) == (MADE_FOR.verifier, "toy")


def test_the_entropy_is_one_that_was_compared() -> None:
    fit = made().learned["fit"]
    assert set(fit["by_entropy_type"]) == set(ENTROPY_TYPES)
    assert set(fit["by_features"]) == set(FEATURE_SETS)
    assert fit["entropy_type"] == made().config["entropy_type"]
    losses = {kind: each["log_loss"] for kind, each in fit["by_entropy_type"].items()}
    assert losses[fit["entropy_type"]] <= losses["shannon"]
    assert sum(count for _, _, count in fit["reliability"]) == made().learned["split"]["num_tokens"]


def test_another_entropy_is_taken_where_it_knows_more() -> None:
    """Rényi's entropy is what decides in these texts, Shannon's never changes."""
    right = [at % 3 != 0 for at in range(60)]
    texts = []
    for number in range(4):
        trace = planted_trace(right, prompt_id=str(number), max_draft_len=2)
        roots = trace.roots()
        trace.passes.renyi_nats[:] = 3.0
        trace.passes.renyi_nats[roots[right]] = 0.1
        texts.append(PreparedTrace(trace))
    with few_settings("fixed"):
        profile = make_profile(texts, COSTS, MADE_FOR)
    assert profile.config["entropy_type"] == "renyi"
    config = EntropyConfig.from_dict(profile.config)
    assert (config.entropy_type, config.draft_cap) == ("renyi", 2)


def test_progress_names_each_step() -> None:
    made()
    steps = [name for _, _, name in SEEN]
    assert steps == ["model of acceptance", *GRIDS, "predictions"]
    assert [done for done, _, _ in SEEN] == list(range(len(steps)))
    assert {total for _, total, _ in SEEN} == {len(steps)}


def test_too_little_is_refused() -> None:
    with pytest.raises(ConfigError, match="traces must be 100 positions or more, got 48"):
        make_profile(TEXTS[:1], COSTS, MADE_FOR)
    long = PreparedTrace(planted_trace([at % 2 == 0 for at in range(120)]))
    with pytest.raises(ConfigError, match="traces must be those of two texts or more, got 1"):
        make_profile([long], COSTS, MADE_FOR)
    with pytest.raises(ConfigError, match="traces must be 100 positions or more, got 0"):
        make_profile([], COSTS, MADE_FOR)
