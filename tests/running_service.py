"""A real service on a tiny model: `running_app` behind uvicorn, on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from corll.service.server import running_app
from corll.service.settings import ServiceSettings
from corll.service.store.accounts import DEFAULT_USER
from patience import PATIENCE_S
from service_server import serve

ADMIN_KEY = "an-admin-key-of-the-tests"
COACTIVE = {
    "preferences_per_step": 2,
    "replay_per_step": 0,
    "max_completion_length": 12,
    "memory_limit_gb": 0.5,
    "learning_rate": 3e-3,
    "warmup_steps": 0,
}


def settings_for(model: Path, data_dir: Path, **changes: Any) -> ServiceSettings:
    """As small as a service can be."""
    coactive = ServiceSettings().coactive.with_settings(
        **{**COACTIVE, **changes.pop("coactive", {})}
    )
    fields = {
        "model": str(model),
        "dtype": "float32",
        "data_dir": data_dir,
        "admin_key": ADMIN_KEY,
        "default_user": DEFAULT_USER,  # tests ask with the admin's key, most of them for nobody
        "coactive": coactive,
        "log_level": "error",
        "max_drift": 50.0,
        "veto_drafts": 0,  # what a random model drafts is ruined before it learns
        "requests_per_minute": 100_000,
        # Else what a test drafts would depend on what was sent before it.
        "memory": "none",
        "serving": "both",
        "weigh_edits": False,
        **changes,
    }
    return ServiceSettings(**fields)


@dataclass(frozen=True)
class RunningService:
    """Where it is, and a client that speaks for its admin."""

    url: str
    settings: ServiceSettings
    http: httpx.Client
    more: list[httpx.Client] = field(default_factory=list)
    services: Any = None
    """What its application works with, where it runs in this process."""

    def draft(self, prompt: str = "The parcel is late.", **body: Any) -> dict[str, Any]:
        """A draft of `corll`."""
        messages = [{"role": "user", "content": prompt}]
        return self.post("chat/completions", {"model": "corll", "messages": messages, **body})

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("POST", path, json=body)

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("PUT", path, json=body)

    def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        response = self.http.request(method, f"/v1/{path}", **more)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def with_key(self, key: str) -> RunningService:
        """The same service, asked with another key."""
        self.more.append(_client(self.url, key))
        return replace(self, http=self.more[-1])


@contextmanager
def running_service(settings: ServiceSettings) -> Iterator[RunningService]:
    """Serves until the block ends, then stops as `corll serve` does."""
    with (
        running_app(settings) as app,
        serve(app) as url,
        _client(url, ADMIN_KEY) as http,
    ):
        running = RunningService(url, settings, http, services=app.state.services)
        yield running
        for client in running.more:
            client.close()


def _client(url: str, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S
    )


def until(condition: Callable[[], Any], *, within: float = PATIENCE_S, every: float = 0.05) -> Any:
    """Waits until a condition holds, and returns what it found."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(every)
    raise AssertionError(f"not within {within} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def environment_of(
    model: Path | str, data_dir: Path, port: int, settings: Mapping[str, Any]
) -> dict[str, str]:
    """The environment of a process that serves so."""
    asked = {"admin_key": ADMIN_KEY, "default_user": DEFAULT_USER}
    own = {**asked, "log_level": "error", "model": model, "data_dir": data_dir}
    given = {**own, "port": port, **settings}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CORLL_")},
        **{f"CORLL_{name.upper()}": str(value) for name, value in given.items()},
    }


def start_server(
    model: Path | str, data_dir: Path, port: int, settings: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    """`corll serve` as a user runs it, in a process and a session of its own."""
    environment = environment_of(model, data_dir, port, settings)
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
