"""How much could be known about acceptance? A flexible model on growing sets of features.

    python -m benchmarks.calibrated_ceiling --calibration CAL --test TEST

CAL is a folder of `smart-speed calibrate`, TEST one of traces (benchmarks.calibrated trace);
without TEST, half of the calibration texts are judged, which the profile has seen. Gradient-boosted
trees are fitted to the calibration traces and judged on the others, as predictors and by what they
would earn: their probabilities go into the rule of expected gain, one token ahead, whose price is
chosen on the calibration traces. No model and no engine is needed.

Features of earlier rounds are those of a policy that drafts everywhere: one that does not knows a
little less.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float64, Int32

from benchmarks.console import console, show_table, shown, write_json
from smart_speed.calibration.judging import Judge, Judgement, Totals
from smart_speed.calibration.learning import round_costs
from smart_speed.calibration.quality import FitQuality, quality_of
from smart_speed.calibration.samples import samples_of
from smart_speed.config import EntropyConfig
from smart_speed.profiles import read_profile
from smart_speed.stopping.draft_value import RoundCosts
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import ReplayedRound
from smart_speed.tracing.trace_files import read_traces

SETS: Mapping[str, Sequence[str]] = {
    "position in the draft": ("position",),
    "and top-1": ("top_prob",),
    "and entropies": ("shannon", "renyi", "topk"),
    "and margin": ("margin",),
    "and verifier's last law": ("verifier_nats", "verifier_top"),
    "and recent acceptance": ("recent", "accepted_before_1", "accepted_before_2"),
    "and the draft's earlier laws": ("survival", "nats_before", "top_before", "most_nats"),
    "and the text's earlier laws": ("nats_1", "nats_2", "nats_3", "nats_mean", "verifier_mean"),
}
"""Features by name; each set has those of all before it."""
_OF_LAWS = {
    "top_prob", "shannon", "renyi", "topk", "margin", "survival", "nats_before", "top_before",
    "most_nats",
}  # fmt: skip
"""Features that are not known before a round's first law."""
_RECENT_START, _RECENT_RATE = 0.5, 0.12
_FAR = 30.0
"""Nats that a margin counts for at most; some are infinite."""
_PRICES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
"""Multiples of the calibrated rate that are tried as price."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextFeatures:
    """What is known of each law of the draft that begins at each position of a text."""

    prepared: PreparedTrace
    columns: Mapping[str, Float64[np.ndarray, "positions drafted"]]
    """By name; NaN where there is no law."""
    known: Bool[np.ndarray, "positions drafted"]
    """Where the trace holds a law."""
    accepted_lens: Int32[np.ndarray, " positions"]

    def rows(self, names: Sequence[str], where: np.ndarray) -> np.ndarray:
        """Return some features of some laws, a row for each."""
        return np.stack([self.columns[name][where] for name in names], axis=1)


class Chances(NamedTuple):
    """What three models say: of a law's token, of the next one's, and of a round's first."""

    this: list[Float64[np.ndarray, "positions drafted"]]
    following: list[Float64[np.ndarray, "positions drafted"]]
    first: list[Float64[np.ndarray, " positions"]]


def features_of(prepared: PreparedTrace, longest: int) -> TextFeatures:
    """Look at every law of every draft of a text, up to a length."""
    trace, passes = prepared.trace, prepared.trace.passes
    index = trace.continuations(longest, prepared.seed)[: prepared.output_len]
    known = index >= 0
    by_pass = {
        "top_prob": passes.top_prob,
        "shannon": passes.shannon_nats,
        "renyi": passes.renyi_nats,
        "topk": passes.topk_nats,
        "margin": np.minimum(passes.margin_nats.astype(np.float64), _FAR),
    }
    columns = {name: np.where(known, values[index], np.nan) for name, values in by_pass.items()}
    columns["position"] = np.broadcast_to(np.arange(longest, dtype=np.float64), index.shape)
    columns |= _of_the_draft(columns["shannon"], columns["top_prob"])
    by_position = _of_the_text(prepared)
    columns |= {
        name: np.broadcast_to(values[:, None], index.shape) for name, values in by_position.items()
    }
    accepted_lens = np.array(prepared.accepted_lens[: prepared.output_len], dtype=np.int32)
    return TextFeatures(
        prepared=prepared, columns=columns, known=known, accepted_lens=accepted_lens
    )


def _of_the_draft(nats: np.ndarray, top: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the laws before each in its draft say."""
    first = np.full((len(nats), 1), np.nan)
    return {
        "survival": np.concatenate([np.ones((len(top), 1)), np.cumprod(top, axis=1)[:, :-1]], 1),
        "nats_before": np.concatenate([first, nats[:, :-1]], 1),
        "top_before": np.concatenate([first, top[:, :-1]], 1),
        "most_nats": np.fmax.accumulate(nats, axis=1),
    }


def _of_the_text(prepared: PreparedTrace) -> dict[str, np.ndarray]:
    """Return what the text before each position says."""
    samples, length = samples_of(prepared), prepared.output_len
    nats, kept = np.full(length, np.nan), np.full(length, np.nan)
    nats[: len(samples.entropy_nats)] = samples.entropy_nats
    kept[: len(samples.accepted)] = samples.accepted
    recent = np.full(length, np.nan)
    recent[: len(samples.accepted)] = samples.recent(_RECENT_START, _RECENT_RATE)
    verifier = prepared.trace.verifier_entropy_nats[:length]
    return {
        "verifier_nats": _earlier(verifier, 1),
        "verifier_top": _earlier(prepared.trace.verifier_top_prob[:length], 1),
        "verifier_mean": _mean_before(verifier),
        "recent": recent,
        "accepted_before_1": _earlier(kept, 1),
        "accepted_before_2": _earlier(kept, 2),
        "nats_1": _earlier(nats, 1),
        "nats_2": _earlier(nats, 2),
        "nats_3": _earlier(nats, 3),
        "nats_mean": _mean_before(nats),
    }


def _earlier(values: np.ndarray, steps: int) -> np.ndarray:
    return np.concatenate([np.full(min(steps, len(values)), np.nan), values[:-steps]])


def _mean_before(values: np.ndarray) -> np.ndarray:
    sums = np.cumsum(np.nan_to_num(values))
    means: np.ndarray = _earlier(sums / np.arange(1, len(values) + 1), 1)
    return means


def fitted(rows: np.ndarray, accepted: np.ndarray) -> Any:
    """Return gradient-boosted trees that tell accepted tokens from others."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=40,
        l2_regularization=1.0, random_state=0,
    )  # fmt: skip
    return model.fit(rows, accepted)


def judge_set(
    names: Sequence[str],
    known: Sequence[TextFeatures],
    tests: Sequence[TextFeatures],
    judges: tuple[Judge, Judge],
    rate: float,
) -> tuple[FitQuality, Judgement, float]:
    """Fit on the known texts; return quality and earnings on the others, and the price taken.

    Args:
        names: Features.
        known: To fit to, and to choose the price on.
        tests: To judge on.
        judges: Of the known texts and of the others.
        rate: Tokens per second that prices are multiples of.
    """
    from threadpoolctl import threadpool_limits

    # On a machine that is busy, several threads wait for each other most of the time.
    with threadpool_limits(limits=1):
        models = _models(names, known)
        own, others = (_chances(models, names, texts) for texts in (known, tests))
    costs = round_costs(judges[0].costs, known[0].known.shape[1])

    def played(
        chances: Chances, texts: Sequence[TextFeatures], judge: Judge, price: float
    ) -> list[Totals]:
        return [
            _totals(each, _play(each, chances, at, costs, price), judge.costs)
            for at, each in enumerate(texts)
        ]

    prices = [rate * each for each in _PRICES]
    seconds = [sum(each.seconds for each in played(own, known, judges[0], p)) for p in prices]
    price = prices[int(np.argmin(seconds))]
    predicted, accepted = [], []
    for at, each in enumerate(tests):
        tested = _tested(each)
        predicted.append(others.this[at][tested])
        accepted.append(_labels(each)[tested])
    quality = quality_of(np.concatenate(predicted), np.concatenate(accepted))
    return quality, judges[1].judgement(played(others, tests, judges[1], price)), price / rate


def _tested(text: TextFeatures) -> np.ndarray:
    """Return which laws' tokens are judged by the verifier: all before them were accepted."""
    drafted = np.arange(text.known.shape[1])
    inside: np.ndarray = text.known & (drafted <= text.accepted_lens[:, None])
    left = text.prepared.output_len - np.arange(len(text.known))
    return inside & (drafted < left[:, None])


def _labels(text: TextFeatures) -> np.ndarray:
    labels: np.ndarray = np.arange(text.known.shape[1]) < text.accepted_lens[:, None]
    return labels


def _before(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in _OF_LAWS]


def _models(names: Sequence[str], texts: Sequence[TextFeatures]) -> tuple[Any, Any, Any]:
    """Fit the chance of a law's token, of the one after it if it is accepted, and of a first."""
    this, following, first = [], [], []
    for each in texts:
        tested, labels = _tested(each), _labels(each)
        this.append((each.rows(names, tested), labels[tested]))
        after = tested[:, :-1] & labels[:, :-1] & tested[:, 1:]
        following.append((_left(each, names, after), labels[:, 1:][after]))
        begins = np.zeros_like(tested)
        begins[:, 0] = tested[:, 0]
        first.append((each.rows(_before(names), begins), labels[begins]))
    made = []
    for part in (this, following, first):
        rows, labels = (np.concatenate(column) for column in zip(*part, strict=True))
        made.append(fitted(rows, labels))
    return made[0], made[1], made[2]


def _left(text: TextFeatures, names: Sequence[str], where: np.ndarray) -> np.ndarray:
    """Return features of laws that have another after them."""
    whole = np.concatenate([where, np.zeros((len(where), 1), dtype=bool)], axis=1)
    return text.rows(names, whole)


def _chances(
    models: tuple[Any, Any, Any], names: Sequence[str], texts: Sequence[TextFeatures]
) -> Chances:
    this, following, first = models
    found = Chances([], [], [])
    for each in texts:
        everywhere = np.ones_like(each.known)
        rows = each.rows(names, everywhere)
        for model, kept in ((this, found.this), (following, found.following)):
            kept.append(model.predict_proba(rows)[:, 1].reshape(each.known.shape))
        begins = np.zeros_like(everywhere)
        begins[:, 0] = True
        found.first.append(first.predict_proba(each.rows(_before(names), begins))[:, 1])
    return found


def _play(
    text: TextFeatures, chances: Chances, at: int, costs: RoundCosts, price: float
) -> list[ReplayedRound]:
    """Play the rule of expected gain, one token ahead, with the models' chances."""
    prepared, position, rounds = text.prepared, 0, []
    this, following = chances.this[at].tolist(), chances.following[at].tolist()
    first = chances.first[at].tolist()
    while position < prepared.output_len:
        limit = prepared.longest_draft(position, text.known.shape[1])
        begin_s = costs.step_s + costs.first_step_extra_s + costs.wider_s[0]
        passes = length = 0
        if limit and first[position] > price * begin_s:
            passes, length = _draft(this[position], following[position], limit, costs, price)
        left = prepared.output_len - position
        accepted_len = min(prepared.accepted_lens[position], length, left)
        rounds.append(
            ReplayedRound(
                context_len=prepared.trace.prompt_len + position,
                num_passes=passes,
                draft_len=length,
                accepted_len=accepted_len,
                emitted_len=min(accepted_len + 1, left),
                stop_reason="ceiling",
            )
        )
        position += rounds[-1].emitted_len
    return rounds


def _draft(
    this: Sequence[float],
    following: Sequence[float],
    limit: int,
    costs: RoundCosts,
    price: float,
) -> tuple[int, int]:
    """Return drafter passes and tokens of one round."""
    survival = 1.0
    for length in range(limit):
        survival *= this[length]
        if survival <= price * costs.wider_s[length]:
            return length + 1, length
        further = length + 1 < limit
        if not further or survival * following[length] <= price * (
            costs.step_s + costs.wider_s[length + 1]
        ):
            return length + 1, length + 1
    return 0, 0


def _totals(text: TextFeatures, rounds: Sequence[ReplayedRound], costs: CostModel) -> Totals:
    return Totals(
        tokens=text.prepared.output_len,
        seconds=costs.seconds(rounds),
        num_rounds=len(rounds),
        num_passes=sum(turn.num_passes for turn in rounds),
        drafted=sum(turn.draft_len for turn in rounds),
        accepted=sum(turn.accepted_len for turn in rounds),
    )


def main() -> None:
    """Judge every set of features, and keep what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="traces; default: every other calibration text")
    parser.add_argument("--max-draft-len", type=int, default=8, help="of the rule that is played")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results/")
    args = parser.parse_args()
    profile = read_profile(args.calibration / "profile.json")
    assert profile.drafter is not None
    costs = CostModel.from_json(profile.learned["measured"]["costs"])
    known = _texts(args.calibration / "traces", profile.drafter["name"])
    tests = _texts(args.test, profile.drafter["name"]) if args.test else known[1::2]
    known = known if args.test else known[::2]
    config = EntropyConfig.from_dict(profile.config)
    fixed_len = int(profile.settings_of("fixed")["max_draft_len"])
    judges = (Judge(known, costs, fixed_len=fixed_len), Judge(tests, costs, fixed_len=fixed_len))
    longest = min(args.max_draft_len, *(each.max_draft_len for each in judges))
    features = [[features_of(each, longest) for each in texts] for texts in (known, tests)]
    assert config.calibration is not None
    names: list[str] = []
    found: dict[str, Any] = {}
    for label, more in SETS.items():
        names += more
        quality, judgement, price = judge_set(
            names, features[0], features[1], judges, config.calibration.rate
        )
        found[label] = {"features": list(names), "price": price, **_row(quality, judgement)}
        console.print(f"{label}: AUC {quality.auc:.3f}, {shown(judgement.share, '.1%')} closed")
    document = {
        "drafter": profile.drafter,
        "engine": profile.engine,
        "num_known": len(known),
        "num_tests": len(tests),
        "by_features": found,
        "calibrated": judges[1].judge(config).to_json(),
        "oracle": judges[1].oracle().to_json(),
    }
    default = Path(__file__).parent / "results" / f"calibrated-ceiling-{profile.engine}.json"
    write_json(args.out or default, document)
    _show(document)


def _texts(folder: Path, drafter: str) -> list[PreparedTrace]:
    return [PreparedTrace(each) for each in read_traces(folder) if each.drafter == drafter]


def _row(quality: FitQuality, judgement: Judgement) -> dict[str, Any]:
    figures = {name: getattr(quality, name) for name in ("auc", "ece", "log_loss")}
    return figures | {name: judgement.to_json()[name] for name in ("share", "speed", "over_fixed")}


def _show(document: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            f"{each['auc']:.3f}",
            f"{each['ece']:.3f}",
            f"{each['log_loss']:.3f}",
            f"{each['share']['value']:.1%}",
            f"{each['speed']['value']:.3f}",
        )
        for name, each in document["by_features"].items()
    ]
    rows += [
        (name, "", "", "", f"{each['share']['value']:.1%}", f"{each['speed']['value']:.3f}")
        for name, each in ((name, document[name]) for name in ("calibrated", "oracle"))
    ]
    headings = ("features", "AUC", "ECE", "log-loss", "share closed", "over plain")
    show_table("What could be known, and what it would earn", headings, rows)


if __name__ == "__main__":
    main()
