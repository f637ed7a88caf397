"""The tree in docs/architecture.md is the tree on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from documents import ROOT, code

SOURCE = ROOT / "src" / "corll"
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def drawn() -> Iterator[tuple[str, str]]:
    """Yield each file of the tree with its phrase; a folder's line stands for its `__init__.py`."""
    (tree,) = [block for block in code(ARCHITECTURE, "text") if block.startswith("src/corll/")]
    folders: list[str] = []
    for line in tree.splitlines()[1:]:
        entry = re.fullmatch(r"( *)(\S+)(?: +(\S.*))?", line)
        assert entry, f"not a line of the tree: {line!r}"
        indent, name, phrase = entry.groups()
        del folders[len(indent) // 2 - 1 :]
        if name.endswith("/"):
            folders.append(name)
            name = "__init__.py"
        yield "".join([*folders, name]), phrase or ""


def on_disk() -> set[str]:
    """Return the modules of the package, Python and C, but for its own `__init__.py`."""
    files = [path for path in SOURCE.rglob("*") if path.suffix in {".py", ".c"}]
    return {path.relative_to(SOURCE).as_posix() for path in files} - {"__init__.py"}


def test_the_tree_holds_every_module_and_nothing_else() -> None:
    names = [name for name, _ in drawn()]
    missing, gone = sorted(on_disk() - set(names)), sorted(set(names) - on_disk())
    assert not missing, f"not in the tree of docs/architecture.md: {', '.join(missing)}"
    assert not gone, f"in the tree of docs/architecture.md, but not on disk: {', '.join(gone)}"
    assert len(names) == len(set(names))


def test_each_module_of_the_tree_has_a_phrase() -> None:
    assert [name for name, phrase in drawn() if not phrase] == []
