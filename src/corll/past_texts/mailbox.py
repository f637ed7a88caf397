"""The replies of an mbox: each mail that its owner sent, with the mail that it answers.

Only the heads of all mails are read at once; bodies are read one at a time, so that a mailbox may
be larger than memory. `mail_words.py` takes the words of its sender from a mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from corll.errors import InputError
from corll.past_texts.mail_heads import Head, address_of, head_of
from corll.past_texts.mail_parts import body_of, is_of_program
from corll.past_texts.mail_words import is_forward, own_words, quoted_words
from corll.past_texts.mbox_places import BYTE_ORDER, LONGEST_SEPARATOR, PIECE, places

_SEPARATED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
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


def is_mbox(path: Path) -> bool:
    """Return whether the file begins as an mbox does, after blank lines and a mark of byte order.

    *Raises*: InputError where it cannot be read.
    """
    with closing(_open(path)) as file:
        return (
            _read(path, file, LONGEST_SEPARATOR)
            .removeprefix(BYTE_ORDER)
            .lstrip()
            .startswith(b"From ")
        )


def read_replies(path: Path, *, me: Sequence[str]) -> list[Reply]:
    """Read the mails that were sent from the addresses `me` in reply, in the order of the file.

    A mail answers the one that In-Reply-To or else References names last, if it is in the file, and
    otherwise what it quotes, or else an older mail that References names. Left out are mails that
    answer none or a mail of one's own, that pass another on, that a program sent, that were not
    sent or were thrown away, that say nothing of their own, second copies, and those that are too
    malformed to be read.

    *Raises*: InputError where the file cannot be read, no address is given, no such mail is there,
    or a mail, its header or their number is larger than any mailbox has.
    """
    addresses = {address_of(address) for address in me} - {""}
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


def _replies(path: Path, file: BinaryIO, heads: Sequence[Head], me: set[str]) -> Iterator[Reply]:
    known = {head.id: head for head in heads if head.id}
    seen: set[str] = set()
    for head in heads:
        if head.sender not in me or not head.is_reply or head.id in seen:
            continue
        body = _body(path, file, head)
        copy = head.id or hashlib.sha256(f"{head.sent_at}\n{body}".encode()).hexdigest()
        if copy in seen or is_forward(body):
            continue
        seen.add(copy)
        text = own_words(body)
        if text and (answers := _answered(path, file, head, known, me, body)):
            yield Reply(answers, text)


def _answered(
    path: Path, file: BinaryIO, head: Head, known: Mapping[str, Head], me: set[str], body: str
) -> str:
    """Return the words of the mail that is answered; none where it is the user's own.

    Where the mail itself is missing, what is quoted is nearer than the mails before it.
    """
    parents = [known[each] for each in head.parents if each in known and each != head.id]
    is_nearest = bool(parents) and parents[0].id == head.parents[0]
    if not is_nearest and (quoted := quoted_words(body)):
        return quoted
    if not parents or parents[0].sender in me:
        return ""
    received = _body(path, file, parents[0])
    return own_words(received) or received.strip() or quoted_words(body)


def _heads(path: Path, file: BinaryIO) -> Iterator[Head]:
    found = list(islice(_places(path, file), _MOST_MAILS + 1))
    if len(found) > _MOST_MAILS:
        raise InputError(
            f"{path} holds more than {_MOST_MAILS} mails; export the folder of sent mails alone."
        )
    for number, (start, end) in enumerate(found, start=1):
        file.seek(start)
        header = _header(path, number, file, end)
        # A mail may be empty, or lack its header.
        if header is None or not header.keys():
            continue
        with suppress(*_MALFORMED):
            yield head_of(header, start, end)


def _header(path: Path, number: int, file: BinaryIO, end: int) -> Message | None:
    """Read the header at which a file stands; None where it is too malformed."""
    lines: list[bytes] = []
    size = 0
    while file.tell() < end and (line := file.readline(PIECE)).strip():
        if lines or not line.startswith(b">From "):
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


def _places(path: Path, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each mail begins and ends. *Raises*: InputError where there is none."""
    is_any = False
    try:
        for place in places(file):
            is_any = True
            yield place
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not is_any:
        raise InputError(f"{path} is no mbox: no line 'From SENDER DATE' stands before its mails.")


def _body(path: Path, file: BinaryIO, head: Head) -> str:
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
        message = message_from_bytes(content)
        return "" if is_of_program(message) else body_of(message)
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
