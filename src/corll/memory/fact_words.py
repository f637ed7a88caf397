"""Words and forms of facts: days, months, numbers and currencies, in English and German.

Whole forms (a date, a sum, a telephone number) are alternatives of one expression, the more telling
first, so that no part of one is read as another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from corll.memory.words import UNSPACED


def _numbered(rows: Iterable[str], start: int) -> dict[str, int]:
    numbered = enumerate(rows, start=start)
    return {name: number for number, names in numbered for name in names.split()}


WEEKDAYS = _numbered(
    (
        "monday mondays mon montag montags",
        "tuesday tuesdays tue tues dienstag dienstags",
        "wednesday wednesdays wed mittwoch mittwochs",
        "thursday thursdays thu thur thurs donnerstag donnerstags",
        "friday fridays fri freitag freitags",
        "saturday saturdays sat samstag samstags sonnabend",
        "sunday sundays sun sonntag sonntags",
    ),
    start=0,
)
MONTHS = _numbered(
    (
        "january jan januar jänner",
        "february feb februar",
        "march mar märz",
        "april apr",
        "may mai",
        "june jun juni",
        "july jul juli",
        "august aug",
        "september sep sept",
        "october oct oktober okt",
        "november nov",
        "december dec dezember dez",
    ),
    start=1,
)
OTHER_MEANINGS = frozenset("may march mar mon sun sat wed jan jun sept dec".split())
"""Days and months that are other words too where no capital, or a sentence's beginning, says so."""

NUMBERS = _numbered(
    (
        "one ein eins eine einen einem einer",
        "two zwei",
        "three drei",
        "four vier",
        "five fünf",
        "six sechs",
        "seven sieben",
        "eight acht",
        "nine neun",
        "ten zehn",
        "eleven elf",
        "twelve zwölf dozen dutzend",
        "thirteen dreizehn",
        "fourteen vierzehn",
        "fifteen fünfzehn",
        "sixteen sechzehn",
        "seventeen siebzehn",
        "eighteen achtzehn",
        "nineteen neunzehn",
        "twenty zwanzig",
    ),
    start=1,
) | {
    name: 10 * tens
    for name, tens in _numbered(
        (
            "thirty dreissig",
            "forty vierzig",
            "fifty fünfzig",
            "sixty sechzig",
            "seventy siebzig",
            "eighty achtzig",
            "ninety neunzig",
            "hundred hundert",
        ),
        start=3,
    ).items()
}
HOURS = {"noon": 12, "midday": 12, "midnight": 0, "mitternacht": 0}
PARTS_OF_HOURS: dict[tuple[str, ...], int] = {
    ("half", "past"): 30,
    ("quarter", "past"): 15,
    ("quarter", "to"): -15,
    ("viertel", "nach"): 15,
    ("viertel", "vor"): -15,
    ("halb",): -30,
}
"""Minutes that the words before an hour add to it."""

AT_AN_HOUR = frozenset("at by until till um gegen past".split())
MAYBE_AT_AN_HOUR = frozenset(WEEKDAYS) | frozenset(
    "before after around about from to between and bis vor nach ab zwischen und von halb".split()
)
"""Before a number the former say that it is an hour, these that it may be one."""

BEFORE_A_DAY = frozenset("am dem den zum vom".split())

NUMBER = r"(?:\d{1,3}(?:[.,'’\u00a0\u202f ]\d{3})+(?![\d])(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
_MONTH = rf"(?P<{{}}>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?"
_YEAR = r"(?:,?\s\d{4}\b)?"
_CURRENCY = r"(?:usd|eur|gbp|chf|euros?|dollars?|pounds?|francs?|franken|cents?|yen)\b"
_TOP = r"(?:com|org|net|de|at|ch|io|eu|uk|info|fr|es|it|nl|edu|gov|app|dev)\b"
_GAP = r"[ \u00a0\u202f]"
_IN_FOURS = (
    rf"(?:[a-z]{{2}}\d\d(?:{_GAP}[a-z]{{4}})?|\d{{4}})(?:{_GAP}\d{{4}}){{2,7}}(?:{_GAP}\d{{1,3}})?"
)
"""An account's or a card's number as it is printed: three groups of four at least."""
_FORMS = {
    "mail": r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+",
    "url": r"(?:https?://|\bwww\.)[^\s<>\"'”]+"
    rf"|\b[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,3}}\.(?:{_TOP}(?:/[^\s<>\"'”]*)?|[a-z]{{2,20}}/[^\s<>\"'”]+)",
    "date": r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{4}\b|\d\d\b)?"
    r"|\b\d{1,2}/\d{1,2}(?:/\d{4}|/\d\d)?\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th|\.)?\s?(?:of\s)?{_MONTH.format('after')}{_YEAR}"
    rf"|\b{_MONTH.format('before')}\s(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\b(?![:.]\d){_YEAR}"
    rf"|\b{_MONTH.format('alone')}\s\d{{4}}\b",
    "money": rf"[$€£¥₹元円]\s?{NUMBER}|\b(?:usd|eur|gbp|chf)\s{NUMBER}"
    rf"|\b{NUMBER}(?:,[-–])?\s?(?:[$€£¥₹元円]|{_CURRENCY})",
    "phone": r"(?:\+\d|\(?\b0\d)[\d ()/.-]{4,20}\d\b|\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b"
    r"|\b\d{3}-\d{4}\b",
    "time": r"\b\d{1,2}(?:[:.]\d\d)?\s?[ap](?:\.m\.|m\b)|\b\d{1,2}:\d\d(?:\s?uhr)?\b"
    r"|\b\d{1,2}(?:\.\d\d)?\s?(?:uhr|o['’]clock)\b|\b\d{1,2}h\d\d\b",
    "code": r"#\s?[a-z\d]+(?:[-/_.][a-z\d]+)*|\b\d+(?:-\d+)+\b"
    rf"|\b{_IN_FOURS}\b"
    r"|\b(?=[a-z\d/_.-]{0,40}\d)(?=[\d/_.-]{0,40}[a-z])[a-z\d]+(?:[-/_.][a-z\d]+)*",
    "number": rf"\b{NUMBER}",
}
_SPACED = rf"[^\W{UNSPACED}]"
_BORDER = rf"(?:(?<!{_SPACED})|(?!{_SPACED}))"
_ANY = r"(?<![a-z])(?=\S)(?:{})".format(
    "|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items())
)
"""No form begins inside a word or at a space, which is quicker to see beforehand."""

FORM = re.compile(_ANY, re.IGNORECASE)
"""Any fact of a form. The group that is named after the form tells which; in dates `after`,
`before` and `alone` hold the month's name."""

FORM_UNSPACED = re.compile(_ANY.replace(r"\b", _BORDER), re.IGNORECASE)
"""The same for scripts without spaces, beside whose characters a number begins and ends."""
