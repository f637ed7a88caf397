"""A parent that has imported all libraries, of which commands of corll are forked in no time.

It reads an order a line from its standard input and answers with the pid of the process. What runs
in that process is `corll.cli.main`, and its learner is a child of it as ever. Only the imports,
which take five seconds for the server and as long for its learner, were made before.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import util
from pathlib import Path
from typing import Any

from corll.durable_points import VARIABLE

LIBRARIES = (
    "corll.service.server",
    "corll.service.learning.process",
    "corll.service.learning.worker",
    "corll.cli.serve",
    "corll.cli.backup",
    "corll.cli.restore",
    "corll.model.loading",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "peft",
    "safetensors.torch",
)
LEARNER = "corll-learner"
"""The name under which a learner stands in /proc/PID/comm."""

_LEARNERS = 3
"""How often a server may start a learner before it has to import for itself."""
_OUT_OF_THE_WAY = 500
_LONGEST_MESSAGE = 1 << 16


def main() -> None:
    """Fork what is asked for until nobody asks any more; then end what runs still of it."""
    for name in LIBRARIES:
        import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who was killed
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come to all at once; the end is below
    print(os.getpid(), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _run(order)
            finally:
                os._exit(70)
        print(pid, file=answers, flush=True)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    for child in children.split():
        with suppress(ProcessLookupError):
            os.killpg(int(child), signal.SIGKILL)


def _run(order: dict[str, Any]) -> None:
    """Run a command of corll in this process, which leads a session of its own."""
    os.setsid()
    for told in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(told, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, stands_for in ((0, nothing), (1, log), (2, log)):
        os.dup2(stands_for, number)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["arguments"][0] == "serve":
        util.spawnv_passfds = _Nursery(util.spawnv_passfds).spawn  # type: ignore[assignment]
    from corll.cli import main as corll

    code = corll(order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    with open(f"{order['log']}.code", "w", encoding="utf-8") as file:
        file.write(str(code))
    os._exit(code)


class _Nursery:
    """Children that wait to become the learner, in place of an interpreter that is started."""

    def __init__(self, spawn: Any) -> None:
        self._spawn = spawn
        self._waiting: list[tuple[int, socket.socket]] = []
        for _ in range(_LEARNERS):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                for _, other in self._waiting:
                    other.close()
                ours.close()
                if self._waiting:  # the first one dies where it is told; the next one is to go on
                    os.environ.pop(VARIABLE, None)
                _become_learner(theirs)
            theirs.close()
            self._waiting.append((pid, ours))

    def spawn(self, path: Any, arguments: Sequence[str | bytes], descriptors: Sequence[int]) -> int:
        """Have a child run what multiprocessing would start; other programs it starts as ever."""
        texts = [os.fsdecode(argument) for argument in arguments]
        if "--multiprocessing-fork" not in texts or not self._waiting:
            return int(self._spawn(path, arguments, descriptors))
        pid, channel = self._waiting.pop(0)
        message = {"arguments": texts, "descriptors": list(descriptors)}
        socket.send_fds(channel, [json.dumps(message).encode()], list(descriptors))
        channel.close()
        return pid


def _become_learner(channel: socket.socket) -> None:
    """Wait for what a server passes on, and run it; end with the server before that."""
    said, received, *_ = socket.recv_fds(channel, _LONGEST_MESSAGE, 64)
    if not said:
        os._exit(0)
    message = json.loads(said)
    channel.close()
    moved = [fcntl.fcntl(one, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for one in array.array("i", received)]
    for one in received:
        os.close(one)
    for one, number in zip(moved, message["descriptors"], strict=True):
        os.dup2(one, number)
        os.close(one)
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(LEARNER)
    os.nice = lambda _: 0  # at a lower priority than the rest it starves on a busy machine
    arguments = message["arguments"]
    code = arguments[arguments.index("-c") + 1]
    sys.argv = ["-c", *arguments[arguments.index("-c") + 2 :]]
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    os._exit(0)


if __name__ == "__main__":
    main()
