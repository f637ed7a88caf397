"""/healthz, /readyz and /metrics of a learner that is a process of its own. They hold no text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from corll.errors import ConfigError, StoreError
from corll.schemas.events import Event, VersionEvent
from corll.service.metrics import CONTENT_TYPE
from corll.service.settings import ServiceSettings
from corll.service.store.preferences import Waiting


class Health:
    """How a learner is, and what it has made; `waiting` reads for whom preferences wait."""

    def __init__(self, waiting: Callable[[], list[Waiting]]) -> None:
        self._read, self._registry = waiting, CollectorRegistry()
        self.is_ready = False
        """Whether it works: its model is loaded."""
        self._versions = Counter(
            "corll_learner_versions",
            "Versions that this learner made, by their state.",
            ["state"],
            registry=self._registry,
        )
        for name, meaning, read in (
            ("corll_preferences_waiting", "Preferences to be learned from.", self._waiting),
            ("corll_learner_lag_seconds", "How long the oldest of them has waited.", self._lag),
        ):
            Gauge(name, meaning, registry=self._registry).set_function(read)

    def happened(self, event: Event) -> None:
        """Count a version that was made."""
        if isinstance(event, VersionEvent):
            self._versions.labels(event.state).inc()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return the status, the kind and the content of what is asked for."""
        if path == "/healthz":
            return 200, "application/json", b'{"status": "ok"}'
        if path == "/readyz":
            return self._ready()
        if path == "/metrics":
            return 200, CONTENT_TYPE, self.exposition()
        return 404, "application/json", b'{"status": "there is /healthz, /readyz, /metrics"}'

    def _ready(self) -> tuple[int, str, bytes]:
        try:
            self._read()
        except StoreError:
            return 503, "application/json", b'{"status": "unavailable", "store": "down"}'
        if not self.is_ready:
            return 503, "application/json", b'{"status": "starting"}'
        return 200, "application/json", b'{"status": "ready"}'

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _waiting(self) -> float:
        return sum(count for _, count, _ in self._read())

    def _lag(self) -> float:
        return max((time.time() - row.oldest for row in self._read()), default=0.0)


@contextmanager
def health_port(settings: ServiceSettings, health: Health) -> Iterator[int | None]:
    """Answer on the port for health that the settings give, if any; yield it.

    *Raises*: ConfigError where it cannot be listened on.
    """
    if settings.health_port is None:
        yield None
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, content = health.answer(self.path)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks is no news."""

    try:
        server = ThreadingHTTPServer((settings.host, settings.health_port), Handler)
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.health_port} cannot be listened on "
            f"({error.strerror or error}); choose another --health-port"
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
