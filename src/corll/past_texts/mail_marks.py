"""The marks by which mail programs part what was written from what it answers, and from footers.

Each line is tried up to a length, since an expression tries a hostile line in many ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice, takewhile

_LONGEST_MARK = 500
"""Characters of a line that may be a mark. Longer lines are text."""
_LINES_OF_HEADER = 8
_LINES_OF_ANNOUNCEMENT = 4
_LINES_OF_FOOTER = 10

QUOTE = re.compile(r"^\s{0,3}> ?")
"""What stands before each line of a quote."""
_RULE = re.compile(r"^\s*[-_=*]{3,}\s*$")
_RULED = "-_=*"
_ORIGINAL = re.compile(
    r"\b(?:original\w*|origine|ursprüngliche|oorspronkelijk|oprindelig|opprinnelig|ursprungligt|"
    r"forwarded|weitergeleitete|transféré|reenviado|inoltrato|videresendt|vidarebefordrat)\b",
    re.IGNORECASE,
)
# A line of a header that was copied into the text, in any language: "Von: …", "À : …".
_HEADER_LINE = re.compile(r"^\s*\*?[^\W\d_][\w -]{0,20}\s?:\*?\s+\S")
_EMPTY_HEADER_LINE = re.compile(r"^\s*\*?[^\W\d_][\w -]{0,20}\s?:\*?\s*$")
_SENDER_LINE = re.compile(r"^\s*\*?(?:From|Von|De|Da|Van|Från|Fra|Od|От)\s?:\*?\s+\S")
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|geschreven|skrev|escreveu|"
    r"kirjoitti|napisał\w*|napsal\w*|написал\w*|пишет)\b|写道|寫道"
)
_TIME = re.compile(r"\d{1,2}[:.h]\d\d")
_ADDRESS_AT_END = re.compile(r"<[^<>@\s]+@[^<>@\s]+>\s*[:：]$")
_BEGINS = re.compile(r"^\s*(?:\d|(?:On|Am|Le|El|Il|Op|Den|Em|Dnia|W dniu|Dne)\b)")
_DEVICE = re.compile(
    r"^\s*(?:Sent|Get|Gesendet|Von meinem|Envoyé|Obtenez|Télécharg\w+|Enviado|Inviato|Scarica|"
    r"Verzonden|Skickat|Sendt|Hent|Lähetetty|Wysłan[eo]|Odesláno|Отправлено|Diese Nachricht wurde)"
    r"\b.{0,80}\b(?:iPhone|iPad|Android|Samsung|Galaxy|Huawei|Xiaomi|Pixel|BlackBerry|Nokia|"
    r"Outlook|Windows|Yahoo|Proton|Gmail|K-9|mobile|phone|smartphone|Handy|Telefon)\b.{0,120}$",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"mailing[ -]?list|/listinfo|/mailman|unsubscribe|you are subscribed|\blists?\.[\w-]+\.\w",
    re.IGNORECASE,
)


def is_rule(line: str) -> bool:
    """Return whether a line only parts: "_____", or "--- Original Message ---" in any language."""
    return _is_short(line) and _is_between_rules(line)


def names_original(line: str) -> bool:
    """Return whether a line says in a language that is known that a copied mail follows."""
    return is_rule(line) and _ORIGINAL.search(line) is not None


def header_length(lines: Sequence[str], *, sender_first: bool) -> int:
    """Return how many lines at the top are a mail's header, copied into the text; 0 where none.

    It has three lines or more, of which the first, or any, says who sent the mail.
    """
    if not lines or not _is_header_line(lines[0]):
        return 0
    rest = takewhile(_goes_on_in_header, islice(lines, 1, _LINES_OF_HEADER))
    header = [lines[0], *rest]
    senders = [_SENDER_LINE.match(line) is not None for line in header]
    says_who = senders[0] if sender_first else any(senders)
    return len(header) if says_who and len(header) >= 3 else 0


def announcement_at(lines: Sequence[str], index: int) -> int:
    """Return how many lines from one on say whose words follow, as "On Monday, Anna wrote:" does.

    It is strict, since what follows bears no marks: there is a verb or an address at the end, and a
    date or an address. 0 where there is no such line.
    """
    paragraph = list(takewhile(_is_filled_and_short, lines[index : index + _LINES_OF_ANNOUNCEMENT]))
    for count in range(1, len(paragraph) + 1):
        text = " ".join(line.strip() for line in paragraph[:count])
        if _announces_strictly(text):
            return count
    return 0


def announcement_above(lines: Sequence[str]) -> int:
    """Return how many lines at the end announce the marked quote that follows them."""
    if not lines or not (lines[-1].endswith((":", "：")) or _is_dashed_announcement(lines[-1])):
        return 0
    if _is_dashed_announcement(lines[-1]):
        return 1
    paragraph = list(takewhile(str.strip, reversed(lines)))[:_LINES_OF_ANNOUNCEMENT]
    lengths = [
        count
        for count in range(1, len(paragraph) + 1)
        if _announces(" ".join(reversed(paragraph[:count])))
    ]
    whole = (count for count in lengths if _BEGINS.match(paragraph[count - 1]))
    return next(whole, lengths[0] if lengths else 0)


def is_of_device(line: str) -> bool:
    """Return whether a line is what a program writes under each mail: "Sent from my iPhone"."""
    return _is_short(line) and _DEVICE.match(line) is not None


def footer_length(lines: Sequence[str]) -> int:
    """Return how many lines at the end are a mailing list's footer, from its rule on."""
    for count, line in enumerate(islice(reversed(lines), _LINES_OF_FOOTER), start=1):
        if _is_short(line) and _RULE.match(line) and len(line.strip()) >= 20:
            return count if any(_LIST.search(each) for each in lines[-count:]) else 0
    return 0


def _is_between_rules(line: str) -> bool:
    """Return whether three characters of a rule begin a line, and three end it."""
    marks = line.strip()
    return len(marks) >= 3 and all(mark in _RULED for mark in marks[:3] + marks[-3:])


def _is_short(line: str) -> bool:
    return len(line) <= _LONGEST_MARK


def _is_filled_and_short(line: str) -> bool:
    return bool(line.strip()) and _is_short(line)


def _is_header_line(line: str) -> bool:
    return _is_short(line) and _HEADER_LINE.match(line) is not None


def _goes_on_in_header(line: str) -> bool:
    return _is_header_line(line) or (_is_short(line) and bool(_EMPTY_HEADER_LINE.match(line)))


def _announces(text: str) -> bool:
    return "@" in text or bool(_WROTE.search(text) or _TIME.search(text))


def _announces_strictly(text: str) -> bool:
    if _is_dashed_announcement(text):
        return True
    if not text.endswith((":", "：")):
        return False
    begins, has_digit = _BEGINS.match(text) is not None, re.search(r"\d", text) is not None
    if _WROTE.search(text):
        return "@" in text or (begins and has_digit)
    return begins and has_digit and _ADDRESS_AT_END.search(text) is not None


def _is_dashed_announcement(line: str) -> bool:
    """Return whether a line is "---- Anna wrote ----", as Zoho writes it."""
    return is_rule(line) and _WROTE.search(line) is not None
