"""Tokens that a tokenizer has and the model has no embedding for; texts that have no token."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from corll.errors import InputError, ModelNotFoundError
from corll.model.tokens import TokenCodec
from tiny_models import build_llama, build_tokenizer


def codec_of(tokenizer: Any, rows: int) -> TokenCodec:
    return TokenCodec.for_model(tokenizer, build_llama(rows))


@pytest.mark.parametrize("chat", [True, False])
def test_an_added_padding_that_no_text_holds_does_no_harm(chat: bool) -> None:
    tokenizer = build_tokenizer(chat=chat)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    codec = codec_of(tokenizer, rows)
    assert max(codec.encode_prompt("Hello")) < rows


def test_a_text_with_such_a_token_is_refused() -> None:
    tokenizer = build_tokenizer(chat=False)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<new>"])
    codec = codec_of(tokenizer, rows)
    for encode in (codec.encode_prompt, codec.encode_response):
        with pytest.raises(InputError, match=rf"contains '<new>' \(id {rows}\)"):
            encode("Hello <new> Anna")
    draft = codec.encode_response("Hello Anna")
    with pytest.raises(InputError, match="The edit contains '<new>'"):
        codec.encode_edit(draft, "Hello <new> Anna")
    with pytest.raises(InputError, match=f"its ids go to {rows - 1}"):
        codec.check_ids([rows])


def test_a_template_with_such_a_token_is_refused_at_once() -> None:
    tokenizer = build_tokenizer(chat=True)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<|assistant|>"], special_tokens=True)
    with pytest.raises(ModelNotFoundError, match=r"holds '<\|assistant\|>'"):
        codec_of(tokenizer, rows)


def test_an_end_that_the_model_cannot_write_is_refused_at_once() -> None:
    tokenizer = build_tokenizer(chat=False)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    with pytest.raises(ModelNotFoundError, match="holds '<end>'"):
        codec_of(tokenizer, rows)


def lower_casing_words() -> PreTrainedTokenizerFast:
    words = ["[UNK]", "[SEP]", "hello", "anna", "dear", ",", "."]
    backend = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="[SEP]", unk_token="[UNK]")


def test_a_text_without_a_token_is_an_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "corll"):
        codec = codec_of(lower_casing_words(), 20)
    assert "does not spell every text" in caplog.text
    with pytest.raises(InputError, match="has no token"):
        codec.encode_response("\n\n")
    with pytest.raises(InputError, match="has no token"):
        codec.encode_edit(codec.encode_response("hello"), "\n\n")


def test_a_tokenizer_that_spells_all_is_not_complained_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "corll"):
        codec_of(build_tokenizer(chat=True), 400)
    assert not caplog.records
