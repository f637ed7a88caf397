"""The learner's process: it ends with its server from its first moment, while it imports too.

Little is imported here, since all of it is imported before the server can be watched.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corll.service.learning.pacing import Flag


def run_learner(channel: Connection, drafting: Flag, holder: str) -> None:
    """Run the learner of the process that started this one, and end where that is gone.

    The settings come first through the channel: their import takes a second.
    """
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    # This takes seconds, on a busy machine a minute.
    from corll.service.learning.process import learn_in_background

    learn_in_background(channel.recv(), channel, drafting, holder)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(0)  # Whatever is half done is not registered.
