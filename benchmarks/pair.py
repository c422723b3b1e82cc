"""The default verifier with the drafter of a profile, as benchmarks load them."""

from typing import Any, NamedTuple

from smart_speed.calibration.here import profile_for
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, check_that
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import DEFAULT_DRAFTERS, LoadOptions, load_drafter, load_verifier
from smart_speed.machine import machine_facts
from smart_speed.profiles import Profile


class Pair(NamedTuple):
    """Both models, and what tells them from others."""

    verifier: LoadedModel
    verifier_id: str
    drafter: Drafter
    drafter_name: str
    drafter_id: str

    def facts(self) -> dict[str, Any]:
        """Return what figures depend on, as JSON values: the models, and the machine."""
        return {
            "verifier": self.verifier.description,
            "drafter": {"name": self.drafter_name, "id": self.drafter_id},
            "engine": self.verifier.engine,
            "machine": machine_facts(),
        }


def load_pair(profile: Profile, options: LoadOptions) -> Pair:
    """Load the pair that a profile was made for.

    Raises:
        ConfigError: If the profile names no drafter, or was made for others.
    """
    known = profile.drafter or {}
    check_that("name" in known, "profile", "one that `smart-speed calibrate` made", known)
    verifier = load_verifier("default", options)
    name = known["name"]
    drafter = load_drafter(name, verifier, options)
    made_for = verifier_id("default", verifier)
    drafting = drafter_id(name, drafter, made_for)
    profile.check_models(engine=verifier.engine, verifier=made_for, drafter=drafting)
    return Pair(verifier, made_for, drafter, name, drafting)


def load_default_pair(options: LoadOptions, source: str = "default") -> tuple[Pair, Profile]:
    """Load the models that are used where none are named, and their profile.

    Args:
        options: How to load them.
        source: A profile's file, or "default" for the one that comes with the package, with the
            costs of this machine.

    Raises:
        ConfigError: If the profile was made for others, or none comes with the package for them.
    """
    verifier = load_verifier("default", options)
    names = ("default", DEFAULT_DRAFTERS[verifier.engine])
    drafter = load_drafter(names[1], verifier, options)
    profile = profile_for(source, names, verifier, drafter, options.say)
    if profile is None:
        raise ConfigError(
            f"profile must be a file with engine {verifier.engine!r}, got {source!r}."
        )
    made_for = verifier_id(names[0], verifier)
    pair = Pair(verifier, made_for, drafter, names[1], drafter_id(names[1], drafter, made_for))
    return pair, profile
