"""Which tokens of a sent text its user wrote, and which ones stood in the draft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from corll.edits import shared_runs


class Origins(NamedTuple):
    """Which tokens of a sent text are its user's and which the draft's. *Shapes*: T each.

    What ends a text is neither: it stands where the text does, whoever wrote that.
    """

    inserted: tuple[bool, ...]
    kept: tuple[bool, ...]


def origins(draft: Sequence[int], sent: Sequence[int], ends: Sequence[int]) -> Origins:
    """Return who wrote each token of a sent text, given its draft's ids and those that end a text.

    A sent text that keeps its draft's ids wherever it keeps its text (`TokenCodec.encode_edit`)
    makes this exact.
    """
    shared = {
        place
        for run in shared_runs(draft, sent)
        for place in range(run.in_edit, run.in_edit + run.length)
    }
    is_text = [token not in ends for token in sent]
    return Origins(
        tuple(text and n not in shared for n, text in enumerate(is_text)),
        tuple(text and n in shared for n, text in enumerate(is_text)),
    )
