"""Deleting on the desk: what it undoes and what not is said first, and keys alone suffice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_pages import serious
from writing_desk import Desk

from running_service import RunningService, until

OpenDesk = Callable[..., Desk]
expect: Any = pytest.importorskip("playwright.sync_api").expect


def learned(service: RunningService, user: str) -> list[str]:
    """Edits of a user, and a version of each pair of them; the newest last."""
    service.draft(user=user)
    service.put(f"users/{user}/consent", {"store": True, "learn": True})
    edits = []
    for number in range(4):
        draft = service.draft(f"Parcel {number} is late.", user=user)
        body = {"draft_id": draft["id"], "text": f"Dear customer, parcel {number} comes soon."}
        edits.append(service.post("edits", body)["id"])
        if number % 2:
            serving = (number + 1) // 2
            until(lambda serving=serving: service.get(f"users/{user}")["serving"] == serving)
    return edits


def status(service: RunningService, path: str) -> int:
    return service.http.get(f"/v1/{path}").status_code


def test_an_edit_is_deleted_by_keys_alone_after_it_was_said_what_that_undoes(
    service: RunningService, open_desk: OpenDesk
) -> None:
    edits = learned(service, "deletes")
    desk = open_desk(service, "deletes", bypass_csp=True)
    desk.open("/data")
    page = desk.page
    record = page.locator(".records > details").filter(has_text="Parcel 2 is late.")
    record.locator("summary").first.click()
    opener = record.get_by_role("button", name="Delete the edit of")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete this edit?")
    expect(dialog).to_contain_text("Gone for good: 1 edit.")
    expect(dialog).to_contain_text("Version 2 learned from it and is erased, with no way back.")
    expect(dialog).to_contain_text("From then on version 1 drafts.")
    expect(dialog).to_contain_text("Afterwards the learner replays 1 edit, about")
    expect(dialog).to_contain_text("Backups, logs, exports")
    assert "Gone for good" in page.evaluate(
        "id => document.getElementById(id).textContent", dialog.get_attribute("aria-describedby")
    )
    assert serious(desk) == []
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    assert status(service, f"edits/{edits[2]}") == 200
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Gone for good: 1 edit.")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Delete for good")).to_be_focused()
    page.keyboard.press("Enter")
    expect(desk.said).to_contain_text("Deleted. Now version 1 drafts. 1 edit will be learned again")
    assert [status(service, f"edits/{one}") for one in edits] == [200, 200, 404, 200]
    expect(page.get_by_text("An edit, ")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Receipt of").click()
    assert '"kind":"edit"' in download.value.path().read_text().replace(" ", "")
    assert desk.errors == []


def test_imports_the_model_and_all_texts_are_deleted(
    service: RunningService, open_desk: OpenDesk
) -> None:
    user = "deletes much"
    edits = learned(service, user)
    items = [{"prompt": "Hi", "sent": "A secret hello."}]
    job = service.post("imports", {"items": items, "user": user})["id"]
    until(lambda: service.get(f"imports/{job}")["state"] in ("done", "failed"))
    desk = open_desk(service, user)
    desk.open("/data")
    page = desk.page

    def delete(button: str, title: str, says: str) -> None:
        page.get_by_role("button", name=button).click()
        dialog = page.get_by_role("dialog", name=title)
        expect(dialog).to_contain_text(says)
        dialog.get_by_role("button", name="Delete for good").click()
        expect(desk.said).to_contain_text("Deleted.")

    delete("Delete the import of 1 text", "Delete this import?", "1 imported text")
    expect(page.get_by_role("button", name="Delete the import of")).to_have_count(0)
    assert status(service, f"imports/{job}") == 404
    delete("Delete my model…", "Delete your model?", "Your texts stay.")
    until(lambda: service.get(f"users/{user}")["serving"] is None)
    assert status(service, f"edits/{edits[0]}") == 200
    delete("Delete all my texts…", "Delete all your texts?", "4 edits")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    kinds = [one["kind"] for one in service.get(f"users/{user}/deletions")["data"]]
    assert kinds == ["texts", "model", "import"]
    expect(page.get_by_text("All texts, ")).to_be_visible()
    assert desk.errors == []


def test_an_account_is_deleted_and_signs_its_user_out(
    service: RunningService, open_desk: OpenDesk
) -> None:
    service.draft(user="stays")
    desk = open_desk(service, "goes")
    desk.draft()
    desk.open("/data")
    desk.button("Delete my account…").click()
    dialog = desk.page.get_by_role("dialog", name="Delete your account?")
    expect(dialog).to_contain_text("you are signed out")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(desk.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [status(service, f"users/{name}") for name in ("goes", "stays")] == [404, 200]
