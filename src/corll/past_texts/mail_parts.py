"""The text of a mail: of its parts those that were written, decoded."""

from __future__ import annotations

import html
import re
from email.message import Message

from corll.past_texts.mail_charsets import charset_of_html, decode
from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_marks import NOT_QUOTED

_MOST_CHARACTERS = 2**22
"""Of a part of a mail that are read; nobody wrote the rest."""
_BLANK = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
# A database cannot keep a text with NUL; marks of byte order, of a break and of none are no
# characters of a text.
_DROPPED = dict.fromkeys(map(ord, "\x00\ufeff\u200b\u2060\xad"))
_PICTURES = re.compile(r"(?:\[(?:cid|image): ?[^\]]{1,200}\]|\s)+")
_ABOUT_HTML = re.compile(
    r"\bHTML\b|\bMIME\b|\bview\b.{0,60}\b(?:online|browser)\b|\b(?:Browser|Webversion|navigateur|"
    r"navegador)\b",
    re.IGNORECASE | re.DOTALL,
)
_LINES_OF_PLACEHOLDER = 3
_LONGEST_PLACEHOLDER = 400
_IS_HTML = re.compile(r"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!doctype html|<html)\b", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z/!]")
_REACTION = "text/vnd.google.email-reaction+json"


def body_of(message: Message) -> str:
    """Return the text of a mail, with its quotes: plain, or of its HTML without tags.

    Of alternatives the plain one is taken, unless it says nothing, or only that there is HTML. A
    part with a file's name is an attachment, though it is shown inline, where another part says
    something.
    """
    return _text_of(message, named=False) or _text_of(message, named=True)


def is_of_program(message: Message) -> bool:
    """Return whether a part is an answer that a program writes: to an invitation, or a reaction."""
    for part in message.walk():
        kind = part.get_content_type()
        if kind == _REACTION:
            return True
        if kind == "text/calendar":
            method = str(part.get_param("method", "")) or _calendar_method(part)
            if method.upper() == "REPLY":
                return True
    return False


def _calendar_method(part: Message) -> str:
    found = re.search(r"^METHOD:(\w{1,20})", _decoded(part)[:2000], re.MULTILINE)
    return found[1] if found else ""


def _text_of(message: Message, *, named: bool) -> str:
    if message.get_content_disposition() == "attachment":
        return ""
    if message.get_content_maintype() == "multipart":
        payload = message.get_payload()
        parts = [part for part in payload if isinstance(part, Message)] if payload else []
        if message.get_content_subtype() == "alternative":
            return _likeliest(parts, named)
        return "\n\n".join(_different([_text_of(part, named=named) for part in parts]))
    if message.get_filename() is not None and not named:
        return ""
    kind = message.get_content_type()
    text = ""
    if kind == "text/plain":
        text = _plain_text(message)
    elif kind == "text/html":
        text = _text_of_html(_decoded(message))
    text = text.replace("\x00", "").strip("\n")
    return text if text.translate(_BLANK).strip() else ""


def _likeliest(parts: list[Message], named: bool) -> str:
    """Return the text of the alternative to take: the first that is plain and says something."""
    in_order = sorted(parts, key=lambda part: part.get_content_type() != "text/plain")
    texts = [(part, text) for part in in_order if (text := _text_of(part, named=named))]
    for part, text in texts:
        others = [other for each, other in texts if each is not part]
        is_plain = part.get_content_type() == "text/plain"
        if not (is_plain and others and _stands_for(text, others[0])):
            return text
    return ""


def _stands_for(text: str, html_text: str) -> bool:
    """Return whether a plain part only says that there is HTML, in other words than the HTML's."""
    said = _squeezed(text)
    if not said or said in _squeezed(html_text):
        return False
    if _PICTURES.fullmatch(text):
        return True
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    is_short = lines <= _LINES_OF_PLACEHOLDER and len(text) <= _LONGEST_PLACEHOLDER
    return is_short and _ABOUT_HTML.search(text) is not None


def _different(texts: list[str]) -> list[str]:
    """Return the texts that say something, each once, where a program adds one in two forms."""
    said: dict[str, str] = {}
    for text in texts:
        if text:
            said.setdefault(_squeezed(text), text)
    return list(said.values())


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _decoded(part: Message) -> str:
    """Decode the text of a part; where its charset is wrong or unknown, by the likeliest one."""
    said = str(part.get("Content-Transfer-Encoding", ""))
    # Python knows no encoding with a space or a comment behind it.
    encoding = said.split("(")[0].strip().rstrip(";")
    if said and encoding != said:
        part.replace_header("Content-Transfer-Encoding", encoding)
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    charset = part.get_content_charset()
    if charset is None and part.get_content_type() == "text/html":
        charset = charset_of_html(content)
    text = decode(content, charset)[:_MOST_CHARACTERS]
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)


def _text_of_html(text: str) -> str:
    shown = text_of_html(text) if _TAG.search(text) else html.unescape(text)
    return shown.translate(_DROPPED)


def _plain_text(part: Message) -> str:
    text = _decoded(part)
    if _IS_HTML.match(text):
        return _text_of_html(text)
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    return _unflowed(text, str(part.get_param("delsp", "")).lower() == "yes")


def _unflowed(text: str, delete_space: bool) -> str:
    """Join the lines that a mail program broke. *Source*: RFC 3676.

    A line that begins with ">" after the space that was put before it is no quote.
    """
    lines: list[str] = []
    open_depth: int | None = None
    for raw in text.split("\n"):
        depth = len(raw) - len(raw.lstrip(">"))
        words = raw[depth:].removeprefix(" ")
        if open_depth == depth and words != "-- ":
            lines[-1] += words
        elif depth:
            lines.append(f"{'>' * depth} {words}")
        else:
            lines.append(NOT_QUOTED + words if words.startswith(">") else words)
        flows = words.endswith(" ") and words != "-- "
        if flows and delete_space:
            lines[-1] = lines[-1][:-1]
        open_depth = depth if flows else None
    return "\n".join(lines)
