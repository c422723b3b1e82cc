"""All three hypotheses, from one run."""

from smart_speed.hypotheses.h1 import judge_h1
from smart_speed.hypotheses.h2 import judge_h2
from smart_speed.hypotheses.h3 import judge_h3
from smart_speed.hypotheses.verdict import Verdict
from smart_speed.loaded_run import LoadedRun


def judge_hypotheses(run: LoadedRun, machine: str | None = None) -> list[Verdict]:
    """Return what was found of H1, H2 and H3, in this order.

    What cannot be judged is undecided, and its sentence says what is missing. The figures of each
    are described in ``judge_h1``, ``judge_h2`` and ``judge_h3``.

    Args:
        run: To be judged.
        machine: Whose answers are looked at, where several have made some.

    Raises:
        ConfigError: If scipy is not installed.
    """
    return [*judge_h1(run, machine), *judge_h2(run), *judge_h3(run)]
