"""What a drafter would write at every position of a verified text: enough to judge any policy.

With lossless greedy decoding every policy writes the same text; only the rounds differ. So one
trace of a prompt, the drafter's greedy continuation from each position, holds what any of them
would have seen.

With lossless sampling the text is a draw from the verifier's law p, whatever the policy. Given its
token x at a position where the draft was accepted so far, the drafter, of law q, had drafted x and
been accepted with probability min(1, q(x) / p(x)), at each position apart. If so, the draft goes on
along the text; if not, its token there is a draw from the positive part of q - p. So a sampled
trace holds that probability, and one draft of a rejected token and what the drafter draws after it.
Drawing acceptances with these probabilities gives rounds of the same law as decoding does.

Positions count verified output tokens: position t is about the token ``tokens[t]``. Passes are
stored once. Each position has ``own_lens[t]`` of them, in one table for all positions. A drafter's
law depends on nothing but the tokens before it; so where its token at t is the verified one, the
continuation from t goes on as that from t + 1 does, and one pass is all that t has of its own.

With agreement a, N positions and continuations of up to K tokens, that takes N + (1 - a) N (K - 1)
drafter passes rather than N K.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt8, UInt16, UInt32

from smart_speed.config import EntropyConfig
from smart_speed.entropy import EntropyType
from smart_speed.errors import check_that
from smart_speed.records import FinishReason

ENTROPY_TYPES: tuple[EntropyType, ...] = ("shannon", "renyi", "topk")
"""Every entropy that a trace holds, Rényi's and top-k with the parameters that are defaults."""

_DEFAULTS = {kind: EntropyConfig(entropy_type=kind).resolved() for kind in ENTROPY_TYPES}
_PARAMETERS = {"shannon": (), "renyi": ("renyi_order",), "topk": ("entropy_top_k",)}


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassTable:
    """One row for each pass that the drafter made, position by position."""

    tokens: UInt32[np.ndarray, " passes"]
    """The likeliest, which greedy drafting draws; in sampled traces what was drafted and rejected,
    and drawn after that."""
    shannon_nats: Float64[np.ndarray, " passes"]
    """Entropies as the strategies see them, to the last bit: they are held against thresholds."""
    renyi_nats: Float64[np.ndarray, " passes"]
    topk_nats: Float64[np.ndarray, " passes"]
    top_prob: Float64[np.ndarray, " passes"]
    margin_nats: Float32[np.ndarray, " passes"]
    """Log-probability of the likeliest token less that of the second; infinite if there is none."""

    def entropy_nats(self, kind: EntropyType) -> Float64[np.ndarray, " passes"]:
        """Return the entropies of one kind."""
        columns = {
            "shannon": self.shannon_nats,
            "renyi": self.renyi_nats,
            "topk": self.topk_nats,
        }
        return columns[kind]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One prompt under greedy verification, with one drafter."""

    prompt_id: str
    task: str
    drafter: str
    prompt_len: int
    max_new_len: int
    """The most tokens that the output might have had; what the context had room for, if less."""
    finish_reason: FinishReason
    """Why it ended: "eos" or "stop" at its last token, "length" or "context" at ``max_new_len``."""
    ending_tokens: tuple[int, ...]
    """Tokens that end an output, and any draft."""
    max_draft_len: int
    """Longest continuation, K; fewer passes where an output cannot be that long any more."""
    drafter_context_len: int | None
    """The most tokens that the drafter can read; ``None`` where there is no limit."""
    tokens: UInt32[np.ndarray, " output"]
    """The verified text, the token that ended it included."""
    verifier_entropy_nats: Float64[np.ndarray, " output"]
    """Shannon entropy of the verifier's law of each token."""
    verifier_top_prob: Float64[np.ndarray, " output"]
    verifier_agrees: Bool[np.ndarray, " output"]
    """Whether one wide pass of the verifier names the same token; where it does not, two are so
    close that the width of a pass decides, and live rounds may part from the trace."""
    own_lens: UInt16[np.ndarray, " output"]
    """Passes that each position has of its own; 0 where the drafter's context is full."""
    passes: PassTable
    overlap: Float32[np.ndarray, " output"] | None = None
    """Of sampled text: sum of min(target, draft) at each position, 0 without a pass."""
    accept_prob: Float32[np.ndarray, " output"] | None = None
    """Of sampled text: probability that the drafter's token was accepted, given the text."""
    match_len: UInt8[np.ndarray, " output"] | None = None
    """Tokens of the longest context before each position that the text had before; ``None`` in
    traces of earlier versions."""
    match_prob: Float64[np.ndarray, " output"] | None = None
    """Probability that it gives to its likeliest next token."""

    def __post_init__(self) -> None:
        assert 0 < self.output_len <= self.max_new_len
        assert self.own_lens.sum() == self.num_passes
        assert self.max_draft_len >= 1

    @property
    def output_len(self) -> int:
        """Tokens of the verified text."""
        return len(self.tokens)

    @property
    def num_passes(self) -> int:
        """Drafter passes that the trace took."""
        return len(self.passes.tokens)

    def roots(self) -> Int32[np.ndarray, " output"]:
        """Return the index of each position's first pass; -1 where it has none."""
        lens = self.own_lens.astype(np.int32)
        return np.where(lens > 0, np.cumsum(lens, dtype=np.int32) - lens, np.int32(-1))

    @property
    def sampled(self) -> bool:
        """Whether the text was drawn, rather than the verifier's likeliest."""
        return self.accept_prob is not None

    def agrees(self, seed: int = 0) -> Bool[np.ndarray, " output"]:
        """Return where the drafter's token after the verified text is accepted.

        Args:
            seed: Of what was accepted, in a sampled text; that of a greedy one is known.
        """
        roots = self.roots()
        agrees: np.ndarray = roots >= 0
        if self.accept_prob is not None:
            draws = np.random.default_rng([seed, self.prompt_len, self.output_len])
            return agrees & (draws.random(self.output_len) < self.accept_prob)
        agrees[agrees] = self.passes.tokens[roots[agrees]] == self.tokens[agrees]
        return agrees

    def following(self, seed: int = 0) -> Int32[np.ndarray, " passes"]:
        """Return the index of the pass that goes on with each pass's draft; -1 if not recorded.

        The seed is that of ``agrees``.
        """
        roots = self.roots()
        following = np.arange(1, self.num_passes + 1, dtype=np.int32)
        some = roots >= 0
        following[(roots + self.own_lens.astype(np.int32))[some] - 1] = -1
        goes_on = self.agrees(seed)[:-1]
        following[roots[:-1][goes_on]] = roots[1:][goes_on]
        return following

    def ends_draft(self, seed: int = 0) -> Bool[np.ndarray, " passes"]:
        """Return whose token ends the output, so that nothing is drafted after it.

        The seed is that of ``agrees``.
        """
        drafted = self.passes.tokens.copy()
        agrees = self.agrees(seed)
        drafted[self.roots()[agrees]] = self.tokens[agrees]
        return np.isin(drafted, np.array(self.ending_tokens, dtype=np.uint32))

    def continuations(self, length: int, seed: int = 0) -> Int32[np.ndarray, "output {length}"]:
        """Return the passes of each position's continuation, as indices of ``passes``.

        Args:
            length: Tokens of a continuation; -1 stands where there are no more. Those that agree
                may be longer than ``max_draft_len``.
            seed: That of ``agrees``.
        """
        following, index = self.following(seed), self.roots()
        columns = []
        for _ in range(length):
            columns.append(index)
            index = np.where(index >= 0, following[index], np.int32(-1))
        return np.array(columns, dtype=np.int32).reshape(length, self.output_len).T

    def accepted_lens(self, seed: int = 0) -> Int32[np.ndarray, " output"]:
        """Return how many leading tokens of each continuation the verifier would keep.

        The seed is that of ``agrees``.
        """
        agrees = self.agrees(seed)
        ends = np.flatnonzero(~agrees)
        positions = np.arange(self.output_len)
        nearest = np.append(ends, self.output_len)[np.searchsorted(ends, positions)]
        return np.asarray(nearest - positions, dtype=np.int32)


def entropy_type_of(config: EntropyConfig) -> EntropyType:
    """Return the entropy that a configuration measures.

    Raises:
        ConfigError: If it is one with parameters that traces do not hold.
    """
    resolved, default = config.resolved(), _DEFAULTS[config.entropy_type]
    for name in _PARAMETERS[config.entropy_type]:
        held, wanted = default[name], resolved.get(name, default[name])
        check_that(wanted == held, name, f"{held}, which is what traces hold", wanted)
    return config.entropy_type
