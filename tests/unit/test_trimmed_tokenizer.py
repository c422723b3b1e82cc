"""A trimmed tokenizer spells what it kept as before, and calls the rest unknown."""

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("transformers")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from smart_speed.engines.base import UNKNOWN_TOKEN
from smart_speed.errors import ConfigError, ModelError
from smart_speed.training.trimmed_tokenizer import trimmed_tokenizer

VOCABULARY = [
    "<pad>", "<s>", "</s>", "Ġ", "a", "b", "c", "d", "ab", "abc", "Ġab", "cd", "</turn>",
]  # fmt: skip
MERGES = [("a", "b"), ("ab", "c"), ("Ġ", "ab"), ("c", "d")]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def ids_of(*spellings: str) -> list[int]:
    return [VOCABULARY.index(spelling) for spelling in spellings]


def wrap(model: Any, processor: Any = None) -> PreTrainedTokenizerFast:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if processor is not None:
        backend.post_processor = processor
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=TEMPLATE,
    )


def byte_level(processor: Any = None) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer whose last token was added to it later."""
    ids = {spelling: at for at, spelling in enumerate(VOCABULARY[:-1])}
    tokenizer = wrap(models.BPE(ids, MERGES), processor)
    tokenizer.add_tokens(["</turn>"], special_tokens=True)
    return tokenizer


def spelled(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    spellings: list[str] = tokenizer.convert_ids_to_tokens(list(tokens))
    return spellings


KEPT = ids_of("<s>", "</s>", "Ġ", "a", "b", "d", "ab", "Ġab", "</turn>")


def test_vocabulary_is_what_was_kept_and_the_unknown_token() -> None:
    whole = byte_level()
    trimmed = trimmed_tokenizer(whole, KEPT)
    assert len(trimmed) == len(KEPT) + 1
    assert spelled(trimmed, range(len(trimmed))) == [*spelled(whole, KEPT), UNKNOWN_TOKEN]
    assert spelled(whole, range(len(whole))) == VOCABULARY


def test_text_is_read_in_the_pieces_that_are_kept() -> None:
    trimmed = trimmed_tokenizer(byte_level(), KEPT)
    assert spelled(trimmed, trimmed.encode("ab abd</turn>")) == ["ab", "Ġab", "d", "</turn>"]
    assert trimmed.decode(trimmed.encode("ab abd")) == "ab abd"


def test_pieces_that_are_not_kept_are_unknown() -> None:
    trimmed = trimmed_tokenizer(byte_level(), KEPT)
    # "c" is not kept, nor what is made of it; "e" was not even known before.
    assert spelled(trimmed, trimmed.encode("abcd")) == ["ab", UNKNOWN_TOKEN, "d"]
    assert spelled(trimmed, trimmed.encode("ea")) == [UNKNOWN_TOKEN, "a"]
    assert trimmed.decode(trimmed.encode("abcd")) == "ab" + UNKNOWN_TOKEN + "d"
    assert trimmed.decode(trimmed.encode("abcd"), skip_special_tokens=True) == "abd"


def test_special_tokens_keep_their_names_where_they_are_kept() -> None:
    trimmed = trimmed_tokenizer(byte_level(), KEPT)
    assert trimmed.special_tokens_map == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": UNKNOWN_TOKEN,
    }
    assert (trimmed.bos_token_id, trimmed.eos_token_id, trimmed.pad_token_id) == (0, 1, None)
    special = [token for token, added in trimmed.added_tokens_decoder.items() if added.special]
    assert spelled(trimmed, special) == ["<s>", "</s>", "</turn>", UNKNOWN_TOKEN]
    assert trimmed.chat_template == TEMPLATE


def template() -> Any:
    known = [(spelling, VOCABULARY.index(spelling)) for spelling in ("<s>", "</s>")]
    return processors.TemplateProcessing(single="<s> $A </s>", pair=None, special_tokens=known)


@pytest.mark.parametrize(
    ("processor", "without_end"),
    [
        (template(), ["<s>", "a"]),
        (processors.Sequence([processors.ByteLevel(), template()]), ["<s>", "a"]),
        (processors.BertProcessing(("</s>", 2), ("<s>", 1)), ["a"]),
    ],
    ids=["template", "sequence", "bert"],
)
def test_what_stands_around_a_text_is_renumbered_or_left_out(
    processor: Any, without_end: list[str]
) -> None:
    whole = byte_level(processor)
    around = trimmed_tokenizer(whole, KEPT)
    assert spelled(around, around.encode("a")) == ["<s>", "a", "</s>"]
    endless = trimmed_tokenizer(whole, ids_of("<s>", "a"))
    assert spelled(endless, endless.encode("a")) == without_end
    assert endless.eos_token is None


@pytest.mark.parametrize(
    "model",
    [
        models.WordLevel({spelling: at for at, spelling in enumerate(VOCABULARY)}, "<pad>"),
        models.WordPiece(
            {spelling: at for at, spelling in enumerate(VOCABULARY)}, unk_token="<pad>"
        ),
        models.Unigram([(spelling, -1.0) for spelling in VOCABULARY], 0, False),
    ],
    ids=["words", "pieces", "unigram"],
)
def test_other_kinds_of_vocabulary_are_trimmed_as_well(model: Any) -> None:
    whole = wrap(model)
    trimmed = trimmed_tokenizer(whole, KEPT)
    assert spelled(trimmed, range(len(trimmed))) == [*spelled(whole, KEPT), UNKNOWN_TOKEN]
    assert spelled(trimmed, trimmed.encode("ab</s>")) == ["ab", "</s>"]
    assert UNKNOWN_TOKEN in spelled(trimmed, trimmed.encode("cd"))


@pytest.mark.parametrize(
    ("kept_ids", "complaint"),
    [
        ([], r"kept_ids must be at least one, got \[\]"),
        ([1, 4, 3], r"kept_ids must be ascending, none of them twice, got \(4, 3\)"),
        ([1, 3, 3], r"kept_ids must be ascending, none of them twice, got \(3, 3\)"),
        ([-1, 3], r"kept_ids must be tokens from 0 to 12, got \(-1, 3\)"),
        ([3, 13], r"kept_ids must be tokens from 0 to 12, got \(3, 13\)"),
    ],
)
def test_ids_that_cannot_be_kept_are_refused(kept_ids: list[int], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        trimmed_tokenizer(byte_level(), kept_ids)


def test_tokenizer_is_not_trimmed_to_its_unknown_token() -> None:
    once = trimmed_tokenizer(byte_level(), KEPT)
    assert len(trimmed_tokenizer(once, [0, 1, 3])) == 4
    with pytest.raises(ConfigError, match=r"that the verifier knows by name, got \[9\]"):
        trimmed_tokenizer(once, [0, 9])


def test_slow_tokenizer_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"must be a fast one of transformers, got ByT5Tokenizer\."
    ):
        trimmed_tokenizer(ByT5Tokenizer(), [0])
