"""What a trace keeps of one law, measured as the decoding loop would."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, final

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.entropy import EntropyType, largest
from smart_speed.laws import Scores, wide
from smart_speed.sampling import Sampling
from smart_speed.tracing.traces import ENTROPY_TYPES, PassTable


class MeasuredLaw(NamedTuple):
    """One law, and the token after which the text goes on."""

    token: int
    entropies_nats: tuple[float, ...]
    """Of the kinds that were asked for."""
    top_prob: float
    margin_nats: float


@final
class LawMeter:
    """Measures laws with the very functions that strategies are served by."""

    def __init__(self, sampling: Sampling, kinds: Sequence[EntropyType]) -> None:
        """Choose what is measured.

        Args:
            sampling: Decides which token is taken.
            kinds: Entropies, at least one.
        """
        self._sampling = sampling
        self._measures = [EntropyConfig(entropy_type=kind).build_measure() for kind in kinds]

    def measure(
        self, scores: Scores, context: Iterable[int], token: int | None = None
    ) -> MeasuredLaw:
        """Look at a law at once: the engine may overwrite its scores.

        Args:
            scores: Raw scores of the next token.
            context: All tokens before it.
            token: After which the text goes on; ``None`` for the likeliest, at temperature 0.

        Raises:
            NonFiniteError: If the scores are not a law.
        """
        facts = [measure(scores) for measure in self._measures]
        if token is None:
            law = self._sampling.law(scores, context)
            token = Scores(law.probs, law.ids).token_at(0)
        return MeasuredLaw(
            token=token,
            entropies_nats=tuple(each.entropy_nats for each in facts),
            top_prob=facts[0].top_prob,
            margin_nats=_margin_nats(scores),
        )


def _margin_nats(scores: Scores) -> float:
    """Return how much likelier the likeliest token is than the second, as a log-ratio."""
    logits = wide(scores.logits)
    if logits.shape[0] < 2:
        return float("inf")
    top = largest(logits, 2)
    low, high = sorted((float(top[0]), float(top[1])))
    return high - low


def pass_table(laws: Sequence[MeasuredLaw]) -> PassTable:
    """Return measured draft laws, each with all entropies, as columns."""
    shannon, renyi, topk = (
        np.array([each.entropies_nats[kind] for each in laws], dtype=np.float64)
        for kind in range(len(ENTROPY_TYPES))
    )
    return PassTable(
        tokens=np.array([each.token for each in laws], dtype=np.uint32),
        shannon_nats=shannon,
        renyi_nats=renyi,
        topk_nats=topk,
        top_prob=np.array([each.top_prob for each in laws], dtype=np.float64),
        margin_nats=np.array([each.margin_nats for each in laws], dtype=np.float32),
    )
