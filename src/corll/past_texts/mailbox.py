"""The replies of an mbox: each mail that its owner sent, with the mail that it answers.

Only the heads of all mails are read at once; bodies are read one at a time, so that a mailbox may
be larger than memory. `mail_words.py` takes the words of its sender from a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import parseaddr
from pathlib import Path
from typing import BinaryIO

from corll.errors import InputError
from corll.past_texts.mail_words import body_of, own_words, quoted_words

# A separator is `From SENDER DATE` after a blank line. The date must be there: some programs put no
# ">" before a line of a text that begins with "From ", and the text must not end there.
_SEPARATOR = re.compile(rb"From .*\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.*\d\d:\d\d")
_SEPARATED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_ID = re.compile(r"<[^<>\s]+>")


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
    """Return whether the file begins as an mbox does.

    *Raises*: InputError where it cannot be read.
    """
    with closing(_open(path)) as file:
        return _read(path, file, 5) == b"From "


def read_replies(path: Path, *, me: Sequence[str]) -> list[Reply]:
    """Read the mails that were sent from the addresses `me` in reply, in the order of the file.

    A mail answers the one that In-Reply-To or else References names, if it is in the file, and
    otherwise what it quotes. Four kinds of mail are left out: those that answer none or a mail of
    one's own, those that a program sent, those that say nothing of their own, and second copies.

    *Raises*: InputError where the file cannot be read, no address is given, or no such mail is
    there.
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
        replies = list(_replies(file, heads, addresses))
    if not replies:
        raise InputError(
            f"{path} holds {len(heads)} mails, {len(mine)} of them from "
            f"{', '.join(sorted(addresses))}, and none that was sent in reply to a mail that is "
            "there or quoted. Is the address the one that they were sent from?"
        )
    return replies


def _replies(file: BinaryIO, heads: Sequence[_Head], me: set[str]) -> Iterator[Reply]:
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
        body = body_of(_message(file, head))
        answers = quoted_words(body)
        if parent is not None:
            received = body_of(_message(file, parent))
            answers = own_words(received) or received.strip() or answers
        text = own_words(body)
        if answers and text:
            yield Reply(answers, text)


def _parent(head: _Head, known: Mapping[str, _Head]) -> _Head | None:
    found = (known[parent] for parent in head.parents if parent in known and parent != head.id)
    return next(found, None)


def _heads(path: Path, file: BinaryIO) -> Iterator[_Head]:
    places = list(_places(path, file))
    for number, (start, end) in enumerate(places, start=1):
        file.seek(start)
        lines = []
        while file.tell() < end and (line := file.readline()).strip():
            lines.append(line)
        header = message_from_bytes(b"".join(lines))
        if not header.keys():
            raise InputError(
                f"{path}, message {number}: there is no header under its 'From ' line; export "
                "the mailbox again."
            )
        yield _head(header, start, end)


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
        automatic=str(header.get("Auto-Submitted", "no")).strip().lower() != "no",
    )


def _places(path: Path, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each mail begins, after its separator, and where it ends."""
    start, after_blank, position = None, True, 0
    try:
        for line in file:
            if after_blank and _SEPARATOR.match(line):
                if start is not None:
                    yield start, position
                start = position + len(line)
            position += len(line)
            after_blank = not line.strip()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if start is None:
        raise InputError(f"{path} is no mbox: no line 'From SENDER DATE' stands before its mails.")
    yield start, position


def _message(file: BinaryIO, head: _Head) -> Message:
    file.seek(head.start)
    return message_from_bytes(_SEPARATED_FROM.sub(rb"\1", file.read(head.end - head.start)))


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
