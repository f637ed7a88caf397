"""How much memory this machine, or this container, has free."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Return the bytes that a process can take without anything being swapped out.

    A container's limit counts where there is one (cgroups, version 2).
    """
    available: int = psutil.virtual_memory().available
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
        counts = dict(line.split() for line in lines)
    except (OSError, ValueError):
        return available  # no container, or one without a limit
    # Pages of files that were read can be given back.
    return min(available, limit - used + int(counts.get("inactive_file", 0)))
