"""Which adapter each row of a pass has, where the base is computed once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple


class RowGroup(NamedTuple):
    """Rows next to each other with the same adapter; None is the base without one."""

    adapter: str | None
    rows: slice


class RowAdapters:
    """Which adapter each row of a batch has.

    Rows of an adapter are computed together where they are next to each other. `sizes` are how many
    parts of the batch each row has, by default one. *Shapes*: `adapters`, `sizes` B.
    """

    def __init__(self, adapters: Sequence[str | None], sizes: Sequence[int] | None = None) -> None:
        parts = zip(adapters, sizes or [1] * len(adapters), strict=True)
        grouped = groupby(parts, key=lambda part: part[0])
        self._counts = [(adapter, sum(size for _, size in own)) for adapter, own in grouped]
        self._total = sum(count for _, count in self._counts)

    def groups(self, tokens: int) -> Iterator[RowGroup]:
        """Yield the groups of a batch of so many tokens, of which each part has as many."""
        each, rest = divmod(tokens, self._total)
        assert not rest
        start = 0
        for adapter, count in self._counts:
            stop = start + count * each
            yield RowGroup(adapter, slice(start, stop))
            start = stop
