"""An edit keeps the ids that were sampled, wherever it keeps their text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.model.tokens import TokenCodec
from corll.records import Sample
from tiny_models import CORPUS
from tiny_tokenizers import (
    ALL,
    END_ID,
    OTHER_SCRIPTS,
    TURN_TEMPLATE,
    base_codec,
    byte_fallback_codec,
    codec_of,
    ids_of,
    llama2,
    llama2_first,
    llama2_legacy,
    sampled,
    slow_codec,
)

# Text of the tiny tokenizer's own domain, and all other text that UTF-8 can hold.
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=25) | st.text(
    "ab cdeé😀東'\n.,", max_size=25
)
CODECS = [base_codec, byte_fallback_codec, slow_codec]

# Texts as people write them, in scripts with and without spaces, and in both forms of Unicode.
TEXTS = [CORPUS, OTHER_SCRIPTS, unicodedata.normalize("NFD", OTHER_SCRIPTS)]


def letters_of(text: str) -> tuple[int, ...]:
    """The ids of a text token by token, as no tokenizer encodes it but a model may sample it."""
    tokenizer = base_codec().tokenizer
    return tuple(i for byte in text.encode() for i in ids_of_byte(tokenizer, byte))


def ids_of_byte(tokenizer: Any, byte: int) -> list[int]:
    # Byte-level BPE writes printable ASCII as itself and a space as Ġ.
    names = {0x20: "Ġ", 0x0A: "Ċ"}
    return [tokenizer.convert_tokens_to_ids(names.get(byte, chr(byte)))]


class TestKeptIds:
    """Of the draft "Dear Ms Lopez, we are sorry": Dear| Ms| Lo·pez|,| we| are| sor·ry."""

    DRAFT = "Dear Ms Lopez, we are sorry"

    def edit(self, edited: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, self.DRAFT))
        return draft.token_ids, codec.encode_edit(draft, edited).token_ids

    def test_the_tokens_are_those_the_cases_are_about(self) -> None:
        pieces = base_codec().tokenizer.convert_ids_to_tokens(ids_of(base_codec(), self.DRAFT))
        assert pieces == ["Dear", "ĠMs", "ĠLo", "pez", ",", "Ġwe", "Ġare", "Ġsor", "ry"]

    @pytest.mark.parametrize(
        ("edited", "kept"),
        [
            ("Dear Ms Lopez, we are sorry", 9),  # nothing changes
            ("Dear Ms Lopez, we are sorry today", 9),  # appended
            ("Dear Ms Lopez, we are sorry.", 9),  # appended, without a space
            ("Dear Ms Lopez, we are sorrys", 7),  # the last word goes on
            ("Dear Ms Lopez, we are so", 7),  # inside a token
            ("Dear Ms Lopet, we are sorry", 2),  # inside a token that is not the word's first
            ("Dear Ms Lopez, we were sorry", 6),  # after the first letter of a word
            ("Dear Ms Lopez, they are sorry", 5),  # after the space before a word
            ("Dear Ms Lopez; we are sorry", 4),  # at a boundary
            ("Dear Ms Lopez, we are", 7),  # the end is cut off
            ("Hello Ms Lopez, we are sorry", 0),  # at the very start
            ("D", 0),  # inside the first token
        ],
    )
    def test_ids_are_kept_up_to_the_boundary_before_the_change(
        self, edited: str, kept: int
    ) -> None:
        draft_ids, edit_ids = self.edit(edited)
        rest = edited[len(base_codec().decode(draft_ids[:kept])) :]
        assert edit_ids == (*draft_ids[:kept], *ids_of(base_codec(), rest), END_ID)

    def test_only_whole_pre_tokens_of_a_sampled_spelling_are_kept(self) -> None:
        """The draft was sampled letter by letter; what is kept of it stays so."""
        codec = base_codec()
        draft = sampled(codec, letters_of(self.DRAFT))
        assert draft.text == self.DRAFT
        assert len(draft.token_ids) == len(self.DRAFT) + 1
        edit = codec.encode_edit(draft, "Dear Ms Lopez, we are sad")
        common = "Dear Ms Lopez, we are"
        assert edit.token_ids == (*letters_of(common), *ids_of(codec, " sad"), END_ID)

    def test_an_acceptance_keeps_every_sampled_id(self) -> None:
        codec = base_codec()
        draft = sampled(codec, letters_of(self.DRAFT))
        assert codec.encode_edit(draft, self.DRAFT).token_ids == draft.token_ids

    def test_a_token_over_a_boundary_is_kept_only_whole(self) -> None:
        """No boundary of the new text may fall inside a token that is kept."""
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "the station"))
        edit = codec.encode_edit(draft, "the stat")
        assert edit.token_ids == (*ids_of(codec, "the"), *ids_of(codec, " stat"), END_ID)


class TestCharactersOverManyTokens:
    def test_a_character_is_kept_whole_or_not_at_all(self) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "so 😀 now"))
        assert len(ids_of(codec, "😀")) == 4
        kept = codec.encode_edit(draft, "so 😀 then")
        assert kept.token_ids == (*ids_of(codec, "so 😀 then"), END_ID)
        assert kept.token_ids[:6] == draft.token_ids[:6]
        changed = codec.encode_edit(draft, "so 😁 now")  # its first three bytes are the same
        assert codec.decode(changed.token_ids) == "so 😁 now"

    def test_a_character_that_was_cut_in_the_draft_is_completed(self) -> None:
        codec = base_codec()
        whole = ids_of(codec, "so 😀")
        draft = sampled(codec, whole[:-2], finished=False)
        assert draft.text == "so \ufffd"
        edit = codec.encode_edit(draft, "so 😀")
        assert edit == Sample("so 😀", (*whole, END_ID), None, finished=True)

    def test_a_cut_character_that_the_user_left_alone_keeps_its_bytes(self) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "so 😀")[:-2], finished=False)
        assert codec.encode_edit(draft, draft.text).token_ids == draft.token_ids


@pytest.mark.parametrize("make_codec", CODECS)
@settings(max_examples=150, deadline=None)
@given(draft_text=ANY_TEXT, edited=ANY_TEXT, kept=st.integers(0, 25), finished=st.booleans())
def test_an_edit_reads_as_its_text(
    make_codec: Any, draft_text: str, edited: str, kept: int, finished: bool
) -> None:
    """Whatever the draft, and however much of its beginning the edit keeps."""
    codec = make_codec()
    draft = sampled(codec, ids_of(codec, draft_text), finished=finished)
    edited = draft.text[:kept] + edited
    edit = codec.encode_edit(draft, edited)
    assert codec.decode(edit.token_ids) == edited
    assert edit.text == edited
    assert edit.logprob is None
    assert edit.token_ids.count(codec.end_ids[0]) == int(edit.finished)
    assert not edit.finished or edit.token_ids[-1] == codec.end_ids[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 399), max_size=12), ANY_TEXT, st.booleans())
def test_any_ids_may_have_been_sampled(ids: list[int], added: str, finished: bool) -> None:
    """Random ids spell text in ways that no tokenizer would, with broken characters too."""
    codec = base_codec()
    draft = sampled(codec, ids, finished=finished)
    same = codec.encode_edit(draft, draft.text)
    if draft.text.strip() or finished:
        assert same.finished == finished
    assert codec.decode(codec.encode_edit(draft, draft.text + added).token_ids) == (
        draft.text + added
    )


class TestOtherTokenizers:
    def test_without_a_pre_tokenizer_tokens_are_aligned_by_offsets(self) -> None:
        codec = byte_fallback_codec()
        draft_ids = (*ids_of(codec, "a"), *letter_pieces(codec, " parcel"))
        draft = sampled(codec, draft_ids)
        assert draft.text == "a parcel"
        # "a" + " parcel" is encoded in two tokens: of the letters, only those up to a start stay.
        inside = codec.encode_edit(draft, "a parcels")
        assert inside.token_ids == (*draft_ids, *ids_of(codec, "s"), 0)
        changed = codec.encode_edit(draft, "a parcex")
        assert codec.decode(changed.token_ids) == "a parcex"
        assert changed.token_ids[:5] == draft_ids[:5]

    def test_bytes_of_a_character_are_kept_whole_or_not_at_all(self) -> None:
        codec = byte_fallback_codec()
        draft = sampled(codec, ids_of(codec, "a é b"))
        edit = codec.encode_edit(draft, "a è b")
        assert codec.decode(edit.token_ids) == "a è b"

    def test_a_tokenizer_without_offsets_encodes_the_whole_afresh(self) -> None:
        codec = slow_codec()
        draft = sampled(codec, ids_of(codec, "héllo"))
        edit = codec.encode_edit(draft, "hélas")
        assert edit.token_ids == (*ids_of(codec, "hélas"), 1)
        assert codec.encode_edit(draft, "héllo").token_ids == draft.token_ids


def letter_pieces(codec: TokenCodec, text: str) -> tuple[int, ...]:
    pieces = [character.replace(" ", "▁") for character in text]
    return tuple(codec.tokenizer.convert_tokens_to_ids(pieces))


class Edited(NamedTuple):
    """A draft in pieces, each with whether the edit keeps it, and the edit."""

    pieces: list[tuple[str, bool]]
    text: str

    @property
    def draft(self) -> str:
        return "".join(piece for piece, _ in self.pieces)


@st.composite
def edits(draw: st.DrawFn) -> Edited:
    """Words replaced, struck out, put in or misspelled, here and there in a real text."""
    words = re.findall(r"\S+\s*|\s+", draw(st.sampled_from(TEXTS)))
    start = draw(st.integers(0, len(words) - 12))
    words = words[start : start + draw(st.integers(12, 60))]
    words = [w.replace(" ", draw(st.sampled_from([" "] * 8 + ["\n", "\n\n"]))) for w in words]
    places = draw(st.sets(st.integers(0, len(words) - 1), min_size=1, max_size=3))
    pieces: list[tuple[str, bool]] = []
    edited = ""
    for place, word in enumerate(words):
        changed = word
        if place in places:
            new = draw(
                st.sampled_from(["Kiwi ", "quite so ", "", "東京", word[:1] + "x" + word[1:]])
            )
            changed = new + draw(st.sampled_from(["", word]))
        pieces.append((word, place not in places))
        edited += changed
    return Edited(pieces, edited)


def respelled(codec: TokenCodec, text: str, random: Random) -> tuple[int, ...]:
    """Ids of a text of which some tokens are drawn in two parts, as a model may sample them."""
    vocabulary, ids = codec.tokenizer.get_vocab(), []
    for token_id in codec.encode_response(text).token_ids[:-1]:
        token = codec.tokenizer.convert_ids_to_tokens(token_id)
        cuts = [n for n in range(1, len(token)) if {token[:n], token[n:]} <= vocabulary.keys()]
        if cuts and random.random() < 0.3:
            cut = random.choice(cuts)
            ids += [vocabulary[token[:cut]], vocabulary[token[cut:]]]
        else:
            ids.append(token_id)
    return tuple(ids)


def untouched(codec: TokenCodec, ids: Sequence[int], edited: Edited) -> list[tuple[int, ...]]:
    """The ids of each stretch that the edit keeps, but for the words next to a change."""
    ends = codec._speller.ends(ids)
    assert ends is not None
    stretches: list[tuple[int, ...]] = []
    for keeps, run in groupby(_with_places(edited), key=lambda piece: piece[2]):
        pieces = list(run)
        # The space before a word goes with the word.
        start = 0 if pieces[0][0] == 0 else pieces[0][1] - 1
        end = len(edited.draft) if pieces[-1][1] == len(edited.draft) else pieces[-1][0] - 1
        inside = tuple(
            token_id
            for n, token_id in enumerate(ids)
            if _reached(ends, n - 1) >= start and _reached(ends, n, after=True) <= end
        )
        if keeps and inside:
            stretches.append(inside)
    return stretches


def _with_places(edited: Edited) -> Iterator[tuple[int, int, bool]]:
    place = 0
    for piece, keeps in edited.pieces:
        yield place, place + len(piece), keeps
        place += len(piece)


def _reached(ends: Sequence[int | None], number: int, *, after: bool = False) -> int:
    """Where an id's text ends; of one inside a character, where that begins or (`after`) ends."""
    step = 1 if after else -1
    while number >= 0 and ends[number] is None:
        number += step
    return (ends[number] or 0) if number >= 0 else 0


def kept_of(stretch: Sequence[int], ids: Sequence[int]) -> int:
    """How many ids of a stretch stand in `ids`, in order and at least two together."""
    blocks = SequenceMatcher(None, stretch, ids, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size > 1 or len(stretch) == 1)


@pytest.mark.parametrize("template", [None, TURN_TEMPLATE], ids=["text", "chat"])
@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_what_an_edit_leaves_alone_keeps_its_ids(make: Any, template: str | None) -> None:
    """Of all untouched stretches 99 % at least, and each edit reads as its text."""
    codec = codec_of(make(template))
    kept = total = 0

    @settings(max_examples=60)
    @given(edited=edits(), seed=st.integers(0, 999))
    def run(edited: Edited, seed: int) -> None:
        nonlocal kept, total
        ids = respelled(codec, edited.draft, Random(seed))
        assert codec.decode(ids) == edited.draft
        draft = Sample(edited.draft, (*ids, codec.end_ids[0]), -1.0, finished=True)
        edit = codec.encode_edit(draft, edited.text)
        assert codec.decode(edit.token_ids) == edited.text
        for stretch in untouched(codec, ids, edited):
            kept += kept_of(stretch, edit.token_ids)
            total += len(stretch)

    run()
    assert total > 1000
    assert kept >= 0.99 * total, f"{kept} of {total}"


class TestTheFirstToken:
    """After a template that ends in a line feed a model writes it without the dummy space."""

    @pytest.mark.parametrize("make", [llama2, llama2_first, llama2_legacy])
    @pytest.mark.parametrize("first", ["We", "▁We"])
    def test_it_is_kept_as_it_was_sampled(self, make: Any, first: str) -> None:
        codec = codec_of(make(TURN_TEMPLATE))
        rest = ids_of(codec, "x are late.")[len(ids_of(codec, "x")) :]
        draft = sampled(codec, (codec.tokenizer.convert_tokens_to_ids(first), *rest))
        assert draft.text == "We are late."
        edit = codec.encode_edit(draft, "We are late. Sorry.")
        assert edit.token_ids[: len(rest)] == draft.token_ids[: len(rest)]
        assert codec.decode(edit.token_ids) == "We are late. Sorry."

    @pytest.mark.parametrize("make", [llama2, llama2_first, llama2_legacy])
    @pytest.mark.parametrize(("first", "others"), [("We", "I"), ("▁We", "▁I")])
    def test_another_one_is_written_as_it_was(self, make: Any, first: str, others: str) -> None:
        codec = codec_of(make(TURN_TEMPLATE))
        rest = ids_of(codec, "x am late.")[len(ids_of(codec, "x")) :]
        draft = sampled(codec, (codec.tokenizer.convert_tokens_to_ids(first), *rest))
        edit = codec.encode_edit(draft, "I am late.")
        other = codec.tokenizer.convert_tokens_to_ids(others)
        assert edit.token_ids == (other, *rest, codec.end_ids[0])


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@settings(max_examples=40)
@given(text=ANY_TEXT, before=ANY_TEXT, after=ANY_TEXT)
def test_text_that_moves_to_a_beginning_or_away_from_it_reads_as_it_is(
    make: Any, text: str, before: str, after: str
) -> None:
    """A token that stands for a space where a text begins does not, elsewhere."""
    codec = codec_of(make(None))
    for draft_text, edited in ((before + text, text + after), (text + after, before + text)):
        draft = codec.encode_response(draft_text)
        assert codec.decode(codec.encode_edit(draft, edited).token_ids) == edited


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@settings(max_examples=60)
@given(data=st.data())
def test_any_ids_may_have_been_edited_anywhere(make: Any, data: st.DataObject) -> None:
    """Broken characters and spellings of no tokenizer stand beside what the user wrote."""
    codec = codec_of(make(None))
    text_ids = sorted(set(range(len(codec.tokenizer))) - codec._speller.control_ids)
    ids = data.draw(st.lists(st.sampled_from(text_ids), max_size=14))
    draft = Sample(codec.decode(ids), tuple(ids), -1.0, finished=False)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(draft.text))] * 2)))
    edited = draft.text[:start] + data.draw(ANY_TEXT) + draft.text[end:]
    assert codec.decode(codec.encode_edit(draft, edited).token_ids) == edited
