"""Names of version 0.1 can still be imported, with a warning that names the new place."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from corll.moved import MODULES, NAMES


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_an_old_module_is_the_new_one(old: str, new: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"^{old} is now {new};"):
        module = importlib.import_module(old)
    there = importlib.import_module(new)
    names = [name for name in vars(there) if not name.startswith("__")]
    assert names
    assert all(getattr(module, name) is getattr(there, name) for name in names)


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [(module, name, home) for module, names in NAMES.items() for name, home in names.items()],
)
def test_an_old_name_is_the_new_one(module: str, name: str, home: str) -> None:
    package = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"^{module}.{name} is now {home}.{name};"):
        found = getattr(package, name)
    assert found is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("module", NAMES)
def test_a_name_that_never_was_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = importlib.import_module(module).Nothing


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("corll.nothing")


def test_old_code_runs_as_it_stands() -> None:
    """As scripts of version 0.1 import: by module, by name, and by star."""
    code = (
        "from corll.models import load_model\n"
        "from corll.service.client import Corll\n"
        "from corll.service.drafting import *\n"
        "from corll.service.engine import Engine\n"
        "print(DraftRequest.__module__, Engine.__module__, Corll.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [
        "corll.service.drafting.requests",
        "corll.service.drafting.engine",
        "corll_client.client",
    ], done.stderr


def test_the_warning_points_at_who_imports() -> None:
    code = "from corll.service.drafting import Delta"
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DeprecationWarning: corll.service.drafting.Delta is now" in done.stderr
