"""Nothing typed is ever lost: reloads, crashes, no server, sessions that end, two tabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from own_server import OwnServer
from writing_desk import Desk

from running_service import RunningService, until

OpenDesk = Callable[..., Desk]
playwright: Any = pytest.importorskip("playwright.sync_api")
expect, PlaywrightError = playwright.expect, playwright.Error


@pytest.fixture(scope="module")
def own_server(
    chromium: Any, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnServer]:
    server = OwnServer(tiny_model_folder, tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.kill()


def sent(service: Any, user: str) -> list[str]:
    """The texts of the user that the server has, newest first.

    An edit begins with the white space that its draft began with.
    """
    rows = service.get(f"users/{user}/drafts")["data"]
    return [edit["text"].lstrip() for row in rows for edit in row["edits"]]


def test_a_reload_in_mid_edit(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "reloads", learn=False)
    first = desk.draft()
    desk.another_draft()
    desk.write("Half a sent")
    desk.page.keyboard.type("ence")
    desk.page.reload()  # before the pause after which texts are kept
    desk.drafted()
    assert desk.text() == "Half a sentence"
    expect(desk.prompt).to_have_value("The parcel is late.")
    desk.button("Draft 1").click()
    assert desk.text() == first
    desk.button("Draft 2").click()
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Recorded.")
    assert sent(service, "reloads") == ["Half a sentence"]


def test_a_crash_of_the_tab(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "crashes", learn=False)
    desk.draft()
    desk.write("What stood there when it crashed")
    desk.page.wait_for_timeout(600)
    with desk.page.expect_event("crash"), suppress(PlaywrightError):
        desk.page.goto("chrome://crash")  # never arrives
    other = desk.tab()
    other.drafted()
    assert other.text() == "What stood there when it crashed"


def test_the_server_is_killed_in_mid_stream_and_comes_back(
    own_server: OwnServer, open_desk: OpenDesk
) -> None:
    desk = open_desk(own_server, "killed", learn=False)
    desk.prompt.fill("The parcel is late.")
    desk.button("Draft").click()
    stop_in_mid_stream(desk, own_server)
    own_server.kill()
    expect(desk.said).to_contain_text("What came of the draft is kept.")
    expect(desk.page.locator(".banner")).to_contain_text("The server does not answer.")
    came = desk.drafted()
    assert came
    desk.editor.press("Control+End")
    desk.page.keyboard.type(" And my own end.")
    own_server.start()
    expect(desk.page.locator(".banner")).to_be_hidden()
    assert desk.text() == came + " And my own end."
    desk.another_draft()
    desk.write("Sent after all.")
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Recorded.")
    assert sent(own_server, "killed") == ["Sent after all."]
    assert desk.errors == []


SOME_HAS_COME = """() => {
    const stop = [...document.querySelectorAll("button")].find(one => one.textContent === "Stop");
    return stop.hidden || document.querySelector(".cm-content").textContent.length > 5;
}"""


def stop_in_mid_stream(desk: Desk, server: OwnServer) -> None:
    """Pauses the server once a part of a draft has come; the tiny model may end one early."""
    for _ in range(8):
        desk.page.wait_for_function(SOME_HAS_COME, polling=5)
        server.pause()
        desk.page.wait_for_timeout(300)
        if desk.button("Stop").is_visible():
            return
        server.go_on()
        desk.button("Another draft").click()
    raise AssertionError("no draft was long enough")


def test_a_draft_that_was_stopped_is_the_users_to_end(
    own_server: OwnServer, open_desk: OpenDesk
) -> None:
    desk = open_desk(own_server, "stops", learn=False)
    desk.prompt.fill("The parcel is late.")
    desk.button("Draft").click()
    stop_in_mid_stream(desk, own_server)
    desk.button("Stop").click()
    expect(desk.said).to_contain_text("Stopped. What came of the draft is kept.")
    desk.write("My own words.")
    desk.copy_button.click()
    own_server.go_on()
    expect(desk.said).to_contain_text("Recorded.")
    assert sent(own_server, "stops") == ["My own words."]


def test_what_the_server_cannot_take_is_kept_in_the_browser(
    own_server: OwnServer, open_desk: OpenDesk
) -> None:
    desk = open_desk(own_server, "broken off", learn=False)
    desk.prompt.fill("The parcel is late.")
    desk.button("Draft").click()
    stop_in_mid_stream(desk, own_server)
    own_server.kill()  # and with it a draft that no store has seen
    desk.drafted()
    desk.write("Of a draft that is gone.")
    desk.copy_button.click()
    own_server.start()
    expect(desk.said).to_contain_text("The server did not take the edit")
    desk.open("/data")
    kept = desk.page.locator(".kept li")
    expect(kept).to_contain_text("Of a draft that is gone.")
    desk.button("Copy").click()
    assert desk.copied() == "Of a draft that is gone."
    desk.button("Throw away").click()
    expect(kept).to_have_count(0)


def test_sheets_that_were_put_aside_come_back(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "puts aside", learn=False)
    desk.draft("The first matter")
    desk.write("The first text")
    desk.button("New sheet").click()
    expect(desk.prompt).to_have_value("")
    desk.draft("The second matter")
    desk.open("/data")
    first = desk.page.locator(".kept li", has_text="The first text")
    first.get_by_role("button", name="To the desk").click()
    desk.drafted()
    assert desk.text() == "The first text"
    desk.copy_button.click()
    desk.button("Undo").click()
    desk.drafted()
    assert desk.text() == "The first text"


def test_what_is_sent_while_the_server_is_away_arrives_later(
    own_server: OwnServer, open_desk: OpenDesk
) -> None:
    desk = open_desk(own_server, "patient", learn=False)
    desk.draft()
    own_server.kill()
    desk.write("Sent into the void.")
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Copied.")
    expect(desk.page.locator(".waiting-line")).to_contain_text("An edit waits in this browser")
    assert desk.copied() == "Sent into the void."
    own_server.start()
    expect(desk.said).to_contain_text("Recorded.")
    expect(desk.page.locator(".waiting-line")).to_be_empty()
    assert sent(own_server, "patient") == ["Sent into the void."]
    assert not any("unsent" in key for key in desk.kept())


def test_a_session_that_ends_while_its_user_writes(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "expired", learn=False)
    desk.draft()
    end_session(desk)
    desk.write("Written after the end.")
    desk.copy_button.click()
    expect(desk.page.locator(".banner")).to_contain_text("Your session has ended.")
    desk.prompt.fill("The next one")
    link = desk.link()
    other = Desk(desk.page.context.new_page(), service, "expired")
    other.follow(link)
    other.page.close()
    until(lambda: sent(service, "expired") == ["Written after the end."])
    expect(desk.page.locator(".banner")).to_be_hidden()
    expect(desk.prompt).to_have_value("The next one")


def end_session(desk: Desk) -> None:
    desk.page.evaluate(
        """async () => {
            const { csrf } = await (await fetch("/v1/session")).json();
            const headers = { "x-corll-csrf": csrf };
            await fetch("/v1/session/end", { method: "POST", headers });
        }"""
    )


def test_two_tabs_on_one_draft_keep_a_text_each(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "twice", learn=False)
    desk.draft()
    desk.write("The first tab's text.")
    desk.page.wait_for_timeout(600)
    with desk.page.context.expect_page() as opened:
        desk.page.evaluate("void window.open('/')")  # like "duplicate": with the tab's own storage
    other = Desk(opened.value, service, "twice")
    other.drafted()
    assert other.text() == "The first tab's text."
    other.write("The second tab's text.")
    desk.editor.press("Control+End")
    desk.page.keyboard.type(" And more.")
    for tab in (desk, other):
        tab.page.reload()
        tab.drafted()
    assert desk.text() == "The first tab's text. And more."
    assert other.text() == "The second tab's text."


def test_another_user_of_the_same_browser_sees_nothing(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "first user", learn=False)
    desk.draft("A secret of the first user")
    desk.write("A secret text of the first user")
    desk.page.wait_for_timeout(600)
    other = Desk(desk.page.context.new_page(), service, "second user")
    other.follow(other.link())
    expect(other.prompt).to_have_value("")
    for path in ("/data", "/learning", "/welcome", "/"):
        other.open(path)
        other.page.wait_for_timeout(500)
        assert "first user" not in other.page.locator("body").inner_text()
    desk.copy_button.click()
    expect(desk.page.locator(".banner")).to_contain_text("Somebody else has signed in")
    assert sent(service, "first user") == []
    assert sent(service, "second user") == []
    desk.follow(desk.link())
    until(lambda: sent(service, "first user") == ["A secret text of the first user"])


def test_an_edit_with_a_control_token_is_refused_brought_back_and_mended(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "pastes")
    desk.draft()
    desk.write("Dear customer, it comes soon.<|end|>")
    desk.copy_button.click()
    expect(desk.said).to_contain_text("did not take the edit: The edit contains '<|end|>'")
    expect(desk.said).to_contain_text("“Undo”")
    other = desk.tab()
    other.open("/data")
    expect(other.page.get_by_text("Not taken: The edit contains")).to_be_visible()
    desk.button("Undo").click()
    desk.write("Dear customer, it comes soon.")
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Recorded.")
    other.page.reload()
    expect(other.page.get_by_text("Nothing: what was recorded is on the server.")).to_be_visible()
    (draft,) = service.get("users/pastes/drafts")["data"]
    assert [edit["text"].strip() for edit in draft["edits"]] == ["Dear customer, it comes soon."]
    assert desk.errors == []
