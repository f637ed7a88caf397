"""Which room of the service may know which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import corll.service

SERVICE = Path(corll.service.__file__).parent


def imported(room: str) -> dict[str, set[str]]:
    """What each file of a room imports of the service, wherever in it."""
    found: dict[str, set[str]] = {}
    for path in (SERVICE / room).rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        own = {name for name in names if name.startswith("corll.service.")}
        found[str(path.relative_to(SERVICE))] = {n.removeprefix("corll.service.") for n in own}
    return found


@pytest.mark.parametrize(("room", "other"), [("drafting", "learning"), ("learning", "drafting")])
def test_drafting_and_learning_do_not_know_each_other(room: str, other: str) -> None:
    for path, names in imported(room).items():
        assert not [name for name in names if name.split(".")[0] == other], path


def test_the_store_knows_no_other_room() -> None:
    for path, names in imported("store").items():
        assert {name.split(".")[0] for name in names} <= {"store"}, path


def test_the_api_takes_from_drafting_what_is_asked_and_who_serves() -> None:
    for path, names in imported("api").items():
        drafting = {name.split(".")[1] for name in names if name.startswith("drafting.")}
        assert drafting <= {"requests", "serving"}, path
