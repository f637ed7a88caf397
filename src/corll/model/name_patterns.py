"""Layers' names that an adapter's configuration gives as regular expressions, which PEFT tries.

An expression tries ways to match until none is left, and a hostile one has more than there is time
for. So the ways are counted on a model's names beforehand, which takes no longer than their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from corll.errors import AdapterError

_LONGEST = 1000
"""Characters of an expression at most."""

_WAYS_A_NAME = 20_000
"""Ways to match a name that all expressions together may try. One with two `.*` tries some
hundreds, and twenty thousand take about a millisecond."""

_SHOWN = 80
"""Characters of a refused expression that its error shows."""

_FEW = 100
"""Names or expressions that may be given for any model; more only for as many modules."""

_PLAIN = re.compile(r"[\w.^$-]*")
"""Names that match in one way at most, as PEFT itself writes them."""

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_QUANTIFIER = re.compile(r"([*+?]|\{(?:\d+,?\d*|,\d*)\})\??")
_GROUP = re.compile(r"\((?:\?(?::|P<\w+>|[=!]))?")

_AROUND = {
    "target_modules": "{}",
    "exclude_modules": "{}",
    "rank_pattern": r"(.*\.)?({})$",
    "alpha_pattern": r"(.*\.)?({})$",
    "layers_pattern": r"(?:^|.*?\.){}\.(?P<idx>\d+)\.",
}
"""The fields that hold expressions, and what PEFT writes around each."""

_PLAIN_IN_LISTS = ("target_modules", "exclude_modules")
"""Fields that are one expression, or a list of names that stand for themselves."""

Ways = Mapping[int, int]
"""How many ways lead to a place in a name."""

Part = Callable[[str, Ways, "_Count"], Ways]
"""Part of an expression: from the ways to where it begins to those to where it may end."""


def check_patterns(fields: Mapping[str, Any], names: Sequence[str]) -> None:
    """Check that an adapter's expressions are soon tried on the names of a model's modules.

    *Raises*: AdapterError.
    """
    branching: list[_Expression] = []
    for field, around in _AROUND.items():
        given = fields.get(field) or ()
        several = [given] if isinstance(given, str) else given
        if not isinstance(several, Collection) or not all(isinstance(n, str) for n in several):
            raise AdapterError(f"The adapter's {field} is {given!r}; it has to name layers.")
        if len(several) > max(_FEW, len(names)):
            raise AdapterError(
                f"The adapter's {field} names {len(several)} layers of a model that has "
                f"{len(names)} modules; name each once."
            )
        if field in _PLAIN_IN_LISTS and not isinstance(given, str):
            continue
        branching += (
            _Expression(field, around.format(one)) for one in several if not _PLAIN.fullmatch(one)
        )
    for name in names:
        count = _Count(_WAYS_A_NAME)
        for one in branching:
            one.match(name, count)


@dataclass
class _Count:
    """Counts down how many ways may still be tried."""

    left: int

    def take(self, ways: Ways) -> None:
        """Take what a part tries. *Raises*: ValueError where it is too much."""
        self.left -= 1 + sum(ways.values())
        if self.left < 0:
            raise ValueError("it has too many ways to match")


class _Expression:
    """An expression of a field. *Raises*: AdapterError where it cannot be tried."""

    def __init__(self, field: str, expression: str) -> None:
        self.field, self.expression = field, expression
        with self._refused():
            if len(expression) > _LONGEST:
                raise ValueError(f"it has more than {_LONGEST} characters")
            re.compile(expression)
            self._whole = _Reader(expression).read()

    def match(self, name: str, count: _Count) -> None:
        """Count the ways to match a name."""
        with self._refused():
            self._whole(name, {0: 1}, count)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            shown = self.expression
            if len(shown) > _SHOWN:
                shown = f"{shown[:_SHOWN]}..."
            raise AdapterError(
                f"The adapter's {self.field} cannot be tried on the model's layers: {error}. Give "
                "a list of names, or an expression without repetitions of repetitions. "
                f"It is: {shown}"
            ) from error


class _Reader:
    """Reads an expression: groups, alternatives, classes, repetitions; no references to groups."""

    def __init__(self, expression: str) -> None:
        self.expression, self.at = expression, 0

    def read(self) -> Part:
        """Return the whole expression. *Raises*: ValueError."""
        part = self._alternatives()
        if self.at < len(self.expression):
            self._refuse()
        return part

    def _alternatives(self) -> Part:
        branches = [self._sequence()]
        while self.expression.startswith("|", self.at):
            self.at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else partial(_any_of, branches)

    def _sequence(self) -> Part:
        parts: list[Part] = []
        while self.at < len(self.expression) and self.expression[self.at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return partial(_one_after_another, parts)

    def _repeated(self, part: Part) -> Part:
        found = _QUANTIFIER.match(self.expression, self.at)
        if found is None:
            return part
        self.at = found.end()
        least, most = _bounds(found[1])
        return partial(_repeat, part, least, most)

    def _atom(self) -> Part:
        expression, start = self.expression, self.at
        if (group := _GROUP.match(expression, start)) is not None:
            self.at = group.end()
            part = self._alternatives()
            if not expression.startswith(")", self.at):
                self._refuse()
            self.at += 1
            return partial(_look, part) if group[0] in ("(?=", "(?!") else part
        if (kind := _CLASS.match(expression, start)) is not None:
            self.at = kind.end()
            return partial(_character, re.compile(kind[0]))
        self.at += 2 if expression[start] == "\\" else 1
        text = expression[start : self.at]
        if text in ("^", "$", r"\b", r"\B", r"\A", r"\Z"):
            return _anywhere
        if text in "*+?{" or (text[0] == "\\" and text[1:].isalnum() and text[1:] not in "dDsSwW"):
            self._refuse()
        return partial(_character, re.compile(text))

    def _refuse(self) -> NoReturn:
        raise ValueError(f"{self.expression[self.at - 1 : self.at + 3]!r} in it is not supported")


def _bounds(quantifier: str) -> tuple[int, int | None]:
    """Return how often a part is repeated, at least and at most."""
    if quantifier in "*+?":
        return int(quantifier == "+"), 1 if quantifier == "?" else None
    least, comma, most = quantifier[1:-1].partition(",")
    return int(least or 0), (int(most) if most else None) if comma else int(least or 0)


def _character(pattern: re.Pattern[str], name: str, ways: Ways, count: _Count) -> Ways:
    count.take(ways)
    return {
        at + 1: number for at, number in ways.items() if at < len(name) and pattern.match(name[at])
    }


def _anywhere(name: str, ways: Ways, count: _Count) -> Ways:
    return ways


def _look(part: Part, name: str, ways: Ways, count: _Count) -> Ways:
    part(name, ways, count)
    return ways


def _one_after_another(parts: Sequence[Part], name: str, ways: Ways, count: _Count) -> Ways:
    for part in parts:
        ways = part(name, ways, count)
        if not ways:
            break
    return ways


def _any_of(branches: Sequence[Part], name: str, ways: Ways, count: _Count) -> Ways:
    return _sum(branch(name, ways, count) for branch in branches)


def _repeat(part: Part, least: int, most: int | None, name: str, ways: Ways, count: _Count) -> Ways:
    found, times = [ways] if least == 0 else [], 0
    while ways and times != most:
        count.take(ways)
        ways, times = part(name, ways, count), times + 1
        if times >= least:
            found.append(ways)
    return _sum(found)


def _sum(several: Iterable[Ways]) -> Ways:
    total: dict[int, int] = {}
    for ways in several:
        for at, number in ways.items():
            total[at] = total.get(at, 0) + number
    return total
