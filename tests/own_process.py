"""Code that runs in a process of its own, with variables that its threads or libraries look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection


def said(code: str, *, without: Collection[str], **variables: str) -> str:
    """What a process prints that has of the variables `without` those alone that are given."""
    others = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**others, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
