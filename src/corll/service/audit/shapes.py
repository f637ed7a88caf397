"""Strings of the same shape as a secret, which could stand in its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from random import Random
from typing import Literal

SecretKind = Literal["number", "mail", "name"]

_ATTEMPTS = 20
_RUN = re.compile(r"[^\W\d_]+|\d+")
_GIVEN = tuple(
    "Anna Ben Clara David Emma Felix Grace Hugo Ida Jonas Klara Lukas Maria Noah Olivia Paul "
    "Rosa Simon Tessa Viktor Alice Brian Carla Daniel Elena Frank Greta Henry Irene James Julia "
    "Kevin Laura Martin Nora Oscar Paula Robert Sarah Thomas Ursula Walter Yasmin Ahmed Aisha "
    "Carlos Chen Fatima Giulia Hiroshi Ivan Kofi Leila Mei Omar Priya Ravi Sofia Tariq Zoe".split()
)
_FAMILY = tuple(
    "Smith Jones Brown Taylor Wilson Evans Walker White Hall Green Baker Clark Lewis Young King "
    "Wright Hill Scott Adams Turner Parker Cook Ward Gray Cole Müller Schmidt Schneider Fischer "
    "Weber Meyer Wagner Becker Schulz Hoffmann Koch Richter Klein Wolf Neumann Schwarz Krüger "
    "Hartmann Lange Werner Garcia Lopez Martinez Silva Rossi Moreau Novak Kowalski Ivanov Khan "
    "Patel Singh Nguyen Kim Tanaka Chen Okafor Haddad Yilmaz".split()
)


@dataclass(frozen=True)
class Secret:
    """A secret and others of its shape. `possible` counts all of the shape, itself included."""

    kind: SecretKind
    words: str
    others: tuple[str, ...]
    possible: int


def secret_like(kind: SecretKind, words: str, count: int, generator: Random) -> Secret:
    """Return a secret with as many others of its shape as there are, at most `count`.

    In a number each digit is another one. A name's first word is another given name and its last
    another family name; a single word is either. Of a mail address the name before the @ is
    replaced in this way, and the domain stays.
    """
    parts = [part for part in _parts(kind, words) if part.possible > 1]
    possible = prod(part.possible for part in parts)
    others: dict[str, None] = {}
    for _ in range(_ATTEMPTS * count):
        if len(others) == min(count, possible - 1):
            break
        drawn, done = [], 0
        for part in parts:
            drawn += [words[done : part.start], part.draw(generator)]
            done = part.end
        other = "".join(drawn) + words[done:]
        if other != words:
            others[other] = None
    return Secret(kind, words, tuple(others), possible)


@dataclass(frozen=True)
class _Part:
    """A part of a secret that may be another one; `possible` counts these and itself."""

    start: int
    end: int
    possible: int
    draw: Callable[[Random], str]


def _parts(kind: SecretKind, words: str) -> list[_Part]:
    if kind == "number":
        return [_digits(found) for found in re.finditer(r"\d+", words)]
    where = words.partition("@")[0] if kind == "mail" else words
    runs = list(_RUN.finditer(where))
    names = [found for found in runs if not found.group()[0].isdigit()]
    parts = []
    for found in runs:
        if found not in names:
            parts.append(_digits(found))
        elif len(found.group()) == 1:
            parts.append(_of(found, tuple("abcdefghijklmnopqrstuvwxyz")))
        elif len(names) == 1:
            parts.append(_of(found, _GIVEN + _FAMILY))
        else:
            parts.append(_of(found, _FAMILY if found is names[-1] else _GIVEN))
    return parts


def _digits(found: re.Match[str]) -> _Part:
    """Return digits that may be others; a first digit that is no zero stays none."""
    digits = found.group()
    least = 1 if digits[0] != "0" and len(digits) > 1 else 0
    possible = (10 - least) * 10 ** (len(digits) - 1)

    def draw(generator: Random) -> str:
        first = str(generator.randint(least, 9))
        return first + "".join(str(generator.randint(0, 9)) for _ in digits[1:])

    return _Part(*found.span(), possible, draw)


def _of(found: re.Match[str], names: tuple[str, ...]) -> _Part:
    """Return a word that may be one of these, written with capitals as it is."""
    own = found.group()
    cased = (
        str.lower if own.islower() else str.upper if own.isupper() and len(own) > 1 else str.title
    )
    written = sorted({cased(name) for name in names})
    possible = len({own, *written})
    return _Part(*found.span(), possible, lambda generator: generator.choice(written))
