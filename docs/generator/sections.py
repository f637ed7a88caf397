"""Sections of the documents that are written by a program, and the tables in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """Return a document with its sections written anew. *Raises*: ValueError where one lacks."""
    for name, write in sections.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"There is no section {name!r}: put {begin} and {end} where it goes.")
        section = f"{begin}\n\n{write()}\n\n{end}"
        text = pattern.sub(section.replace("\\", r"\\"), text)
    return text
