"""Which clients are tried, with what, and what was found last."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


@dataclass(frozen=True)
class Client:
    """A client, the packages that it takes, and how its edit finds its draft."""

    name: str
    title: str
    packages: tuple[str, ...]
    way: str
    by: str
    suite: str | None = None
    lightest: bool = False

    @property
    def recipe(self) -> Path:
        """The program that drafts and sends an edit."""
        (found,) = (HERE / "recipes").glob(f"{self.name}.*")
        return found

    @property
    def is_javascript(self) -> bool:
        return self.recipe.suffix == ".mjs"


@dataclass(frozen=True)
class Outcome:
    """What a run of a client brought."""

    versions: dict[str, str]
    drafted: bool = False
    edited: bool = False
    learned: bool = False
    suite: str | None = None
    problem: str | None = None
    corll: str = ""
    day: str = ""

    @property
    def works(self) -> bool:
        suite = self.suite is None or ("passed" in self.suite and "failed" not in self.suite)
        return self.learned and self.problem is None and suite


def clients() -> list[Client]:
    """Return all clients, in the order of the table."""
    listed = tomllib.loads((HERE / "clients.toml").read_text(encoding="utf-8"))["client"]
    return [Client(**{**one, "packages": tuple(one["packages"])}) for one in listed]


def results() -> dict[str, Outcome]:
    """Return what was found last, by the clients' names; of those that were never run nothing."""
    if not RESULTS.exists():
        return {}
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {name: Outcome(**outcome) for name, outcome in found.items()}


def keep(name: str, outcome: Outcome) -> None:
    """Put what was found in the place of what was found before."""
    found = {**results(), name: outcome}
    ordered = {one.name: asdict(found[one.name]) for one in clients() if one.name in found}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
