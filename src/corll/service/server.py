"""The server: wires store, engine, learner and API together, and serves until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from corll.auto.dialogue import NOBODY, Dialogue
from corll.compute.free_processors import GivingThreads
from corll.errors import ConfigError
from corll.learners import learner_of
from corll.policy import Policy
from corll.service.announcing import address_for_people, address_noted, announce, keep_given_key
from corll.service.api.app import create_app
from corll.service.api.known import Watch
from corll.service.api.letting_go import DeletionsElsewhere
from corll.service.api.services import BackgroundLearner, Services
from corll.service.base_choice import keep_base, with_base_named
from corll.service.base_model import load_base, open_database, with_models_sampling
from corll.service.collector import open_tracing
from corll.service.drafting.engine import Engine
from corll.service.drafting.serving import let_go
from corll.service.drafting.upstream import Upstream
from corll.service.drafting.vllm import VllmEngine
from corll.service.fleet_news import LearnersElsewhere
from corll.service.folder_lock import one_of_servers, only_server
from corll.service.kept_memory import memory_given_back
from corll.service.learning.supervisor import Supervisor
from corll.service.logs import failing_threads_logged, set_up_logging
from corll.service.metrics import Metrics
from corll.service.news import News
from corll.service.settings import ServiceSettings
from corll.service.store import coins, preferences
from corll.service.store.database import PRIVATE_UMASK, Database
from corll.service.store.pruning import still_drafting
from corll.service.store.writer import Writer
from corll.service.upstream import UpstreamError, is_in_the_clear
from corll.service.versions.forgetting import clean
from corll.service.versions.references import begin_unexamined

log = logging.getLogger(__name__)

_FINISH_WITHIN_S = 60
"""How long a clean stop waits for the drafts that are under way."""


def serve(
    settings: ServiceSettings,
    *,
    say: Callable[[str], None] = print,
    dialogue: Dialogue = NOBODY,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the drafts that are under way.

    `say` is told what a person at the terminal wants to know, once it serves; who is asked by
    `dialogue` before a model is fetched. All files that are made meanwhile are their owner's alone.
    *Raises*: ConfigError where the address or the data folder is taken; StoreError;
    ModelNotFoundError.
    """
    with ExitStack() as stack:
        stack.callback(os.umask, os.umask(PRIVATE_UMASK))
        log_file = set_up_logging(settings)
        stack.enter_context(failing_threads_logged())
        listener = stack.enter_context(_listener(settings))
        app = stack.enter_context(running_app(settings, dialogue=dialogue))
        services: Services = app.state.services
        address = address_for_people(settings, listener.getsockname()[1])
        stack.enter_context(address_noted(settings.data_dir, address))
        told = partial(
            announce,
            services.settings,
            services.database,
            say,
            model=services.settings.model,
            address=address,
            log_file=log_file,
        )
        with _signals_end_the_server_only():
            server = _Server(_uvicorn_config(settings, app), once_it_serves=told)
            server.run(sockets=[listener])
        if server.failure is not None:
            raise server.failure


class _Server(uvicorn.Server):
    """Calls `once_it_serves` when it answers; ends the streams of open browsers when it stops."""

    def __init__(self, config: uvicorn.Config, *, once_it_serves: Callable[[], None]) -> None:
        super().__init__(config)
        self._once_it_serves = once_it_serves
        self.failure: Exception | None = None

    async def main_loop(self) -> None:
        """Say that it answers, then serve; where that cannot be said, end in order."""
        try:
            self._once_it_serves()
        except Exception as error:
            self.failure = error
            return
        await super().main_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.services.events.close()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


@contextmanager
def _signals_end_the_server_only() -> Iterator[None]:
    """Keep the signal that uvicorn raises again once it has shut down from ending the process
    before engine, learner and writer are stopped in order.
    """
    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_app(settings: ServiceSettings, *, dialogue: Dialogue = NOBODY) -> Iterator[FastAPI]:
    """Yield the application with all that works behind it, stopped in order at the end."""
    asked_for = settings.model
    with ExitStack() as stack:
        tracing = stack.enter_context(open_tracing(settings.traces, process="server"))
        stack.enter_context(memory_given_back())
        database = open_database(settings)
        stack.callback(database.close)
        lock = only_server if database.is_sqlite else one_of_servers
        stack.enter_context(lock(settings.data_dir))
        database.versions.check()
        clean(database)  # what a process that died had deleted
        writer = Writer(database)
        stack.callback(writer.close)
        keep_given_key(settings, database)
        settings = with_base_named(settings, database, dialogue)
        base = _loaded(settings)
        keep_base(database, base, asked_for=asked_for)
        settings = with_models_sampling(settings, base)
        if not settings.learn:
            _begin_unexamined(database, base)
        news = News(settings, database)
        stack.callback(news.stop)
        supervisor = Supervisor(settings, on_news=news.publish)
        engine = _engine(
            settings,
            base,
            database,
            max_waiting=settings.max_waiting,
            longest_wait=settings.longest_wait,
            max_branches=settings.max_branches,
            max_adapters=settings.max_adapters,
            on_busy=supervisor.set_drafting,
            threads=GivingThreads.of(settings.threads).settle,
            needs_memory=learner_of(settings.coactive).needs_memory,
        )
        supervisor.on_erased = partial(let_go, engine)
        upstream = _upstream(settings, engine, database)
        if upstream is None:
            news.serve_by(engine)
        else:
            stack.callback(upstream.close, _FINISH_WITHIN_S)
        stack.callback(supervisor.stop)
        stack.callback(engine.close, _FINISH_WITHIN_S)
        learner = _learner(settings, database, news, supervisor)
        metrics = Metrics()
        _watch(metrics, engine, upstream, database, learner)
        parts = (settings, database, writer, engine, learner, metrics)
        services = Services(*parts, events=news, upstream=upstream, tracing=tracing)
        deleted = DeletionsElsewhere(services)
        stack.callback(Watch(database, services.known, deleted.let_go).stop)
        yield create_app(services)


def _learner(
    settings: ServiceSettings, database: Database, news: News, supervisor: Supervisor
) -> BackgroundLearner:
    """Return who learns: a process beside the server that is started here, or others elsewhere.

    News are exchanged with other processes where these can share the database.
    """
    learns_here = settings.role == "serve"
    elsewhere = LearnersElsewhere()
    if not database.is_sqlite:
        fleet = news.join(supervisor.holder, learner=learns_here and settings.learn)
        elsewhere.count = lambda: fleet.learners
    if not learns_here:
        return elsewhere
    supervisor.start()
    return supervisor


def _loaded(settings: ServiceSettings) -> Policy:
    """Return the base model, loaded by a thread that ends.

    A thread that has computed keeps OpenMP's helpers for itself. Once a process has more of these
    threads than processors, they sleep between operations where they would spin, and waking them
    costs the drafting thread as long as the operations do.
    """
    with ThreadPoolExecutor(1) as loader:
        return loader.submit(partial(load_base, settings, drafts=True)).result()


def _engine(settings: ServiceSettings, base: Policy, database: Database, **own: Any) -> Engine:
    """Return what draws drafts. *Raises*: ConfigError where an engine elsewhere cannot be asked."""
    if settings.engine == "own":
        return Engine(base, **own)
    for url in filter(is_in_the_clear, settings.engine_url):
        log.warning("%s is asked without TLS: texts can be read on the way", url)

    def still_draft(ids: Collection[str]) -> set[str]:
        with database.read() as db:
            return still_drafting(db, ids)

    own |= {"timeout": settings.engine_timeout, "still_draft": still_draft}
    engine = VllmEngine(base, settings.engine_url, **own)
    try:
        engine.check_base()
    except BaseException as error:
        engine.close()
        if isinstance(error, UpstreamError):
            raise ConfigError(f"{error} Start it before this service.") from error
        raise
    return engine


def _upstream(settings: ServiceSettings, engine: Engine, database: Database) -> Upstream | None:
    """Return what asks the upstream, where there is one; what is known of arms is of who drafts.

    *Raises*: ConfigError where the base has no chat template, without which it could not learn.
    """
    database.write(lambda db: coins.begin_all_anew_by(db, settings.upstream_model, now=time.time()))
    url, model, key = settings.upstream, settings.upstream_model, settings.upstream_key
    if url is None or model is None:
        return None
    if not engine.has_chat_template:
        raise ConfigError(
            f"An upstream answers conversations, and {engine.model} has no chat template to learn "
            "from these: choose another --model, or leave out --upstream."
        )
    if is_in_the_clear(url):
        log.warning("the upstream is asked without TLS: key and texts can be read on the way")
    return Upstream(
        engine,
        url=url,
        model=model,
        key=None if key is None else key.get_secret_value(),
        timeout=settings.upstream_timeout,
        max_waiting=settings.max_waiting,
    )


def _uvicorn_config(settings: ServiceSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
    )


@contextmanager
def _listener(settings: ServiceSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror or error}); "
            "choose another --port or --host."
        ) from error
    with listener:
        yield listener


def _begin_unexamined(database: Database, base: Policy) -> None:
    """Have references serve that wait for an examination, since no learner is there to make it."""
    begun = database.write(lambda db: begin_unexamined(db, base.base.fingerprint, now=time.time()))
    for start in begun:
        log.warning("%s: the start that was asked for is %s", start.user_id, start.state)


def _watch(
    metrics: Metrics,
    engine: Engine,
    upstream: Upstream | None,
    database: Database,
    learner: BackgroundLearner,
) -> None:
    def waiting() -> list[preferences.Waiting]:
        with database.read() as db:
            return preferences.users_with_waiting(db)

    def lag() -> float:
        return max((time.time() - row.oldest for row in waiting()), default=0.0)

    metrics.watch(
        under_way=lambda: engine.under_way + (0 if upstream is None else upstream.under_way),
        drafts_waiting=lambda: engine.waiting,
        waiting=lambda: sum(count for _, count, _ in waiting()),
        lag=lag,
        learner=lambda: learner.state,
    )
