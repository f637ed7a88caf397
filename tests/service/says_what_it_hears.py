"""A program in place of a process in another mode, which answers with the two lines after its task.

What it does when it is told to wait is up to it: this one shows what it is told.
"""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    sys.stdin.readline()
    print(json.dumps([sys.stdin.readline() for _ in range(2)]))
