"""What a prompt may be, and how it becomes tokens."""

import operator
from collections.abc import Sequence
from typing import SupportsIndex

from smart_speed.engines.base import LoadedModel, Message
from smart_speed.errors import ConfigError, ContextLengthError, check_that

Prompt = str | Sequence[SupportsIndex] | Sequence[Message]
"""A text, its tokens (whole numbers of any library), or the messages of a chat."""


def encode_prompt(prompt: Prompt, verifier: LoadedModel) -> list[int]:
    """Return the tokens that the verifier is to continue, at least one.

    Args:
        prompt: Messages are put into the model's own template; an empty prompt becomes the
            model's begin-of-text token.
        verifier: Whose tokenizer and context it must suit.

    Raises:
        ContextLengthError: If the prompt does not leave room for one more token.
        ConfigError: If the prompt is empty and the model knows no token to begin with, or a
            token is none of the model's.
    """
    tokenizer = verifier.tokenizer
    if isinstance(prompt, str):
        tokens = tokenizer.encode(prompt)
    elif messages := [item for item in prompt if isinstance(item, dict)]:
        tokens = tokenizer.encode_chat(messages)
    else:
        tokens = [_token(item) for item in prompt]
    if not tokens and tokenizer.bos_id is not None:
        tokens = [tokenizer.bos_id]
    check_that(bool(tokens), "prompt", "at least one token long for this model", prompt)
    width = verifier.model.vocab_size
    strange = next((token for token in tokens if not 0 <= token < width), None)
    check_that(strange is None, "prompt", f"made of tokens from 0 to {width - 1}", strange)
    if len(tokens) >= (room := verifier.model.context_len):
        raise ContextLengthError(
            f"The prompt must be shorter than the context of {room} tokens, got {len(tokens)}."
        )
    return tokens


def _token(item: object) -> int:
    """Return a token as a Python integer, whatever library it is from."""
    try:
        return operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"prompt must be made of whole numbers, got {item!r}.") from None
