"""The documents of the repository, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCUMENTS = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "LOG.md",
    ROOT / "experiments" / "LOG.md",
]
"""Everything that readers are sent to."""

_FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name_of(document: Path) -> str:
    """Return a document's path in the repository."""
    return document.relative_to(ROOT).as_posix()


def code(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    blocks = _FENCED.findall(document.read_text(encoding="utf-8"))
    return [text for found, text in blocks if found == language]


def prose(document: Path) -> str:
    """Return a document's text without its fenced blocks."""
    return _FENCED.sub("", document.read_text(encoding="utf-8"))
