"""Writes the sections of the documents that come from the code and from results.

`python docs/generator` fills each section between `<!-- begin NAME -->` and `<!-- end NAME -->`; a
test holds that the documents are as this leaves them.
"""

from __future__ import annotations

from contents import SECTIONS
from sections import ROOT, filled

if __name__ == "__main__":
    for name, sections in SECTIONS.items():
        path = ROOT / "docs" / name
        path.write_text(filled(path.read_text(encoding="utf-8"), sections), encoding="utf-8")
