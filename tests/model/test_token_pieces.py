"""The bytes of single tokens make up texts, on each kind of tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.model.token_pieces import TokenPieces, name_of
from tiny_tokenizers import DONE, byte_bpe, llama2, llama2_first, llama2_plain, qwen_like

TOKENIZERS: dict[str, Any] = {
    "byte-level": byte_bpe(),
    "Qwen's": qwen_like(),
    "Llama 2's": llama2(),
    "with a space at first alone": llama2_first(),
    "without a dummy space": llama2_plain(),
}
each_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


@each_tokenizer
@given(st.text(alphabet="aD ,.\né😀您\t0", max_size=20))
def test_pieces_make_up_what_the_tokenizer_decodes(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = TokenPieces(tokenizer)
    found = b"".join(pieces.bytes_of(one, first=place == 0) for place, one in enumerate(ids))
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert found.decode(errors="replace") == decoded


@each_tokenizer
def test_a_token_inside_a_text_keeps_its_space(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    ids = tokenizer("Dear Anna", add_special_tokens=False)["input_ids"]
    pieces = [TokenPieces(tokenizer).bytes_of(one) for one in ids]
    assert b"".join(pieces).decode().strip() == "Dear Anna"
    assert any(piece.startswith(b" ") for piece in pieces[1:])


@each_tokenizer
def test_a_control_token_has_its_name(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert TokenPieces(tokenizer).bytes_of(tokenizer.convert_tokens_to_ids(DONE)) == DONE.encode()


def test_a_part_of_a_character_is_named_by_its_bytes() -> None:
    assert name_of("é".encode()) == "é"
    assert name_of("é".encode()[:1]) == "bytes:\\xc3"
