"""A smaller language model as drafter."""

from collections.abc import Sequence
from typing import final

import numpy as np

from smart_speed.engines.base import CachedModel, LoadedModel, check_same_vocabulary, read_ahead
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
        self._ids = np.arange(self._width) if model.vocab_size < vocab_size else None

    @classmethod
    def for_verifier(cls, drafter: LoadedModel, verifier: LoadedModel) -> "ModelDrafter":
        """Pair two loaded models.

        Raises:
            VocabularyError: If a token means something else to the two.
        """
        check_same_vocabulary(verifier.tokenizer, drafter.tokenizer)
        return cls(drafter.model, vocab_size=verifier.model.vocab_size)

    def prefill(self, text: Sequence[int]) -> None:
        read_ahead(self._model, text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        drafted = self._model.cached_len - len(text)
        unseen = proposal[drafted:] if drafted >= 0 else [*text[drafted:], *proposal]
        return Scores(self._model.feed(unseen, last=1)[0, : self._width], self._ids)

    def rollback(self, to_len: int) -> None:
        self._model.rollback(min(to_len, self._model.cached_len))
