"""The trees in docs/architecture.md are the trees on disk."""

from __future__ import annotations

import pytest

from documents import ROOT
from module_tree import CLIENT, CORLL, drawn, on_disk

DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

each_package = pytest.mark.parametrize("package", [CORLL, CLIENT])


@each_package
def test_the_tree_holds_every_module_and_nothing_else(package: str) -> None:
    tree, disk = drawn(DOCUMENT, package).keys(), on_disk(package)
    missing, gone = sorted(disk - tree), sorted(tree - disk)
    assert disk
    assert not missing, f"not in the tree: {', '.join(missing)}; run `python docs/generator`"
    assert not gone, f"in the tree, but not on disk: {', '.join(gone)}"


@each_package
def test_each_module_of_the_tree_has_a_phrase(package: str) -> None:
    assert [name for name, phrase in drawn(DOCUMENT, package).items() if not phrase] == []
