"""What one argument of a command line holds: names parted by commas, or a setting and its value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from corll.errors import InputError


def named(names: str, known: Collection[str], kind: str, *, also: Sequence[str] = ()) -> list[str]:
    """Return the names in an argument, each once. *Raises*: InputError for one that is not known.

    `kind` says in the error what they are names of, and `also` what may stand in their place.
    """
    found = names.split(",")
    if unknown := [name for name in found if name not in known]:
        there = ", ".join((*also, *known))
        raise InputError(f"There is no {kind} {unknown[0]!r}; there are {there}.")
    return list(dict.fromkeys(found))


def assignments(settings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each `NAME=VALUE` of --set. *Raises*: InputError for another form."""
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set takes NAME=VALUE, not {setting!r}.")
        yield name, value
