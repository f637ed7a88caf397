"""The text of a mail: of its parts those that were written, decoded."""

from __future__ import annotations

from email.message import Message

from corll.past_texts.mail_html import text_of_html

_MOST_CHARACTERS = 2**22
"""Of a part of a mail that are read; nobody wrote the rest."""
_INVISIBLE = "\u200b\u200c\u200d\u2060"


def body_of(message: Message) -> str:
    """Return the text of a mail, with its quotes: plain, or of its HTML without tags.

    Of alternatives the plain one is taken, unless it says nothing. A part with a file's name is an
    attachment, though it is shown inline, where another part says something.
    """
    text = _text_of(message, named=False) or _text_of(message, named=True)
    # A database cannot keep a text with NUL; a mark of byte order is no character of a text.
    return text.replace("\x00", "").replace("\ufeff", "")


def _text_of(message: Message, *, named: bool) -> str:
    if message.get_content_disposition() == "attachment":
        return ""
    if message.get_content_maintype() == "multipart":
        payload = message.get_payload()
        parts = [part for part in payload if isinstance(part, Message)] if payload else []
        if message.get_content_subtype() == "alternative":
            return _likeliest(parts, named)
        texts = [_text_of(part, named=named) for part in parts]
        return "\n\n".join(text for text in texts if text)
    if message.get_filename() is not None and not named:
        return ""
    kind = message.get_content_type()
    text = ""
    if kind == "text/plain":
        text = _plain_text(message)
    elif kind == "text/html":
        text = text_of_html(_decoded(message))
    return text.strip("\n") if _says_something(text) else ""


def _likeliest(parts: list[Message], named: bool) -> str:
    """Return the text of the alternative to take: the first that is plain and says something."""
    in_order = sorted(parts, key=lambda part: part.get_content_type() != "text/plain")
    return next((text for part in in_order if (text := _text_of(part, named=named))), "")


def _says_something(text: str) -> bool:
    return bool(text.translate(dict.fromkeys(map(ord, _INVISIBLE + "\ufeff"))).strip())


def _decoded(part: Message) -> str:
    """Decode the text of a part; where its charset is wrong or unknown, by the likeliest one."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    for charset in (part.get_content_charset() or "utf-8", "utf-8"):
        try:
            return _unix(content.decode(charset))[:_MOST_CHARACTERS]
        except (LookupError, ValueError):
            continue
    return _unix(content.decode("cp1252", errors="replace"))[:_MOST_CHARACTERS]


def _plain_text(part: Message) -> str:
    text = _decoded(part)
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    return _unflowed(text, str(part.get_param("delsp", "")).lower() == "yes")


def _unflowed(text: str, delete_space: bool) -> str:
    """Join the lines that a mail program broke. *Source*: RFC 3676."""
    lines: list[str] = []
    open_depth: int | None = None
    for raw in text.split("\n"):
        depth = len(raw) - len(raw.lstrip(">"))
        words = raw[depth:].removeprefix(" ")
        if open_depth == depth and words != "-- ":
            lines[-1] += words
        else:
            lines.append(f"{'>' * depth} {words}" if depth else words)
        flows = words.endswith(" ") and words != "-- "
        if flows and delete_space:
            lines[-1] = lines[-1][:-1]
        open_depth = depth if flows else None
    return "\n".join(lines)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
