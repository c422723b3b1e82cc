"""A profile for this machine: what was learned elsewhere, with costs that were measured here.

How drafts are accepted depends on models and texts, what they cost on the machine. So the profiles
that come with the package hold the former, and the first use measures the latter, once.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from smart_speed.calibration.learning import round_costs
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, MeasurementError
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.machine import machine_facts
from smart_speed.profiles import Profile, read_profile
from smart_speed.stopping.calibrated import Calibration
from smart_speed.tracing.context_costs import FAR
from smart_speed.tracing.cost_cache import cached_costs
from smart_speed.tracing.cost_measuring import measure_costs
from smart_speed.tracing.measured_costs import MeasuredCosts, settled
from smart_speed.workloads.builtin import builtin_prompts

SHIPPED_FOLDER = Path(__file__).parent / "shipped"
_RESOLUTION = 0.06
_LEAST_S, _MOST_S = 4.0, 40.0
_NUM_TEXTS = 1
"""Of each task, to measure on."""


def shipped_profile(engine: str, verifier: str, drafter: str) -> Profile | None:
    """Return the profile that comes with the package for some models, if there is one.

    Args:
        engine: Name of the verifier's.
        verifier: Of ``verifier_id``.
        drafter: Of ``drafter_id``.
    """
    for path in sorted(SHIPPED_FOLDER.glob("*.json")):
        profile = read_profile(path)
        try:
            profile.check_models(engine=engine, verifier=verifier, drafter=drafter)
        except ConfigError:
            continue
        return profile
    return None


def profile_for(
    source: str,
    names: tuple[str, str],
    verifier: LoadedModel,
    drafter: Drafter,
    say: Callable[[str], None],
) -> Profile | None:
    """Return the profile of a file, or with "default" what ``default_profile`` returns.

    Args:
        source: A file's path, or "default".
        names: As for ``default_profile``, as are the rest.
        verifier: Loaded.
        drafter: The same.
        say: Told what takes time.

    Raises:
        ConfigError: If the file is no profile, or was made for something else.
    """
    if source == "default":
        return default_profile(names, verifier, drafter, say)
    profile = read_profile(Path(source))
    found = verifier_id(names[0], verifier)
    drafting = drafter_id(names[1], drafter, found)
    profile.check_models(engine=verifier.engine, verifier=found, drafter=drafting)
    return profile


def default_profile(
    names: tuple[str, str],
    verifier: LoadedModel,
    drafter: Drafter,
    say: Callable[[str], None],
) -> Profile | None:
    """Return the shipped profile of some models with this machine's costs, if there is one.

    Args:
        names: Of verifier and drafter, as they were asked for.
        verifier: Loaded; its cache is changed.
        drafter: The same.
        say: Told what takes time.
    """
    found = verifier_id(names[0], verifier)
    ids = {"verifier": found, "drafter": drafter_id(names[1], drafter, found)}
    profile = shipped_profile(verifier.engine, **ids)
    if profile is None:
        return None
    calibration = Calibration.from_json(profile.config["calibration"])
    longest = calibration.costs.max_draft_len
    config = EntropyConfig.from_dict(profile.config)
    key = {"engine": verifier.engine, "model": verifier.description, "longest": longest, **ids}
    key["context_len"] = FAR
    try:
        measured = settled(
            lambda: cached_costs(
                key, lambda: _measured(verifier, drafter, config, longest, say), say
            ),
            say,
        )
    except MeasurementError as error:
        say(f"{error} The costs of the profile's own machine are used.")
        return profile
    fitted = calibration.with_costs(round_costs(measured.costs, longest))
    learned = dict(profile.learned) | {
        "machine": machine_facts(),
        "measured": measured.to_json(),
    }
    settings = dict(profile.config) | {"calibration": fitted.to_json()}
    return replace(profile, config=settings, learned=learned)


def _measured(
    verifier: LoadedModel,
    drafter: Drafter,
    config: EntropyConfig,
    longest: int,
    say: Callable[[str], None],
) -> MeasuredCosts:
    say("Measuring what drafting costs on this machine, once; this takes up to a minute.")
    prompts = [
        [{"role": "user", "content": each.text}] for each in builtin_prompts(per_task=_NUM_TEXTS)
    ]
    return measure_costs(
        verifier,
        drafter,
        prompts,
        max_draft_len=longest,
        config=config,
        resolution=_RESOLUTION,
        least_s=_LEAST_S,
        most_s=_MOST_S,
    )
