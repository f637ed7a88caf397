"""Ids that spell a text to the letter, in every kind of tokenizer."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.model.spelling import Speller, _last_piece
from tiny_models import CORPUS
from tiny_tokenizers import ALL, OTHER_SCRIPTS, TURN_TEMPLATE, codec_of, llama2, slow_codec

SPELLERS = {
    **{name: Speller(make(None)) for name, make in ALL.items()},
    **{
        f"{name}, after a line": codec_of(make(TURN_TEMPLATE))._speller
        for name, make in ALL.items()
    },
    "bytes": slow_codec()._speller,
}
each_speller = pytest.mark.parametrize("speller", SPELLERS.values(), ids=SPELLERS)

WORDS = [*CORPUS.split()[:40], *OTHER_SCRIPTS.split()]
ANY_TEXT = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.text("ab ▁\n\t.,é\u0301क़़가ㄱ東😀", max_size=20),
    st.lists(st.sampled_from([*WORDS, " ", "\n", "  "]), max_size=12).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=12).map(
        lambda words: unicodedata.normalize("NFD", " ".join(words))
    ),
)


@each_speller
@settings(max_examples=60)
@given(text=ANY_TEXT)
def test_any_text_is_spelled_exactly(speller: Speller, text: str) -> None:
    """Leading spaces, the letter that stands for a space, and forms that NFC rewrites, too."""
    spelling = speller.spell(text)
    assert speller.decode(spelling.ids) == text
    assert len(spelling.begins_word) == len(spelling.ids)


@each_speller
@settings(max_examples=60)
@given(text=ANY_TEXT)
def test_the_ends_of_ids_are_where_their_text_ends(speller: Speller, text: str) -> None:
    ids = speller.spell(text).ids
    ends = speller.ends(ids)
    assert ends is not None
    assert len(ends) == len(ids)
    for count, end in enumerate(ends, start=1):
        if end is not None and not text[:end].endswith("\ufffd"):
            assert speller.decode(ids[:count]) == text[:end]
    assert not ids or ends[-1] == len(text)


@each_speller
@settings(max_examples=60)
@given(data=st.data())
def test_any_ids_have_ends_that_add_up(speller: Speller, data: st.DataObject) -> None:
    """Ids that no text is encoded to, with broken characters among them."""
    most = len(speller.tokenizer) - 1
    ids = data.draw(st.lists(st.integers(0, most), max_size=12))
    ends = speller.ends(ids)
    if ends is not None:
        known = [end for end in ends if end is not None]
        assert known == sorted(known)
        assert (known or [0])[-1] == len(speller.decode(ids))


@each_speller
@settings(max_examples=60)
@given(text=ANY_TEXT)
def test_pieces_that_make_up_a_text_end_where_it_is_read_piece_by_piece(
    speller: Speller, text: str
) -> None:
    ids = speller.spell(text).ids
    one_by_one = speller._ends(ids, text, _last_piece)
    if one_by_one is not None and None not in one_by_one:
        assert speller.ends(ids) == one_by_one


@pytest.mark.parametrize("first", ["We", "▁We"])
def test_the_dummy_space_goes_by_what_is_to_be_like(first: str) -> None:
    speller = Speller(llama2(None))
    like = speller.tokenizer.convert_tokens_to_ids([first])
    ids = speller.spell("We are late", like=like).ids
    assert speller.decode(ids) == "We are late"
    piece = str(speller.tokenizer.convert_ids_to_tokens(ids[0]))
    assert piece.startswith("▁") == first.startswith("▁")


def test_what_cannot_be_spelled_is_spelled_as_the_tokenizer_does() -> None:
    """A tokenizer of lower case, without bytes: its ids of the text are the nearest there are."""
    from tokenizers import Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {letter: n for n, letter in enumerate("abc")}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.normalizer = normalizers.Lowercase()
    speller: Any = Speller(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert speller.spell("aBc").ids == (0, 1, 2)
