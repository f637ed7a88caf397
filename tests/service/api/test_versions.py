"""Over HTTP: weights are pruned, imports are deleted, and the export gives all that is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from store_samples import NOW, edit, kept_draft, new_version, register

from corll.service.api import exports
from corll.service.store import accounts, imports
from corll.service.store.database import Database
from running_service import RunningService


def add_user(service: RunningService, name: str) -> dict[str, Any]:
    service.draft(user=name)
    return service.put(f"users/{name}/consent", {"store": True, "learn": True})


def versions_made(store: Database, user_id: str, folder: Path, count: int) -> None:
    """Versions 1 … count that serve one after the other, each with a folder."""
    with store.read() as db:
        user = accounts.find_user(db, user_id)
    assert user is not None
    for number in range(1, count + 1):
        own = folder / f"{user.name}-{number}"
        own.mkdir(parents=True)
        store.write(lambda db, own=own: register(db, new_version(db, user, folder=str(own))))


def exported(service: RunningService, user: str) -> dict[str, list[dict[str, Any]]]:
    """The records of the export, by their kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in service.http.get(f"/v1/users/{user}/export").text.splitlines():
        row = json.loads(line)
        found.setdefault(row.pop("record"), []).append(row)
    return found


def test_pruning_removes_weights_and_is_in_the_audit_log(
    service: RunningService, store: Database, tmp_path: Path
) -> None:
    user = add_user(service, "pia")
    versions_made(store, user["id"], tmp_path, 6)
    answer = service.post("users/pia/adapters/prune", {})
    assert answer == {"object": "prune", "removed": [1, 2]}
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"pia-{n}" for n in (3, 4, 5, 6)]
    listed = service.get("users/pia/adapters")["data"]
    assert [version["number"] for version in listed if not version["kept"]] == [1, 2]
    refused = service.http.post("/v1/users/pia/adapters/rollback", json={"to": 1})
    assert refused.status_code == 400
    assert "pruned" in refused.json()["error"]["message"]
    assert service.post("users/pia/adapters/prune", {})["removed"] == []
    entries = [row for row in exported(service, "pia")["audit"] if row["action"] == "prune"]
    assert [entry["details"] for entry in entries] == [{"versions": [1, 2], "optimizers": []}]
    assert entries[0]["actor"].startswith("key_")


def test_only_who_may_see_a_user_prunes(service: RunningService) -> None:
    add_user(service, "pat")
    other = service.with_key(service.post("keys", {"scope": "user", "user": "eve"})["key"])
    assert other.http.post("/v1/users/pat/adapters/prune", json={}).status_code == 404


def add_import(service: RunningService, user: str, *texts: str) -> dict[str, Any]:
    items = [{"prompt": "Is it in stock?", "sent": sent} for sent in texts]
    return service.post("imports", {"items": items, "user": user})


def test_an_import_that_was_deleted_is_gone(service: RunningService) -> None:
    add_user(service, "ida")
    row = add_import(service, "ida", "It is, and this is private.", "It is not.")
    assert service.get(f"imports/{row['id']}")["state"] == "waiting"
    answer = service.ask("DELETE", f"imports/{row['id']}")
    assert (answer["id"], answer["object"], answer["deleted"]) == (row["id"], "import", True)
    for method in ("GET", "DELETE"):
        again = service.http.request(method, f"/v1/imports/{row['id']}")
        assert again.status_code == 404
    found = exported(service, "ida")
    assert "private" not in json.dumps(found)
    assert not {"import", "import_item"} & set(found)
    actions = [entry["action"] for entry in found["audit"]]
    assert actions[:2] == ["import deleted", "import"]


def test_nobody_else_deletes_an_import(service: RunningService) -> None:
    add_user(service, "ina")
    row = add_import(service, "ina", "It is.")
    other = service.with_key(service.post("keys", {"scope": "user", "user": "eve"})["key"])
    assert other.http.delete(f"/v1/imports/{row['id']}").status_code == 404
    assert service.get(f"imports/{row['id']}")["state"] == "waiting"


def test_the_export_gives_all_of_it(
    service: RunningService, store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_PAGE", 2)
    user = add_user(service, "uma")
    versions_made(store, user["id"], tmp_path, 2)
    rows = [add_import(service, "uma", *(f"Sent {n}" for n in range(5))) for _ in range(3)]
    with store.read() as db:
        owner = accounts.find_user(db, user["id"])
    assert owner is not None
    for number in range(5):
        store.write(lambda db, n=number: edit(db, kept_draft(db, owner), f"Edit {n}"))
    for _ in range(3):
        service.put("users/uma/consent", {"share": False})
    found = exported(service, "uma")
    assert [row["id"] for row in found["import"]] == [row["id"] for row in reversed(rows)]
    assert [(item["import_id"], item["sent"]) for item in found["import_item"]] == [
        (row["id"], f"Sent {n}") for row in reversed(rows) for n in range(5)
    ]
    [lineage] = found["lineage"]
    assert lineage["reference"] == {"number": 2, "kind": "base", "name": "tiny"}
    first, second = found["version"]
    assert (second["parent_id"], second["lineage_id"]) == (first["id"], lineage["id"])
    assert {"reference_id", "state", "reasons"} <= set(second)
    assert (len(found["edit"]), len(found["preference"]), len(found["draft"])) == (5, 5, 6)
    actions = [entry["action"] for entry in found["audit"]]
    assert actions == ["consent"] * 3 + ["import"] * 3 + ["consent"]


def test_the_audit_log_of_a_long_life_is_exported_whole(
    service: RunningService, store: Database
) -> None:
    user = add_user(service, "old")

    def live(db: Any) -> None:
        for number in range(10_050):
            details = {"n": number}
            accounts.audit(
                db, actor="a", action="note", subject=user["id"], details=details, now=NOW
            )

    store.write(live)
    assert len(exported(service, "old")["audit"]) == 10_051


def test_lists_of_imports_leave_out_what_was_deleted(
    service: RunningService, store: Database
) -> None:
    user = add_user(service, "lea")
    kept, gone = (add_import(service, "lea", "It is.") for _ in range(2))
    service.ask("DELETE", f"imports/{gone['id']}")
    with store.read() as db:
        listed = imports.imports_of(db, user["id"], limit=9)
    assert [row.id for row in listed] == [kept["id"]]
