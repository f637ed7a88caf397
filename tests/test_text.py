"""The rules of text: which texts are the same, and the form that an edit is kept in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corll.errors import InputError
from corll.text import (
    as_seen,
    check_characters,
    clean_edit,
    half_character,
    is_control,
    normalize,
    repair_controls,
    same_text,
)

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t\r"]
JUST_OUTSIDE = [*"\t\n\r", " ", "!", "}", "~", "\u00a0", "\u00a1", "\u00ff", "\u200d", "\ufe0f"]
WHITE_SPACE = st.text(st.sampled_from(" \t\n\r\u00a0\u2003"), max_size=3)
PIECES = st.sampled_from(
    ["a", "é", "e\u0301", " ", "\n", "\r", "\u2028", "\x1b", "[31m", *CONTROLS]
)
UNSEEN = [*"\ufeff\u200b\u2060\u00ad\u2063\u206a\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2069"]
JOINING = ["\u200c", "\u200d", "\ufe0e", "\ufe0f", "\U000e0067"]
SPACES = ["\u00a0", "\u2003", "\u202f", "\u3000"]
FAINT = st.sampled_from(
    [
        *UNSEEN,
        *JOINING,
        *SPACES,
        *" \t\n",
        "a",
        "e\u0301",
        "\u05d0",
        "\u0647",
        "\u0915\u094d",
        "❤",
        "🏴",
    ]
)
TEXTS = st.text() | st.lists(PIECES).map("".join) | st.lists(FAINT).map("".join)


def visible(text: str) -> list[str]:
    """The characters of a text that anybody sees, in NFC."""
    ink = "".join(c for c in text if unicodedata.category(c)[0] in "LNPS")
    return list(unicodedata.normalize("NFC", ink))


def test_normalized_text_has_one_form() -> None:
    assert normalize("a\r\nb\rc\n e\u0301 \t\n") == "a\nb\nc\n \u00e9"
    assert normalize("a\u2028b\u2029c") == "a\nb\nc"


@given(TEXTS)
@example("a\r\x0b\n")
@example("e\x00\u0301")
@example("a\x1b\x1b[31m[31mb")
@example("\x1b]0;a")
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    found = normalize(text)
    assert normalize(found) == found
    assert same_text(text, found)
    assert unicodedata.is_normalized("NFC", found)
    assert found == found.rstrip()
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in found)


@pytest.mark.parametrize(
    "seen", [" Hello Bob.", "\n\nHello Bob.", "Hello Bob.\n\n", "Hello Bob. ", "\tHello Bob.\u00a0"]
)
def test_a_draft_that_a_client_stripped_is_the_same_text(seen: str) -> None:
    assert same_text(seen, seen.strip())
    assert same_text(seen.strip(), seen)
    assert same_text(seen.rstrip(), seen.lstrip())


@given(TEXTS, WHITE_SPACE, WHITE_SPACE)
def test_white_space_at_either_end_is_nobodys_edit(text: str, before: str, after: str) -> None:
    assert same_text(text, before + text + after)


LETTER = "Hello Bob,\nit comes on Friday."


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_what_nobody_sees_is_nobodys_edit(unseen: str) -> None:
    for edited in (
        f"{unseen}{LETTER}",
        f"{LETTER}{unseen}",
        LETTER.replace("\n", f"{unseen} \n{unseen}"),
        LETTER.replace("Friday", f"Fri{unseen}day"),
    ):
        assert same_text(LETTER, edited)
        assert clean_edit(edited, LETTER) == LETTER
        assert clean_edit(LETTER, edited) == edited.rstrip()
        changed = clean_edit(edited.replace("Bob", "Rob"), LETTER)
        assert changed == LETTER.replace("Bob", "Rob")


@pytest.mark.parametrize("space", SPACES, ids=ascii)
def test_spaces_of_any_width_and_at_ends_of_lines_are_nobodys_edit(space: str) -> None:
    for edited in (LETTER.replace(" ", space), LETTER.replace("\n", f" {space}\n")):
        assert same_text(LETTER, edited)
        assert clean_edit(edited.replace("Bob", "Rob"), LETTER) == LETTER.replace("Bob", "Rob")
    assert not same_text("a b", f"a {space}b")


@pytest.mark.parametrize("joining", JOINING, ids=ascii)
def test_a_joiner_that_joins_nothing_is_nobodys_edit(joining: str) -> None:
    for edited in (f"{joining}{LETTER}", f"{LETTER}{joining}", LETTER.replace(",", f", {joining}")):
        assert same_text(LETTER, edited.replace(" \n", "\n"))
        assert clean_edit(edited, LETTER) == LETTER


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("👩\u200d🚀 go", "👩🚀 go"),
        ("👨\u200d❤\ufe0f\u200d👨", "👨\u200d❤\u200d👨"),
        ("I ❤\ufe0f", "I ❤"),
        ("1\ufe0f\u20e3", "1\u20e3"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴"),
        ("می\u200cخواهم", "میخواهم"),
        ("۱۴۰۲ ه\u200d", "۱۴۰۲ ه"),
        ("क्\u200d", "क्"),
        ("葛\U000e0100", "葛"),
        ("שלום \u200f(a)", "שלום (a)"),
        ("\u202eolleh", "olleh"),
    ],
)
def test_what_is_seen_of_joiners_selectors_and_directions_makes_another_text(
    text: str, other: str
) -> None:
    assert not same_text(text, other)
    assert clean_edit(text, other) == text


@given(TEXTS, TEXTS, TEXTS)
def test_to_be_the_same_to_a_reader_is_an_equivalence(one: str, other: str, third: str) -> None:
    assert same_text(one, one)
    assert same_text(one, other) == same_text(other, one)
    if same_text(one, other) and same_text(other, third):
        assert same_text(one, third)
    assert same_text(as_seen(one), as_seen(as_seen(one)))


def test_texts_are_compared_in_linear_time() -> None:
    """What grows with the square of the length takes a minute here."""
    for piece in (" ", "\u200b", "\u200d", "a\u00a0", " \u200d \u0301", "\u05d0\u200f "):
        long = piece * 20_000
        assert same_text(f"x{long}y", f"x{long}y")
        assert clean_edit(f"x{long}z", f"x{long}y").endswith("z")


def test_long_texts_that_have_little_in_common_take_little_memory() -> None:
    """A table of all pairs of characters takes gigabytes here."""
    draft, edited = "ab\u00a0" * 10_000, "xy " * 100_000
    assert clean_edit(f"Dear Bob, {edited}", f"Dear\u00a0Bob, {draft}").startswith("Dear\u00a0Bob")


@pytest.mark.parametrize(
    "other", ["hello Bob.", "Hello  Bob.", "Hello Bob", "HelloBob.", "Hello Bob.~", "Hello Bob. x"]
)
def test_any_other_change_makes_another_text(other: str) -> None:
    assert not same_text("Hello Bob.", other)


@given(TEXTS, st.characters(categories=["L", "N", "P", "S"]))
def test_a_character_more_makes_another_text(text: str, more: str) -> None:
    assert not same_text(text, f"{text} {more}")


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("It was good \x96 very good, \x93really\x94.", "It was good – very good, “really”."),
        ("Wait\x85 it\x92s 5 \x80", "Wait… it’s 5 €"),
        ("Dear Ann,\x0bthank you.\x0cPage 2", "Dear Ann,\nthank you.\nPage 2"),
        ("e\x1email, infor\x1fmation, infor\x02mation", "e-mail, information, information"),
        ("a cell\x07 and a NUL\x00", "a cell and a NUL"),
        ("\x1b[1;31mred\x1b[0m and \x1b[200~pasted\x1b[201~", "red and pasted"),
        ("\x1b]0;a title\x07x \x1b]8;;https://a.b\x1b\\link\x1b]8;;\x1b\\", "x link"),
        ("\x1b(Bplain\x1b Hello", "plain Hello"),
        ("gone\x81\x8d\x8f\x90\x9d\x7f\x08", "gone"),
    ],
)
def test_pasted_control_characters_become_what_was_meant(pasted: str, meant: str) -> None:
    assert clean_edit(pasted) == meant
    assert repair_controls(pasted) == meant
    assert same_text(pasted, meant)


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_no_control_character_is_refused_or_kept(control: str) -> None:
    assert is_control(control)
    found = clean_edit(f"yes{control} no")
    assert found.startswith("yes")
    assert found.endswith("no")
    assert control not in found


@pytest.mark.parametrize("character", JUST_OUTSIDE, ids=ascii)
def test_what_is_no_control_character_is_kept(character: str) -> None:
    assert not is_control(character)
    text = f"yes{character}no"
    assert repair_controls(text) == text
    assert clean_edit(text) == text.replace("\r", "\n")
    assert not same_text(text, "yesno")


@given(TEXTS.filter(lambda text: visible(normalize(text)) != []))
def test_a_cleaned_edit_is_clean_and_stays_so(sent: str) -> None:
    text = clean_edit(sent)
    assert clean_edit(text) == text
    assert same_text(text, sent)
    if not set(sent) & {*UNSEEN, *JOINING}:
        assert text == normalize(sent)


@given(
    st.text(
        st.characters(
            exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters=JOINING
        ),
        min_size=1,
    )
)
def test_plain_text_is_taken_as_it_is(sent: str) -> None:
    if as_seen(sent):
        assert clean_edit(sent) == unicodedata.normalize("NFC", sent).rstrip()


def test_an_edit_is_learned_from_in_one_form() -> None:
    assert clean_edit("Cafe\u0301\r\n\tat 9\r \n") == "Caf\u00e9\n\tat 9"


@pytest.mark.parametrize(
    "sent", ["", " ", "\n\t\r\n", "\x00", " \x1b[0m\x07\n", *UNSEEN, *JOINING, "\u2060\u200b\u00a0"]
)
def test_an_empty_edit_is_refused_and_says_what_to_do(sent: str) -> None:
    with pytest.raises(InputError, match=r"empty.*accept it, or give no feedback"):
        clean_edit(sent)


@pytest.mark.parametrize(
    ("draft", "sent", "learned"),
    [
        (" we are sorry", "we regret", " we regret"),
        ("\n\nHello Bob.", "Hello Rob.", "\n\nHello Rob."),
        ("\r\n Hello Bob.", "Hello Rob.\n", "\n Hello Rob."),
        (" we are sorry", "  we regret", "  we regret"),
        ("we are sorry", "  we regret ", "  we regret"),
        (" \n ", "we regret", "we regret"),
        ("", "we regret", "we regret"),
    ],
)
def test_white_space_that_a_client_stripped_from_a_draft_is_put_back(
    draft: str, sent: str, learned: str
) -> None:
    assert clean_edit(sent, draft) == learned
    assert clean_edit(learned, draft) == learned


@pytest.mark.parametrize(
    ("draft", "sent", "learned"),
    [
        # Decomposed letters, of which the user changes one word, and a client composes all.
        ("Cafe\u0301 a\u0300 la carte", "Caf\u00e9 \u00e0 la mode", "Cafe\u0301 a\u0300 la mode"),
        ("Cafe\u0301 noir", "Th\u00e9 noir", "The\u0301 noir"),
        # Letters that NFC itself writes decomposed, as in Hindi.
        ("\u0958\u093f\u0932\u093e \u095b", "\u0958\u093f\u0932\u093e", "\u0958\u093f\u0932\u093e"),
        # Hangul in its parts.
        ("\u1112\u1161\u11ab \u1100", "\ud55c \u1102", "\u1112\u1161\u11ab \u1102"),
        # What the user wrote is in NFC, but for a mark on a letter that stands.
        ("Cafe\u0301 e", "Caf\u00e9 \u00e9", "Cafe\u0301 \u00e9"),
        ("a\u0323 b", "a\u0323\u0301 b", "a\u0323\u0301 b"),
        ("e\u0301\r\nA", "\u00e9\nB", "e\u0301\nB"),
    ],
)
def test_what_stands_of_a_draft_stays_in_its_form_of_unicode(
    draft: str, sent: str, learned: str
) -> None:
    assert clean_edit(sent, draft) == learned
    assert clean_edit(learned, draft) == learned
    assert unicodedata.normalize("NFC", learned) == normalize(sent)


@given(TEXTS, TEXTS.filter(lambda text: visible(normalize(text)) != []))
def test_the_form_of_a_draft_changes_nothing_to_a_reader(draft: str, edited: str) -> None:
    found = clean_edit(edited, draft)
    assert same_text(found, edited)
    assert clean_edit(found, draft) == found


@given(TEXTS, TEXTS.filter(lambda text: visible(normalize(text)) != []))
def test_whoever_strips_an_edit_says_the_same(draft: str, edited: str) -> None:
    begun = normalize(draft)
    margin = begun[: len(begun) - len(begun.lstrip())]
    core = clean_edit(edited).strip()
    assert clean_edit(core, draft) == clean_edit(margin + core + " \n", draft)


@pytest.mark.parametrize(
    ("text", "place"), [("", None), ("naïve \N{GRINNING FACE}", None), ("ab\ud83d", 2)]
)
def test_half_a_character_is_found_and_refused(text: str, place: int | None) -> None:
    assert half_character(text) == place
    if place is None:
        check_characters(text, "prompt")
        return
    with pytest.raises(InputError, match="prompt holds half of a character at 2"):
        check_characters(text, "prompt")
    with pytest.raises(InputError, match="edit holds half of a character at 2"):
        clean_edit(text)
