"""The newest figures as one table in Markdown: `python benchmarks/table.py [FILE]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from measuring import RESULTS, number, ratio

HEADER = [
    "case",
    "corll",
    "peer",
    "ratio (range)",
    "pages kept",
    "floor",
    "of it",
    "memory",
    "target",
]


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """A row a case; points of curves have a figure instead."""
    return [
        [
            line["case"],
            _time(line["ours"], line["unit"]),
            f"{line['peer_name']}: {_time(line['peer'], line['unit'])}" if "peer" in line else "",
            ratio(line) if "peer" in line else "",
            f"{number(line['ratio_pages_kept'])}×" if "ratio_pages_kept" in line else "",
            _time(line["floor"], line["unit"]) if "floor" in line else "",
            f"{line['floor_share']:.0%}" if "floor_share" in line else "",
            f"{line['peak_memory_ratio']:.2f}×" if "peak_memory_ratio" in line else "",
            line["target"],
        ]
        for line in lines
        if "curve" not in line
    ]


def _time(value: float, unit: str) -> str:
    return f"{number(value)} {unit}"


def markdown(table: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "latest.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    print(markdown([HEADER, ["---"] * len(HEADER), *rows(lines)]))
