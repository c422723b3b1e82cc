"""Profiles: what is read, what is refused in one sentence; files that are whole or not there."""

import json
from pathlib import Path
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, OutputError
from smart_speed.profiles import Profile, read_profile, sampled_by
from smart_speed.sampling import Sampling
from tests.calibrations import CALIBRATION

CALIBRATED = {"strategy": "calibrated", "calibration": CALIBRATION.to_json()}
PROFILE = Profile(
    config=CALIBRATED,
    verifier={"name": "big", "id": "aa"},
    drafter={"name": "small", "id": "bb"},
    engine="toy",
    sampling=sampled_by(Sampling()),
    learned={"strategies": {"absolute": {"settings": {"strategy": "absolute", "theta_abs": 2.0}}}},
)
MODELS = {"engine": "toy", "verifier": "aa", "drafter": "bb"}


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    PROFILE.write(tmp_path / "deep" / "profile.json")
    found = read_profile(tmp_path / "deep" / "profile.json")
    assert found.to_json() == json.loads(json.dumps(PROFILE.to_json()))
    assert EntropyConfig.from_dict(found.config).calibration == CALIBRATION


def test_one_by_hand_needs_no_more_than_settings(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{"schema": 1, "config": {"strategy": "fixed", "max_draft_len": 3}}', "utf-8")
    found = read_profile(path)
    found.check_models(engine="toy", verifier="any", drafter="any")
    found.check_sampling(Sampling(temperature=0.7))
    assert found == Profile(config={"strategy": "fixed", "max_draft_len": 3})


class TestSettings:
    def test_the_profiles_own_strategy(self) -> None:
        assert PROFILE.settings_of("calibrated") == CALIBRATED

    def test_one_that_was_learned_beside_it(self) -> None:
        assert PROFILE.settings_of("absolute") == {"strategy": "absolute", "theta_abs": 2.0}

    def test_one_that_was_not(self) -> None:
        assert PROFILE.settings_of("window") == {}

    def test_one_that_reads_what_was_learned_of_acceptance(self) -> None:
        config = {**CALIBRATED, "entropy_type": "renyi", "max_draft_len": 8}
        learned = {"strategy": "specdec_pp", "specdec_h": 0.6}
        profile = Profile(
            config=config, learned={"strategies": {"specdec_pp": {"settings": learned}}}
        )
        shared = {"calibration": CALIBRATION.to_json(), "entropy_type": "renyi"}
        assert profile.settings_of("specdec_pp") == {**learned, **shared}
        assert profile.decoding_settings("specdec_pp") == profile.settings_of("specdec_pp")

    def test_a_profile_from_before_there_was_a_rule_still_brings_what_it_reads(self) -> None:
        """Catches: the calibration of "calibrated" lost, or taken for learned settings."""
        assert PROFILE.settings_of("specdec_pp") == {}
        found = PROFILE.decoding_settings("specdec_pp")
        assert found == {"calibration": CALIBRATION.to_json()}
        config = EntropyConfig.from_dict({**found, "strategy": "specdec_pp"})
        assert config.calibration == CALIBRATION
        assert PROFILE.decoding_settings("window") == {}

    def test_settings_that_name_no_strategy_are_for_any(self) -> None:
        assert Profile(config={"max_draft_len": 3}).settings_of("window") == {"max_draft_len": 3}


def test_it_names_what_it_was_learned_on() -> None:
    split = {"prompt_ids": ["a/1"], "text_hashes": ["0f"], "num_tokens": 3}
    assert Profile(learned={"split": split}).learned_on == (("a/1",), ("0f",))
    older = Profile(learned={"split": {"prompt_ids": ["a/1"]}})
    assert (older.learned_on, Profile().learned_on) == ((("a/1",), ()), ((), ()))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"engine": "hf"}, "engine must be 'toy' for this profile, got 'hf'"),
        ({"verifier": "cc"}, "verifier must be the 'big' that this profile was made for (aa), got"),
        ({"drafter": "cc"}, "drafter must be the 'small' that this profile was made for (bb), got"),
    ],
)
def test_other_models_are_refused(change: dict[str, str], sentence: str) -> None:
    PROFILE.check_models(**MODELS)
    with pytest.raises(ConfigError) as caught:
        PROFILE.check_models(**(MODELS | change))
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.7},
        {"top_k": 5},
        {"top_p": 0.9},
        {"min_p": 0.1},
        {"repetition_penalty": 1.2},
    ],
)
def test_other_sampling_is_refused(change: dict[str, Any]) -> None:
    (name,) = change
    asked = Sampling(**({"temperature": 1.0} | change))
    made_for = sampled_by(Sampling() if name == "temperature" else Sampling(temperature=1.0))
    profile = Profile(sampling=made_for)
    with pytest.raises(ConfigError, match=f"{name} must be .* for this profile, got .*--force"):
        profile.check_sampling(asked)
    Profile(sampling=sampled_by(asked)).check_sampling(asked)


def test_sampling_that_changes_no_acceptance_is_let_pass() -> None:
    PROFILE.check_sampling(Sampling(seed=9, ignore_eos=True, stop_strings=("x",)))


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "A profile must be a JSON object"),
        ({"config": {}}, "schema of a profile must be 1, got None"),
        ({"schema": 2, "config": {}}, "schema of a profile must be 1, got 2"),
        ({"schema": 1}, "config of a profile must be a JSON object, got None"),
        ({"schema": 1, "config": []}, "config of a profile must be a JSON object"),
        (
            {"schema": 1, "config": {}, "configs": {}},
            "Unknown key of a profile 'configs'. Did you mean 'config'?",
        ),
        ({"schema": 1, "config": {}, "fit": 3}, "fit of a profile must be a JSON object, got 3"),
        (
            {"schema": 1, "config": {}, "split": {"text_hashes": "0f"}},
            "text_hashes of a profile's split must be a list of texts, got '0f'",
        ),
        (
            {"schema": 1, "config": {}, "drafter": {"name": "small"}},
            "drafter of a profile must be an object of name and id",
        ),
        (
            {"schema": 1, "config": {}, "sampling": {"temprature": 1}},
            "Unknown setting of sampling 'temprature'. Did you mean 'temperature'?",
        ),
    ],
)
def test_what_is_no_profile_is_refused(document: Any, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_profile(path)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_what_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="A profile must be a readable JSON file, got"):
        read_profile(path)


def test_a_write_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "profile.json"
    PROFILE.write(path)
    before = path.read_bytes()
    write_text = Path.write_text

    def half(self: Path, text: str, **settings: Any) -> int:
        write_text(self, text[: len(text) // 2], **settings)
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", half)
        with pytest.raises(OutputError, match="No space left on device"):
            Profile().write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here", "utf-8")
    with pytest.raises(OutputError, match="A profile must go to a folder that can be written"):
        PROFILE.write(tmp_path / "file" / "profile.json")
