"""How much should n-grams count beside a drafter? Agreement with the verifier, weights by weights.

    smart-speed calibrate CAL --prompts PROMPTS --drafters nano+ngram
    python -m benchmarks.blend_weights --calibration CAL --prompts PROMPTS

Reads the verified texts of a calibration, so that nothing is chosen on test prompts.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from benchmarks.console import progress_bar, show_table, shown, write_json
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter, BlendWeights
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.laws import Scores
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.prompting import encode_prompt
from smart_speed.tracing.trace_files import read_traces
from smart_speed.training.prompts import read_prompts

_USED = BlendWeights()
WEIGHTS: Mapping[str, BlendWeights] = {
    "as used": _USED,
    "n-grams count less": BlendWeights(bias=_USED.bias - 1.5),
    "n-grams count more": BlendWeights(bias=_USED.bias + 1.5),
    "whatever the context": BlendWeights(per_token=0.0, bias=_USED.bias + 1.3),
    "however sure they are": BlendWeights(per_prob=0.0, bias=_USED.bias + 1.1),
}


@final
class _Once:
    """A drafter that is asked once for each position, whoever asks again."""

    context_len = None

    def __init__(self, drafter: Drafter) -> None:
        self.name = drafter.name
        self._drafter = drafter
        self._known: tuple[int, Scores] | None = None

    def prefill(self, text: Sequence[int]) -> None:
        self._known = None
        self._drafter.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        at = len(text) + len(proposal)
        if self._known is None or self._known[0] != at:
            self._known = at, self._drafter.scores_after(text, proposal)
        return self._known[1]

    def rollback(self, to_len: int) -> None:
        """Forget nothing: texts are only gone on with."""


def main() -> None:
    """Count where each blend holds the verifier's token likeliest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--drafters", default="nano,small")
    parser.add_argument("--threads", type=int)
    default = Path(__file__).parent / "results" / "blend-weights.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    document = {name: agreements(args, name) for name in args.drafters.split(",")}
    write_json(args.out, document)


def agreements(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return the agreement of one drafter, of n-grams, and of their blends."""
    options = LoadOptions(engine="llama_cpp", threads=args.threads)
    verifier = load_verifier("default", options)
    inner = _Once(load_drafter(name, verifier, options))
    drafters: dict[str, Drafter] = {name: inner, "ngram": NgramDrafter()}
    drafters |= {f"blend, {each}": BlendDrafter(inner, how) for each, how in WEIGHTS.items()}
    by_id = {each.prompt_id: each.text for each in read_prompts(args.prompts)}
    traces = read_traces(args.calibration / "traces")
    first = traces[0].drafter
    traces = [each for each in traces if each.drafter == first]
    rows: dict[str, dict[str, list[tuple[int, int]]]] = {each: {} for each in drafters}
    with progress_bar(f"texts read by {name}") as progress:
        for done, trace in enumerate(traces):
            progress(done, len(traces))
            chat = [{"role": "user", "content": by_id[trace.prompt_id]}]
            text = encode_prompt(chat, verifier)
            assert len(text) == trace.prompt_len
            verified = trace.tokens.tolist()
            for each, hits in _hits(drafters, text, verified).items():
                rows[each].setdefault(trace.task, []).append((hits, len(verified)))
    found = {each: _mean(list(by_task.values())) for each, by_task in rows.items()}
    show_table(
        f"Agreement with the verifier, mean of tasks, {len(traces)} calibration texts",
        ("drafter", "agreement"),
        [(each, shown(figure, ".3f")) for each, figure in found.items()],
    )
    return {each: figure.to_json() for each, figure in found.items()}


def _hits(drafters: Mapping[str, Drafter], text: list[int], verified: list[int]) -> dict[str, int]:
    hits = dict.fromkeys(drafters, 0)
    for drafter in drafters.values():
        drafter.prefill(text)
    for token in verified:
        for each, drafter in drafters.items():
            scores = drafter.scores_after(text, [])
            best = int(np.argmax(np.asarray(scores.logits)))
            hits[each] += token == (best if scores.ids is None else int(scores.ids[best]))
        text = [*text, token]
    return hits


def _mean(by_task: Sequence[Sequence[tuple[int, int]]]) -> Interval:
    tables = [np.array(each, dtype=np.float64) for each in by_task]
    return bootstrap_mean(tables, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


if __name__ == "__main__":
    main()
