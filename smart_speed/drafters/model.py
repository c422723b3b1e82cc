"""A smaller language model as drafter."""

from collections.abc import Sequence
from typing import final

import array_api_compat
import numpy as np
from jaxtyping import Float, Int

from smart_speed.engines.base import CachedModel, LoadedModel, read_ahead
from smart_speed.engines.vocabulary import shared_vocabulary
from smart_speed.errors import check_that
from smart_speed.laws import Array, Scores


@final
class ModelDrafter:
    """Scores by a model, fed whatever its cache has not seen.

    A model of a trimmed vocabulary reads the tokens that it lacks as the one that stands for them
    all, and drafts none of them. So it drafts from a law over a smaller support, which verifies
    losslessly as any other does.
    """

    def __init__(
        self,
        model: CachedModel,
        *,
        vocab_size: int,
        ids: Int[np.ndarray, " kept"] | None = None,
        name: str = "model",
    ) -> None:
        """Wrap a model.

        Args:
            model: The drafter; its cache is this object's to change.
            vocab_size: Width of the verifier's logits. Engines pad them as they like; tokens
                past the narrower of the two are never drafted.
            ids: For a trimmed vocabulary, the verifier's ids of the model's first tokens,
                ascending; the token after them stands for all others. ``None`` where the two
                number their tokens alike.
            name: A word for records and tables.
        """
        self._model = model
        self.name = name
        self._places: dict[int, int] | None = None
        self._ids: Int[Array, " kept"] | None = None
        self._width = min(vocab_size, model.vocab_size)
        if ids is not None:
            most = model.vocab_size - 1
            check_that(0 < len(ids) <= most, "ids", f"1 to {most} in number", len(ids))
            self._places = {token: place for place, token in enumerate(ids.tolist())}
            self._ids = ids[ids < vocab_size]
            self._width = len(self._ids)

    @classmethod
    def for_verifier(
        cls, drafter: LoadedModel, verifier: LoadedModel, *, name: str = "model"
    ) -> "ModelDrafter":
        """Pair two loaded models.

        Raises:
            VocabularyError: If a token means something else to the two.
            ConfigError: If they are one model, whose one cache cannot hold two texts.
        """
        other = drafter.model is not verifier.model
        check_that(other, "drafter", "loaded apart from the verifier", drafter.path)
        ids = shared_vocabulary(verifier.tokenizer, drafter.tokenizer)
        return cls(drafter.model, vocab_size=verifier.model.vocab_size, ids=ids, name=name)

    @property
    def context_len(self) -> int | None:
        return self._model.context_len

    @property
    def support_len(self) -> int:
        """How many tokens it can draft."""
        return self._width

    def prefill(self, text: Sequence[int]) -> None:
        if len(text) > self._model.context_len:
            self._model.rollback(0)  # it will not be asked
        else:
            read_ahead(self._model, self._known(text))

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        drafted = self._model.cached_len - len(text)
        unseen = proposal[drafted:] if drafted >= 0 else [*text[drafted:], *proposal]
        logits = self._model.feed(self._known(unseen), last=1)[0, : self._width]
        return Scores(logits, self._ids_beside(logits))

    def scores_along(self, text: Sequence[int], proposal: Sequence[int]) -> list[Scores]:
        self.rollback(len(text) - 1)
        unseen = [*text[self._model.cached_len :], *proposal]
        rows = self._model.feed(self._known(unseen), last=len(proposal) + 1)[:, : self._width]
        return [Scores(row, self._ids_beside(row)) for row in rows]

    def _known(self, tokens: Sequence[int]) -> Sequence[int]:
        """Put the model's own tokens for the verifier's.

        Where it has none, the one that stands for such; or token 0, since any draft is verified.
        """
        if self._places is not None:
            unknown = len(self._places)
            return [self._places.get(token, unknown) for token in tokens]
        size = self._model.vocab_size
        return tokens if max(tokens) < size else [tok if tok < size else 0 for tok in tokens]

    def _ids_beside(self, logits: Float[Array, " kept"]) -> Int[Array, " kept"] | None:
        """Return the ids where the logits are, moved there the first time."""
        if self._ids is not None and not isinstance(self._ids, type(logits)):
            xp = array_api_compat.array_namespace(logits)
            self._ids = xp.asarray(self._ids, device=array_api_compat.device(logits))
        return self._ids

    def rollback(self, to_len: int) -> None:
        self._model.rollback(min(to_len, self._model.cached_len))
