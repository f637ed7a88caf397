"""A program in place of a process in another mode: it answers with the two lines after its task."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    sys.stdin.readline()
    print(json.dumps([sys.stdin.readline() for _ in range(2)]))
