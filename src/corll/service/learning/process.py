"""The learner as a process: beside a server, which it never keeps waiting, or by itself.

Beside a server it ends with its parent, and what it needs to hear (a user asks for a step now)
comes through a pipe and is written to the store at once, where everything else is. By itself it
looks into the store alone, and is stopped by a signal.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from corll.auto.dialogue import NOBODY, Dialogue
from corll.compute.free_processors import GivingThreads
from corll.policy import Policy
from corll.service.base_choice import keep_base, with_base_named
from corll.service.base_model import load_base, open_database, with_models_sampling
from corll.service.collector import open_tracing
from corll.service.fleet_news import FleetNews
from corll.service.folder_lock import one_of_servers
from corll.service.kept_memory import memory_given_back
from corll.service.learning.health import Health, health_port
from corll.service.learning.holding import ALONE, Holding
from corll.service.learning.inbox import Inbox
from corll.service.learning.pacing import Flag, NobodyDrafts, Pacer
from corll.service.learning.sweeping import sweep
from corll.service.learning.trainer import Trainer
from corll.service.learning.worker import Channel, Told, Worker
from corll.service.logs import failing_threads_logged, set_up_logging
from corll.service.settings import ServiceSettings
from corll.service.store import preferences
from corll.service.store.database import PRIVATE_UMASK, Database
from corll.service.store.preferences import Waiting

log = logging.getLogger(__name__)

_LOWER_PRIORITY = 10


def _read_waiting(database: Database) -> list[Waiting]:
    with database.read() as db:
        return preferences.users_with_waiting(db)


def learn_in_background(
    settings: ServiceSettings, channel: Connection, drafting: Flag, holder: str
) -> None:
    """Load the base model, say that it is ready, and work until told to stop.

    `holder` is the name of a server among those that share a database. *Raises*: SystemExit where
    it cannot go on, once the log says why.
    """
    os.umask(PRIVATE_UMASK)
    set_up_logging(settings)
    try:
        with failing_threads_logged():
            _work(settings, channel, drafting, holder)
    except Exception:
        # What a process prints of itself at its end would quote the message.
        log.exception("the learner cannot go on")
        raise SystemExit(1) from None


def _work(settings: ServiceSettings, channel: Connection, drafting: Flag, holder: str) -> None:
    if hasattr(os, "nice"):
        os.nice(_LOWER_PRIORITY)
    database = open_database(settings)

    def keep(user_id: str) -> None:
        database.write(lambda db: preferences.ask_to_learn(db, user_id, now=time.time()))

    inbox = Inbox(channel, keep)
    database.versions.check()
    base = load_base(settings)
    holding = Holding(database, ALONE if database.is_sqlite else holder)
    with _worker(settings, database, base, drafting, inbox, channel, holding) as worker:
        channel.send(("ready", None))
        worker.run()


@contextmanager
def _worker(
    settings: ServiceSettings,
    database: Database,
    base: Policy,
    drafting: Flag,
    told: Told,
    channel: Channel,
    holding: Holding,
) -> Iterator[Worker]:
    """Yield what learns, once what a learner left that died is removed."""
    threads = GivingThreads.of(settings.threads)
    pacer = Pacer(drafting, told, threads.settle)
    with open_tracing(settings.traces, process="learner") as tracing, memory_given_back():
        trainer = Trainer(
            base, database, settings, give_way=pacer.give_way, tracing=tracing, threads=threads
        )
        sweep(database, holding)
        yield Worker(trainer, told, channel, holding, drafting)


class Stopping:
    """What a learner by itself is told: to stop, by a signal or by whoever runs it."""

    def __init__(self) -> None:
        self.stopping = False
        self.news = threading.Event()

    def keep_asked(self) -> None:
        """Do nothing: what was asked is in the store."""

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop it meanwhile."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Let it end; a step under way is thrown away."""
        self.stopping = True
        self.news.set()


class _Teller:
    """Says what happens to the other processes of the database, and counts it."""

    def __init__(self, fleet: FleetNews, health: Health) -> None:
        self._fleet, self._health = fleet, health

    def send(self, message: tuple[str, Any]) -> None:
        """Post an event; what was erased others see in the database."""
        kind, content = message
        if kind == "event":
            self._fleet.post(*content)
            self._health.happened(content[1])


def learn_until_stopped(
    settings: ServiceSettings,
    *,
    say: Callable[[str], None] = print,
    dialogue: Dialogue = NOBODY,
    stopping: Stopping | None = None,
) -> None:
    """Learn from what gateways take, until told to stop; a step under way is thrown away then.

    `stopping` tells it, by default SIGINT and SIGTERM do.
    *Raises*: ConfigError, StoreError, ModelNotFoundError.
    """
    set_up_logging(settings)
    told, asked_for = stopping or Stopping(), settings.model
    with ExitStack() as stack:
        stack.enter_context(failing_threads_logged())
        stack.callback(os.umask, os.umask(PRIVATE_UMASK))
        database = open_database(settings)
        stack.callback(database.close)
        stack.enter_context(one_of_servers(settings.data_dir))
        database.versions.check()
        health = Health(partial(_read_waiting, database))
        stack.enter_context(health_port(settings, health))
        settings = with_base_named(settings, database, dialogue)
        base = load_base(settings)
        keep_base(database, base, asked_for=asked_for)
        settings = with_models_sampling(settings, base)
        holder = secrets.token_hex(8)
        fleet = FleetNews(database, holder, learner=True)
        stack.callback(fleet.stop)
        if stopping is None:
            stack.enter_context(told.heard())
        teller, holding = _Teller(fleet, health), Holding(database, holder)
        parts = (settings, database, base, NobodyDrafts(), told, teller, holding)
        worker = stack.enter_context(_worker(*parts))
        health.is_ready = True
        say(f"corll learns on {settings.model} as {holder} (stop with Ctrl-C)")
        try:
            worker.run()
        except SystemExit:  # a step was under way, of which nothing was registered
            log.info("the learner was stopped within a step")
