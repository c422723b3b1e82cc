"""Examples laid end to end in rows of one length, so that no training pass reads padding."""

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.data import Dataset

from smart_speed.errors import check_that
from smart_speed.training.corpus import Example


@final
class PackedRows(Dataset[dict[str, torch.Tensor]]):
    """Rows of tokens, and for each position what the verifier thinks comes next.

    Examples follow each other without a mask between them, as is usual when language models are
    trained: each begins with the same words, and a model soon learns to forget what was before.
    """

    def __init__(
        self,
        examples: Iterable[Example],
        *,
        row_len: int,
        kept_ids: Sequence[int] | None,
        vocab_size: int,
    ) -> None:
        """Pack a corpus.

        Args:
            examples: In any order; they are packed in it.
            row_len: Tokens a row; what is left at the end is dropped.
            kept_ids: The verifier's tokens that the drafter knows; see ``token_map``.
            vocab_size: Of the verifier.

        Raises:
            ConfigError: If the examples do not fill a row.
        """
        to_drafter = token_map(kept_ids, vocab_size)
        inputs, own, ids, logprobs, answered = [], [], [], [], []
        for example in examples:
            tokens = np.concatenate([example.prompt, example.answer])
            inputs.append(to_drafter[tokens])
            own.append(tokens)
            # Position t holds what the verifier thinks of token t + 1.
            before, top = len(example.prompt) - 1, example.top_ids.shape[1]
            blank = ((before, 1), (0, 0))
            ids.append(np.pad(to_drafter[example.top_ids], blank))
            logprobs.append(np.pad(example.top_logprobs, blank, constant_values=-np.inf))
            mask = np.zeros(len(tokens), dtype=bool)
            mask[before:-1] = True
            answered.append(mask)
        total = sum(map(len, inputs)) // row_len * row_len
        check_that(total > 0, "corpus", f"at least {row_len} tokens long", sum(map(len, inputs)))
        shape = (-1, row_len)
        self.inputs: Int[np.ndarray, "rows row_len"]
        self.inputs = np.concatenate(inputs)[:total].reshape(shape)
        """Tokens in the drafter's numbering."""
        self.verifier_inputs: Int[np.ndarray, "rows row_len"]
        self.verifier_inputs = np.concatenate(own)[:total].reshape(shape)
        """The same in the verifier's."""
        self.top_ids: Int[np.ndarray, "rows row_len top"]
        self.top_ids = np.concatenate(ids)[:total].reshape(*shape, top)
        self.top_logprobs: Float[np.ndarray, "rows row_len top"]
        self.top_logprobs = np.concatenate(logprobs)[:total].reshape(*shape, top)
        self.answered = np.concatenate(answered)[:total].reshape(shape)
        """Positions that are followed by a token of an answer."""

    def shorten(self, num_rows: int) -> None:
        """Keep the first rows."""
        for name in ("inputs", "verifier_inputs", "top_ids", "top_logprobs", "answered"):
            setattr(self, name, getattr(self, name)[:num_rows])

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {
            "input_ids": torch.from_numpy(self.inputs[row]).long(),
            "verifier_input_ids": torch.from_numpy(self.verifier_inputs[row]).long(),
            "top_ids": torch.from_numpy(self.top_ids[row]).long(),
            "top_logprobs": torch.from_numpy(self.top_logprobs[row]).float(),
            "answered": torch.from_numpy(self.answered[row]),
        }


def token_map(kept_ids: Sequence[int] | None, vocab_size: int) -> Int[np.ndarray, " vocab"]:
    """Return the drafter's id of each token of the verifier.

    Args:
        kept_ids: Those that it knows, ascending; all others get the id after the last of them.
            ``None`` if it knows all.
        vocab_size: Of the verifier.
    """
    if kept_ids is None:
        return np.arange(vocab_size, dtype=np.int32)
    ids = np.full(vocab_size, len(kept_ids), dtype=np.int32)
    ids[list(kept_ids)] = np.arange(len(kept_ids))
    return ids
