"""Work that is due a moment after it was last asked for, so that a flood of requests asks once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from corll.errors import CorllError

log = logging.getLogger(__name__)


class Soon:
    """Calls `do` with each name in a thread of its own, `after_s` seconds after it was last asked.

    What `do` raises is logged.
    """

    def __init__(self, do: Callable[[str], object], *, after_s: float, thread: str) -> None:
        self._do, self._after_s = do, after_s
        self._due: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=thread, daemon=True)
        self._thread.start()

    def ask(self, name: str) -> None:
        """Ask for it for a name: it is done once nobody has asked for that name for a moment."""
        with self._changed:
            self._due.pop(name, None)  # The names stand in the order in which they are due.
            self._due[name] = time.monotonic() + self._after_s
            self._changed.notify()

    def stop(self) -> None:
        """Do at once what was asked for, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (name := self._next()) is not None:
            try:
                self._do(name)
            except CorllError as error:
                log.debug("not done for %s: %s", name, error)
            except Exception:
                log.exception("not done for %s", name)

    def _next(self) -> str | None:
        """Wait for a name that is due; None at the end."""
        with self._changed:
            while self._due or not self._closing:
                if not self._due:
                    self._changed.wait()
                    continue
                name, due = next(iter(self._due.items()))
                left = due - time.monotonic()
                if self._closing or left <= 0:
                    del self._due[name]
                    return name
                self._changed.wait(left)
            return None
