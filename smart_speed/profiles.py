"""A profile: decoding settings in a file, and what they were learned for.

``smart-speed calibrate`` writes one; by hand, ``{"schema": 1, "config": {...}}`` is enough.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, final

from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.files import parse_json, whole, writing
from smart_speed.rules import settings_read_by
from smart_speed.sampling import Sampling
from smart_speed.strategies import STRATEGIES

SCHEMA = 1
_MODELS = ("verifier", "drafter")
_LEARNED = (
    "smart_speed", "machine", "measured", "strategies", "split", "fit", "predicted",
    "phases", "leniency",
)  # fmt: skip
_KEYS = ("schema", *_MODELS, "engine", "sampling", "config", *_LEARNED)
_LAW = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""Settings of sampling that change what drafts are accepted."""


class LearnedOn(NamedTuple):
    """Prompts that a profile was learned on, as far as its file names them."""

    prompt_ids: tuple[str, ...] = ()
    text_hashes: tuple[str, ...] = ()
    """Of their texts, whose ids may be others elsewhere; none in older files."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What ``--profile`` reads."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of ``EntropyConfig``."""
    verifier: Mapping[str, str] | None = None
    """Name and id of the model that it was made for, if the file says so."""
    drafter: Mapping[str, str] | None = None
    engine: str | None = None
    sampling: Mapping[str, Any] | None = None
    """What was asked of ``Sampling`` when it was made."""
    learned: Mapping[str, Any] = field(default_factory=dict)
    """The rest: machine, measured costs, settings of every strategy, split, fit, predictions, what
    tells phases apart, and what leniency gains and loses."""

    def check_models(self, *, engine: str, verifier: str, drafter: str) -> None:
        """Refuse a profile that was made for something else.

        Args:
            engine: About to be used.
            verifier: Of ``smart_speed.identity``; read only if the profile names one.
            drafter: Likewise.

        Raises:
            ConfigError: If any of it is not what the profile was made for.
        """
        actual = {"verifier": verifier, "drafter": drafter}
        if self.engine not in (None, engine):
            raise ConfigError(
                f"engine must be {self.engine!r} for this profile, got {engine!r}; calibrate "
                "again, or use it all the same with --force."
            )
        for role in _MODELS:
            made_for = getattr(self, role)
            if made_for is not None and made_for["id"] != actual[role]:
                raise ConfigError(
                    f"{role} must be the {made_for['name']!r} that this profile was made for "
                    f"({made_for['id']}), got another ({actual[role]}); calibrate again, or use it "
                    "all the same with --force."
                )

    def check_sampling(self, sampling: Sampling) -> None:
        """Refuse a profile that was made for another way of sampling.

        Raises:
            ConfigError: If it was.
        """
        actual = sampled_by(sampling)
        for name, made_for in (self.sampling or {}).items():
            if actual[name] != made_for:
                raise ConfigError(
                    f"{name} must be {made_for!r} for this profile, got {actual[name]!r}; "
                    "calibrate again, or use it all the same with --force."
                )

    def settings_of(self, strategy: str) -> Mapping[str, Any]:
        """Return the settings that were learned for a strategy; none if none were."""
        if self.config.get("strategy", strategy) == strategy:
            return self.config
        learned: Mapping[str, Any] = self.learned.get("strategies", {}).get(strategy, {})
        settings: Mapping[str, Any] = learned.get("settings", {})
        return {**settings, **shared_settings(strategy, self.config)} if settings else {}

    def decoding_settings(self, strategy: str) -> Mapping[str, Any]:
        """Return what a strategy decodes with: where nothing was learned for it, what it shares."""
        return self.settings_of(strategy) or shared_settings(strategy, self.config)

    @property
    def phase_settings(self) -> Mapping[str, Any]:
        """What tells phases apart, as it was learned; nothing if it was not."""
        learned: Mapping[str, Any] = self.learned.get("phases", {}).get("settings", {})
        return learned

    def with_phases(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with what was learned of phases, where they name a rule that reads it.

        Args:
            settings: Of ``EntropyConfig``; what they say of phases themselves goes first.
        """
        reads = settings_read_by(settings.get("verification", "auto"), settings.get("relax_in"))
        learned = {key: val for key, val in self.phase_settings.items() if key in reads}
        return {**learned, **settings}

    @property
    def learned_on(self) -> LearnedOn:
        """Which prompts settings were learned on; none if the file does not say so."""
        split = self.learned.get("split", {})
        return LearnedOn(*(tuple(split.get(name, ())) for name in LearnedOn._fields))

    def to_json(self) -> dict[str, Any]:
        """Return what a file holds."""
        values = {
            name: getattr(self, name)
            for name in (*_MODELS, "engine", "sampling", "config")
            if getattr(self, name) is not None
        }
        return {"schema": SCHEMA, **values, **self.learned}

    def write(self, path: Path) -> None:
        """Write the profile to a file, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        with writing("A profile", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                text = json.dumps(self.to_json(), indent=1, allow_nan=False)
                part.write_text(text + "\n", encoding="utf-8")


def shared_settings(strategy: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was learned for "calibrated" and is read by another strategy as well.

    Args:
        strategy: Any; most read none of it.
        config: Of a profile.
    """
    kind = STRATEGIES.get(strategy)
    names = ("calibration", "entropy_type") if kind and kind.reads_calibration else ()
    return {name: config[name] for name in names if name in config}


def sampled_by(sampling: Sampling) -> dict[str, Any]:
    """Return the settings of sampling that a profile depends on."""
    values = asdict(sampling)
    return {name: values[name] for name in _LAW}


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ConfigError: If the file cannot be read, is no JSON object, is of another schema, or has a
            key that is not read.
    """
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"A profile must be a readable JSON file, got {str(path)!r}: {error}."
        ) from error
    check_that(isinstance(document, dict), "A profile", "a JSON object", document)
    for key in document:
        if key not in _KEYS:
            raise unknown_name("key of a profile", key, _KEYS)
    schema = document.get("schema")
    check_that(schema == SCHEMA, "schema of a profile", str(SCHEMA), schema)
    for key in ("config", "sampling", *_LEARNED[1:]):
        value = document.get(key, {})
        check_that(isinstance(value, dict), f"{key} of a profile", "a JSON object", value)
    check_that("config" in document, "config of a profile", "a JSON object", None)
    for key in _MODELS:
        model = document.get(key, {"name": "", "id": ""})
        named = isinstance(model, dict) and set(model) == {"name", "id"}
        check_that(named, f"{key} of a profile", "an object of name and id", model)
    for key in LearnedOn._fields:
        value = document.get("split", {}).get(key, [])
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        check_that(texts, f"{key} of a profile's split", "a list of texts", value)
    sampling = document.get("sampling", {})
    for key in sampling:
        if key not in _LAW:
            raise unknown_name("setting of sampling", key, _LAW)
    return Profile(
        config=document["config"],
        verifier=document.get("verifier"),
        drafter=document.get("drafter"),
        engine=document.get("engine"),
        sampling=document.get("sampling"),
        learned={key: document[key] for key in _LEARNED if key in document},
    )
