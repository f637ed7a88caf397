"""The cases of a crash test: kills at each durable point, and kills at random moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from corll.durable_points import POINTS, DurablePoint

_PASSINGS = {
    "draft committed": 6,
    "edit written": 6,
    "edit committed": 6,
    "batch claimed": 3,
    "step done": 3,
    "folder written": 3,
    "folder synced": 3,
    "folder renamed": 3,
    "file uploaded": 9,
    "upload read back": 3,
    "manifest uploaded": 3,
    "version examined": 3,
    "version written": 3,
    "alias written": 3,
    "version committed": 3,
    "deletion written": 2,
    "deletion begun": 2,
    "deleted folders removed": 2,
    "deleted bytes purged": 2,
}
"""How often what the users do passes a point at least, where that is more than once."""

_OF_DATA_FOLDERS: tuple[DurablePoint, ...] = ("folder written", "folder synced", "folder renamed")
OF_STORES: tuple[DurablePoint, ...] = ("file uploaded", "upload read back", "manifest uploaded")
"""Points that only a service with a version store passes, of an upload."""

_COLD = 10
"""Each so many random kills, the server is started in a process that imports for itself."""


class Case(NamedTuple):
    """A kill: at the so many-th `passing` of a point, or at a random moment.

    The `number` decides what is left to chance. `cold`: see `Service.start`.
    """

    kind: Literal["named", "random"]
    point: str
    number: int
    passing: int = 1
    cold: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """What a case is known by."""
        return self.kind, self.point, self.number

    @property
    def die_at(self) -> str | None:
        """What the environment says of it."""
        return f"{self.point}:{self.passing}" if self.kind == "named" else None

    @property
    def is_of_command(self) -> bool:
        """Whether a command dies, not the service."""
        return self.point.startswith(("backup", "restore"))


def points_of(*, has_store: bool) -> list[DurablePoint]:
    """Return the points that a service passes, by where its versions lie."""
    never = _OF_DATA_FOLDERS if has_store else OF_STORES
    return [point for point in POINTS if point not in never]


def named_cases(kills: int, points: Iterable[DurablePoint]) -> Iterator[Case]:
    """Yield so many kills at each point, a kill at each before the next."""
    named = list(points)
    for number in range(kills):
        for point in named:
            yield Case("named", point, number, 1 + number % _PASSINGS.get(point, 1))


def random_cases(kills: int) -> Iterator[Case]:
    """Yield so many kills at random moments."""
    for number in range(kills):
        yield Case("random", "", number, cold=number % _COLD == _COLD - 1)
