"""A data folder that an older version wrote goes on to be used."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from corll.config import LoraConfig
from corll.service.store import accounts, imports, lineages
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for, until


@pytest.fixture
def facts(older: Path) -> dict[str, Any]:
    """What the older service answered last."""
    found: dict[str, Any] = json.loads((older / "facts.json").read_text())
    return found


def test_its_users_versions_and_imports_are_read(older: Path, facts: dict[str, Any]) -> None:
    database = Database.open(None, older / "data")
    with database.read() as db:
        assert accounts.find_key(db, facts["key"], now=time.time()) is not None
        numbers = {}
        for name, about in facts["users"].items():
            user = accounts.find_user(db, about["id"])
            assert user is not None
            assert (user.name, user.store, user.learn) == (name, True, True)
            serving = lineages.serving_version(db, user.id)
            assert (serving and serving.number) == about["serving"]
            numbers[name] = [version.number for version in lineages.versions_of(db, user.id)]
        assert numbers == {"anna": [1, 2, 3], "ben": [1, 2, 3], "cara": []}
        assert [one.kind for one in lineages.all_references(db)] == ["base", "adapter"]
        assert imports.next_import(db, but=()) is None
    database.close()


def drafted(service: RunningService, user: str, **body: Any) -> str:
    """The draft of `facts.json`, once more."""
    draft = service.draft(user=user, seed=7, max_tokens=12, **body)
    text: str = draft["choices"][0]["message"]["content"]
    return text


def test_it_drafts_learns_and_rolls_back_where_it_lies_now(
    older: Path, facts: dict[str, Any]
) -> None:
    lora = LoraConfig(lora_r=2)
    settings = settings_for(older / "model", older / "data", lora=lora)
    with running_service(settings) as service:
        for name, text in facts["drafts"].items():
            assert drafted(service, name) == text
        until(lambda: httpx.get(f"{service.url}/readyz").json()["learner"] == "ready")
        for number in range(2):
            draft = service.draft(f"Parcel {number} is late.", user="ben")
            edit = {"draft_id": draft["id"], "text": f"Sorry, number {number} is on its way."}
            assert service.post("edits", edit)["will_learn"] is True
        until(lambda: service.get("users/ben")["serving"] == 4)
        assert drafted(service, "ben") != facts["drafts"]["ben"]
        service.post("users/ben/adapters/rollback", {"to": 3})
        assert drafted(service, "ben") == facts["drafts"]["ben"]
    database = Database.open(None, older / "data")
    with database.read() as db:
        for folder in lineages.known_folders(db):
            assert database.versions.at(folder).parent == older / "data" / "versions"
            assert database.versions.at(folder).is_dir()
    database.close()
