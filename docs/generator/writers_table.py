"""The table of the writers who judge: in which half each is, and how each decides."""

from __future__ import annotations

import inspect

from corll.simulation import WRITER_HALVES, WRITERS
from sections import table


def writers() -> str:
    """Return the table of the writers, with the first sentence that their classes say."""
    half_of = {name: half for half, names in WRITER_HALVES.items() for name in names}
    rows = [
        [
            f"`{name}`",
            half_of[name],
            (inspect.getdoc(writer) or "").split("\n\n")[0].replace("\n", " "),
        ]
        for name, writer in WRITERS.items()
    ]
    return table(["writer", "half", "who"], rows)
