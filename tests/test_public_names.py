"""What `import corll` offers is what it says it offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import corll


@pytest.mark.parametrize("name", corll.__all__)
def test_each_public_name_can_be_imported(name: str) -> None:
    value = getattr(corll, name)
    assert name == "__version__" or value.__name__ == name


def test_each_public_name_can_be_imported_first() -> None:
    """In a fresh process, from the last to the first: none hangs on another's being loaded."""
    wanted = ", ".join(reversed(corll.__all__))
    done = subprocess.run(
        [sys.executable, "-c", f"from corll import {wanted}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_list_holds_all_that_the_root_imports_and_nothing_else() -> None:
    tree = ast.parse(Path(corll.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("corll.")
        for alias in node.names
    }
    assert imported - {"find_moved_modules"} == set(corll.__all__)


def test_the_list_is_sorted_and_what_dir_shows() -> None:
    assert list(corll.__all__) == sorted(corll.__all__)
    assert sorted(dir(corll)) == sorted(corll.__all__)


def test_star_import_gives_exactly_the_list() -> None:
    names: dict[str, object] = {}
    exec("from corll import *", names)
    assert names.keys() - {"__builtins__"} == set(corll.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'corll' has no attribute 'Polcy'"):
        _ = corll.Polcy
