"""A profile: decoding settings in a file, and the models they were made for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.errors import ConfigError, check_that, unknown_name

SCHEMA = 1
_KEYS = ("schema", "verifier", "drafter", "engine", "config")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What ``--profile`` reads."""

    config: Mapping[str, Any]
    """Settings of ``EntropyConfig``."""
    models: Mapping[str, str]
    """What ``verifier``, ``drafter`` and ``engine`` must be, where the file says so."""

    def check_models(self, **actual: str) -> None:
        """Refuse a profile that was made for something else.

        Args:
            actual: What is about to be used, by the keys of ``models``.

        Raises:
            ConfigError: If any of it differs from what the profile says.
        """
        for key, wanted in self.models.items():
            check_that(actual[key] == wanted, key, f"{wanted!r} for this profile", actual[key])


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ConfigError: If the file cannot be read, is no JSON object, is of another schema, or has a
            key that is not read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
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
    config = document.get("config")
    check_that(isinstance(config, dict), "config of a profile", "a JSON object", config)
    models = {key: document[key] for key in ("verifier", "drafter", "engine") if key in document}
    return Profile(config=config, models=models)
