"""The sender's own words in a mail: its text without quotes and signature.

Quotes are lines with ">", blockquotes of HTML, the line that announces them ("On Monday, Anna
wrote:"), and all that stands under "-----Original Message-----" or a repeated header, as Outlook
writes them. A signature begins at a line "-- ".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from itertools import dropwhile, takewhile

from corll.past_texts.mail_html import text_of_html

_QUOTE = re.compile(r"^\s{0,3}> ?")
_ORIGINAL = re.compile(
    r"^\s*[-_]{3,}.*\b(?:original\w*|origine|ursprüngliche|oorspronkelijk|forwarded|"
    r"weitergeleitete|transféré|reenviado|inoltrato)\b.*[-_]{3,}\s*$",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*_{10,}\s*$")
# A line of a header that was copied into the text, in any language: "Von: …", "À : …".
_HEADER_LINE = re.compile(r"^\s*\*?[^\W\d_][\w -]{0,20}\s?:\*?\s+\S")
_SENDER_LINE = re.compile(r"^\s*\*?(?:From|Von|De|Da|Van|Från|Fra|Od|От)\s?:\*?\s+\S")
_ANNOUNCES = re.compile(
    r"\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|skrev|escreveu|napisał\w*)\b"
    r"|@|\d{1,2}[:.h]\d\d"
)
_BEGINS = re.compile(r"^\s*(?:\d|(?:On|Am|Le|El|Il|Op|Den|Em|Dnia|W dniu)\b)")
_LINES_OF_ANNOUNCEMENT = 3


def body_of(message: Message) -> str:
    """Return the text of a mail, with its quotes: its plain parts, or its HTML without tags."""
    parts = list(_text_parts(message))
    plain = [_plain_text(part) for part in parts if part.get_content_type() == "text/plain"]
    texts = plain or [text_of_html(_decoded(part)) for part in parts]
    joined = "\n\n".join(text.strip("\n") for text in texts if text.strip())
    # A database cannot keep a text with NUL.
    return joined.replace("\x00", "")


def own_words(body: str) -> str:
    """Return the text without quotes, their announcements, and the signature."""
    kept: list[str] = []
    in_quote = False
    for line in _before_copied_header(body.split("\n")):
        if _ends_text(line):
            break
        quoted = _QUOTE.match(line) is not None
        if quoted and not in_quote:
            _drop_announcement(kept)
            # A paragraph ends where a quote stood.
            kept.append("")
        if not quoted:
            kept.append(line.rstrip())
        in_quote = quoted
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def quoted_words(body: str) -> str:
    """Return what the mail quotes, in the words of whom it answers, without quotes of quotes."""
    lines = body.split("\n")
    quoted = [_QUOTE.sub("", line, count=1) for line in lines if _QUOTE.match(line)]
    if not quoted:
        copied = lines[len(_before_copied_header(lines)) :]
        above = dropwhile(lambda line: not line.strip() or _is_rule(line), copied)
        quoted = list(dropwhile(_HEADER_LINE.match, above))
    return own_words("\n".join(quoted))


def _text_parts(message: Message) -> Iterator[Message]:
    """Yield the parts that hold text of the mail itself, not of what is attached to it."""
    if message.get_content_disposition() == "attachment":
        return
    if message.get_content_maintype() == "multipart":
        payload = message.get_payload()
        for part in payload if isinstance(payload, list) else []:
            if isinstance(part, Message):
                yield from _text_parts(part)
    elif message.get_content_type() in ("text/plain", "text/html"):
        yield message


def _decoded(part: Message) -> str:
    """Decode the text of a part; where its charset is wrong or unknown, by the likeliest one."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    for charset in (part.get_content_charset() or "utf-8", "utf-8"):
        try:
            return _unix(content.decode(charset))
        except (LookupError, ValueError):
            continue
    return _unix(content.decode("cp1252", errors="replace"))


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


def _before_copied_header(lines: list[str]) -> list[str]:
    """Return the lines before the mail that is copied under this one, as Outlook does."""
    for index, line in enumerate(lines):
        if _ORIGINAL.match(line):
            return lines[:index]
        if _SENDER_LINE.match(line):
            head = takewhile(_HEADER_LINE.match, lines[index : index + 8])
            if len(list(head)) >= 3:
                before = lines[:index]
                while before and (not before[-1].strip() or _RULE.match(before[-1])):
                    before.pop()
                return before
    return lines


def _is_rule(line: str) -> bool:
    return bool(_ORIGINAL.match(line) or _RULE.match(line))


def _ends_text(line: str) -> bool:
    # Many programs strip the space of "-- ".
    return line.rstrip() == "--" and not line.startswith(" ")


def _drop_announcement(lines: list[str]) -> None:
    """Take "On Monday, Anna wrote:" off the end, even where it is broken into lines."""
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines or not lines[-1].endswith((":", "：")):
        return
    paragraph = list(takewhile(str.strip, reversed(lines)))[:_LINES_OF_ANNOUNCEMENT]
    lengths = [
        count
        for count in range(1, len(paragraph) + 1)
        if _ANNOUNCES.search(" ".join(reversed(paragraph[:count])))
    ]
    if lengths:
        whole = (count for count in lengths if _BEGINS.match(paragraph[count - 1]))
        del lines[-next(whole, lengths[0]) :]


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
