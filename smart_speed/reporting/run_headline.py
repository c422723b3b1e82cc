"""Is it faster, by how much, and is it still the same text? Three sentences with figures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from smart_speed.config import EntropyConfig
from smart_speed.hypotheses.rivals import chosen_condition
from smart_speed.reporting.report_document import Reply, shown
from smart_speed.reporting.run_findings import Findings
from smart_speed.reporting.run_sameness import same_text

Figure = Mapping[str, float | None]


class Subject(NamedTuple):
    """The condition that the first lines are about."""

    name: str
    reason: str
    """Why this one, to go on after its name."""


def subject_of(found: Findings) -> Subject | None:
    """Return the calibrated condition, else the best of those that look at entropy.

    The best is that of the calibration prompts where there are any, so that no choice has seen
    the prompts it is judged on.
    """
    for name in found.main:
        if found.is_calibrated(name):
            return Subject(name, "the strategy that was learned on the calibration prompts")
    known = [name for name in found.main if found.role(name) == "entropy"]
    if not known:
        return None
    best = chosen_condition(found.run, known)
    if best is not None:
        return Subject(best, "the entropy strategy that was best on the calibration prompts")
    best = max(known, key=found.speed)
    return Subject(best, "the fastest entropy strategy here, chosen in hindsight")


def headline(found: Findings) -> list[Reply]:
    """Return the three questions and their answers."""
    subject = subject_of(found)
    if subject is None:
        missing = "No condition that looks at entropy has answered yet, so nothing can be said."
        return [
            Reply("Is it faster?", missing),
            Reply("By how much?", _fastest(found)),
            Reply("Is it still the same text?", same_text(found)),
        ]
    return [
        Reply("Is it faster?", _faster(found, subject)),
        Reply("By how much?", _over_fixed(found, subject)),
        Reply("Is it still the same text?", same_text(found)),
    ]


def verdict_word(figure: Figure) -> str:
    """Return "Yes", "No" or that it was not shown, from an interval of a ratio around 1."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return "Not shown"
    return "Yes" if low > 1 else "No" if high < 1 else "Not shown"


def _faster(found: Findings, subject: Subject) -> str:
    figure = found.overall(subject.name)["speedup_over_plain"]
    plain = found.baseline("plain")
    if plain is None or figure["value"] is None:
        return f"Not known: no answers of plain decoding stand beside those of {subject.name}."
    return (
        f"{verdict_word(figure)}: {subject.name}, {subject.reason}, writes "
        f"{_times(figure)} as many tokens a second as plain decoding "
        f"({_rate(found, subject.name)} against {_rate(found, plain)} over all prompts as one); "
        f"{_scope(found)}."
    )


def _over_fixed(found: Findings, subject: Subject) -> str:
    name, figure = found.baseline("fixed_best"), found.overall(subject.name)
    plain_gain = _percent(figure["speedup_over_plain"], "plain decoding")
    over = figure["speedup_over_fixed_best"]
    if name is None or over["value"] is None:
        return (
            f"{plain_gain}. No tuned fixed length was answered, so there is none to compare with."
        )
    word = {
        "Yes": "",
        "No": " So it is slower than that.",
        "Not shown": " That may be no difference at all.",
    }[verdict_word(over)]
    return (
        f"{plain_gain}; {_percent(over, f'the best fixed draft length ({tuned_length(found)})')}."
        f"{word}"
    )


def tuned_length(found: Findings) -> str:
    """Return what the best fixed length is, and where that was found."""
    name = found.baseline("fixed_best")
    if name is None:
        return "not answered"
    config = found.figures["conditions"][name]["config"]
    length = EntropyConfig.from_dict(config).draft_cap
    return f"{name}: {length} token{'s' * (length != 1)}, tuned on the calibration prompts"


def _fastest(found: Findings) -> str:
    if not found.drafting:
        return "No condition that drafts has answered yet."
    name = max(found.drafting, key=found.speed)
    figure = found.overall(name)["speedup_over_plain"]
    times = f"{_times(figure)} as fast as plain decoding"
    return f"The fastest condition, in hindsight, is {found.title(name)}: {times}."


def _times(figure: Figure) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if low is None or high is None:
        return f"{shown(value, '.2f')} times (too few prompts for an interval)"
    return f"{value:.2f} times (95 % interval {low:.2f}–{high:.2f})"


def _percent(figure: Figure, baseline: str) -> str:
    """Return a ratio as a difference in per cent, with its ends."""
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None:
        return f"Not known over {baseline}"
    ends = "" if low is None or high is None else f" ({_more(low)} to {_more(high)})"
    return f"{_more(value)}{ends} over {baseline}"


def _more(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _rate(found: Findings, name: str) -> str:
    return f"{shown(found.overall(name)['tokens_per_decode_s'], '.1f')} tokens/s"


def _scope(found: Findings) -> str:
    run: Any = found.figures["run"]
    tasks, prompts = len(found.tasks), run["num_prompts_evaluated"]
    whole = "" if run["complete"] else ", in a run that is not finished"
    mean = f"the mean of {tasks} tasks, " if tasks > 1 else ""
    return f"{mean}{prompts} prompt{'s' * (prompts != 1)}{whole}"
