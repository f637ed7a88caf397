"""What the server tells the learner: that a user asks for a step, and that it is to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from corll.errors import StoreError


class Inbox:
    """What the server said; ends the process when the server is gone.

    `keep` writes down that a step was asked for a user.
    """

    def __init__(self, channel: Connection, keep: Callable[[str], None]) -> None:
        self._channel, self._keep = channel, keep
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self.news = threading.Event()
        self.stopping = False
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def keep_asked(self) -> None:
        """Write down what was asked and is not written yet. *Raises*: StoreError."""
        with self._lock:
            asked, self._asked = self._asked, set()
        try:
            for user_id in asked:
                self._keep(user_id)
        except StoreError:
            with self._lock:
                self._asked |= asked
            raise

    def _listen(self) -> None:
        while True:
            try:
                kind, subject = self._channel.recv()
            except (EOFError, OSError):
                os._exit(0)  # The parent is gone; whatever is half done is not registered.
            if kind == "learn":
                with self._lock:
                    self._asked.add(subject)
                # The worker tries again what cannot be written now.
                with suppress(StoreError):
                    self.keep_asked()
            self.stopping = self.stopping or kind == "stop"
            self.news.set()
