"""A tokenizer cut down to the tokens that a small drafter knows.

The tokenizer's own JSON is edited: nothing is learned or guessed, and every kept token is spelled
as before. Text whose pieces are not kept is read as ``UNKNOWN_TOKEN``.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from smart_speed.engines.base import UNKNOWN_TOKEN
from smart_speed.errors import ModelError, check_that

_SETTINGS = ("model_max_length", "padding_side", "truncation_side", "chat_template")


def trimmed_tokenizer(
    tokenizer: PreTrainedTokenizerBase, kept_ids: Sequence[int]
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the kept tokens in their order, and ``UNKNOWN_TOKEN`` as the last.

    Special tokens keep their names where they are kept; the name of the unknown token passes to
    ``UNKNOWN_TOKEN``.

    Args:
        tokenizer: The verifier's; it stays as it is.
        kept_ids: Its tokens that the drafter shall know, in ascending order.

    Raises:
        ConfigError: If ``kept_ids`` are not ascending, or not all the tokenizer's.
        ModelError: If the tokenizer is not a fast one.
    """
    data = tokenizer_json(tokenizer)
    check_kept_ids(kept_ids, len(tokenizer))
    spellings = tokenizer.convert_ids_to_tokens(list(kept_ids))
    nameless = [
        token
        for token, spelling in zip(kept_ids, spellings, strict=True)
        if spelling in (None, UNKNOWN_TOKEN)
    ]
    check_that(not nameless, "kept_ids", "tokens that the verifier knows by name", nameless)
    ids = {spelling: at for at, spelling in enumerate([*spellings, UNKNOWN_TOKEN])}
    data["model"] = _trimmed_model(data["model"], ids)
    data["added_tokens"] = _trimmed_additions(data["added_tokens"], ids)
    data["post_processor"] = _trimmed_processor(data["post_processor"], ids)
    data["padding"] = None  # it names a token by its id, and whoever pads sets it anew
    names = {
        name: str(token)
        for name, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str) and token in ids
    }
    settings = {name: getattr(tokenizer, name) for name in _SETTINGS}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(data)),
        **{**settings, **names, "unk_token": UNKNOWN_TOKEN},
    )


def tokenizer_json(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return all that a fast tokenizer is made of.

    Raises:
        ModelError: If it is not a fast one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            "A drafter's tokenizer must be a fast one of transformers, got "
            f"{type(tokenizer).__name__}."
        )
    data: dict[str, Any] = json.loads(backend.to_str())
    return data


def check_kept_ids(kept_ids: Sequence[int], vocab_size: int, *, count: int | None = None) -> None:
    """Check which tokens of a verifier's vocabulary are to be kept.

    Args:
        kept_ids: Their ids.
        vocab_size: Of the verifier.
        count: How many a drafter knows; ``None`` where it is not made yet.

    Raises:
        ConfigError: If there are none, or they are not ascending ids of that vocabulary, or not as
            many as the drafter knows.
    """
    check_that(len(kept_ids) > 0, "kept_ids", "at least one", list(kept_ids))
    turn = next((pair for pair in pairwise(kept_ids) if pair[0] >= pair[1]), None)
    check_that(turn is None, "kept_ids", "ascending, none of them twice", turn)
    ends = (kept_ids[0], kept_ids[-1])
    inside = ends[0] >= 0 and ends[1] < vocab_size
    check_that(inside, "kept_ids", f"tokens from 0 to {vocab_size - 1}", ends)
    fits = count is None or len(kept_ids) == count
    check_that(fits, "kept_ids", f"{count} in number", len(kept_ids))


def _trimmed_model(model: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    """Renumber the vocabulary, special tokens included, so that no id is left to be assigned."""
    if model["type"] == "Unigram":
        scores = dict(model["vocab"])
        vocab = [[spelling, scores.get(spelling, 0.0)] for spelling in ids]
        return {**model, "vocab": vocab, "unk_id": ids[UNKNOWN_TOKEN]}
    trimmed = {**model, "vocab": dict(ids), "unk_token": UNKNOWN_TOKEN}
    if model["type"] == "BPE":
        prefix = len(model["continuing_subword_prefix"] or "")
        trimmed["merges"] = [
            [left, right]
            for left, right in model["merges"]
            if left in ids and right in ids and left + right[prefix:] in ids
        ]
    return trimmed


def _trimmed_additions(
    additions: Sequence[Mapping[str, Any]], ids: Mapping[str, int]
) -> list[dict[str, Any]]:
    kept = [
        {**token, "id": ids[token["content"]]} for token in additions if token["content"] in ids
    ]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    unknown = {"id": ids[UNKNOWN_TOKEN], "content": UNKNOWN_TOKEN, **flags, "special": True}
    return [*sorted(kept, key=lambda token: token["id"]), unknown]


def _trimmed_processor(processor: Any, ids: Mapping[str, int]) -> Any:
    """Renumber the tokens that are put around every text, and leave out those not kept."""
    match processor:
        case {"type": "Sequence", "processors": parts}:
            trimmed = [_trimmed_processor(part, ids) for part in parts]
            return {**processor, "processors": [part for part in trimmed if part is not None]}
        case {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": known,
        }:
            kept = {
                name: {**entry, "ids": [ids[spelling] for spelling in entry["tokens"]]}
                for name, entry in known.items()
                if all(spelling in ids for spelling in entry["tokens"])
            }
            return {
                **processor,
                "single": _trimmed_template(single, kept),
                "pair": _trimmed_template(pair, kept),
                "special_tokens": kept,
            }
        case {"type": "BertProcessing" | "RobertaProcessing", "sep": [sep, _], "cls": [cls, _]}:
            both = sep in ids and cls in ids
            return {**processor, "sep": [sep, ids[sep]], "cls": [cls, ids[cls]]} if both else None
    return processor


def _trimmed_template(template: Sequence[Any], kept: Mapping[str, Any]) -> list[Any]:
    return [
        piece
        for piece in template
        if "SpecialToken" not in piece or piece["SpecialToken"]["id"] in kept
    ]
