"""Conditions as data: which there are, what each is there for, and what is varied in an ablation.

A condition goes by a name. A *recipe* says where its settings come from: given, published, or
learned on the calibration prompts; with a profile at hand, it becomes a ``ConditionInfo``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, final, runtime_checkable

from smart_speed.calibration.leniency import LOSSY
from smart_speed.config import EntropyConfig
from smart_speed.errors import check_that, unknown_name
from smart_speed.profiles import Profile, shared_settings
from smart_speed.run_folder import ConditionInfo, Role
from smart_speed.strategies import kind_of

PLAIN = "plain"
ENTROPY = ("absolute", "relative", "window", "combined", "adaptive")
"""Strategies of this project that look at entropy alone."""
RIVALS = ("confidence", "heuristic", "svip", "adaedl", "specdec_pp", "ema")
"""Published ones."""
SETS: Mapping[str, tuple[str, ...]] = {
    "standard": (
        PLAIN,
        "fixed",
        "fixed-best",
        *ENTROPY,
        *RIVALS,
        *(f"{name}-learned" for name in RIVALS),
        "calibrated",
        "calibrated-online",
    ),
    "router": (PLAIN, "route", "route-chain", "route-hedge"),
    "lossy": (PLAIN, "calibrated", *(f"calibrated-{name}" for name in LOSSY)),
    "quick": (PLAIN, "fixed", "fixed-best", "absolute", "relative", "svip", "calibrated"),
}
"""Names that stand for several; "fixed" in turn stands for every one of ``baseline_k_values``."""
TEMPERATURES = (0.5, 1.0)
"""Of the ablation "temperature", which makes runs of its own."""
_SHORTEST_RATIO = 1.01
_ROLES: Mapping[str, Role] = {PLAIN: "plain", "fixed": "fixed", "calibrated": "calibrated"}


@runtime_checkable
class Asked(Protocol):
    """The settings of an experiment that decide on its conditions."""

    @property
    def conditions(self) -> str | Sequence[str] | Mapping[str, Mapping[str, Any]]: ...

    @property
    def baseline_k_values(self) -> Sequence[int]: ...

    @property
    def ablations(self) -> Sequence[str]: ...

    @property
    def confirm_live(self) -> int: ...

    @property
    def learns(self) -> bool: ...


Relearn = Callable[[Mapping[str, Any], str], Any]
"""From settings and the name of one of them to that one's best value on the calibration prompts."""


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Where a condition's settings come from."""

    role: Role
    settings: Mapping[str, Any]
    """Of ``EntropyConfig``, the strategy among them; over the learned ones, if there are."""
    learned: bool = False
    group: str = ""

    @property
    def needs_profile(self) -> bool:
        """Whether there are no settings without what was learned."""
        strategy = self.settings.get("strategy", EntropyConfig().strategy)
        shared = kind_of(strategy).reads_calibration
        return self.learned or (shared and "calibration" not in self.settings)


@final
@dataclass(frozen=True, kw_only=True)
class Variation:
    """One setting of one strategy, and what is tried of it beside what was learned."""

    strategy: str
    setting: str
    values: Sequence[Any] = ()
    factors: Sequence[float] = field(default=())
    """Instead of values: multiples of what was learned."""
    relearned: str | None = None
    """Another setting that has to be learned anew for each value."""


ABLATIONS: Mapping[str, Sequence[Variation]] = {
    "entropy_type": [
        Variation(
            strategy=strategy,
            setting="entropy_type",
            values=("shannon", "renyi", "topk"),
            relearned=threshold,
        )
        for strategy, threshold in (("absolute", "theta_abs"), ("relative", "theta_rel"))
    ],
    "threshold": [
        Variation(strategy="absolute", setting="theta_abs", factors=(0.5, 0.75, 1.25, 2.0)),
        Variation(strategy="relative", setting="theta_rel", factors=(0.5, 0.75, 1.25, 2.0)),
    ],
    "window": [Variation(strategy="window", setting="window_size", values=(1, 2, 3, 4, 6))],
    "draft_len": [
        Variation(strategy="absolute", setting="max_draft_len", values=(2, 4, 8, 16)),
        Variation(strategy="absolute", setting="min_draft_len", values=(1, 2)),
    ],
    "stop_placement": [
        Variation(strategy=strategy, setting="stop_placement", values=("before", "after"))
        for strategy in ("absolute", "relative", "window")
    ],
    "temperature": [],
}
"""By group; the learned setting itself is left out, for that is the strategy's own condition."""


def check_conditions(asked: Asked) -> None:
    """Refuse conditions that do not exist, or need what is not learned.

    Raises:
        ConfigError: Naming the first of them.
    """
    for group in asked.ablations:
        if group not in ABLATIONS:
            raise unknown_name("ablation", group, ABLATIONS)
    wanted = recipes(asked)
    learning = [name for name, recipe in wanted.items() if recipe.needs_profile]
    learning += [group for group in asked.ablations if ABLATIONS[group]]
    learning += ["confirm_live"] if asked.confirm_live else []
    rule = "at least 1, or a profile given, for conditions that are learned"
    check_that(asked.learns or not learning, "num_calibration_samples", rule, learning[:3])


def recipes(asked: Asked) -> dict[str, Recipe]:
    """Return how every condition that is named is made, ablations left out, plain decoding first.

    Raises:
        ConfigError: If a name is unknown, or settings that are given break a rule.
    """
    given = asked.conditions
    if isinstance(given, str):
        given = (given,)
    table = given if isinstance(given, Mapping) else {name: {} for name in given}
    found = {PLAIN: _known(PLAIN)}
    for name, settings in table.items():
        if settings:
            rule = "an empty table, for it stands for several conditions"
            check_that(name not in SETS, f"conditions.{name}", rule, settings)
            config = EntropyConfig.from_dict(settings)
            plain = config.strategy == PLAIN
            check_that(plain or name != PLAIN, "conditions.plain", "plain decoding", settings)
            role = _ROLES.get(config.strategy, "rival" if config.strategy in RIVALS else "entropy")
            found[name] = Recipe(role=role, settings=dict(settings))
        else:
            found |= {each: _known(each) for each in _expanded(name, asked.baseline_k_values)}
    return found


def made_conditions(
    asked: Asked, profile: Profile | None, relearn: Relearn | None = None
) -> dict[str, ConditionInfo]:
    """Return every condition with its settings, ablations among them.

    Args:
        asked: Checked by ``check_conditions``.
        profile: Where learned settings come from.
        relearn: Used where an ablation's value asks for another threshold; without it, the
            threshold stays.

    Raises:
        ConfigError: If the profile holds no settings of a strategy that is learned.
    """
    wanted = recipes(asked)
    for group in asked.ablations:
        for variation in ABLATIONS[group]:
            wanted |= _varied(group, variation, _learned(variation.strategy, profile), relearn)
    return {name: _info(recipe, profile) for name, recipe in wanted.items()}


def _expanded(name: str, lens: Sequence[int]) -> list[str]:
    fixed = [f"fixed-{cap}" for cap in lens]
    names = SETS.get(name, (name,))
    return list(chain.from_iterable(fixed if each == "fixed" else [each] for each in names))


def _known(name: str) -> Recipe:
    """Return the recipe that a name stands for."""
    if name == PLAIN:
        return Recipe(role="plain", settings={"strategy": PLAIN})
    if name == "fixed-best":
        return Recipe(role="tuned-fixed", settings={"strategy": "fixed"}, learned=True)
    if cap := re.fullmatch(r"fixed-([1-9]\d*)", name):
        settings = {"strategy": "fixed", "max_draft_len": int(cap[1])}
        return Recipe(role="fixed", settings=settings)
    if name in ("calibrated", "calibrated-online"):
        more = {"online": True} if name.endswith("-online") else {}
        settings = {"strategy": "calibrated", **more}
        return Recipe(role="calibrated", settings=settings, learned=True)
    if name == "route":
        return Recipe(role="entropy", settings={"strategy": "route"}, learned=True)
    if route_by := re.fullmatch(r"route-(?:(chain|hedge)|only-(.+))", name):
        settings = {"strategy": "route", "route_by": route_by[1] or route_by[2]}
        return Recipe(role="rival", settings=settings, learned=True)
    if (lossy := name.removeprefix("calibrated-")) in LOSSY and lossy != name:
        settings = {"strategy": "calibrated", **LOSSY[lossy]}
        return Recipe(role="lossy", settings=settings, learned=True)
    strategy = name.removesuffix("-learned").removesuffix("-default")
    if name in ENTROPY or (strategy in ENTROPY and name.endswith("-default")):
        own = {"strategy": strategy}
        return Recipe(role="entropy", settings=own, learned=name == strategy)
    if name in RIVALS or (strategy in RIVALS and name.endswith("-learned")):
        return Recipe(role="rival", settings={"strategy": strategy}, learned=name != strategy)
    known = {*SETS, *SETS["standard"], *SETS["lossy"], *SETS["router"], "fixed-4"}
    known |= {f"{each}-default" for each in ENTROPY} | {f"{each}-learned" for each in RIVALS}
    raise unknown_name("condition", name, known)


def _learned(strategy: str, profile: Profile | None) -> dict[str, Any]:
    settings = dict(profile.settings_of(strategy)) if profile else {}
    rule = f"one with learned settings of {strategy!r}, for the conditions that are asked for"
    name = "profile" if profile else "a profile"
    check_that(bool(settings), name, rule, sorted(profile.learned) if profile else None)
    return settings


def _info(recipe: Recipe, profile: Profile | None) -> ConditionInfo:
    settings = dict(recipe.settings)
    if recipe.learned and recipe.role != "ablation":
        settings = {**_learned(settings["strategy"], profile), **settings}
    elif recipe.needs_profile and profile:
        settings |= shared_settings(settings["strategy"], profile.config)
    if profile and recipe.needs_profile:
        settings = profile.with_phases(settings)
    # Both are lossless rules; which one it is depends on temperature alone.
    rule = EntropyConfig.from_dict(settings).build_rule(
        greedy=settings.get("verification") == "greedy"
    )
    return ConditionInfo(
        role=recipe.role if rule.lossless or recipe.role == "ablation" else "lossy",
        config=settings,
        group=recipe.group,
        learned=recipe.learned,
        lossless=rule.lossless,
    )


def _varied(
    group: str, variation: Variation, base: Mapping[str, Any], relearn: Relearn | None
) -> dict[str, Recipe]:
    """Return the conditions of a variation, by name."""
    strategy, setting = variation.strategy, variation.setting
    before: Any = EntropyConfig.from_dict(base).resolved().get(setting)
    values = list(variation.values)
    if variation.factors:
        ratio = setting == "theta_rel"
        scaled = [float(f"{before * factor:.4g}") for factor in variation.factors]
        values = [max(value, _SHORTEST_RATIO) if ratio else value for value in scaled]
    found: dict[str, Recipe] = {}
    for value in values:
        settings = {**base, setting: value}
        cap = EntropyConfig.from_dict({**settings, "min_draft_len": 0}).draft_cap
        if value == before or settings.get("min_draft_len", 0) > cap:
            continue
        if variation.relearned and relearn:
            settings[variation.relearned] = relearn(settings, variation.relearned)
        found[f"{strategy}/{setting}={value}"] = Recipe(
            role="ablation", settings=settings, learned=True, group=group
        )
    return found


def screened(strategy: str, number: int, settings: Mapping[str, Any]) -> tuple[str, ConditionInfo]:
    """Return the condition that confirms a setting which replay found good."""
    recipe = Recipe(role="ablation", settings=settings, learned=True, group="screening")
    return f"{strategy}/screened-{number}", _info(recipe, None)
