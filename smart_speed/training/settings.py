"""What can be set when a drafter is distilled. No engine is needed to read this."""

from dataclasses import dataclass
from typing import Literal, final, get_args

from smart_speed.errors import ConfigError, check_that, unknown_name

SoftTargets = Literal["top", "whole"]
Precision = Literal["auto", "bf16", "float32"]
NumberFormat = Literal["f32", "bf16", "q8_0"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSettings:
    """What is asked of the verifier."""

    max_prompt_len: int = 320
    """Tokens; longer prompts are left out, since reading them costs more than they teach."""
    max_new_tokens: int = 128
    sampled_share: float = 0.5
    """Share of answers that are drawn at ``temperature``; the others are greedy."""
    temperature: float = 0.8
    raw_share: float = 0.15
    """Share of prompts given as plain text to go on with, outside the chat template."""
    block_size: int = 256
    """Prompts answered side by side."""
    top: int = 16
    """The verifier's likeliest tokens that are kept of every position."""
    limit: int | None = None
    """Prompts used at most, a random choice; ``None`` for all."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_prompt_len", "max_new_tokens", "block_size", "top", "limit"):
            value = getattr(self, name)
            check_that(value is None or value >= 1, name, "at least 1", value)
        for name in ("sampled_share", "raw_share"):
            value = getattr(self, name)
            check_that(0 <= value <= 1, name, "from 0 to 1", value)
        check_that(self.temperature > 0, "temperature", "above 0", self.temperature)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterShape:
    """Of what size a drafter is; what is ``None`` is as in the verifier."""

    keep_layers: tuple[int, ...] = ()
    """Layers of the verifier to begin with, counted from 0; negative ones from the end. Empty for
    random layers."""
    num_layers: int | None = None
    """Number of random layers."""
    width: int | None = None
    num_heads: int | None = None
    num_key_value_heads: int | None = None
    mlp_width: int | None = None
    vocab_size: int | None = None
    """Rows of the embedding: the most frequent tokens and one that stands for all others."""

    def __post_init__(self) -> None:
        kinds = bool(self.keep_layers) + (self.num_layers is not None)
        got = (self.keep_layers, self.num_layers)
        check_that(kinds == 1, "keep_layers or num_layers", "given, one of the two", got)
        for name in ("num_layers", "width", "num_heads", "num_key_value_heads", "mlp_width"):
            value = getattr(self, name)
            check_that(value is None or value >= 1, name, "at least 1", value)
        size = self.vocab_size
        check_that(size is None or size >= 2, "vocab_size", "at least 2", size)
        others = (self.width, self.num_heads, self.num_key_value_heads, self.mlp_width)
        if self.keep_layers and any(value is not None for value in others):
            raise ConfigError(
                "width, heads and mlp_width must be left out with keep_layers, which keep the "
                f"verifier's, got {others}."
            )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a drafter is trained."""

    epochs: float = 4.0
    """Times that it sees the corpus."""
    learning_rate: float = 1e-3
    """At its highest; rises at first and falls along a cosine."""
    warmup_share: float = 0.03
    """Share of all steps in which the rate rises."""
    weight_decay: float = 0.05
    batch_rows: int = 8
    """Rows of a step, on each device."""
    row_len: int = 512
    """Tokens of a row."""
    hard_share: float = 0.2
    """Weight of hard labels in the loss; the soft targets have the rest."""
    soft_targets: SoftTargets = "top"
    """ "top": the verifier's likeliest tokens, from the corpus; "whole": its whole law, which
    takes a pass of the verifier for every step."""
    precision: Precision = "auto"
    """Of the products; weights and optimizer are float32. "auto" takes bf16 where it is fast."""
    save_steps: int = 200
    """Steps between checkpoints."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate"):
            check_that(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ("warmup_share", "hard_share"):
            value = getattr(self, name)
            check_that(0 <= value <= 1, name, "from 0 to 1", value)
        for name in ("batch_rows", "save_steps"):
            check_that(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        check_that(self.row_len >= 2, "row_len", "at least 2", self.row_len)
        check_that(self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay)
        for name, known in (
            ("soft_targets", get_args(SoftTargets)),
            ("precision", get_args(Precision)),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be made."""

    name: str
    """A word: folder and name of the drafter."""
    shape: DrafterShape
    training: TrainingSettings
    number_format: NumberFormat = "q8_0"
    """Of the GGUF file's matrices."""
    whole_vocabulary: bool = False
    """Widen a trimmed drafter to the verifier's vocabulary, as other people's engines want it."""

    def __post_init__(self) -> None:
        if self.number_format not in get_args(NumberFormat):
            raise unknown_name("number_format", self.number_format, get_args(NumberFormat))
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(
                f"name must be made of letters, digits, '-' and '_', got {self.name!r}."
            )
