"""A disk and a clock that fall ill on demand, below a program that knows nothing of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

SOURCE = Path(__file__).with_name("faults.c")
Fault = Literal["full", "unsynced", "readonly", "clock"]


def why_not() -> str | None:
    """Return why the faults cannot be compiled here; None where they can."""
    return None if shutil.which("cc") else "faults of a disk and a clock need a C compiler (cc)"


def compiled(folder: Path) -> Path:
    """Compile the faults into a library for LD_PRELOAD; return where it lies."""
    library = folder / "faults.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Faults:
    """The switches of the faults that one folder falls ill with."""

    def __init__(self, library: Path, switches: Path, under: Path) -> None:
        self._switches = switches
        switches.mkdir()
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAULTS_FOLDER": str(switches),
            "FAULTS_UNDER": str(under),
        }

    @contextmanager
    def on(self, fault: Fault) -> Iterator[None]:
        """Let the folder be ill while the block lasts."""
        (self._switches / fault).touch()
        try:
            yield
        finally:
            (self._switches / fault).unlink()

    @contextmanager
    def clock_off_by(self, seconds: int) -> Iterator[None]:
        """Let the time of day jump, and jump back at the end of the block."""
        whole = self._switches / "clock.new"
        whole.write_text(str(seconds))
        whole.rename(self._switches / "clock")
        try:
            yield
        finally:
            (self._switches / "clock").unlink()
