"""The tree in docs/architecture.md is the tree on disk."""

from __future__ import annotations

from documents import ROOT
from module_tree import drawn, on_disk

TREE = drawn((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


def test_the_tree_holds_every_module_and_nothing_else() -> None:
    missing, gone = sorted(on_disk() - TREE.keys()), sorted(TREE.keys() - on_disk())
    assert not missing, f"not in the tree: {', '.join(missing)}; run `python docs/generator`"
    assert not gone, f"in the tree, but not on disk: {', '.join(gone)}"


def test_each_module_of_the_tree_has_a_phrase() -> None:
    assert [name for name, phrase in TREE.items() if not phrase] == []
