"""Facts of a text that their form shows: dates, times, sums, numbers, addresses, codes.

A fact states one thing or, where its form leaves that open, one of several: "2:30" is at night or
in the afternoon, "1.000" is a thousand in German and one in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from corll.memory.fact_words import (
    AT_AN_HOUR,
    BEFORE_A_DAY,
    FORM,
    FORM_UNSPACED,
    HOURS,
    MAYBE_AT_AN_HOUR,
    MONTHS,
    NUMBER,
    NUMBERS,
    OTHER_MEANINGS,
    PARTS_OF_HOURS,
    WEEKDAYS,
)
from corll.memory.words import Word, folded, has_unspaced

FactKind = Literal["number", "date", "time", "money", "phone", "mail", "url", "code"]

Statement: TypeAlias = tuple[str, str | int]
"""What a fact states, the same for all its spellings: its kind, and its value."""

_WINDOW = 2
"""So many pieces before and after one with a digit can belong to its fact: "3rd of May"."""

_PIECE = re.compile(r"\S+")
_TELLS = re.compile(r"\d|@|://|\.\w")
_NUMBER = re.compile(NUMBER)
_DIGITS = re.compile(r"\d+")
_CLOCK = re.compile(r"(\d{1,2})\.(\d{1,2})")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)", re.IGNORECASE)
_SHORTEST_PHONE, _LONGEST_PHONE, _TOLD_APART = 7, 15, 7
_MARKS_AT_END = ".,;:!?)]}'\"”’ \t\n"


class Fact(NamedTuple):
    """A fact, where it stands in a text, and what it states.

    `permits` is what else may be said where it is known: "2 pm" may be "at 2", "3 May" be "in May".
    """

    kind: FactKind
    start: int
    end: int
    states: frozenset[Statement]
    permits: frozenset[Statement] = frozenset()


def facts_of(text: str, words: Sequence[Word]) -> list[Fact]:
    """Return the facts of a text, given its words; names are not among them."""
    facts = [fact for window in _windows(text) for fact in _formed(text, *window)]
    taken = {place for fact in facts for place in range(fact.start, fact.end)}
    before = ("", "")
    for word in words:
        if word.key in TELLING_WORDS and word.start not in taken:
            facts.append(_of_word(text, word, before))
        before = (before[1], word.key)
    return facts


def begins_sentence(text: str, start: int) -> bool:
    """Say whether a word at this place begins a text, a line or a sentence."""
    before = text[max(0, start - 8) : start].rstrip(" \t\"“„'‘(*-•–")
    return not before or before[-1] in ".!?:\n…。！？" or start <= 1


TELLING_WORDS = frozenset(WEEKDAYS) | frozenset(MONTHS) | frozenset(NUMBERS) | frozenset(HOURS)
"""Words that are facts by themselves."""


def _of_word(text: str, word: Word, before: tuple[str, str]) -> Fact:
    """Return the fact that a word alone is, by the two before it: a day, an hour, a number."""
    key, start, end = word
    if key in NUMBERS:
        return _of_number_word(word, before)
    if key in HOURS:
        return Fact("time", start, end, frozenset({("time", 60 * HOURS[key])}))
    stated: Statement = ("weekday", WEEKDAYS[key]) if key in WEEKDAYS else ("month", MONTHS[key])
    # It permits in any spelling, and is a fact where it is surely meant.
    sure = text[start].isupper() and not (key in OTHER_MEANINGS and begins_sentence(text, start))
    return Fact("date", start, end, frozenset({stated} if sure else ()), frozenset({stated}))


def _of_number_word(word: Word, before: tuple[str, str]) -> Fact:
    """Return what a number's word says: a number, or the hour of "half past seven"."""
    key, start, end = word
    number = NUMBERS[key]
    minutes = PARTS_OF_HOURS.get(before, PARTS_OF_HOURS.get(before[1:]))
    if minutes is not None and number <= 12:
        times = [("time", (60 * hour + minutes) % 1440) for hour in (number, number + 12)]
        return Fact("time", start, end, frozenset[Statement](times))
    stated: Statement = ("number", str(number))
    hours = _hours(number, before[1])
    # "One" is an article in German and a pronoun in English: it permits and states nothing.
    states = [stated, *(hours if before[1] in AT_AN_HOUR else ())] if number > 1 else []
    permits = [stated, ("money", str(number)), *hours]
    return Fact("number", start, end, frozenset(states), frozenset(permits))


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text that a form can stand in: around digits, and addresses."""
    if not _TELLS.search(text):
        return
    pieces = [piece.span() for piece in _PIECE.finditer(text)]
    telling = [n for n, (start, end) in enumerate(pieces) if _TELLS.search(text, start, end)]
    first, last = -1, -1
    for place in telling:
        begin, finish = place - _WINDOW, min(place + _WINDOW, len(pieces) - 1)
        if first >= 0 and begin <= last + 1:
            last = finish
            continue
        if first >= 0:
            yield pieces[first][0], pieces[last][1]
        first, last = max(begin, 0), finish
    if first >= 0:
        yield pieces[first][0], pieces[last][1]


def _formed(text: str, start: int, end: int) -> Iterator[Fact]:
    form = FORM_UNSPACED if has_unspaced(text) else FORM
    for found in form.finditer(text, start, end):
        yield from _READERS[str(found.lastgroup)](found)


def _fact(
    kind: FactKind, found: re.Match[str], states: Iterable[Statement], permits: Iterable[Statement]
) -> Iterator[Fact]:
    start, end = found.span()
    end = start + max(len(found.group().rstrip(_MARKS_AT_END)), 1)
    yield Fact(kind, start, end, frozenset(states), frozenset(permits))


def _mail(found: re.Match[str]) -> Iterator[Fact]:
    return _fact("mail", found, [("mail", folded(found.group()).rstrip("."))], ())


def _url(found: re.Match[str]) -> Iterator[Fact]:
    address = folded(found.group()).rstrip(_MARKS_AT_END + "/")
    address = address.removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return _fact("url", found, [("url", address)], ())


def _date(found: re.Match[str]) -> Iterator[Fact]:
    numbers = [int(digits) for digits in _DIGITS.findall(found.group())]
    named = found["after"] or found["before"] or found["alone"]
    month = MONTHS.get(folded(named or ""), 0)  # a dotless ı matches and is no i
    if found["alone"] and month:
        return _fact("date", found, [("month", month)], ())
    if named:
        possible = [(month, numbers[0])]
    elif len(numbers) == 3 and numbers[0] > 31:
        possible = [(numbers[1], numbers[2])]
    elif "/" in found.group():
        possible = [(numbers[0], numbers[1]), (numbers[1], numbers[0])]
    else:
        possible = [(numbers[1], numbers[0])]
    days = [(month, day) for month, day in possible if 1 <= month <= 12 and 1 <= day <= 31]
    if not days or found.group() == "24/7":
        return _numbers_in(found)
    states = [("date", 100 * month + day) for month, day in days]
    permits: list[Statement] = [("month", month) for month, _ in days]
    permits += [("day", day) for _, day in days]
    as_number = _values(found.group().rstrip(".")) if len(numbers) == 2 and not named else []
    return _fact("date", found, states, [*permits, *as_number])


def _time(found: re.Match[str]) -> Iterator[Fact]:
    said = found.group().lower()
    digits = [int(part) for part in _DIGITS.findall(said)]
    hour, minute = digits[0], digits[1] if len(digits) > 1 else 0
    half = re.search(r"([ap])\.?m", said)
    if hour > 24 or minute > 59:
        return _numbers_in(found)
    hours = {hour, hour + 12} if 0 < hour < 12 else {hour}
    if half is not None:
        hours = {hour % 12 + 12 * (half[1] == "p")}
    elif "uhr" in said and hour < 12:
        hours = {hour, hour + 12}
    states = [("time", (60 * one + minute) % 1440) for one in hours]
    return _fact("time", found, states, _values(f"{hour}.{minute:02}") if "." in said else ())


def _money(found: re.Match[str]) -> Iterator[Fact]:
    number = _NUMBER.search(found.group())
    values = _values(number.group()) if number else []
    return _fact("money", found, [("money", value) for _, value in values], values)


def _phone(found: re.Match[str]) -> Iterator[Fact]:
    digits = "".join(_plain(part) for part in _DIGITS.findall(found.group()))
    if not _SHORTEST_PHONE <= len(digits) <= _LONGEST_PHONE:
        return _numbers_in(found)
    return _fact("phone", found, [("phone", digits[-_TOLD_APART:])], ())


def _code(found: re.Match[str]) -> Iterator[Fact]:
    said = found.group()
    parts = re.split(r"[-/_.\s]", said.lstrip("# "))
    mixed = [part for part in parts if _DIGITS.search(part) and not part.isdigit()]
    capitals = [part for part in parts if part.isupper() and not _DIGITS.search(part)]
    if all(map(str.isdigit, parts)) and said[0] != "#" and max(map(len, parts)) > 2:
        return _number_of_parts(found, parts)
    is_code = said[0] == "#" or capitals or any(map(_is_code, mixed))
    if not is_code or not _DIGITS.search(said):
        return _numbers_in(found)
    key = "".join(map(folded, parts))
    digits = [("number", _plain(part)) for part in _DIGITS.findall(said)]
    return _fact("code", found, [("code", key)], digits if said[0] == "#" else ())


def _number_of_parts(found: re.Match[str], parts: Sequence[str]) -> Iterator[Fact]:
    """Return what groups of digits state: by dashes maybe a range, by spaces one long number."""
    whole, numbers = "".join(parts), [value for part in parts for value in _values(part)]
    if "-" in found.group():
        return _fact("code", found, [("code", whole), *numbers], ())
    return _fact("code", found, [("code", whole), *_values(whole)], numbers)


def _is_code(part: str) -> bool:
    """Say whether letters and digits make a code ("RX7"), not a number with its unit ("5kg")."""
    if _ORDINAL.fullmatch(part):
        return False
    digits = sum(map(len, _DIGITS.findall(part)))
    begins_with_number = _DIGITS.match(part) is not None
    return any(map(str.isupper, part)) or (not begins_with_number and digits > 1)


def _number(found: re.Match[str]) -> Iterator[Fact]:
    text, (start, end) = found.string, found.span()
    line = text[text.rfind("\n", 0, start) + 1 : start]
    if not line.strip() and len(found.group()) <= 2 and text[end : end + 2] in (". ", ") "):
        return iter(())  # the mark of a list
    return _a_number(text, start, end)


def _numbers_in(found: re.Match[str]) -> Iterator[Fact]:
    for number in _NUMBER.finditer(found.string, *found.span()):
        yield from _a_number(found.string, *number.span())


def _a_number(text: str, start: int, end: int) -> Iterator[Fact]:
    said = text[start:end]
    states = _values(said)
    permits = [(kind, value) for _, value in states for kind in ("money", "code")]
    before = re.findall(r"\w+", text[max(0, start - 16) : start])
    word = folded(before[-1]) if before else ""
    if said.isdigit() and len(said) <= 2:
        (states if word in AT_AN_HOUR else permits).extend(_hours(int(said), word))
        if word in BEFORE_A_DAY or _ORDINAL.match(text, start, end + 2):
            states.append(("day", int(said)))
    if clock := _CLOCK.fullmatch(said):
        first, second = int(clock[1]), int(clock[2])
        if first < 24 and second < 60 and len(clock[2]) == 2:
            states.append(("time", 60 * first + second))
        permits.append(("date", 100 * second + first))
    if said.isdigit() and _SHORTEST_PHONE <= len(said) <= _LONGEST_PHONE:
        states.append(("phone", _plain(said)[-_TOLD_APART:]))
    yield Fact("number", start, end, frozenset(states), frozenset(permits))


def _hours(number: int, before: str) -> list[Statement]:
    """Return the hours that a number may be after a word like "at"."""
    if number > 24 or not (before in AT_AN_HOUR or before in MAYBE_AT_AN_HOUR):
        return []
    hours = (number, number + 12) if number < 12 else (number,)
    return [("time", 60 * hour % 1440) for hour in hours]


def _values(said: str) -> list[Statement]:
    """Return the values that a number may have, as its marks are read in English or German."""
    bare = re.sub(r"[^\d.,]", "", said)
    marks = [character for character in bare if character in ".,"]
    decimals = [bare.replace(",", "") if marks and marks[-1] == "." else bare.replace(".", "")]
    if len(marks) == 1 or (marks and marks[-1] != marks[0]):
        whole, _, part = decimals[0].replace(",", ".").partition(".")
        read = [_plain(whole, part)]
        if len(marks) == 1 and len(part) == 3 and len(whole) <= 3:
            read.append(_plain(whole + part))
    else:
        read = [_plain(re.sub(r"[.,]", "", bare))]
    return [("number", value) for value in read]


def _plain(whole: str, part: str = "") -> str:
    """Return a number's digits as ASCII, without the zeros that say nothing."""
    ascii_digits = ["".join(str(unicodedata.digit(d)) for d in digits) for digits in (whole, part)]
    before, after = ascii_digits[0].lstrip("0") or "0", ascii_digits[1].rstrip("0")
    return f"{before}.{after}" if after else before


_READERS = {
    "mail": _mail,
    "url": _url,
    "date": _date,
    "money": _money,
    "phone": _phone,
    "time": _time,
    "code": _code,
    "number": _number,
}
