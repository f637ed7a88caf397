"""The desk's main button: it copies, says whether that teaches, and can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from writing_desk import Desk

from corll.text import clean_edit
from running_service import RunningService, until

OpenDesk = Callable[..., Desk]
expect: Any = pytest.importorskip("playwright.sync_api").expect


def edits(service: RunningService, user: str) -> list[str]:
    drafts = service.get(f"users/{user}/drafts")["data"]
    return [edit["text"] for draft in drafts for edit in draft["edits"]]


def test_the_button_says_whether_the_text_teaches(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "reads")
    desk.draft()
    expect(desk.button("Copy and learn")).to_be_visible()
    desk.open("/data")
    learning = desk.page.get_by_label("Learn from my edits")
    expect(learning).to_be_checked()  # before the user is known it is not
    learning.uncheck()
    expect(desk.said).not_to_be_empty()
    desk.open("/")
    desk.drafted()
    expect(desk.button("Copy")).to_be_visible()
    expect(desk.button("Copy and learn")).to_be_hidden()
    desk.write("It comes on Friday.")
    desk.copy_button.click()
    expect(desk.note).to_contain_text("Learning is off, so it teaches nothing.")
    assert desk.copied() == "It comes on Friday."
    assert desk.errors == []


def test_what_was_copied_stays_in_sight_and_is_undone(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "hesitates")
    desk.draft()
    desk.write("It comes on Friday.")
    desk.button("Copy and learn").click()
    expect(desk.note).to_contain_text("Copied.")
    expect(desk.note).to_contain_text("Recorded. Edit cost")
    assert service.get("users/hesitates")["waiting"] == 1
    desk.prompt.fill("Something else")
    expect(desk.note).to_contain_text("Copied.")
    desk.page.evaluate("navigator.clipboard.writeText('other')")
    desk.note.get_by_role("button", name="Copy again").click()
    expect(desk.said).to_contain_text("Copied.")
    assert desk.copied() == "It comes on Friday."
    desk.button("Undo").click()
    expect(desk.said).to_contain_text("Undone: the text is back")
    expect(desk.note).to_be_hidden()
    assert desk.text() == "It comes on Friday."
    assert edits(service, "hesitates") == []
    assert service.get("users/hesitates")["waiting"] == 0
    desk.write("It comes on Monday.")
    desk.copy_button.click()
    expect(desk.note).to_contain_text("Recorded.")
    [draft] = service.get("users/hesitates/drafts")["data"]
    # An edit keeps the white space that its draft begins with.
    assert edits(service, "hesitates") == [
        clean_edit("It comes on Monday.", draft["choices"][0]["text"])
    ]
    assert desk.errors == []


def test_a_text_that_was_sent_is_found_again_clean_and_copied(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "looks back", learn=False)
    desk.draft()
    desk.write("Dear Ann,\n\nit comes on Friday.")
    desk.copy_button.click()
    expect(desk.note).to_contain_text("Recorded.")
    desk.page.evaluate("navigator.clipboard.writeText('other')")
    desk.open("/data")
    record = desk.page.locator(".records > details").first
    record.locator("summary").first.click()
    clean = record.locator("p.text", has_text="it comes on Friday.").first
    assert clean.evaluate("p => p.textContent") == "Dear Ann,\n\nit comes on Friday."
    record.get_by_role("button", name="Copy the text of").click()
    expect(desk.said).to_contain_text("Copied.")
    assert desk.copied() == "Dear Ann,\n\nit comes on Friday."
    record.get_by_text("What you changed").click()
    expect(record.locator("ins").first).to_be_visible()
    assert desk.errors == []


def test_what_is_typed_before_a_draft_is_kept_and_sent_as_ones_own(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "types first")
    desk.write("Sorry, it is on its way.")
    expect(desk.button("Copy")).to_be_visible()  # nothing is answered, so it teaches nothing
    expect(desk.page.get_by_text("6 words of your own.")).to_be_visible()
    desk.page.wait_for_timeout(600)
    desk.page.reload()
    until(lambda: desk.text() == "Sorry, it is on its way.")
    desk.prompt.fill("Where is my parcel?")
    desk.button("Draft").click()
    expect(desk.button("Draft 1")).to_be_visible()
    desk.drafted()
    desk.button("Your own").click()
    until(lambda: desk.text() == "Sorry, it is on its way.")
    desk.button("Copy and learn").click()
    expect(desk.note).to_contain_text("Copied. Your own text.")
    assert desk.copied() == "Sorry, it is on its way."
    jobs = until(lambda: service.get("users/types%20first/imports")["data"])
    assert [(job["total"], job["state"] != "failed") for job in jobs] == [(1, True)]
    desk.button("Undo").click()
    expect(desk.said).to_contain_text("Undone")
    assert desk.text() == "Sorry, it is on its way."
    assert service.get("users/types%20first/imports")["data"] == []
    assert desk.errors == []


def test_an_own_text_that_is_emptied_leaves_an_empty_sheet(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "changes mind", learn=False)
    desk.write("No.")
    expect(desk.button("New sheet")).to_be_visible()
    desk.editor.press("Control+a")
    desk.editor.press("Backspace")
    expect(desk.button("New sheet")).to_be_hidden()
    expect(desk.copy_button).to_be_hidden()
    desk.write("Yes.")
    desk.button("Copy").click()
    expect(desk.note).to_contain_text("It teaches nothing.")
    assert desk.errors == []


def test_a_used_link_is_a_page_or_the_desk_of_whoever_is_signed_in(
    service: RunningService, open_desk: OpenDesk, browser: Callable[..., Any]
) -> None:
    desk = open_desk(service, "clicks twice", learn=False)
    link = desk.link()
    desk.follow(link)
    desk.follow(link)
    expect(desk.said).to_contain_text("clicks twice is signed in here.")
    page = browser().new_page()
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("The link was used already")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.url == f"{service.url}/"


def test_a_link_at_a_host_that_is_not_ours_is_a_page_that_says_so(
    service: RunningService, open_desk: OpenDesk, browser: Callable[..., Any]
) -> None:
    link = open_desk(service, "elsewhere", learn=False).link()
    page = browser().new_page()
    page.goto(link.replace("127.0.0.1", "desk.localhost"))
    expect(page.get_by_role("heading", name="Not known by this address")).to_be_visible()
    assert page.url.endswith("/")
    page.goto(link)  # it was not used up
    expect(page.get_by_label("What are you answering?")).to_be_visible()


def test_a_link_that_is_not_tried_is_a_page_that_says_so(
    service: RunningService, browser: Callable[..., Any]
) -> None:
    page = browser().new_page()
    page.goto(f"{service.url}/?link=too-often")
    expect(page.get_by_role("alert")).to_contain_text("The link was not tried")
    assert page.url == f"{service.url}/"
