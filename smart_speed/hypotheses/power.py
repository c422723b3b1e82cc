"""What could have been seen with so many prompts, and how many more it would take."""

import math
from collections.abc import Callable
from typing import Any

from smart_speed.errors import ConfigError

LEVEL = 0.05
POWER = 0.8
_MOST_PROMPTS = 1_000_000


def detectable(spread: float, num_prompts: int, level: float = LEVEL) -> float:
    """Return the smallest difference that would have been found with 80 % power.

    (t(1 - level / 2) + t(0.8)) spread / sqrt(n), t with n - 1 degrees of freedom.

    Args:
        spread: Standard deviation of the prompts' paired differences, such as ``log_ratios``.
        num_prompts: At least 2.
        level: Of the two-sided test.
    """
    both = student(1 - level / 2, num_prompts - 1) + student(POWER, num_prompts - 1)
    return both * spread / math.sqrt(num_prompts)


def prompts_needed(difference: float, spread: float, level: float = LEVEL) -> int | None:
    """Return how many prompts a difference takes to be found with 80 % power.

    Arguments are those of ``detectable``. ``None`` stands for more than a million.
    """

    def found(number: int) -> bool:
        return detectable(spread, number, level) <= abs(difference)

    return _first(found, 2, _MOST_PROMPTS)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the first number for which something holds, given that it then goes on to."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def student(probability: float, freedom: int) -> float:
    """Return what Student's law stays below with a probability."""
    return float(scipy("special").stdtrit(freedom, probability))


def normal(probability: float) -> float:
    """Return what the standard normal law stays below with a probability."""
    return float(scipy("special").ndtri(probability))


def scipy(part: str) -> Any:
    """Return a part of scipy.

    Raises:
        ConfigError: If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"scipy.{part}")
    except ImportError as error:
        raise ConfigError(
            "Judging hypotheses needs the module scipy, which is not installed: run "
            "`pip install 'smart-speed[analysis]'`."
        ) from error


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a sentence says it."""
    return f"{100 * share:.{digits}f} %"
