"""smart-speed replay with a profile that chooses among drafters: what does choosing earn?"""

from collections.abc import Sequence

from smart_speed.calibration.route_judging import RouteJudge
from smart_speed.cli.console import print_json
from smart_speed.cli.profile import show_route_predictions
from smart_speed.profiles import Profile
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
    judge = RouteJudge.of_profile(traces, profile)
    found = {name: each.to_json() for name, each in judge.judge_all().items()}
    if json:
        print_json({"num_texts": len(judge.texts), "best": judge.best, "policies": found})
    else:
        show_route_predictions(found, judge.best)
    return 0
