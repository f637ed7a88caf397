"""`corll serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corll.service.store.accounts import DEFAULT_USER
from patience import PATIENCE_S
from running_service import COACTIVE


@contextmanager
def corll_serve(
    model: Path, data_dir: Path, log: Path, **more: object
) -> Iterator[subprocess.Popen[str]]:
    """`corll serve` with its words in a pipe, as a container or systemd has them.

    `more` are further settings.
    """
    given = {**COACTIVE, "model": model, "data_dir": data_dir, "port": 0, "learn": False}
    given |= {"default_user": DEFAULT_USER, **more}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CORLL_")},
        **{f"CORLL_{name.upper()}": str(value) for name, value in given.items()},
    }
    environment.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def heard(process: subprocess.Popen[str], pattern: str) -> str:
    """What is found in the next line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(pattern, line)
    assert found is not None, line
    return found[1]
