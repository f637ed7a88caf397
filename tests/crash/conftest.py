"""A warm parent of servers, and a data folder of a service that users have taught already."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash import faults
from crash.faults import Faults
from crash.ledger import Ledger
from crash.play import Template, make_template
from crash.service import Service, WarmParent, warm_parent


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The library of faults; None where it cannot be compiled."""
    if faults.why_not() is not None:
        return None
    return faults.compiled(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def parent(library: Path | None) -> Iterator[WarmParent]:
    """The parent of all servers; they fall ill only where they are told of switches."""
    with warm_parent({} if library is None else {"LD_PRELOAD": str(library)}) as made:
        yield made


@pytest.fixture(scope="session")
def template(
    parent: WarmParent, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Template:
    """What each case begins with."""
    return make_template(parent, tiny_model_folder, tmp_path_factory.mktemp("crash") / "template")


@pytest.fixture
def ledger(template: Template) -> Ledger:
    """What the users of the template were told."""
    return copy.deepcopy(template.ledger)


@pytest.fixture
def ill(library: Path | None, tmp_path: Path) -> Faults:
    """The faults of the test's service."""
    if library is None:
        pytest.skip(str(faults.why_not()))
    return Faults(library, tmp_path / "switches", tmp_path / "data")


@pytest.fixture
def service(
    parent: WarmParent, tiny_model_folder: Path, template: Template, tmp_path: Path, ill: Faults
) -> Iterator[Service]:
    """A service on a copy of the template, which may fall ill; it is not started yet."""
    shutil.copytree(template.folder, tmp_path / "data")
    made = Service(parent, tiny_model_folder, tmp_path / "data", ill.variables)
    yield made
    made.close()
