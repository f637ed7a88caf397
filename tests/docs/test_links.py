"""Links, images and anchors of the documents lead somewhere; the README stays short."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from documents import DOCUMENTS, README, ROOT, name_of, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
LONGEST_README = 900

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def links(document: Path) -> list[str]:
    """Return the targets of links and images that stay within the repository."""
    found = _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(document)))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    seen: dict[str, int] = {}
    made = set()
    for heading in _HEADING.findall(prose(document)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = seen.setdefault(anchor, 0)
        seen[anchor] += 1
        made.add(f"{anchor}-{count}" if count else anchor)
    return made


@each_document
def test_each_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for target in links(document):
        path, _, anchor = unquote(target).partition("#")
        file = (document.parent / path).resolve() if path else document
        inside = file.is_relative_to(ROOT)
        if not (inside and file.exists()):
            broken.append(f"{target}: no such file in the repository")
        elif anchor and anchor not in anchors(file):
            broken.append(f"{target}: {file.name} has no such heading")
    assert broken == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, left = {README}, [README]
    while left:
        document = left.pop()
        targets = [(document.parent / link.partition("#")[0]).resolve() for link in links(document)]
        found = {file for file in targets if file.suffix == ".md"} - reached
        reached |= found
        left += found
    assert [name_of(document) for document in DOCUMENTS if document not in reached] == []


def test_the_readme_is_short() -> None:
    """Every word counts, as `wc -w` counts: code, tables and the targets of links too."""
    assert len(README.read_text(encoding="utf-8").split()) <= LONGEST_README
