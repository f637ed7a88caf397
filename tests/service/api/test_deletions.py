"""Over HTTP: what is deleted is gone for good, by whom it may be, and its receipt stays."""

from __future__ import annotations

from typing import Any

import pytest
from data_folders import kept_bytes
from store_samples import new_version, register

from corll.service.store import accounts
from corll.service.store.database import Database
from corll.service.versions.verifying import verify_receipt
from running_service import RunningService


def person(service: RunningService, name: str) -> RunningService:
    """A user with a key of their own, who lets texts be kept and learned from."""
    key = service.post("keys", {"scope": "user", "user": name})["key"]
    service.put(f"users/{name}/consent", {"store": True, "learn": True})
    return service.with_key(key)


def edited(service: RunningService, text: str) -> tuple[str, str]:
    """The ids of a draft, and of its edit."""
    draft = service.draft()["id"]
    return draft, service.post("edits", {"draft_id": draft, "text": text})["id"]


def learned(store: Database, edit_id: str, user_id: str) -> Any:
    """A version that was taught an edit, with a folder."""

    def write(db: Any) -> Any:
        user = accounts.find_user(db, user_id)
        assert user is not None
        version = new_version(db, user)
        taught = db.exec_driver_sql(f"SELECT preference_id FROM edits WHERE id = '{edit_id}'")
        return register(db, version, taught.scalar_one())

    version = store.write(write)
    folder = store.versions.at(version.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter").write_text("weights")
    return version


def status(service: RunningService, method: str, path: str) -> int:
    return service.http.request(method, f"/v1/{path}").status_code


def test_an_edit_goes_with_what_saw_it_and_its_receipt_stays(
    service: RunningService, store: Database
) -> None:
    dora, emil = person(service, "dora"), person(service, "emil")
    user = dora.get("users/me")["id"]
    _, first = edited(dora, "A first text.")
    draft, edit = edited(dora, "A private text.")
    made = [learned(store, one, user) for one in (first, edit)]
    planned = dora.ask("DELETE", f"edits/{edit}?dry_run=true")
    assert (planned["deleted"], status(dora, "GET", f"edits/{edit}")) == (False, 200)
    assert dora.get("users/me")["serving"] == made[1].number
    answer = dora.ask("DELETE", f"edits/{edit}")
    receipt = answer["receipt"]
    assert (answer["id"], answer["object"], answer["deleted"]) == (edit, "edit", True)
    assert [one["number"] for one in receipt["erased"]] == [made[1].number]
    assert receipt["erased"] == planned["receipt"]["erased"]
    assert receipt["cleaned"]
    assert dora.get("users/me")["serving"] == made[0].number
    assert status(dora, "GET", f"edits/{edit}") == 404
    assert status(dora, "DELETE", f"edits/{edit}") == 404
    assert not store.versions.at(made[1].folder).exists()
    assert "private" not in dora.http.get("/v1/users/me/export").text
    assert dora.get("users/me/drafts")["data"][0]["id"] == draft
    kept = dora.get(f"deletions/{receipt['id']}")
    assert kept == receipt
    assert dora.get("users/me/deletions")["data"] == [kept]
    assert status(emil, "GET", f"deletions/{receipt['id']}") == 404
    with store.read() as db:
        row = accounts.find_user(db, user)
    assert row is not None
    [found] = {
        one.state
        for one in verify_receipt(store, _receipt(store, receipt["id"]))
        if "what was published" not in one.text
    }
    assert found == "holds"


def _receipt(store: Database, deletion_id: str) -> Any:
    from corll.service.store.deletions import find_deletion

    with store.read() as db:
        row = find_deletion(db, deletion_id)
    assert row is not None
    return row.to_receipt()


@pytest.mark.parametrize("what", ["edits", "drafts", "imports", "texts", "model", "user"])
def test_nobody_else_deletes_it(service: RunningService, what: str) -> None:
    owner, stranger = person(service, f"own-{what}"), person(service, f"other-{what}")
    backend = service.post("keys", {"scope": "backend", "namespace": f"shop-{what}"})
    shop = service.with_key(backend["key"])
    user = owner.get("users/me")["id"]
    draft, edit = edited(owner, "Mine.")
    job = owner.post("imports", {"items": [{"prompt": "Hi", "sent": "Hello"}]})["id"]
    path = {
        "edits": f"edits/{edit}",
        "drafts": f"drafts/{draft}",
        "imports": f"imports/{job}",
        "texts": f"users/{user}/texts",
        "model": f"users/{user}/model",
        "user": f"users/{user}",
    }[what]
    for one in (stranger, shop):
        assert status(one, "DELETE", path) == 404
        assert status(one, "DELETE", f"{path}?dry_run=true") == 404
    assert status(owner, "GET", f"edits/{edit}") == 200
    assert status(owner, "DELETE", path) == 200


def test_a_draft_goes_with_its_edits_whether_or_not_it_was_stored(
    service: RunningService,
) -> None:
    nora = person(service, "nora")
    draft, edit = edited(nora, "Private.")
    assert nora.ask("DELETE", f"drafts/{draft}")["receipt"]["counts"]["edits"] == 1
    assert status(nora, "GET", f"edits/{edit}") == 404
    body = {"draft_id": draft, "text": "Again."}
    assert nora.http.post("/v1/edits", json=body).status_code == 404
    unstored = nora.draft(store=False)["id"]
    assert status(nora, "DELETE", f"drafts/{unstored}") == 404
    body["draft_id"] = unstored
    assert nora.http.post("/v1/edits", json=body).status_code == 404


def test_a_user_is_gone_with_key_and_texts_and_the_receipt_is_an_admin_s(
    service: RunningService, store: Database
) -> None:
    gustav, hanna = person(service, "gustav-the-unique"), person(service, "hanna")
    user = gustav.get("users/me")["id"]
    edited(gustav, "A very private text.")
    edited(hanna, "Her own text.")
    before = hanna.http.get("/v1/users/me/export").text
    receipt = gustav.ask("DELETE", "users/me")["receipt"]
    assert receipt["cleaned"]
    assert gustav.http.get("/v1/users/me").status_code == 401
    assert status(service, "GET", f"users/{user}") == 404
    assert service.get(f"deletions/{receipt['id']}") == receipt
    assert hanna.http.get("/v1/users/me/export").text == before
    assert b"Her own text." in kept_bytes(store)
    assert b"very private" not in kept_bytes(store)
    assert b"gustav-the-unique" not in kept_bytes(store)


def test_all_texts_go_and_the_user_writes_on(service: RunningService) -> None:
    tilda = person(service, "tilda")
    edited(tilda, "Before.")
    receipt = tilda.ask("DELETE", "users/me/texts")["receipt"]
    assert receipt["counts"]["edits"] == 1
    assert tilda.get("users/me/drafts")["data"] == []
    _, edit = edited(tilda, "After.")
    assert tilda.get(f"edits/{edit}")["will_learn"]


def test_imports_are_listed_to_their_owner_until_they_are_deleted(
    service: RunningService,
) -> None:
    ida, jon = person(service, "ida"), person(service, "jon")
    items = [{"prompt": "Hi", "sent": "Hello"}]
    jobs = [ida.post("imports", {"items": items})["id"] for _ in range(3)]
    of_jon = jon.post("imports", {"items": items})["id"]

    def listed(one: RunningService, **page: Any) -> tuple[list[str], bool]:
        answer = one.ask("GET", "users/me/imports", params=page)
        return [job["id"] for job in answer["data"]], answer["has_more"]

    assert listed(ida) == (jobs[::-1], False)
    assert listed(ida, limit=3) == (jobs[::-1], False)
    assert listed(ida, limit=2) == (jobs[:0:-1], True)
    assert listed(ida, limit=2, before=jobs[1]) == (jobs[:1], False)
    ida.ask("DELETE", f"imports/{jobs[1]}")
    assert listed(ida) == ([jobs[2], jobs[0]], False)
    assert listed(jon) == ([of_jon], False)
    assert status(jon, "GET", f"users/{ida.get('users/me')['id']}/imports") == 404
