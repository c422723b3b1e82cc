"""The default verifier with the drafter of a profile, as benchmarks load them."""

from typing import NamedTuple

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import check_that
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.profiles import Profile


class Pair(NamedTuple):
    """Both models, and what tells them from others."""

    verifier: LoadedModel
    verifier_id: str
    drafter: Drafter
    drafter_name: str
    drafter_id: str


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
