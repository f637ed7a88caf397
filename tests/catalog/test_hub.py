"""Whether the hub is asked for a model, and what is said where it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from corll.catalog.hub import can_be_reached

HERE = "some/model"


class _Hub(BaseHTTPRequestHandler):
    """Knows one repository."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == f"/api/models/{HERE}" else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a hub on this machine, which is asked in place of the real one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        yield address
        server.shutdown()
        thread.join()


def test_it_answers_for_what_it_has(hub: str) -> None:
    assert can_be_reached(HERE)
    assert not can_be_reached("another/model")


def test_it_is_not_asked_offline(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not can_be_reached(HERE)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "http://no-such-host.invalid", "http://["]
)
def test_where_nobody_answers_it_cannot_be_reached(
    hub: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    assert not can_be_reached(HERE)
