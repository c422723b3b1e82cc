"""smart-speed replay with a profile that chooses among drafters: what does choosing earn?"""

from collections.abc import Sequence

from smart_speed.calibration.route_judging import RouteJudge
from smart_speed.calibration.routing import Routed
from smart_speed.cli.console import print_json
from smart_speed.cli.profile import show_route_predictions
from smart_speed.config import EntropyConfig
from smart_speed.errors import check_that
from smart_speed.profiles import Profile
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.traces import Trace


def run(traces: Sequence[Trace], profile: Profile, *, json: bool) -> int:
    """Replay a choice among drafters, its rivals, each drafter alone and the bounds.

    Args:
        traces: Of all the drafters.
        profile: What chooses.
        json: Whether to print a document rather than a table.

    Raises:
        ConfigError: If the profile holds no costs, or a text lacks a drafter.
    """
    routing = EntropyConfig.from_dict(profile.config).routing
    assert routing is not None
    known = "measured" in profile.learned
    check_that(known, "profile", "one that `smart-speed calibrate` wrote", sorted(profile.learned))
    measured = profile.learned["measured"]
    names = [arm.drafter for arm in routing.arms]
    costs = [CostModel.from_json(measured["costs_by_drafter"][name]) for name in names]
    drafters = Routed.of(
        names, [arm.calibration for arm in routing.arms], costs, profile.config["entropy_type"]
    )
    texts = texts_of(traces, names)
    judge = RouteJudge(texts, drafters, routing, best=measured["best"])
    found = {name: each.to_json() for name, each in judge.judge_all().items()}
    if json:
        print_json({"num_texts": len(texts), "best": judge.best, "policies": found})
    else:
        show_route_predictions(found, judge.best)
    return 0


def texts_of(traces: Sequence[Trace], names: Sequence[str]) -> list[list[PreparedTrace]]:
    """Return texts with every drafter.

    Raises:
        ConfigError: If a text lacks one.
    """
    by_id: dict[str, dict[str, Trace]] = {}
    for each in traces:
        by_id.setdefault(each.prompt_id, {})[each.drafter] = each
    for prompt_id, found in by_id.items():
        lacking = [name for name in names if name not in found]
        check_that(not lacking, "traces", f"of every drafter for {prompt_id!r}", sorted(found))
    return [[PreparedTrace(found[name]) for name in names] for found in by_id.values()]
