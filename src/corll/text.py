"""The rules of text: when two texts are the same to a reader, and the form that an edit is kept in.

Library, service, imports and simulated editors all go by these, so that nobody learns from a
difference that nobody made.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from corll.edits import shared_stretches
from corll.errors import InputError

_ALLOWED_CONTROLS = "\n\t\r"
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a terminal's colours, cursor and marks of a paste
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # a terminal's title or link
    r"|\x1b[()*+][0-9A-Za-z]"  # a terminal's character set
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_MEANINGS = {
    "\x0b": "\n",  # a line break of Word
    "\x0c": "\n",  # a page break of Word or of a PDF
    "\x1e": "-",  # a hyphen of Word that does not break
}

_WIDTHS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Spaces of other widths."""
_SPACES = re.compile(f"[{_WIDTHS}]")
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069")
"""What turns a line's direction, but for an override to the left: any reader sees that."""
_JOINER, _NON_JOINER = "\u200d", "\u200c"
_JOINING = frozenset({_JOINER, _NON_JOINER, *map(chr, range(0xFE00, 0xFE10))})
"""What joins or parts two letters or emoji, or selects how one looks."""
_TAGS = frozenset(map(chr, (0xE0001, *range(0xE0020, 0xE0080))))
"""What is seen after a black flag alone, of which it makes that of a country."""
_FLAG = "\U0001f3f4"
_ODD = re.compile(
    "[\u00ad\u200b\u2060-\u2064\u206a-\u206f\ufeff"
    f"{_WIDTHS}{''.join(sorted(_DIRECTIONS | _JOINING | _TAGS))}]"
)
"""Spaces of other widths, and what shows nothing by itself."""
_FAINT = re.compile(f"(?:[ \t]|{_ODD.pattern})+")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff"
    "\U0001e800-\U0001efff]"
)
_VIRAMA = 9
"""The class of marks that a joiner makes half letters of."""
_SELECTED = "\u203c\u2049\u2139\u3030"
"""Letters and punctuation of which a selector makes emoji."""


def same_text(first: str, second: str) -> bool:
    """Say whether two texts are the same to a reader."""
    return as_seen(first) == as_seen(second)


def as_seen(text: str) -> str:
    """Return a text as a reader sees it: the form in which texts are compared.

    Line ends, control characters and NFC make no difference, nor does white space at the ends of
    text and lines, which clients strip, the width of a space, or a character that shows nothing
    where it stands.
    """
    kept = normalize(text)
    return unicodedata.normalize("NFC", _with_plain_spaces(kept, _seen_places(kept))).strip()


def normalize(text: str) -> str:
    """Return a text in the one form it is kept in.

    It has LF line ends, no other control characters than tabs, NFC, and no white space at its end.
    """
    unified = _LINE_ENDS.sub("\n", repair_controls(text))
    return unicodedata.normalize("NFC", unified).rstrip()


def clean_edit(edited_text: str, draft_text: str = "") -> str:
    """Return the edit of a draft as it is learned from: normalized, but with what the draft has.

    Where it begins without the white space that its draft begins with, a client has stripped that,
    and it is put back. Where the draft's text stands, so do its characters that nobody sees, its
    kinds of spaces and its form of Unicode: that a client writes them otherwise is a change that
    nobody made. At its own beginning and end is nothing that nobody sees. *Raises*: InputError
    where the text is empty, or holds half of a character.
    """
    text = normalize(edited_text)
    if not as_seen(text):
        raise InputError(
            "The edit is empty, and an empty text would teach the model to say nothing. "
            "Send the draft as it is to accept it, or give no feedback (None)."
        )
    check_characters(text, "edit")
    text = _without_unseen_ends(text)
    if not text[0].isspace():
        text = space_before(draft_text) + text
    return _in_form_of(draft_text, _with_unseen_of(draft_text, text))


def space_before(draft_text: str) -> str:
    """Return the white space that a draft begins with, as its edit is given it."""
    draft = normalize(draft_text)
    return draft[: len(draft) - len(draft.lstrip())]


def _without_unseen_ends(text: str) -> str:
    """Return a text that says something without what is not seen before and after it."""
    places = _seen_places(text)
    inked = [place for place in places if not text[place].isspace()]
    first, last = inked[0], inked[-1]
    seen = set(places)
    begun = [text[place] for place in range(first) if text[place].isspace() or place in seen]
    return "".join(begun) + text[first : last + 1]


def _with_unseen_of(draft_text: str, text: str) -> str:
    """Return an edit with the draft's own characters wherever it reads the same."""
    draft = normalize(draft_text)
    ours, theirs = _seen_places(draft), _seen_places(text)
    shown, edited = _with_plain_spaces(draft, ours), _with_plain_spaces(text, theirs)
    if shown == draft and edited == text:
        return text
    parts, done = [], 0
    for in_draft, in_edit, length in shared_stretches(shown, edited):
        begins = in_draft == in_edit == 0
        ends = in_draft + length == len(ours) and in_edit + length == len(theirs)
        start = 0 if begins else theirs[in_edit]
        of_draft = 0 if begins else ours[in_draft]
        last = len(draft) if ends else ours[in_draft + length - 1] + 1
        parts += [text[done:start], draft[of_draft:last]]
        done = len(text) if ends else theirs[in_edit + length - 1] + 1
    restored = "".join(parts) + text[done:]
    reads_so = _with_plain_spaces(restored, _seen_places(restored)) == edited
    return restored if reads_so and normalize(restored) == restored else text


def _in_form_of(draft_text: str, text: str) -> str:
    """Return an edit in NFC with the draft's own characters wherever it keeps their text."""
    draft = _LINE_ENDS.sub("\n", repair_controls(draft_text))
    composed = unicodedata.normalize("NFC", draft)
    if composed == draft:
        return text
    parts, done = [], 0
    pieces = _composable_pieces(draft)
    for in_draft, in_edit, length in shared_stretches(composed, text):
        for start, end, piece in pieces:
            if in_draft <= start and end <= in_draft + length:
                place = start - in_draft + in_edit
                parts += [text[done:place], piece]
                done = place + end - start
    restored = "".join(parts) + text[done:]
    return restored if unicodedata.normalize("NFC", restored) == text else text


def _composable_pieces(text: str) -> list[tuple[int, int, str]]:
    """Return the pieces of a text that NFC rewrites, with their places in its NFC."""
    pieces, place, piece = [], 0, ""
    for character in [*text, ""]:
        before, alone, both = (
            unicodedata.normalize("NFC", part) for part in (piece, character, piece + character)
        )
        if character and (unicodedata.combining(character) or both != before + alone):
            piece += character
            continue
        if before != piece:
            pieces.append((place, place + len(before), piece))
        place, piece = place + len(before), character
    return pieces


def _with_plain_spaces(text: str, places: Sequence[int]) -> str:
    """Return the characters at these places, with plain spaces for those of other widths."""
    return _SPACES.sub(" ", "".join([text[place] for place in places]))


def _seen_places(text: str) -> list[int]:
    """Return the places of the characters of a text that are seen, or part what is."""
    places: list[int] = []
    begin = 0
    for line in text.split("\n"):
        done, is_plain = 0, _ODD.search(line) is None
        keeps_directions = not is_plain and _RIGHT_TO_LEFT.search(line) is not None
        for run in () if is_plain else _FAINT.finditer(line):
            places += range(begin + done, begin + run.start())
            places += [begin + place for place in _seen_of(run, keeps_directions)]
            done = run.end()
        places += range(begin + done, begin + max(done, len(line.rstrip())))
        begin += len(line) + 1
        places.append(begin - 1)  # the end of the line
    return places[:-1]


def _seen_of(run: re.Match[str], keeps_directions: bool) -> Iterator[int]:
    """Yield the places in a line of what is seen of a run of faint characters."""
    line, start, end = run.string, run.start(), run.end()
    before, after = line[max(start - 1, 0) : start], line[end : end + 1]
    spaces = [place for place in range(start, end) if line[place].isspace()]
    first, last = (spaces[0], spaces[-1]) if spaces else (end, start - 1)
    for place in range(start, end):
        character = line[place]
        if character.isspace():
            is_seen = bool(after)
        elif character in _DIRECTIONS:
            is_seen = keeps_directions
        elif character in _TAGS:
            is_seen = before == _FLAG
        elif character in _JOINING:
            neighbours = before if place < first else "", after if place > last else ""
            is_seen = all(neighbours) or _shapes(character, *neighbours)
        else:
            is_seen = False
        if is_seen:
            yield place


def _shapes(character: str, before: str, after: str) -> bool:
    """Say whether a joiner or a selector at an end of a word changes how its neighbour looks."""
    if character == _JOINER:
        joins = "AL" in (*map(unicodedata.bidirectional, before + after),)
        return joins or (bool(before) and unicodedata.combining(before) == _VIRAMA)
    if character == _NON_JOINER or not before:
        return False
    return before in _SELECTED or unicodedata.category(before) in ("So", "Sm", "Lo", "Mn")


def repair_controls(text: str) -> str:
    """Return a text whose control characters are what was meant by them, or gone."""
    return _CONTROLS.sub(lambda found: _meaning(found.group()), text)


def is_control(character: str) -> bool:
    """Say whether a character is a control character other than a line end or a tab."""
    return unicodedata.category(character) == "Cc" and character not in _ALLOWED_CONTROLS


def half_character(text: str) -> int | None:
    """Return where a text holds half of a character, a lone surrogate; None where it does not."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def check_characters(text: str, what: str) -> None:
    """Check that a text holds no half of a character. *Raises*: InputError, which names `what`."""
    if (place := half_character(text)) is not None:
        raise InputError(
            f"The {what} holds half of a character at {place} (a lone surrogate), which no "
            "tokenizer reads; remove it."
        )


def _meaning(control: str) -> str:
    """Return what was meant by a control character.

    U+0080 to U+009F come from pages whose character set was misread; browsers take them for
    Windows' (cp1252). *Source*: the WHATWG's HTML, "numeric character reference end state".
    """
    if len(control) == 1 and "\x80" <= control <= "\x9f":
        return control.encode("latin-1").decode("cp1252", errors="ignore")
    return _MEANINGS.get(control, "")
