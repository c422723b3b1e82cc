"""What a measurement of costs found, and how sure it is of each figure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, final

from smart_speed.errors import ConfigError, MeasurementError, check_that
from smart_speed.stopping.acceptance import checked_fields
from smart_speed.tracing.costs import CostModel


class Figure(NamedTuple):
    """Something measured, with its 95 % interval."""

    value: float
    low: float
    high: float
    num_samples: int
    """Rounds that it was measured on."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCosts:
    """A cost model, and how sure it is."""

    costs: CostModel
    figures: Mapping[str, Figure]
    """By names of the cost model's fields; a verifier pass is "verifier_pass_s of" its width."""
    spread: float
    """Of the figure that is known least well for what is needed: half the width of its 95 %
    interval, over a plain verifier pass."""
    widest: str
    """What that interval is of."""
    num_rounds: int
    seconds: float
    """That the measurement took."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        figures = {name: figure._asdict() for name, figure in self.figures.items()}
        return asdict(self) | {"costs": self.costs.to_json(), "figures": figures}

    @classmethod
    def from_json(cls, document: Any) -> "MeasuredCosts":
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If a key is unknown or missing, or a value is none that can be measured.
        """
        values = checked_fields(cls, document, "Measured costs")
        given = values["figures"]
        check_that(isinstance(given, Mapping), "figures", "a JSON object", given)
        try:
            figures = {name: Figure(**figure) for name, figure in given.items()}
            known = all(math.isfinite(value) for figure in figures.values() for value in figure)
            known &= math.isfinite(values["spread"] + values["seconds"] + values["num_rounds"])
        except TypeError as error:
            raise ConfigError(f"Measured costs must be made of numbers: {error}.") from error
        check_that(known, "Measured costs", "finite numbers", given)
        return cls(**(values | {"costs": CostModel.from_json(values["costs"]), "figures": figures}))


@final
class RoughCostsError(MeasurementError):
    """Costs are known less well than was asked for; ``measured`` is what is known of them."""

    def __init__(self, message: str, measured: MeasuredCosts) -> None:
        """Refuse, but keep what was found for who can use it all the same."""
        super().__init__(message)
        self.measured = measured


def settled(measure: Callable[[], MeasuredCosts], say: Callable[[str], None]) -> MeasuredCosts:
    """Return costs that were measured, rough ones too, of which is then said how rough they are.

    Rough costs of the machine at hand are nearer to the truth than exact ones of another.
    """
    try:
        return measure()
    except RoughCostsError as error:
        say(f"{error} What was found is used.")
        return error.measured
