"""The annotated trees of the packages: what is on disk, with the phrases that the document has.

A module that the document lacks comes with the first line of its docstring; who adds it may write a
shorter phrase and move the line within its folder.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten

from sections import ROOT

CORLL = "src/corll"
CLIENT = "clients/python/src/corll_client"
DOCUMENT = ROOT / "docs" / "architecture.md"
_COLUMN = 26
_WIDEST = 110


def drawn(document: str, package: str = CORLL) -> dict[str, str]:
    """Return the phrase of each file and folder of a drawn tree, in order, by its path."""
    head = re.escape(f"```text\n{package}/\n")
    found = re.search(rf"^{head}(.*?)^```", document, re.DOTALL | re.MULTILINE)
    phrases: dict[str, str] = {}
    folders: list[str] = []
    for line in found[1].splitlines() if found else ():
        entry = re.fullmatch(r"( *)(\S+)(?: +(\S.*))?", line)
        if entry is None:
            raise ValueError(f"not a line of the tree: {line!r}")
        indent, name, phrase = entry.groups()
        del folders[len(indent) // 2 - 1 :]
        phrases["".join([*folders, name])] = phrase or ""
        if name.endswith("/"):
            folders.append(name)
    return phrases


def on_disk(package: str = CORLL) -> set[str]:
    """Return the modules of a package, Python and C; a folder stands for its `__init__.py`."""
    source = ROOT / package
    files = [path for path in source.rglob("*") if path.suffix in {".py", ".c", ".h"}]
    paths = {path.relative_to(source).as_posix() for path in files} - {"__init__.py"}
    return {path.removesuffix("__init__.py") for path in paths}


def tree(package: str = CORLL) -> str:
    """Return the tree of what is on disk, in the order and with the phrases of the document."""
    phrases = drawn(DOCUMENT.read_text(encoding="utf-8"), package)
    lines = _lines(ROOT / package, "", on_disk(package), phrases)
    return "\n".join(["```text", f"{package}/", *lines, "```"])


def _lines(source: Path, folder: str, paths: set[str], phrases: Mapping[str, str]) -> Iterator[str]:
    order = list(phrases)
    depth = folder.count("/") + 1
    inside = {path for path in paths if re.fullmatch(re.escape(folder) + r"[^/]+/?", path)}

    def place(path: str) -> tuple[bool, float, str]:
        known = order.index(path) if path in phrases else float("inf")
        return path.endswith("/"), known, path

    for path in sorted(inside, key=place):
        name = "  " * depth + path.removeprefix(folder)
        yield f"{name:<{_COLUMN - 1}} {phrases.get(path) or _first_line(source / path)}"
        if path.endswith("/"):
            yield from _lines(source, path, paths, phrases)


def _first_line(path: Path) -> str:
    """Return what a module says of itself, cut to the width of the tree."""
    file = path / "__init__.py" if path.is_dir() else path
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        about = ast.get_docstring(ast.parse(text)) or ""
    else:
        about = text.removeprefix("/* ")
    return shorten(about.partition("\n")[0].rstrip("."), _WIDEST - _COLUMN, placeholder=" …")
