"""Worked examples: short letters that stand before a framed request until there are own ones.

They show a small model what a frame asks for: all that the hint says, little else, and whose name
stands where. `examples.toml` holds them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from corll.errors import InputError
from corll.frames import Framing
from corll.memory.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class _Worked:
    """A message, what its user wants to say, and the text that says it."""

    id: str
    message: str
    hint: str
    name: str
    text: str


def worked_examples(framing: Framing) -> tuple[Exchange, ...]:
    """Return examples of what a frame asks for, in its own words; none where there is no frame.

    Their users sign where the frame's user does. A template of the user's that has no place for
    what they hold has none.
    """
    examples = []
    for worked in _worked().get(framing.frame, ()):
        name = worked.name if framing.name else ""
        try:
            asked = replace(framing, hint=worked.hint, name=name).around(worked.message)
        except InputError:
            return ()
        text = worked.text if name else _unsigned(worked)
        examples.append(Exchange(asked, text, worked.id))
    return tuple(examples)


def _unsigned(worked: _Worked) -> str:
    """Return an example's text without its user's name below it."""
    return worked.text.removesuffix(worked.name).rstrip()


@cache
def _worked() -> Mapping[str, Sequence[_Worked]]:
    """Return all examples, by frames."""
    tables = tomllib.loads((files(__package__) / "examples.toml").read_text(encoding="utf-8"))
    return {frame: [_Worked(**fields) for fields in those] for frame, those in tables.items()}
