"""What lossy rules write, worked out from their formulas alone: no code of the rules is used.

Laws are arrays over all three tokens; p is the target law, q the draft law, g the verifier's law at
temperature 1, h its entropy. A *kernel* says how the formula treats a drafted position: K[x], the
probability that x is drafted and kept, and C[x], that it is written as a correction.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.laws import Law, Scores, softmax
from smart_speed.sampling import Sampling
from tests.law.enumeration import TOKENIZER, OutputLaw

Probs = np.ndarray
SIZE = TOKENIZER.vocab_size


class Position(NamedTuple):
    """The laws of one position."""

    p: Probs
    q: Probs
    g: Probs
    q_raw: Probs
    phase: str
    greedy: bool
    p_without: tuple[Probs, ...]
    """By token: the target law of a verifier that does not know it."""


Kernel = Callable[[Position], tuple[Probs, Probs]]


def entropy(law: Probs) -> float:
    return -math.fsum(share * math.log(share) for share in law.tolist() if share > 0)


def residual(p: Probs, q: Probs) -> Probs:
    rest = np.maximum(p - q, 0)
    return rest / rest.sum() if rest.sum() > 0 else p


def exact(at: Position) -> tuple[Probs, Probs]:
    kept = np.minimum(at.p, at.q)
    return kept, (1 - kept.sum()) * residual(at.p, at.q)


def relaxed(lenience: float, strictness: float, relax_in: str) -> Kernel:
    phase = {"low": "predictable", "high": "reasoning"}.get(relax_in)

    def kernel(at: Position) -> tuple[Probs, Probs]:
        ratio = lenience if phase in (None, at.phase) else strictness
        if at.greedy:
            good = at.g >= ratio * at.g.max() if ratio < 1 else at.p == 1
            kept = np.where(good | (at.p == 1), at.q, 0)
        else:
            kept = np.minimum(at.q, at.p / ratio)
        return kept, (1 - kept.sum()) * residual(at.p, at.q)

    return kernel


def typical(epsilon: float, delta: float) -> Kernel:
    def kernel(at: Position) -> tuple[Probs, Probs]:
        graded = at.g if at.greedy else at.p
        good = graded > min(epsilon, delta * math.exp(-entropy(graded)))
        kept = np.where(good, at.q, 0)
        return kept, (1 - kept.sum()) * at.p

    return kernel


def easd(theta: float, top_n: int, overlap: float) -> Kernel:
    def kernel(at: Position) -> tuple[Probs, Probs]:
        kept, corrected = exact(at)
        likely = [set(np.argsort(-law)[:top_n].tolist()) for law in (at.g, at.q_raw)]
        likely[1] &= set(np.flatnonzero(at.q_raw).tolist())
        shared = len(likely[0] & likely[1]) / top_n
        if not (entropy(at.g) > theta and entropy(at.q_raw) > theta and shared >= overlap):
            return kept, corrected
        again = sum(share * law for share, law in zip(kept, at.p_without, strict=True))
        return np.zeros(SIZE), corrected + again

    return kernel


def spread(law: Law) -> Probs:
    return np.array([law.prob_of(token) for token in range(SIZE)])


@dataclass
class Decoding:
    """A fixed draft length, or one that ends before a law of high entropy."""

    verifier: LoadedModel
    drafter: Drafter
    sampling: Sampling
    prompt: list[int]
    length: int
    cap: int
    theta_abs: float = math.inf
    theta_phase: float = math.inf
    hysteresis: float = 0.0

    def at(self, output: tuple[int, ...], phase: str | None) -> Position:
        text = [*self.prompt, *output]
        self.verifier.model.rollback(0)
        logits = np.array(self.verifier.model.feed(text, last=1)[0], dtype=np.float64)
        self.drafter.rollback(0)
        scores = self.drafter.scores_after(text, [])
        raw = softmax(Scores(logits))
        penalised = Sampling(
            temperature=1.0, repetition_penalty=self.sampling.repetition_penalty
        ).law(Scores(logits), text)
        wide = {
            None: self.theta_phase,
            "predictable": self.theta_phase * (1 + self.hysteresis),
            "reasoning": self.theta_phase * (1 - self.hysteresis),
        }
        without = []
        for token in range(SIZE):
            others = np.delete(np.arange(SIZE), token)
            without.append(spread(self.sampling.law(Scores(logits[others], others), text)))
        return Position(
            p=spread(self.sampling.law(Scores(logits), text)),
            q=spread(self.sampling.law(scores, text)),
            g=spread(penalised if self.sampling.greedy else raw),
            q_raw=spread(softmax(scores)),
            phase="reasoning" if entropy(spread(raw)) > wide[phase] else "predictable",
            greedy=self.sampling.greedy,
            p_without=tuple(without),
        )

    def ended(self, output: Sequence[int]) -> bool:
        at_end = bool(output) and output[-1] in TOKENIZER.eos_ids
        return len(output) >= self.length or (at_end and not self.sampling.ignore_eos)

    def room(self, output: Sequence[int]) -> int:
        """How many tokens a round that begins here may draft."""
        return min(self.cap, self.length - len(output) - 1)

    def law(self, kernel: Kernel) -> OutputLaw:
        """The law of the output, where every position is treated by one kernel."""
        law: OutputLaw = defaultdict(float)
        start: tuple[int, ...] = ()
        todo: list[tuple[tuple[int, ...], float, int, str | None]]
        todo = [(start, 1.0, self.room(start), None)]
        while todo:
            output, share, left, phase = todo.pop()
            if self.ended(output):
                law[output] += share
                continue
            at = self.at(output, phase)
            if left == 0 or entropy(at.q_raw) > self.theta_abs:
                kept, written = np.zeros(SIZE), at.p
            else:
                kept, written = kernel(at)
            for token in range(SIZE):
                longer = (*output, token)
                todo.append((longer, share * kept[token], left - 1, at.phase))
                todo.append((longer, share * written[token], self.room(longer), at.phase))
            todo = [each for each in todo if each[1] > 0]
        return law

    def fly_law(self, theta: float, window: int, *, full: bool) -> OutputLaw:
        """The law of the output under loose verification, which looks ahead within a round."""
        law: OutputLaw = defaultdict(float)
        todo: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
        while todo:
            output, share = todo.pop()
            if self.ended(output) or share == 0:
                law[output] += share
                continue
            for longer, chance in self._fly_round(output, theta, window, full):
                cut = next((n for n in range(len(output) + 1, len(longer) + 1)
                            if self.ended(longer[:n])), len(longer))  # fmt: skip
                todo.append((longer[:cut], share * chance))
        return law

    def _fly_round(
        self, output: tuple[int, ...], theta: float, window: int, full: bool
    ) -> list[tuple[tuple[int, ...], float]]:
        """Return what one round writes, with probabilities."""
        results = []
        # Drafted so far; which of it the exact test rejected; probability of both.
        todo: list[tuple[tuple[int, ...], tuple[bool, ...], float]] = [((), (), 1.0)]
        while todo:
            drafted, missed, share = todo.pop()
            text = (*output, *drafted)
            at = self.at(text, None)
            over = (drafted and self.ended((*output, *drafted)[: len(text)])) or len(
                drafted
            ) == self.room(output)
            if not over and entropy(at.q_raw) <= self.theta_abs:
                for token in range(SIZE):
                    exact_share = min(1.0, at.p[token] / at.q[token]) if at.q[token] else 0.0
                    for miss, chance in ((False, exact_share), (True, 1 - exact_share)):
                        grown = ((*drafted, token), (*missed, miss), share * at.q[token] * chance)
                        todo += [grown] if grown[2] > 0 else []
                continue
            rejected = self._fly_rejects(output, drafted, missed, theta, window, full)
            if rejected is None:
                last, kept = at.p, text
            else:
                kept = (*output, *drafted[:rejected])
                there = self.at(kept, None)
                last = residual(there.p, there.q)
            results += [((*kept, token), share * last[token]) for token in range(SIZE)]
        return results

    def _fly_rejects(
        self,
        output: tuple[int, ...],
        drafted: tuple[int, ...],
        missed: tuple[bool, ...],
        theta: float,
        window: int,
        full: bool,
    ) -> int | None:
        """Return the first mismatch that does not stay, by its definition."""
        wrong = [at for at, miss in enumerate(missed) if miss]
        for index, at in enumerate(wrong):
            here = self.at((*output, *drafted[:at]), None)
            normalised = entropy(_raw(self, (*output, *drafted[:at]))) / math.log(SIZE)
            assert here.p.sum() > 0
            soon = wrong[index + 1 : index + 2]
            followed = bool(soon) and soon[0] - at <= window
            unfilled = full and len(drafted) - 1 - at < window
            # An unfilled window matters at the draft's end alone, which only the last one reaches.
            if normalised <= theta or followed or (unfilled and not soon):
                return at
        return None


def _raw(decoding: Decoding, output: tuple[int, ...]) -> Probs:
    text = [*decoding.prompt, *output]
    decoding.verifier.model.rollback(0)
    logits = np.array(decoding.verifier.model.feed(text, last=1)[0], dtype=np.float64)
    return spread(softmax(Scores(logits)))
