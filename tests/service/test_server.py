"""How the server puts its parts together, and what `corll serve` says to whoever starts it."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_process import corll_serve, heard

from corll.policy import Policy
from corll.service import server
from corll.service.settings import ServiceSettings
from corll.service.store.accounts import DEFAULT_USER
from patience import PATIENCE_S
from running_service import settings_for

MESSAGES: Any = [{"role": "user", "content": "A secret word: xylophone."}]


def test_the_thread_that_loads_the_base_keeps_no_processor_from_drafting(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaders = server.load_base, []

    def noting(settings: ServiceSettings, *, drafts: bool) -> Policy:
        loaders.append(threading.current_thread())
        return load(settings, drafts=drafts)

    monkeypatch.setattr(server, "load_base", noting)
    settings = settings_for(tiny_model_folder, tmp_path, learn=False)
    with server.running_app(settings):
        (loader,) = loaders
        assert loader is not threading.current_thread()
        assert not loader.is_alive()


def test_the_first_start_shows_a_key_and_a_link_and_its_log_holds_no_text(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    with corll_serve(tiny_model_folder, data, log) as process:
        url = heard(process, r"^corll serves .* at (http://127\.0\.0\.1:\d+)/v1 ")
        own = heard(process, r"^Your key, for any OpenAI client, shown this once: (\S+)$")
        key = heard(process, r"^Your admin key, shown this once: (\S+)$")
        heard(process, r"^(Write) in your browser")
        link = heard(process, r"^(http://127\.0\.0\.1:\d+/sign-in\?token=\S+)$")
        assert link.startswith(url)
        headers = {"authorization": f"Bearer {own}"}
        body = {"model": "corll", "messages": MESSAGES}
        drafted = httpx.post(
            f"{url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_S
        )
        assert drafted.status_code == 200, drafted.text
        assert httpx.get(f"{url}/v1/users/me", headers=headers).json()["name"] == DEFAULT_USER
        assert httpx.get(f"{url}/v1/keys", headers=headers).status_code == 403
        of_the_admin = {"authorization": f"Bearer {key}"}
        assert httpx.get(f"{url}/v1/keys", headers=of_the_admin).status_code == 200
        assert [httpx.get(link).status_code for _ in range(2)] == [303, 401]
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("route") == "/v1/chat/completions"]
    assert line["request_id"] == drafted.headers["x-request-id"]
    assert (line["level"], line["method"], line["status"]) == ("info", "POST", 200)
    draft = drafted.json()["choices"][0]["message"]["content"]
    assert draft
    for text in ("xylophone", draft, own, key, link.partition("token=")[2]):
        assert text not in log.read_text()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    with corll_serve(tiny_model_folder, data, log) as process:
        heard(process, r"^(corll serves) ")
        heard(process, r"^(Write) in your browser")  # and no key is shown again


def test_to_serve_leaves_the_callers_umask_as_it_was(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: server._Server, **_: Any) -> None:
        during.append(os.umask(0o022))
        os.umask(during[-1])

    during: list[int] = []
    monkeypatch.setattr(server._Server, "run", run)
    monkeypatch.setattr(server, "set_up_logging", lambda _: logging.getLogger())
    before = os.umask(0o022)
    try:
        settings = settings_for(tiny_model_folder, tmp_path, learn=False, port=0)
        server.serve(settings, say=lambda _: None)
        assert (during, os.umask(0o022)) == ([0o077], 0o022)
    finally:
        os.umask(before)
