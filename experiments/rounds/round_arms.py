"""The arms of the rounds, and the users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from check_arms import Check
from check_lines import CellKey
from cipher import LONGEST_RULE, NEAREST
from corll.cli.arguments import named
from corll.memory.choosing import MemoryChoice
from corll.simulation.writers import COMPOSED_WRITERS


class RoundArm(NamedTuple):
    """An arm: what it is, the arm of the check that plays it, and how its letters are chosen."""

    about: str
    played_as: str
    memory: MemoryChoice | None = None

    def check_of(self, check: Check) -> Check:
        """Return the settings by which the arm is played."""
        return (
            check if self.memory is None else replace(check, memory=check.memory_like(self.memory))
        )


ARMS = {
    "base": RoundArm("π_0 alone", "base"),
    "last": RoundArm("π_0 behind the letters that were sent last", "memory", "last"),
    "nearest": RoundArm("π_0 behind the letters that match the request best", "memory", "nearest"),
    "weights": RoundArm("the learned version, without a memory", "weights"),
    "both": RoundArm("the learned version behind past letters, without coin and guards", "both"),
    "auto": RoundArm("what the service serves by default: its coin, guards, letters", "auto"),
    "auto-nearest": RoundArm(
        "what the service serves with --memory nearest: its coin, guards, letters",
        "auto",
        "nearest",
    ),
    "cipher": RoundArm("π_0 told in words what it inferred from each edit itself", "base"),
}
"""The arms by name."""

DEFAULT_ARMS = ("base", "last", "nearest", "weights", "auto", "cipher")
"""The arms that are played unless others are named."""


def named_arms(names: str) -> list[str]:
    """Return arms that are named, parted by commas. *Raises*: InputError for one that is none."""
    return named(names, ARMS, "arm")


def named_users(names: str) -> list[str]:
    """Return users that are named, or all. *Raises*: InputError for a name that is none."""
    if names == "all":
        return list(COMPOSED_WRITERS)
    return named(names, COMPOSED_WRITERS, "user", also=("all",))


def rounds_check(rounds: int, label: str, **others: Any) -> Check:
    """Return the settings of so many rounds: as served, over all requests, none held out."""
    return Check.as_served(
        edits=rounds, held_out=0, label=label, splits=("train", "held_out"), **others
    )


def about_cell(key: CellKey, check: Check) -> dict[str, Any]:
    """Return all settings that a cell's lines depend on, as plain data."""
    arm = ARMS[key.arm]
    about = arm.check_of(check).about(arm.played_as)
    if key.arm == "cipher":
        about |= {"nearest_rules": NEAREST, "longest_rule": LONGEST_RULE}
    return about
