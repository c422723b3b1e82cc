"""Do texts drawn with speculative decoding keep the law of plain decoding?

Every peer answers a few questions in a few tokens, again and again with other seeds, and so does
its engine's plain decoding. If both draw from one law, the total variation distance of the two
samples is what chance makes of it; how often chance makes as much is the p value of a permutation
test. A small one shows that the law is another; a large one proves nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.console import console, show_table
from benchmarks.peers.catalogue import PeerSpec
from benchmarks.peers.figures import text_of
from benchmarks.peers.interleaving import Contestant
from benchmarks.resumable import ResumableRows

QUESTIONS = {
    "animal": "Name one animal.",
    "colour": "What is your favourite colour? Answer in one word.",
    "number": "Pick a number from one to ten.",
}
NUM_TOKENS = 4
"""The first is drawn from the pass that reads the prompt; what drafting changes comes after it."""
_PERMUTATIONS = 4000

Text = tuple[int, ...]


def draw_all(
    contestants: Mapping[str, Contestant],
    prompts: Mapping[str, Sequence[int]],
    rows: ResumableRows,
    *,
    temperature: float,
    count: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Have everybody answer every prompt so many times; no seed is used twice.

    Args:
        contestants: By name.
        prompts: In tokens, by name; those that ``rows`` has answers to are passed over.
        rows: Where the answers go.
        temperature: Above 0.
        count: Answers of each to each.
        progress: Called with the number of samples done, and of all.
    """
    done = {(row["prompt"], row["peer"]) for row in rows.rows}
    wanted = [(prompt, peer) for prompt in prompts for peer in contestants]
    names = list(contestants)
    try:
        for at, (prompt, peer) in enumerate(wanted):
            if (prompt, peer) not in done:
                first_seed = count * names.index(peer)
                rows.add(
                    {"prompt": prompt, "peer": peer}
                    | _sample(contestants[peer], prompts[prompt], temperature, first_seed, count)
                )
            progress(at + 1, len(wanted))
    finally:
        for contestant in contestants.values():
            contestant.end()


def _sample(
    contestant: Contestant,
    prompt: Sequence[int],
    temperature: float,
    first_seed: int,
    count: int,
) -> dict[str, Any]:
    texts: list[list[int]] = []
    for seed in range(first_seed, first_seed + count):
        reply = contestant.ask(
            {
                "do": "answer",
                "prompt": list(prompt),
                "max_new_tokens": NUM_TOKENS,
                "temperature": temperature,
                "seed": seed,
            }
        )
        if reply["status"] != "ok":
            return {"texts": [], "failure": reply["reason"]}
        texts.append(list(reply["tokens"]))
    return {"texts": texts, "failure": None}


def laws_of(
    rows: Sequence[Mapping[str, Any]], specs: Sequence[PeerSpec], ending: Sequence[int]
) -> dict[str, Any]:
    """Return for every peer how far its texts are from plain decoding's, and whether by chance.

    Args:
        rows: Of ``draw_all``.
        specs: Of those that took part.
        ending: Tokens that end a text; engines differ in whether they return them.
    """
    samples = {
        (row["prompt"], row["peer"]): Counter(text_of(each, ending) for each in row["texts"])
        for row in rows
        if row["texts"]
    }
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    found: dict[str, Any] = {}
    for spec in specs:
        if spec.name == spec.baseline:
            continue
        pairs = {
            prompt: (samples[prompt, spec.name], samples[prompt, spec.baseline])
            for prompt in prompts
            if (prompt, spec.name) in samples and (prompt, spec.baseline) in samples
        }
        if pairs:
            found[spec.name] = _judged(pairs, ours=spec.ours)
    return found


def _judged(
    pairs: Mapping[str, tuple[Counter[Text], Counter[Text]]], *, ours: bool
) -> dict[str, Any]:
    by_prompt = {prompt: distance(mine, plain) for prompt, (mine, plain) in pairs.items()}
    # As many tests as there are prompts: the least p value is worth so much less.
    least = min(each["p"] for each in by_prompt.values())
    return {"ours": ours, "p": min(1.0, least * len(by_prompt)), "by_prompt": by_prompt}


def distance(one: Counter[Text], other: Counter[Text]) -> dict[str, Any]:
    """Return the total variation distance of two samples, and how often chance brings as much."""
    texts = sorted(one.keys() | other.keys())
    mine = np.array([one[text] for text in texts])
    pooled = mine + np.array([other[text] for text in texts])
    shuffled = np.random.default_rng(0).multivariate_hypergeometric(
        pooled, mine.sum(), size=_PERMUTATIONS, method="marginals"
    )
    apart, by_chance = _variation(mine, pooled), _variation(shuffled, pooled)
    # Rounding shall not tell equal distances apart.
    as_far = int(np.sum(by_chance >= apart - 1e-12))
    return {
        "num_draws": [int(mine.sum()), int(pooled.sum() - mine.sum())],
        "num_texts": len(texts),
        "variation": float(apart),
        "by_chance": float(np.median(by_chance)),
        "p": (1 + as_far) / (1 + _PERMUTATIONS),
    }


def _variation(mine: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    rest = pooled - mine
    shares = mine / mine.sum(-1, keepdims=True), rest / rest.sum(-1, keepdims=True)
    apart: np.ndarray = np.abs(shares[0] - shares[1]).sum(-1) / 2
    return apart


def show_laws(document: Mapping[str, Any]) -> None:
    """Print who is how far from plain decoding's law, and who could not be had."""
    prompts = list(QUESTIONS)
    rows = [
        (
            name,
            *(
                f"{each['variation']:.3f} ({each['by_chance']:.3f})" if each else "–"
                for each in (own["by_prompt"].get(prompt) for prompt in prompts)
            ),
            f"{own['p']:.4f}",
        )
        for name, own in document["laws"].items()
    ]
    title = (
        f"Total variation from plain decoding's texts at temperature {document['temperature']:g} "
        "(by chance)"
    )
    show_table(title, ("peer", *prompts, "p"), rows)
    for name, reason in document["left_out"].items():
        console.print(f"{name} is left out: {reason}", markup=False, soft_wrap=True)
