"""The process that does a task in another mode: `python -m corll.service.learning.in_another_mode`.

It reads the task from its standard input, which stays open and says when drafts are drawn. Where
that ends, so did whoever started it, and it ends too. What the task came to goes to its standard
output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TextIO

from corll.service.base_model import load_base, open_database
from corll.service.learning.kernel_modes import own_mode
from corll.service.learning.other_modes import NOT_HERE, WAIT, Task
from corll.service.learning.pacing import Pacer
from corll.service.learning.recomputing import verify_weights
from corll.service.learning.replaying import take_steps
from corll.service.learning.trainer import Trainer
from corll.service.logs import set_up_logging
from corll.service.store import leases
from corll.service.store.database import PRIVATE_UMASK

log = logging.getLogger(__name__)


def main() -> None:
    """Do the task that comes in a line, and end with this process's parent."""
    task = Task.of_json(sys.stdin.readline())
    parent = Parent()
    threading.Thread(
        target=parent.listen, args=(sys.stdin, os._exit), name="parent", daemon=True
    ).start()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What libraries print is no answer.
    code = NOT_HERE if own_mode() != task.mode else _answered(task, parent, answer)
    answer.flush()
    # This closes the answer: whoever waits for its end closes the input, which a thread heeds.
    os._exit(code)


class Parent:
    """What whoever started this process says: that drafts are drawn, and that it is gone."""

    value = 0
    """Whether drafts are drawn."""
    stopping = False

    def listen(self, said: Iterable[str], end: Callable[[int], object]) -> None:
        """Listen line by line until the end; what is half done by then is not registered."""
        for line in said:
            self.value = int(line == WAIT)
        end(1)


def _answered(task: Task, parent: Parent, answer: TextIO) -> int:
    """Do a task, and write what it came to; return an exit code."""
    os.umask(PRIVATE_UMASK)
    set_up_logging(task.settings)
    try:
        answer.write(json.dumps(_done(task, parent)))
    except Exception:
        # What a process prints of itself at its end would quote the message.
        log.exception("steps in another mode were not taken")
        return 1
    return 0


def _done(task: Task, parent: Parent) -> Any:
    """Do a task, with the model and the database of its settings."""
    with ExitStack() as stack:
        database = open_database(task.settings)
        stack.callback(database.close)
        give_way = Pacer(parent, parent).give_way
        trainer = Trainer(load_base(task.settings), database, task.settings, give_way=give_way)
        if task.receipt is not None:
            return verify_weights(trainer, task.receipt)._asdict()
        if (lease := task.lease) is not None:
            stack.enter_context(database.checking(lambda db: leases.check(db, lease)))
        assert task.user_id is not None
        return take_steps(trainer, task.user_id)


if __name__ == "__main__":
    main()
