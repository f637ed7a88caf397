"""A service in a data folder that is killed and started again, and the commands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from corll.durable_points import VARIABLE
from crash import processes
from patience import PATIENCE_S
from running_service import ADMIN_KEY, COACTIVE, environment_of, free_port, start_server, until

SETTINGS = {
    **COACTIVE,
    "dtype": "float32",
    "max_drift": 50,
    "veto_drafts": 0,  # what a random model drafts is ruined before it learns
    "requests_per_minute": 100_000,
    "memory": "none",
    "serving": "both",
    "weigh_edits": False,
    "flush_after_hours": 24,
}
OF_REAL_MODELS = {
    name: value
    for name, value in SETTINGS.items()
    if name not in ("dtype", "memory_limit_gb", "learning_rate", "warmup_steps")
}
"""What a tiny random model needs and another does not is left at its default."""
_ENDS_WITHIN_S = 20.0


class WarmParent:
    """The process that servers and commands are forked from; it ends with whoever made it."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        tests = Path(__file__).parents[1]
        paths = [str(tests), os.environ.get("PYTHONPATH", "")]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crash.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, "HF_HUB_OFFLINE": "1", **(environment or {})},
        )
        self._answer()  # it has imported everything

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Run a command of corll; return the pid of its process."""
        assert self._process.stdin is not None
        order = {"arguments": arguments, "environment": dict(environment), "log": str(log)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process, and what it forked."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the parent of all servers has ended; its standard error says why")
        return int(line)


@contextmanager
def warm_parent(environment: Mapping[str, str] | None = None) -> Iterator[WarmParent]:
    """Yield a parent of servers, which ends with the block."""
    parent = WarmParent(environment)
    try:
        yield parent
    finally:
        parent.close()


class Service:
    """`corll serve` in a data folder. `variables` are further ones of its environment.

    `model` is a folder, or a name of `corll models`; `database` the URL of a PostgreSQL database.
    With `has_store` its versions lie in a version store, within its folder so that both are copied.
    """

    def __init__(
        self,
        parent: WarmParent,
        model: Path | str,
        folder: Path,
        variables: Mapping[str, str],
        database: str | None = None,
        *,
        has_store: bool = False,
    ) -> None:
        self._parent, self._model, self._variables = parent, model, dict(variables)
        self._settings = SETTINGS if isinstance(model, Path) else OF_REAL_MODELS
        self.folder, self.database = folder, database
        self.versions = store_in(folder) if has_store else None
        self.log = folder.with_name(f"{folder.name}.log")
        self.pid = 0
        self._first_learner: int | None = None
        self._cold: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.http = httpx.Client()

    def start(
        self, *, die_at: str | None = None, cold: bool = False, settings: Mapping[str, Any] = {}
    ) -> None:
        """Start serving; `cold` in a process that imports for itself."""
        port, self._first_learner = free_port(), None
        given = {**self._settings, **settings}
        if self.database is not None:
            given["database"] = self.database
        if self.versions is not None:
            given["versions"] = self.versions
        if cold:
            self._cold = start_server(self._model, self.folder, port, given)
            self.pid = self._cold.pid
        else:
            environment = self._environment(port, given, die_at)
            self.pid = self._parent.fork(["serve"], environment, self.log)
        self.url = f"http://127.0.0.1:{port}"
        self.http.close()
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)

    def wait_until_ready(self, *, learner: bool = False) -> float:
        """Wait until it answers, or has its learner too; return for how long, in seconds.

        *Raises*: EndedError where it has ended before.
        """
        began = time.monotonic()

        def ready() -> bool:
            if not self.is_alive:
                raise EndedError(f"the server has ended: {self.said()}")
            if self._first_learner is None:  # it may die before anybody has seen it ready
                self._first_learner = self.learner
            with suppress(httpx.TransportError):
                answer = self.http.get("/readyz")
                return answer.status_code == 200 and (
                    not learner or answer.json()["learner"] == "ready"
                )
            return False

        until(ready, every=0.01)
        return time.monotonic() - began

    @property
    def is_alive(self) -> bool:
        """Whether the server has not ended."""
        if self._cold is not None:
            self._cold.poll()
        return processes.is_alive(self.pid)

    @property
    def learner(self) -> int | None:
        """The pid of its learner, if it has one now."""
        return processes.learner_of(self.pid)

    @property
    def died(self) -> str | None:
        """What has died since it was ready with its learner: the server, or that alone."""
        if not self.is_alive:
            return "server"
        return "learner" if self.learner != self._first_learner else None

    def kill(self) -> None:
        """Kill the server alone."""
        processes.kill(self.pid)
        processes.wait_for_end(self.pid, within=PATIENCE_S)
        if self._cold is not None:
            self._cold.wait()
            self._cold = None

    def stop(self) -> None:
        """Stop it as an operator does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, 15)
        if not processes.wait_for_end(self.pid, within=PATIENCE_S):
            raise RuntimeError("the server does not stop")
        if self._cold is not None:
            self._cold.wait()
            self._cold = None

    def orphans(self) -> list[str]:
        """Return what is left of a server that was killed, after the time that ending takes."""
        end = time.monotonic() + _ENDS_WITHIN_S
        while (left := processes.of_session(self.pid)) and time.monotonic() < end:
            time.sleep(0.01)
        return [f"{one.name} ({one.pid})" for one in left]

    def close(self) -> None:
        """Kill whatever runs still."""
        if self.pid:
            for one in processes.of_session(self.pid):
                processes.kill(one.pid)
            self.kill()
        self.http.close()

    def run(self, *arguments: str, die_at: str | None = None) -> int | None:
        """Run a command beside it, on its folder; return its exit code, None where it died."""
        environment = self._environment(0, {}, die_at)
        code = Path(f"{self.log}.code")
        code.unlink(missing_ok=True)
        pid = self._parent.fork(arguments, environment, self.log)
        if not processes.wait_for_end(pid, within=PATIENCE_S):
            raise RuntimeError(f"corll {' '.join(arguments)} does not end")
        return int(code.read_text()) if code.exists() else None

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text()[-2000:] if self.log.exists() else ""

    def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask its API. *Raises*: httpx.TransportError where it is gone; AnswerError."""
        return ask(self.http, method, path, **more)

    def _environment(
        self, port: int, settings: Mapping[str, Any], die_at: str | None
    ) -> dict[str, str]:
        made = environment_of(self._model, self.folder, port, settings) | self._variables
        return made if die_at is None else made | {VARIABLE: die_at}


def ask(http: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """Ask an API. *Raises*: httpx.TransportError where it is gone; AnswerError."""
    response = http.request(method, f"/v1/{path}", **more)
    if response.status_code != 200:
        raise AnswerError(response.status_code, f"{method} {path}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def store_in(folder: Path) -> str:
    """Return the URL of a version store in a folder."""
    return f"file://{folder}/shared"


class EndedError(Exception):
    """A server that has ended before it answered."""


class AnswerError(Exception):
    """An answer of the API that is none of 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
