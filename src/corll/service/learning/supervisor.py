"""Keeps the learner running beside the server: starts it, hears it, starts it again if it dies."""

from __future__ import annotations

import logging
import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from corll.schemas.events import Event
from corll.schemas.states import LearnerState
from corll.service.learning.child import run_learner
from corll.service.settings import ServiceSettings

log = logging.getLogger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0
_HEALTHY_AFTER_S = 60.0
_QUIET_S, _LONGEST_WAIT_S = 0.5, 60.0
"""How long nothing is drafted before the learner starts, which takes a processor for seconds; and
how long it waits for that at most."""
_STOP_WITHIN_S = 20.0


class Supervisor:
    """The learner as the server knows it; told whether drafts are being drawn, so that it waits.

    `on_news` hears of each user's new versions and imports: the user's id, and the event.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        on_news: Callable[[str, Event], None] = lambda *_: None,
    ) -> None:
        self._settings, self._on_news = settings, on_news
        self._context = multiprocessing.get_context("spawn")
        self._drafting = self._context.Value("i", 0, lock=False)
        self._lock = threading.Lock()
        self._channel: Connection | None = None
        self._process: BaseProcess | None = None
        self._asked: set[str] = set()
        self.holder = secrets.token_hex(8)
        """What this server is called among those that share a database."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._state: LearnerState = "off"
        self.restarts = 0
        self.on_erased: Callable[[Sequence[str]], None] = lambda _: None
        """Hears the ids of versions that the learner erased, from a thread of the supervisor's."""

    def start(self) -> None:
        """Start the learner, unless it is switched off."""
        if self._settings.learn:
            self._state = "starting"
            self._thread.start()

    def set_drafting(self, busy: bool) -> None:
        """Tell the learner whether to give way."""
        self._drafting.value = int(busy)

    def ask_to_learn(self, user_id: str) -> None:
        """Ask for a step on all that waits for a user; kept until a learner is there to hear."""
        with self._lock:
            if self._channel is None or self._state != "ready":
                self._asked.add(user_id)
                return
            self._send(("learn", user_id))

    def wake(self) -> None:
        """Say that there is something new in the store."""
        with self._lock:
            if self._channel is not None and self._state == "ready":
                self._send(("news", None))

    @property
    def state(self) -> LearnerState:
        """How the learner is."""
        return self._state

    def stop(self) -> None:
        """Ask the learner to end after what it is doing, and end it where that takes too long."""
        self._stopping.set()
        process = self._process
        with self._lock:
            if self._channel is not None:
                self._send(("stop", None))
        if process is not None:
            process.join(_STOP_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN_S)

    def _watch(self) -> None:
        delay = _FIRST_DELAY_S
        self._wait_for_quiet()
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._run_once()
            except OSError as error:  # no memory, no process, no descriptor is left
                log.error("the learner cannot be started: %s", error)
            if self._stopping.is_set():
                break
            if time.monotonic() - started > _HEALTHY_AFTER_S:
                delay = _FIRST_DELAY_S
            self._state, self.restarts = "down", self.restarts + 1
            log.error("the learner has ended; drafts go on, it starts again in %.0f s", delay)
            self._stopping.wait(delay)
            delay = min(2 * delay, _LONGEST_DELAY_S)
        self._state = "off"

    def _wait_for_quiet(self) -> None:
        """Let the first draft, which somebody waits for, have the machine to itself."""
        until = time.monotonic() + _LONGEST_WAIT_S
        while not self._stopping.wait(_QUIET_S):
            if not self._drafting.value or time.monotonic() > until:
                return

    def _run_once(self) -> None:
        """Run a learner to its end, hearing what it says."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=run_learner,
            args=(theirs, self._drafting, self.holder),
            name="corll-learner",
            daemon=True,
        )
        process.start()
        theirs.close()
        with suppress(OSError):  # a learner that is gone already is seen below
            ours.send(self._settings)
        with self._lock:
            self._channel, self._process = ours, process
        try:
            while True:
                kind, content = ours.recv()
                self._hear(kind, content)
        except (EOFError, OSError):
            pass
        with self._lock:
            self._channel = None
        ours.close()
        process.join()

    def _hear(self, kind: str, content: Any) -> None:
        if kind == "erased":
            self.on_erased(content)
            return
        if kind != "ready":
            self._on_news(*content)
            return
        with self._lock:
            self._state = "ready"
            for user_id in self._asked:
                self._send(("learn", user_id))
            self._asked.clear()

    def _send(self, message: tuple[str, Any]) -> None:
        assert self._channel is not None
        try:
            self._channel.send(message)
        except OSError:
            log.debug("the learner is not there to hear %s", message)
