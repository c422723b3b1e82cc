"""Where does predictable text end and reasoning begin? Learned on the calibration traces.

A phase is worth what it says of drafts: how much of the question whether the drafter's token would
be accepted is answered by the phase alone, in nats (their mutual information). The threshold is the
one that says most. Hysteresis, which keeps phases from flickering, costs some of that; as much is
taken as costs little.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np

from smart_speed.errors import ConfigError
from smart_speed.phases import Phases
from smart_speed.tracing.prepared import PreparedTrace

_QUANTILES = tuple(np.linspace(0.1, 0.95, 18).tolist())
"""Of the entropies, tried as thresholds."""
_HYSTERESES = (0.0, 0.1, 0.2, 0.3, 0.5)
_KEPT = 0.95
"""What is left of the information that phases without hysteresis have, at least."""
_DIGITS = 4


class _Text(NamedTuple):
    """Positions of a text at which the drafter was asked."""

    entropies_nats: list[float]
    """Of the verifier's laws, at all positions: phases depend on what was before."""
    asked: np.ndarray
    """Which positions those are."""
    accepted: np.ndarray
    """Probability that the drafter's token is accepted, at each of them."""
    weight: float
    """Of each: tasks count the same, whatever their lengths."""


@final
class PhaseFit(NamedTuple):
    """What tells phases apart, and what it is worth."""

    phases: Phases
    information_nats: float
    """That the phase has of whether the drafter's token is accepted."""
    predictable_share: float
    """Of tokens; tasks count the same."""
    accept_predictable: float
    """Share of the drafter's tokens that would be accepted in predictable phases."""
    accept_reasoning: float
    mean_phase_len: float
    """Tokens until the phase changes or the text ends."""

    def to_json(self) -> dict[str, Any]:
        """Return the settings and the figures as JSON values."""
        figures = self._asdict()
        del figures["phases"]
        settings = {
            "theta_phase": self.phases.theta_phase,
            "phase_hysteresis": self.phases.phase_hysteresis,
        }
        return {"settings": settings, **figures}


def learn_phases(texts: Sequence[PreparedTrace]) -> PhaseFit:
    """Find the threshold and the hysteresis.

    Args:
        texts: Of one drafter, to learn on.

    Raises:
        ConfigError: If the drafter was never asked, or all laws are equally sure.
    """
    rows = _rows(texts)
    entropies = np.array([nats for row in rows for nats in row.entropies_nats] or [0.0])
    # Rounded as they are kept, so that what is said of a threshold is true of it.
    found = {round(float(each), _DIGITS) for each in np.quantile(entropies, _QUANTILES)}
    thetas = sorted(each for each in found if each > 0)
    if not thetas:
        raise ConfigError(
            "Phases need verified texts with laws of more than one token to learn on."
        )
    best: dict[float, PhaseFit] = {}
    for hysteresis in _HYSTERESES:
        fits = [
            _fit(rows, Phases(theta_phase=theta, phase_hysteresis=hysteresis)) for theta in thetas
        ]
        best[hysteresis] = max(fits, key=lambda fit: fit.information_nats)
    enough = _KEPT * best[0.0].information_nats
    return best[max(each for each in best if best[each].information_nats >= enough)]


def _rows(texts: Sequence[PreparedTrace]) -> list[_Text]:
    counts: dict[str, int] = {}
    for each in texts:
        task = each.trace.task
        counts[task] = counts.get(task, 0) + int((np.array(each.roots) >= 0).sum())
    found = []
    for each in texts:
        trace, asked = each.trace, np.array(each.roots) >= 0
        sure = trace.agrees() if trace.accept_prob is None else trace.accept_prob
        if asked.any():
            nats: list[float] = trace.verifier_entropy_nats.tolist()
            accepted = np.asarray(sure, dtype=np.float64)[asked]
            found.append(_Text(nats, asked, accepted, 1 / counts[trace.task]))
    return found


def _fit(rows: Sequence[_Text], phases: Phases) -> PhaseFit:
    table = np.zeros((2, 2))  # by phase, reasoning last; by outcome, accepted last
    num_tokens = num_phases = 0
    for row in rows:
        along = np.array([each == "reasoning" for each in phases.phases_along(row.entropies_nats)])
        num_tokens += len(along)
        num_phases += 1 + int((along[1:] != along[:-1]).sum())
        asked = along[row.asked].astype(int)
        for phase in (0, 1):
            accepted = row.accepted[asked == phase]
            table[phase] += row.weight * np.array([(1 - accepted).sum(), accepted.sum()])
    table /= table.sum()
    by_phase = table.sum(axis=1)
    accepted_share = np.divide(table[:, 1], by_phase, out=np.zeros(2), where=by_phase > 0)
    return PhaseFit(
        phases,
        information_nats=_information(table),
        predictable_share=float(by_phase[0]),
        accept_predictable=float(accepted_share[0]),
        accept_reasoning=float(accepted_share[1]),
        mean_phase_len=num_tokens / num_phases,
    )


def _information(table: np.ndarray) -> float:
    """Return the mutual information of a joint law's two parts, in nats."""
    apart = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    some = table > 0
    return float((table[some] * np.log(table[some] / apart[some])).sum())
