"""A smaller language model as drafter."""

from collections.abc import Sequence
from typing import final

from smart_speed.engines.base import CachedModel, LoadedModel, check_same_vocabulary, read_ahead
from smart_speed.errors import check_that
from smart_speed.laws import Scores


@final
class ModelDrafter:
    """Scores by a model, fed whatever its cache has not seen."""

    name = "model"

    def __init__(self, model: CachedModel, *, vocab_size: int) -> None:
        """Wrap a model.

        Args:
            model: The drafter; its cache is this object's to change.
            vocab_size: Width of the verifier's logits. Engines pad them as they like; tokens
                past the narrower of the two are never drafted.
        """
        self._model = model
        self._width = min(vocab_size, model.vocab_size)

    @classmethod
    def for_verifier(cls, drafter: LoadedModel, verifier: LoadedModel) -> "ModelDrafter":
        """Pair two loaded models.

        Raises:
            VocabularyError: If a token means something else to the two.
            ConfigError: If they are one model, whose one cache cannot hold two texts.
        """
        other = drafter.model is not verifier.model
        check_that(other, "drafter", "loaded apart from the verifier", drafter.path)
        check_same_vocabulary(verifier.tokenizer, drafter.tokenizer)
        return cls(drafter.model, vocab_size=verifier.model.vocab_size)

    @property
    def context_len(self) -> int | None:
        return self._model.context_len

    def prefill(self, text: Sequence[int]) -> None:
        if len(text) > self._model.context_len:
            self._model.rollback(0)  # it will not be asked
        else:
            read_ahead(self._model, self._known(text))

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        drafted = self._model.cached_len - len(text)
        unseen = proposal[drafted:] if drafted >= 0 else [*text[drafted:], *proposal]
        return Scores(self._model.feed(self._known(unseen), last=1)[0, : self._width])

    def _known(self, tokens: Sequence[int]) -> Sequence[int]:
        """Put token 0 for those that the drafter has no embedding for; any draft is verified."""
        size = self._model.vocab_size
        return tokens if max(tokens) < size else [tok if tok < size else 0 for tok in tokens]

    def rollback(self, to_len: int) -> None:
        self._model.rollback(min(to_len, self._model.cached_len))
