"""The rules of text: when two texts are the same to a reader, and the form that an edit is kept in.

Library, service, imports and simulated editors all go by these, so that nobody learns from a
difference that nobody made.
"""

from __future__ import annotations

import re
import unicodedata

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


def same_text(first: str, second: str) -> bool:
    """Say whether two texts are the same to a reader.

    Line ends, control characters, NFC and white space at either end make no difference: clients
    strip what they show.
    """
    return normalize(first).strip() == normalize(second).strip()


def normalize(text: str) -> str:
    """Return a text in the one form it is kept in.

    It has LF line ends, no other control characters than tabs, NFC, and no white space at its end.
    """
    unified = _LINE_ENDS.sub("\n", repair_controls(text))
    return unicodedata.normalize("NFC", unified).rstrip()


def clean_edit(edited_text: str, draft_text: str = "") -> str:
    """Return the edit of a draft as it is learned from: normalized, but with what the draft has.

    Where it begins without the white space that its draft begins with, a client has stripped that,
    and it is put back. Where the draft's text stands, so does the draft's form of Unicode: that NFC
    would write it otherwise is a change that nobody made. *Raises*: InputError where the text is
    empty, or holds half of a character.
    """
    text = normalize(edited_text)
    if not text.strip():
        raise InputError(
            "The edit is empty, and an empty text would teach the model to say nothing. "
            "Send the draft as it is to accept it, or give no feedback (None)."
        )
    check_characters(text, "edit")
    if not text[0].isspace():
        text = space_before(draft_text) + text
    return _in_form_of(draft_text, text)


def space_before(draft_text: str) -> str:
    """Return the white space that a draft begins with, as its edit is given it."""
    draft = normalize(draft_text)
    return draft[: len(draft) - len(draft.lstrip())]


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
