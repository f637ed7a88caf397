"""`corll serve` in a process of its own, to be killed and started again on the same folder."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from patience import PATIENCE_S
from running_service import ADMIN_KEY, free_port, start_server


@dataclass
class OwnServer:
    """Drafts of up to 450 tokens by a tiny model, without a learner."""

    model: Path
    data_dir: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {"dtype": "float32", "learn": "false", "max_completion_length": 450}
        self.process = start_server(self.model, self.data_dir, self.port, settings)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server ended"
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server does not start")

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def go_on(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut would end it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("PUT", path, body)

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer = httpx.request(
            method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=PATIENCE_S
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
