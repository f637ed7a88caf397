"""Processes by what /proc says of them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from crash.warm import LEARNER


class Process(NamedTuple):
    """A process that has not ended."""

    pid: int
    name: str
    parent: int
    session: int


def running() -> list[Process]:
    """Return every process that has not ended."""
    found = (_read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def is_alive(pid: int) -> bool:
    """Say whether a process has not ended; one that nobody has waited for has."""
    return _read(pid) is not None


def of_session(session: int) -> list[Process]:
    """Return the processes that a server and its children are."""
    return [process for process in running() if process.session == session]


def learner_of(server: int) -> int | None:
    """Return the pid of a server's learner; None where it has none now."""
    return next(
        (one.pid for one in running() if one.parent == server and _is_learner(one)),
        None,
    )


def kill(pid: int) -> None:
    """Kill a process, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for_end(pid: int, *, within: float) -> bool:
    """Wait until a process has ended; say whether it has."""
    until = time.monotonic() + within
    while is_alive(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _is_learner(process: Process) -> bool:
    if process.name == LEARNER:
        return True
    try:
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"spawn_main" in command


def _read(pid: int) -> Process | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name = line[line.index("(") + 1 : line.rindex(")")]
    state, parent, _, session, *_ = line[line.rindex(")") + 2 :].split()
    return None if state in "ZX" else Process(pid, name, int(parent), int(session))
