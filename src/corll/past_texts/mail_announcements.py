"""The lines that say whose words follow: "On Monday, Anna wrote:", also broken into lines.

Above a quote with marks little is asked of them. Without marks they must bear a date or a time, and
an address or a name: what is taken for one ends the user's own text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from corll.past_texts.mail_marks import ADDRESS, QUOTE, bare, is_blank, is_rule, is_short

_MOST_LINES = 4

_VERB = re.compile(
    r"\b(?:wrote|writes|schrieb|schreibt|a écrit|écrit|escribió|escribe|ha scritto|scrive|schreef|"
    r"schrijft|geschreven|skrev|skriver|escreveu|escreve|kirjoitti|napisał\w*|pisze|napsal\w*|"
    r"napísal\w*|píše|написал\w*|пишет|написав\w*|пише|írta|a scris|yazdı|έγραψε|כתבה?|كتب|"
    r"va escriure|je napisa[ol]a?|pisau?\w)\b|写道|寫道|書きました|のメール|작성",
    re.IGNORECASE,
)
_PRONOUNS = frozenset(
    "i we you he she they who this that to me him her us them ich wir du er sie ihr mir dir uns "
    "euch je j'ai nous vous il elle tu yo él ella io lui lei noi eu ele ela ik wij jij hij jag jeg "
    "hun hon я мы ты он она вы".split()
)
_DIGIT_OR_ADDRESS = re.compile(r"[\d@]")
_TIME = re.compile(r"(?<![\d.:])\d{1,2}[:.h]\d\d(?!\.?\d)")
_YEAR = r"(?:19|2[05]|٢٠|۱۴)\d\d(?!\d)"
# "3/2/25", "3 Feb 2025", "2025년 2월 3일", "2025. febr. 3."
_DATE = re.compile(
    rf"(?<!\d)(?:\d{{1,4}}[./-]\s?\d{{1,2}}[./-]\s?\d{{1,4}}|\d{{1,2}}(?!\d)\D{{1,25}}{_YEAR}|"
    rf"{_YEAR}\s?[年년]\s?\d|{_YEAR}\.\s\D{{1,12}}\d{{1,2}}\.)"
)
_EARLY_DATE = 25
"""Characters of a line in which its date begins, where the line begins with the date."""
_OPENING_WORD = re.compile(
    r"^\W*(?:On|At|Am|Le|El|Il|Op|Den|Em|Dnia|W dniu|Dne|Dňa|På|În|La|Στις|Në|Vào|Pada|في|"
    r"בתאריך)\b",
    re.IGNORECASE,
)
_BROKEN_DATE = re.compile(r"^\W*\w+ \S{2,12} (?:\S{2,12} )?\d{1,2}(?:st|nd|rd|th)?[.,]?$")
_BEGINS_WITH_YEAR = re.compile(rf"^\s*{_YEAR}")
_BRACKETED = re.compile(rf"<{ADDRESS}>|\({ADDRESS}\)|\[mailto:{ADDRESS}\]")
_ADDRESS_AT_END = re.compile(rf"{ADDRESS}[>)\]]?\s*$")
# "Bob Ray <bob@example.com> wrote:", with nothing else.
_NAME_AND_ADDRESS = re.compile(rf"^\W?(?:[^\W\d_a-z][\w.'’-]{{0,30}},? ){{0,5}}<{ADDRESS}>,? ")
_GOES_ON = re.compile(r"^\s*(?:<|\[mailto:)")
_LETTERS = re.compile(r"[^\W\d_][\w'’-]*")


def unmarked_announcement(lines: Sequence[str], end: int) -> int:
    """Return how many lines, `end` the last of them, announce words that may bear no marks.

    Of the starts that announce the nearest is taken, so that what stands above it is left. 0 where
    there is none.
    """
    if not _may_end(lines[end]):
        return 0
    if _is_dashed(lines[end]):
        return 1
    paragraph = _paragraph_up_from(lines, end)
    for count in range(1, len(paragraph) + 1):
        text = _joined(paragraph[:count])
        if _announces_strictly(text, opened=_opens(paragraph[count - 1])):
            return count + _breaks_above(paragraph, count)
    return 0


def announcement_above(lines: Sequence[str]) -> int:
    """Return how many lines at the end announce the marked quote that follows them."""
    if not lines or is_blank(lines[-1]):
        return 0
    if _is_dashed(lines[-1]):
        return 1
    paragraph = _paragraph_up_from(lines, len(lines) - 1)
    if not paragraph:
        return 0
    opened, announces = [], []
    for count, line in enumerate(paragraph, start=1):
        opened.append(_opens(line) and (count == 1 or not _ends_sentence(line)))
        announces.append(_announces(_joined(paragraph[:count]), opened=opened[-1]))
        if opened[-1] and announces[-1]:
            return count + _breaks_above(paragraph, count)
    if announces[0]:
        return 1 + _breaks_above(paragraph, 1)
    is_cut = len(announces) > 1 and announces[1] and _is_half(paragraph[0])
    return 2 if is_cut else 0


def is_announcement(line: str) -> bool:
    """Return whether a line alone announces words that may bear no marks."""
    return unmarked_announcement([line], 0) == 1


def _paragraph_up_from(lines: Sequence[str], end: int) -> list[str]:
    """Return lines from `end` upwards, up to a blank or quoted one, as marks are looked for."""
    found: list[str] = []
    for line in reversed(lines[max(0, end + 1 - _MOST_LINES) : end + 1]):
        if is_blank(line) or not is_short(line) or QUOTE.match(line) or is_rule(line):
            break
        found.append(bare(line).strip(" \t*_"))
    return found


def _joined(upwards: Sequence[str]) -> str:
    return " ".join(reversed(upwards))


def _may_end(line: str) -> bool:
    return (is_short(line) and bare(line).rstrip(" \t*_").endswith((":", "："))) or _is_dashed(line)


def _is_dashed(line: str) -> bool:
    """Return whether a line is "---- Anna wrote ----", as Zoho writes it."""
    return is_rule(line) and _VERB.search(bare(line)) is not None


def _opens(line: str) -> bool:
    """Return whether a line begins with a date, or holds an address, as an announcement does."""
    date, time = _DATE.search(line), _TIME.search(line)
    if _OPENING_WORD.match(line):
        return bool(date or time or _BROKEN_DATE.match(line))
    is_early = date is not None and date.start() <= _EARLY_DATE
    return is_early or (_BRACKETED.search(line) is not None and not _GOES_ON.match(line))


def _ends_sentence(line: str) -> bool:
    return line.endswith((".", "!", "?", "…"))


def _is_half(line: str) -> bool:
    """Return whether a line can't be a whole announcement: "<anna@x> wrote:", "wrote:"."""
    return _GOES_ON.match(line) is not None or len(_LETTERS.findall(line)) <= 2


def _breaks_above(upwards: Sequence[str], count: int) -> int:
    """Return 1 where the announcement begins a line higher than it seems, 0 otherwise."""
    if count >= len(upwards):
        return 0
    first, above = upwards[count - 1], upwards[count]
    if _GOES_ON.match(first) or above.endswith("<"):
        return 1
    if _VERB.fullmatch(first.rstrip(" :：")):
        return int(not _ends_sentence(above))
    return int(_BEGINS_WITH_YEAR.match(first) is not None and _opens(above))


def _announces(text: str, *, opened: bool) -> bool:
    """Return whether text above a marked quote announces it."""
    date, time = _DATE.search(text), _TIME.search(text)
    verb = _VERB.search(text) is not None
    if not text.endswith((":", "：")):
        return opened and bool(date or time) and _VERB.search(text[-12:]) is not None
    if verb and (opened or _VERB.search(text[-30:])):
        return True
    if _BRACKETED.search(text) or _ADDRESS_AT_END.search(text[:-1]):
        return True
    return opened and bool(date and time)


def _announces_strictly(text: str, *, opened: bool) -> bool:
    if _DIGIT_OR_ADDRESS.search(text) is None:
        return False
    text = text.rstrip(":： ")
    verb = _VERB.search(text)
    if verb is None and "@" not in text:
        return False
    date, time = _DATE.search(text) is not None, _TIME.search(text) is not None
    if verb is not None and _is_of_those_who_write(text, verb):
        return False
    if not (date or time):
        named = _NAME_AND_ADDRESS.match(text)
        return named is not None and _VERB.fullmatch(text[named.end() :]) is not None
    if _BRACKETED.search(text):
        is_at_end = _ADDRESS_AT_END.search(text) is not None
        return (date and time) or verb is not None or (opened and is_at_end)
    if verb is None:
        return False
    if _ADDRESS_AT_END.search(text[: verb.start()]) or _ADDRESS_AT_END.search(text):
        return True
    return (opened or (date and time)) and _names_someone(text, verb)


def _beside(text: str, verb: re.Match[str]) -> list[str]:
    """Return the words before and after a verb."""
    before = _LETTERS.findall(text[max(0, verb.start() - 60) : verb.start()])
    return [*before[-1:], *_LETTERS.findall(text[verb.end() : verb.end() + 60])[:1]]


def _is_of_those_who_write(text: str, verb: re.Match[str]) -> bool:
    return any(word.lower() in _PRONOUNS for word in _beside(text, verb))


def _names_someone(text: str, verb: re.Match[str]) -> bool:
    """Return whether a name stands beside the verb: a word that is not in small letters."""
    return any(len(word) > 1 and not word[0].islower() for word in _beside(text, verb))
