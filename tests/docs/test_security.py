"""docs/security.md names a test for each promise, and commands and routes that there are."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from corll.cli import COMMANDS
from documents import ROOT, code, prose
from settings_tables import SETTINGS, flags

SECURITY = ROOT / "docs" / "security.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


def promises() -> list[str]:
    """The rows of the tables under “Promises”, without their headings."""
    text = prose(SECURITY).partition("\n## Promises\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not re.match(r"\| promise \||\|[-|]+$", row)]


@cache
def names_in(path: Path) -> frozenset[str]:
    """The tests of a file, as pytest names them, but for those that are switched off."""
    found: set[str] = set()

    def visit(tree: ast.Module | ast.ClassDef, prefix: str) -> None:
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                visit(node, f"{prefix}::{node.name}")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = {ast.unparse(one) for one in node.decorator_list}
                if not any(re.match(r"pytest\.mark\.(skip|xfail)\b", mark) for mark in marks):
                    found.add(f"{prefix}::{node.name}")

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return frozenset(found)


def problem_of(row: str) -> str | None:
    """What is wrong with a promise's row; None where nothing is."""
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    if len(cells) != 2 or not cells[0].endswith("."):
        return "it is no promise beside the tests that hold it"
    named = _TEST.findall(cells[1])
    if not named or _TEST.sub("", cells[1]).strip(" ,"):
        return "a promise names the tests that hold it, as `tests/…/test_x.py::test_y`"
    for file, name in named:
        path = ROOT / file
        if not path.is_file() or name not in names_in(path):
            return f"there is no test {file}{name}"
    return None


@pytest.mark.parametrize("row", promises(), ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_promise_is_held_by_tests_that_there_are(row: str) -> None:
    assert problem_of(row) is None


def test_there_are_promises_under_each_heading() -> None:
    text = prose(SECURITY).partition("\n## Promises\n")[2].partition("\n## ")[0]
    for section in text.split("\n### ")[1:]:
        assert "\n| promise | held by |\n|---|---|\n| " in section, section.partition("\n")[0]
    assert len(promises()) > 50


@pytest.mark.parametrize(
    "row",
    [
        "| Nobody reads it. | |",
        "| Nobody reads it. | some test |",
        "| Nobody reads it. | `tests/docs/test_security.py` |",
        "| Nobody reads it. | `tests/docs/test_no_such_file.py::test_it` |",
        "| Nobody reads it. | `tests/docs/test_security.py::test_no_such_test` |",
        "| Nobody reads it. | `tests/docs/test_security.py::promises` |",
        "| Nobody reads it | `tests/docs/test_links.py::test_the_readme_is_short` |",
    ],
)
def test_a_promise_that_nothing_holds_is_noticed(row: str) -> None:
    assert problem_of(row) is not None
    held = "| Nobody reads it. | `tests/docs/test_links.py::test_the_readme_is_short` |"
    assert problem_of(held) is None


def test_its_commands_and_routes_are_there() -> None:
    shell = "\n".join(code(SECURITY, "sh"))
    commands = re.findall(r"^corll ([a-z-]+)(.*?)(?:#.*)?$", shell, re.MULTILINE)
    assert commands
    for name, rest in commands:
        assert name in COMMANDS
        shown = set(re.findall(r"`(--[a-z-]+)`", flags(SETTINGS[name])))
        assert set(re.findall(r"--[a-z-]+", rest)) <= shown
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    asked = re.findall(r"curl(?: -X (\w+))?.*?\$API(/[^\s\"?]+)", shell)
    assert len(asked) > 6
    for method, path in asked:
        general = re.sub(r"/users/anna", "/users/{user_id}", path)
        general = re.sub(r"/edits/edit_…", "/edits/{edit_id}", general)
        assert (method or "GET").lower() in paths[f"/v1{general}"], path
