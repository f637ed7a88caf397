"""What an operator asks of a service over HTTP."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from corll.errors import ConfigError
from corll.service.server import running_app
from running_service import RunningService, settings_for


def test_everything_kept_of_a_user_is_exported(service: RunningService) -> None:
    draft = service.draft("A plan for Ola.", user="ola")
    service.post("edits", {"draft_id": draft["id"], "text": "Dear Ola, no."})
    lines = [json.loads(x) for x in service.http.get("/v1/users/ola/export").text.splitlines()]
    records = [line["record"] for line in lines]
    assert records == ["user", "draft", "edit", "preference"]
    assert "secret_sha256" not in json.dumps(lines)


def test_operation(service: RunningService) -> None:
    assert httpx.get(f"{service.url}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{service.url}/readyz")
    assert (ready.status_code, ready.json()["learner"]) == (200, "off")
    service.draft("Nobody may read this in the metrics.", user="nil")
    service.put("users/nil/consent", {"learn": True})
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'corll_drafts_total{status="complete"}' in metrics
    assert "corll_learner_lag_seconds" in metrics
    assert "Nobody" not in metrics
    assert 'route="/v1/users/{user_id}/consent"' in metrics


def test_a_second_server_on_one_data_folder_is_refused(service: RunningService) -> None:
    """But on PostgreSQL, where servers share a folder."""
    on_sqlite = service.settings.database is None
    refused = pytest.raises(ConfigError, match="Another server") if on_sqlite else nullcontext()
    with refused, running_app(service.settings):
        pass


def test_a_key_may_be_a_passphrase(tiny_model_folder: Path, tmp_path: Path) -> None:
    key = 'correct horse: "battery", staple'
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, admin_key=key)
    with running_app(settings) as app, TestClient(app) as client:
        answers = [
            client.get("/v1/keys", headers={"authorization": f"Bearer {secret}"})
            for secret in (key, key.replace(" ", ""))
        ]
    assert [answer.status_code for answer in answers] == [200, 401]
