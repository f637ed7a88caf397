"""The replies of an mbox: each mail that its owner sent, with the mail that it answers.

Only the heads of all mails are read at once; bodies are read one at a time, so that a mailbox may
be larger than memory. `mail_words.py` takes the words of its sender from a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import parseaddr
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from corll.errors import InputError
from corll.past_texts.mail_parts import body_of
from corll.past_texts.mail_words import own_words, quoted_words

# A separator is `From SENDER DATE` after a blank line. The date must be there: some programs put no
# ">" before a line of a text that begins with "From ", and the text must not end there. Thunderbird
# writes "From " alone: this separates where a line of a header follows.
_SEPARATOR = re.compile(
    rb"From .*(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.*\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d)"
)
_BARE_SEPARATOR = re.compile(rb"From[ ]-?\s*$")
_FIELD = re.compile(rb"[!-9;-~]{1,100}:")
_BYTE_ORDER = b"\xef\xbb\xbf"
_SEPARATED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_ID = re.compile(r"<[^<>\s]+>")

_PIECE = 2**16
"""Bytes that are read of a line at once, which need not end."""

_LONGEST_SEPARATOR = 1000
_LONGEST_HEADER = 2**20
_LARGEST_MAIL = 2**28
_MOST_MAILS = 1_000_000


_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
"""What Python's parser of mails raises on some that are malformed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: what the user wrote, and the mail that it answers, without quotes and signatures."""

    answers: str
    text: str


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of a mail: where the mail lies in the file, and what its header says."""

    start: int
    end: int
    id: str | None
    sender: str
    parents: tuple[str, ...]
    automatic: bool


def is_mbox(path: Path) -> bool:
    """Return whether the file begins as an mbox does, after blank lines and a mark of byte order.

    *Raises*: InputError where it cannot be read.
    """
    with closing(_open(path)) as file:
        return (
            _read(path, file, _LONGEST_SEPARATOR)
            .removeprefix(_BYTE_ORDER)
            .lstrip()
            .startswith(b"From ")
        )


def read_replies(path: Path, *, me: Sequence[str]) -> list[Reply]:
    """Read the mails that were sent from the addresses `me` in reply, in the order of the file.

    A mail answers the one that In-Reply-To or else References names, if it is in the file, and
    otherwise what it quotes. Five kinds of mail are left out: those that answer none or a mail of
    one's own, those that a program sent, those that say nothing of their own, second copies, and
    those that are too malformed to be read.

    *Raises*: InputError where the file cannot be read, no address is given, no such mail is there,
    or a mail, its header or their number is larger than any mailbox has.
    """
    addresses = {parseaddr(address)[1].casefold() for address in me} - {""}
    if not addresses:
        raise InputError(
            f"{path} is a mailbox: say which address is yours, so that the mails that you sent are "
            "told from those that you got."
        )
    with closing(_open(path)) as file:
        heads = list(_heads(path, file))
        mine = [head for head in heads if head.sender in addresses]
        replies = list(_replies(path, file, heads, addresses))
    if not replies:
        raise InputError(
            f"{path} holds {len(heads)} mails, {len(mine)} of them from "
            f"{', '.join(sorted(addresses))}, and none that was sent in reply to a mail that is "
            "there or quoted. Is the address the one that they were sent from?"
        )
    return replies


def _replies(path: Path, file: BinaryIO, heads: Sequence[_Head], me: set[str]) -> Iterator[Reply]:
    known = {head.id: head for head in heads if head.id}
    seen: set[str] = set()
    for head in heads:
        if head.sender not in me or head.automatic or head.id in seen:
            continue
        if head.id:
            seen.add(head.id)
        parent = _parent(head, known)
        if parent is not None and parent.sender in me:
            continue
        body = _body(path, file, head)
        answers = quoted_words(body)
        if parent is not None:
            received = _body(path, file, parent)
            answers = own_words(received) or received.strip() or answers
        text = own_words(body)
        if answers and text:
            yield Reply(answers, text)


def _parent(head: _Head, known: Mapping[str, _Head]) -> _Head | None:
    found = (known[parent] for parent in head.parents if parent in known and parent != head.id)
    return next(found, None)


def _heads(path: Path, file: BinaryIO) -> Iterator[_Head]:
    places = list(islice(_places(path, file), _MOST_MAILS + 1))
    if len(places) > _MOST_MAILS:
        raise InputError(
            f"{path} holds more than {_MOST_MAILS} mails; export the folder of sent mails alone."
        )
    for number, (start, end) in enumerate(places, start=1):
        file.seek(start)
        header = _header(path, number, file, end)
        if header is None:
            continue
        if not header.keys():
            raise InputError(
                f"{path}, message {number}: there is no header under its 'From ' line; export "
                "the mailbox again."
            )
        with suppress(*_MALFORMED):
            yield _head(header, start, end)


def _header(path: Path, number: int, file: BinaryIO, end: int) -> Message | None:
    """Read the header at which a file stands; None where it is too malformed."""
    lines, size = [], 0
    while file.tell() < end and (line := file.readline(_PIECE)).strip():
        lines.append(line)
        size += len(line)
        if size > _LONGEST_HEADER:
            raise InputError(
                f"{path}, message {number}: its header has more than {_LONGEST_HEADER} bytes; take "
                "the mail out of the mailbox, and export it again."
            )
    try:
        return message_from_bytes(b"".join(lines))
    except _MALFORMED:
        return None


def _head(header: Message, start: int, end: int) -> _Head:
    answered = _ID.findall(str(header.get("In-Reply-To", "")))
    # References end with the nearest mail.
    references = _ID.findall(str(header.get("References", "")))[::-1]
    ids = _ID.findall(str(header.get("Message-ID", "")))
    return _Head(
        start=start,
        end=end,
        id=ids[0] if ids else None,
        sender=parseaddr(str(header.get("From", "")))[1].casefold(),
        parents=tuple(dict.fromkeys([*answered, *references])),
        automatic=_is_automatic(header),
    )


def _is_automatic(header: Message) -> bool:
    """Return whether a program sent a mail: an answer in absence, a receipt, mail in bulk.

    *Source*: RFC 3834; the other fields are older programs'.
    """
    fields = {
        name: str(header.get(name, "no")).strip().lower()
        for name in ("Auto-Submitted", "X-Autoreply", "X-Autorespond", "Precedence")
    }
    precedence = fields.pop("Precedence")
    return (
        any(value != "no" for value in fields.values())
        or precedence in ("bulk", "junk", "auto_reply")
        or header.get_content_type() == "multipart/report"
    )


def _places(path: Path, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each mail begins, after its separator, and where it ends."""
    start: int | None = None
    position = 0
    try:
        for ends, begins in _separators(file):
            if start is not None:
                yield start, ends
            start = begins
        position = file.tell()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if start is None:
        raise InputError(f"{path} is no mbox: no line 'From SENDER DATE' stands before its mails.")
    yield start, position


def _separators(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each line that separates mails begins and ends."""
    after_blank, begins, position = True, True, 0
    bare: tuple[int, int] | None = None
    while line := file.readline(_PIECE):
        words = line.removeprefix(_BYTE_ORDER) if position == 0 else line
        place = position, position + len(line)
        if bare is not None and _FIELD.match(words):
            yield bare
        bare = None
        if begins and after_blank and len(words) <= _LONGEST_SEPARATOR:
            if _SEPARATOR.match(words):
                yield place
            elif _BARE_SEPARATOR.match(words):
                bare = place
        position = place[1]
        after_blank = begins and not words.strip()
        begins = line.endswith(b"\n")


def _body(path: Path, file: BinaryIO, head: _Head) -> str:
    """Return the text of a mail; none of one that is too malformed. *Raises*: InputError."""
    size = head.end - head.start
    if size > _LARGEST_MAIL:
        raise InputError(
            f"{path}: the mail at byte {head.start} has {size / 2**20:.0f} MB, more than any mail "
            f"has ({_LARGEST_MAIL / 2**20:.0f} MB); take it out, and export the mailbox again."
        )
    file.seek(head.start)
    content = _SEPARATED_FROM.sub(rb"\1", file.read(size))
    try:
        return body_of(message_from_bytes(content))
    except _MALFORMED:
        return ""


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _read(path: Path, file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
