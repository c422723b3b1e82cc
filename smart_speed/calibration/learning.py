"""From a model of acceptance and measured costs to a calibration: find the rate by fixed point.

What a second is worth depends on how fast decoding is, and that on what is done with it. So the
policy is played on the calibration traces, its rate is taken, and again, until it stays.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.entropy import EntropyType
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.draft_value import RoundCosts, achievable_rate
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay

_CLOSE = 2e-3
_MOST_TURNS = 6
_PRICES = (0.8, 1.0, 1.2, 1.4, 1.7)
"""Multiples of the rate that are tried as price at first, then others around the best."""
_FINER = (0.93, 1.07)


def round_costs(costs: CostModel, max_draft_len: int) -> RoundCosts:
    """Return what rounds cost at the context length that was measured, and how that grows.

    Raises:
        ConfigError: If the verification of drafts that long was not measured.
    """
    widths = range(1, max_draft_len + 2)
    passes = [costs.pass_s(width) for width in widths]
    slopes = [costs.pass_context_s(width) for width in widths]
    return RoundCosts(
        plain_s=costs.round_s(0, 0),
        step_s=costs.step_s,
        first_step_extra_s=costs.first_step_extra_s,
        wider_s=tuple(wider - narrower for narrower, wider in pairwise(passes)),
        context_len=costs.context_len,
        plain_context_s=slopes[0],
        step_context_s=costs.drafter_context_s,
        wider_context_s=tuple(wider - narrower for narrower, wider in pairwise(slopes)),
    )


def learn_calibration(
    texts: Sequence[PreparedTrace],
    acceptance: AcceptanceModel,
    costs: CostModel,
    *,
    max_draft_len: int = 16,
    entropy_type: EntropyType = "shannon",
) -> Calibration:
    """Find what a second is worth, and the rate of the policy that follows.

    The rate is found by fixed point, then prices around it are tried: the model's errors favour
    one a little above. Whether to begin at all is asked at the rate that was found, and of the laws
    that rounds begin with. Both usually help, but where drafting hardly pays they can talk a policy
    out of it, so the last word has the replay.

    Args:
        texts: To learn on.
        acceptance: Fitted to them.
        costs: Of the machine at hand.
        max_draft_len: Longest draft that may be considered.
        entropy_type: That the model was fitted to.

    Raises:
        ConfigError: If so long drafts were not traced, or their verification not measured.
    """
    short = round_costs(costs, max_draft_len)

    def rate_at(price: float) -> float:
        made = Calibration(acceptance=acceptance, costs=short, rate=price, price=price)
        return replayed_rate(texts, calibrated_config(made, entropy_type), costs)

    rate = achievable_rate(acceptance, short)
    for _ in range(_MOST_TURNS):
        before, rate = rate, rate_at(rate)
        if abs(rate / before - 1) < _CLOSE:
            break
    tried = {price: rate_at(price) for price in (rate * each for each in _PRICES)}
    best = max(tried, key=lambda price: tried[price])
    tried |= {price: rate_at(price) for price in (best * each for each in _FINER)}
    best = max(tried, key=lambda price: tried[price])
    at_rate = Calibration(acceptance=acceptance, costs=short, rate=tried[best], price=best)
    as_tried = replace(at_rate, begin_price=best)
    counted = replace(at_rate, acceptance=_with_first_laws(at_rate, texts, entropy_type))
    return max(
        (counted, at_rate, as_tried),
        key=lambda each: replayed_rate(texts, calibrated_config(each, entropy_type), costs),
    )


def _with_first_laws(
    found: Calibration, texts: Sequence[PreparedTrace], entropy_type: EntropyType
) -> AcceptanceModel:
    """Count what rounds begin with under the policy itself: after a rejection, mostly.

    Fitted to all positions alike, the model is too hopeful about first laws.
    """
    model, config = found.acceptance, calibrated_config(found, entropy_type)
    counts = np.ones((len(model.first_probs), len(model.accept_probs)))
    for text in texts:
        facts, recent = text.facts(entropy_type), model.recent_start
        for turn in replay(text, config):
            root = text.roots[turn.context_len - text.trace.prompt_len]
            if root >= 0:
                counts[model.kind_of_round(recent), model.class_of(facts[root], recent)] += 1
            recent = model.recent_after(
                recent, accepted_len=turn.accepted_len, draft_len=turn.draft_len
            )
    shares = counts / counts.sum(axis=1, keepdims=True)
    return replace(model, first_probs=tuple(tuple(row) for row in shares.tolist()))


def calibrated_config(
    calibration: Calibration, entropy_type: EntropyType = "shannon", *, online: bool = False
) -> EntropyConfig:
    """Return the configuration that decodes with a calibration."""
    return EntropyConfig(
        strategy="calibrated",
        calibration=calibration,
        entropy_type=entropy_type,
        max_draft_len=calibration.costs.max_draft_len,
        online=True if online else None,
    )


def stand_in_config(max_draft_len: int) -> EntropyConfig:
    """Return a calibrated configuration that knows nothing, to measure what asking it takes."""
    classes, kinds = 16, 4  # as many as are fitted
    even = (1 / classes,) * classes
    acceptance = AcceptanceModel(
        bias=0.0,
        per_nat=-1.0,
        per_log_odds=0.5,
        per_recent=0.5,
        recent_rate=0.1,
        recent_start=0.5,
        edges=tuple(np.linspace(-2, 2, classes - 1).tolist()),
        accept_probs=tuple(np.linspace(0.05, 0.95, classes).tolist()),
        next_probs=(even,) * classes,
        first_edges=tuple(np.linspace(0.2, 0.8, kinds - 1).tolist()),
        first_probs=(even,) * kinds,
    )
    costs = RoundCosts(
        plain_s=1.0, step_s=0.05, first_step_extra_s=0.0, wider_s=(0.05,) * max_draft_len
    )
    made = Calibration(acceptance=acceptance, costs=costs, rate=1.0, price=1.0)
    return calibrated_config(made)


def replayed_rate(texts: Sequence[PreparedTrace], config: EntropyConfig, costs: CostModel) -> float:
    """Return the tokens per second of a configuration, predicted."""
    seconds = math.fsum(costs.seconds(replay(each, config)) for each in texts)
    return sum(each.output_len for each in texts) / seconds
