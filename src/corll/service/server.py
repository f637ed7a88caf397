"""The server: wires store, engine, learner and API together, and serves until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Connection

from corll.auto.dialogue import NOBODY, Dialogue
from corll.compute.free_processors import GivingThreads
from corll.errors import ConfigError
from corll.learners import learner_of
from corll.policy import Policy
from corll.service.api.app import create_app
from corll.service.api.services import Services
from corll.service.api.sign_in_routes import link_path
from corll.service.base_choice import keep_base, only_server, with_base_named
from corll.service.base_model import load_base, with_models_sampling
from corll.service.drafting.engine import Engine
from corll.service.drafting.upstream import Upstream
from corll.service.learning.supervisor import Supervisor
from corll.service.logs import set_up_logging
from corll.service.metrics import Metrics
from corll.service.news import News
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, coins, preferences, sign_ins
from corll.service.store.database import PRIVATE_UMASK, Database, Writer
from corll.service.upstream import is_in_the_clear
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

    `say` is told what a person at the terminal wants to know, who is asked by `dialogue` before a
    model is fetched. All files that are made meanwhile are their owner's alone.
    *Raises*: ConfigError where the address or the data folder is taken; StoreError;
    ModelNotFoundError.
    """
    set_up_logging(settings)
    with ExitStack() as stack:
        stack.callback(os.umask, os.umask(PRIVATE_UMASK))
        listener = stack.enter_context(_listener(settings))
        app = stack.enter_context(running_app(settings, say=say, dialogue=dialogue))
        scheme = "https" if settings.tls_certificate else "http"
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        address = f"{scheme}://{shown}:{port}"
        if settings.upstream is not None:
            say(f"{settings.upstream_model} at {settings.upstream} drafts chats of corll")
        say(f"corll serves {app.state.services.settings.model} at {address}/v1 (stop with Ctrl-C)")
        say(f"Write at {address}{_sign_in_path(app.state.services)}")
        say("(the link signs your browser in, once; `corll link` makes another)")
        with _signals_end_the_server_only():
            _Server(_uvicorn_config(settings, app)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends the streams of open browsers when it is told to stop; they would never end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.services.events.close()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _sign_in_path(services: Services) -> str:
    """Return a link for the user of this machine."""
    now = time.time()

    def create(db: Connection) -> str:
        user = accounts.get_or_create_user(
            db,
            accounts.LOCAL_NAMESPACE,
            accounts.DEFAULT_USER,
            store=services.settings.stores_by_default,
            now=now,
        )
        return sign_ins.create_link(db, user.id, actor="server", now=now)

    return link_path(services.database.write(create))


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
def running_app(
    settings: ServiceSettings,
    *,
    say: Callable[[str], None] = print,
    dialogue: Dialogue = NOBODY,
) -> Iterator[FastAPI]:
    """Yield the application with all that works behind it, stopped in order at the end."""
    asked_for = settings.model
    with ExitStack() as stack:
        database = Database.open(settings.database, settings.data_dir)
        stack.callback(database.close)
        stack.enter_context(only_server(settings.data_dir))
        writer = Writer(database)
        stack.callback(writer.close)
        _ensure_admin_key(settings, database, say)
        settings = with_base_named(settings, database, dialogue)
        base = _loaded(settings)
        keep_base(database, base, asked_for=asked_for)
        settings = with_models_sampling(settings, base)
        if not settings.learn:
            _begin_unexamined(database, base)
        news = News(settings, database)
        stack.callback(news.stop)
        supervisor = Supervisor(settings, on_news=news.publish)
        engine = Engine(
            base,
            max_waiting=settings.max_waiting,
            max_branches=settings.max_branches,
            max_adapters=settings.max_adapters,
            on_busy=supervisor.set_drafting,
            threads=GivingThreads.of(settings.threads).settle,
            needs_memory=learner_of(settings.coactive).needs_memory,
        )
        upstream = _upstream(settings, engine, database)
        if upstream is None:
            news.serve_by(engine)
        else:
            stack.callback(upstream.close, _FINISH_WITHIN_S)
        stack.callback(supervisor.stop)
        stack.callback(engine.close, _FINISH_WITHIN_S)
        supervisor.start()
        metrics = Metrics()
        _watch(metrics, engine, upstream, database, supervisor)
        parts = (settings, database, writer, engine, supervisor, metrics)
        yield create_app(Services(*parts, events=news, upstream=upstream))


def _loaded(settings: ServiceSettings) -> Policy:
    """Return the base model, loaded by a thread that ends.

    A thread that has computed keeps OpenMP's helpers for itself. Once a process has more of these
    threads than processors, they sleep between operations where they would spin, and waking them
    costs the drafting thread as long as the operations do.
    """
    with ThreadPoolExecutor(1) as loader:
        return loader.submit(partial(load_base, settings, drafts=True)).result()


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
        forwarded_allow_ips="*" if settings.behind_proxy else None,
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


def _ensure_admin_key(
    settings: ServiceSettings, database: Database, say: Callable[[str], None]
) -> None:
    """Keep the key of CORLL_ADMIN_KEY; without one, make a first key and show it."""
    given = None if settings.admin_key is None else settings.admin_key.get_secret_value()

    def ensure(db: Connection) -> str | None:
        if given is not None:
            if accounts.find_key(db, given) is not None:
                return None
        elif any(k.scope == "admin" and k.revoked_at is None for k in accounts.list_keys(db, None)):
            return None
        _, secret = accounts.create_key(
            db,
            scope="admin",
            namespace=accounts.LOCAL_NAMESPACE,
            label="the first key",
            secret=given,
            actor="server",
            now=time.time(),
        )
        return secret

    secret = database.write(ensure)
    if secret is not None and given is None:
        say(f"Your admin key, shown this once: {secret}")


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
    supervisor: Supervisor,
) -> None:
    def waiting() -> list[preferences.Waiting]:
        with database.read() as db:
            return preferences.users_with_waiting(db)

    def lag() -> float:
        return max((time.time() - row.oldest for row in waiting()), default=0.0)

    metrics.watch(
        under_way=lambda: engine.under_way + (0 if upstream is None else upstream.under_way),
        waiting=lambda: sum(count for _, count, _ in waiting()),
        lag=lag,
        learner=lambda: supervisor.state,
    )
