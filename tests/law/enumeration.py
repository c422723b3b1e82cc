"""Run the shipped loop once for every way that chance can fall, and add up the probabilities."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import LetterTokenizer, TableModel
from smart_speed.laws import Law, Scores
from smart_speed.sampling import Sampling

OutputLaw = dict[tuple[int, ...], float]

TOKENIZER = LetterTokenizer("ab")
"""Three tokens: a, b and the end of the text, so that drafts hold it, too."""


class ScriptedChance:
    """Takes the branches a script names, then always the first, and notes the others."""

    def __init__(self, script: tuple[int, ...]) -> None:
        self._script = script
        self._taken: list[int] = []
        self.probability = 1.0
        self.untried: list[tuple[int, ...]] = []

    def _branch(self, probabilities: list[float]) -> int:
        possible = [index for index, share in enumerate(probabilities) if share > 0]
        if len(self._taken) < len(self._script):
            chosen = self._script[len(self._taken)]
        else:
            chosen = possible[0]
            self.untried += [(*self._taken, other) for other in possible[1:]]
        self._taken.append(chosen)
        self.probability *= probabilities[chosen]
        return chosen

    def flip(self, probability: float) -> bool:
        accepted = min(1.0, probability)
        return self._branch([accepted, 1 - accepted]) == 0

    def draw(self, law: Law) -> int:
        probabilities: list[float] = np.asarray(law.probs, dtype=np.float64).tolist()
        return Scores(law.probs, law.ids).token_at(self._branch(probabilities))


def enumerate_outputs(run: Callable[[ScriptedChance], tuple[int, ...]]) -> OutputLaw:
    """Return the probability of every output, exactly."""
    law: OutputLaw = defaultdict(float)
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        chance = ScriptedChance(scripts.pop())
        law[run(chance)] += chance.probability
        scripts += chance.untried
    return law


def verifier_law(
    verifier: LoadedModel, prompt: list[int], length: int, sampling: Sampling
) -> OutputLaw:
    """Return the probability of every output of plain sampling, by its definition."""
    law: OutputLaw = defaultdict(float)
    ends = set(sampling.stop_tokens) | (set() if sampling.ignore_eos else TOKENIZER.eos_ids)
    open_outputs: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_outputs:
        output, probability = open_outputs.pop()
        if len(output) == length or (output and output[-1] in ends):
            law[output] += probability
            continue
        text = [*prompt, *output]
        verifier.model.rollback(0)
        logits = verifier.model.feed(text, last=1)[0]
        step = sampling.law(Scores(logits), text)
        shares = [(token, step.prob_of(token)) for token in range(TOKENIZER.vocab_size)]
        open_outputs += [
            ((*output, token), probability * share) for token, share in shares if share
        ]
    verifier.model.rollback(0)
    return law


def total_variation(one: OutputLaw, other: OutputLaw) -> float:
    keys = one.keys() | other.keys()
    return sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in keys) / 2


def random_model(seed: int, order: int = 2, spread: float = 1.5) -> LoadedModel:
    """A table model whose every context has a law of its own."""
    size = TOKENIZER.vocab_size
    table = np.random.default_rng(seed).normal(scale=spread, size=(size,) * (order + 1))
    return LoadedModel(
        model=TableModel(table),
        tokenizer=TOKENIZER,
        engine="toy",
        path=f"seed {seed}",
        description="random",
    )
