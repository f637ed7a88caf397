"""What a run of crash tests came to, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Line = Mapping[str, Any]


def summary(lines: Sequence[Line]) -> str:
    """Return how many kills there were, what did not hold, and how long it took to recover."""
    return "\n".join(_lines(lines))


def _lines(lines: Sequence[Line]) -> Iterator[str]:
    for kind in ("named", "random"):
        of_kind = [line for line in lines if line["kind"] == kind]
        died = Counter(line["died"] for line in of_kind)
        told = ", ".join(f"{count} {name}" for name, count in sorted(died.items()))
        yield f"{kind}: {len(of_kind)} cases; died: {told or 'none'}"
    for name, is_cold in (("warm", False), ("cold", True)):
        of_start = [line for line in lines if line["cold"] is is_cold]
        found = [line["recovered_s"] for line in of_start if line["recovered_s"] is not None]
        if found:
            middle, late = np.percentile(found, [50, 95])
            yield (
                f"recovery of the server, {name}: median {middle:.2f} s, "
                f"95 % within {late:.2f} s ({len(found)} cases)"
            )
    broken = [line for line in lines if line["violations"]]
    yield f"cases in which something did not hold: {len(broken)}"
    for line in broken:
        yield f"  {line['kind']} {line['point']} {line['number']}: {'; '.join(line['violations'])}"
