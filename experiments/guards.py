"""Counts the texts that the guard of drafts would call a loop, or a disclaimer.

    python experiments/guards.py TOKENIZER FILE…

Of JSON lines (.jsonl.gz) the first 600 are read, and of each the texts of 200 characters or more;
of other files, pieces of 3,000 characters.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from corll.guards import first_loop, is_disclaimer

_ROWS, _SHORTEST, _PIECE = 600, 200, 3000


def main(tokenizer_folder: str, *files: str) -> None:
    """Print, for each file, how many texts it has and how many the guard would stop."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for name in files:
        texts = list(_texts(Path(name)))
        loops = [at for text in texts if (at := _stops(tokenizer, text)) is not None]
        disclaimers = sum(map(is_disclaimer, texts))
        print(f"{name}: {len(texts)} texts, {len(loops)} loops, {disclaimers} disclaimers")
        for found in loops[:3]:
            print(f"    {found!r}")


def _stops(tokenizer: Any, text: str) -> str | None:
    """Return the last words before the guard would stop a text; None where it would not."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = first_loop(ids, tokenizer.decode)
    return None if end is None else str(tokenizer.decode(ids[max(0, end - 20) : end]))


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in islice(lines, _ROWS):
                values = json.loads(line).values()
                yield from (v for v in values if isinstance(v, str) and len(v) >= _SHORTEST)
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    yield from (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


if __name__ == "__main__":
    main(*sys.argv[1:])
