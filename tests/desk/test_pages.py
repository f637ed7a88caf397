"""The other pages; and on every page: how it is read, and where its files come from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from writing_desk import Desk

from running_service import RunningService, until

OpenDesk = Callable[..., Desk]
expect: Any = pytest.importorskip("playwright.sync_api").expect

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATHS = ["/", "/welcome", "/learning", "/data"]


@pytest.fixture(scope="module")
def learned(service: RunningService) -> str:
    """A user with drafts, edits and two versions."""
    user = "learned"
    service.draft(user=user)
    service.put(f"users/{user}/consent", {"learn": True})
    for number in range(4):
        draft = service.draft(f"Parcel {number} is late.", user=user)
        text = draft["choices"][0]["message"]["content"]
        sent = text if number == 2 else f"Dear customer, parcel {number} comes soon."
        service.post("edits", {"draft_id": draft["id"], "text": sent})
        if number == 1:
            until(lambda: service.get(f"users/{user}")["serving"] == 1)
    service.post("learn", {"user": user})
    until(lambda: service.get(f"users/{user}")["serving"] == 2)
    return user


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_serious(
    service: RunningService, open_desk: OpenDesk, learned: str, path: str, scheme: str
) -> None:
    desk = open_desk(service, learned, color_scheme=scheme, bypass_csp=True)
    if path == "/":
        desk.draft()
        desk.write("Dear customer, it comes on Friday.")
        desk.another_draft()
        desk.button("Draft 1").click()
        desk.page.get_by_role("list", name="Changes").wait_for()
    else:
        desk.open(path)
        desk.page.wait_for_load_state("load")
        desk.page.wait_for_timeout(700)
    if path == "/data":
        desk.page.locator(".records > details > summary").first.click()
    assert serious(desk) == []
    assert desk.errors == []


def test_axe_finds_nothing_serious_before_signing_in(
    service: RunningService, browser: Callable[..., Any]
) -> None:
    page = browser(bypass_csp=True).new_page()
    page.goto(service.url)
    page.get_by_role("heading", name="Sign in").wait_for()
    assert serious(Desk(page, service, "nobody")) == []


def serious(desk: Desk) -> list[str]:
    if not AXE.exists():
        pytest.skip("axe-core is not installed; `npm ci` in web/ brings it")
    desk.page.add_script_tag(path=AXE)
    found = desk.page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {[node['html'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("path", PATHS)
def test_a_narrow_window_needs_no_scrolling_to_the_side(
    service: RunningService, open_desk: OpenDesk, learned: str, path: str
) -> None:
    desk = open_desk(service, learned)
    desk.page.set_viewport_size({"width": 320, "height": 640})
    if path == "/":
        desk.draft("The parcel is late. " * 20)
    else:
        desk.open(path)
        desk.page.wait_for_timeout(500)
    wide = desk.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 320


def test_nothing_comes_from_any_other_host_and_the_policy_is_kept(
    service: RunningService, open_desk: OpenDesk, learned: str
) -> None:
    desk = open_desk(service, learned)
    broken: list[str] = []
    desk.page.on("console", lambda said: broken.append(said.text) if said.type == "error" else None)
    for path in PATHS:
        desk.open(path)
        desk.page.wait_for_timeout(500)
    desk.open("/")
    desk.draft()
    desk.write("Marked <b>live</b>.")
    desk.page.wait_for_timeout(500)
    background = desk.page.locator(".cm-changedText").first.evaluate(
        "mark => getComputedStyle(mark).backgroundColor"
    )
    assert background != "rgba(0, 0, 0, 0)"
    hosts = {urlsplit(url).netloc for url in desk.requests if not url.startswith("data:")}
    assert hosts == {urlsplit(service.url).netloc}
    assert broken == []


def test_signing_in_goes_on_by_itself(service: RunningService, browser: Callable[..., Any]) -> None:
    context = browser()
    page = context.new_page()
    page.goto(f"{service.url}/learning")
    expect(page.get_by_text("corll link")).to_be_visible()
    other = Desk(context.new_page(), service, "comes in")
    other.follow(other.link())
    other.page.close()
    expect(page.get_by_role("heading", name="Learning")).to_be_visible()


def test_past_texts_make_a_first_version(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "imports", learn=False)
    desk.open("/welcome")
    page = desk.page
    page.get_by_label("What you were answering").fill("The kettle is broken.")
    page.get_by_label("What you sent").fill("Hello, a new kettle is on its way.")
    page.reload()
    expect(page.get_by_label("What you sent")).to_have_value("Hello, a new kettle is on its way.")
    desk.button("Add this text").click()
    rows = io.StringIO()
    table = csv.writer(rows, delimiter=";")
    table.writerow(["Prompt", "sent", "other"])
    table.writerows(
        [f"Parcel {n} is late;\nhelp", f'Hello, "parcel" {n} comes.', ""] for n in range(12)
    )
    page.get_by_label("Or a file of them").set_input_files(
        {"name": "past.csv", "mimeType": "text/csv", "buffer": rows.getvalue().encode()}
    )
    expect(page.get_by_text("13 texts ready:")).to_be_visible()
    expect(desk.button("Learn from these")).to_be_disabled()
    page.get_by_role("switch", name="Learn from my edits").click()
    desk.button("Learn from these").click()
    done = page.get_by_text("texts that it never saw")
    expect(done).to_be_visible()
    expect(page.locator(".progress")).to_contain_text("9 texts of 13 taught the model")
    desk.button("Draft both").click()
    columns = page.locator(".side-by-side section")
    expect(columns).to_have_count(3)
    expect(columns.nth(1).locator("p")).not_to_be_empty()
    expect(columns.nth(2)).to_contain_text("a new kettle is on its way")
    page.reload()
    expect(done).to_be_visible()
    desk.button("Let the server forget these texts…").click()
    dialog = page.get_by_role("dialog", name="Delete this import?")
    expect(dialog).to_contain_text("13 imported texts")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(desk.said).to_contain_text("Deleted.")
    expect(done).to_be_hidden()


def test_a_file_that_is_no_such_file_is_explained(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "wrong file", learn=False)
    desk.open("/welcome")
    for name, content, said in [
        (
            "a.jsonl",
            b'{"prompt": "a", "sent": "b"}\n{"prompt": "a"}\n',
            "Line 2: “sent” is missing",
        ),
        ("a.jsonl", b"hello", "Line 1 is no JSON object."),
        ("a.csv", b"one,two\n1,2\n", "columns “prompt” and “sent”"),
        ("a.jsonl.gz", b"hello", "The file is not gzip"),
        ("a.mbox", b"From me", "corll import"),
    ]:
        file = {"name": name, "mimeType": "text/plain", "buffer": content}
        desk.page.get_by_label("Or a file of them").set_input_files(file)
        expect(desk.said).to_contain_text(said)


def test_learning_shows_curves_versions_and_the_way_back(
    service: RunningService, open_desk: OpenDesk, learned: str
) -> None:
    desk = open_desk(service, learned)
    desk.open("/learning")
    page = desk.page
    expect(page.get_by_role("img", name="Edit cost of each draft")).to_be_visible()
    expect(page.get_by_role("img", name="Share of drafts sent as they were")).to_be_visible()
    expect(page.get_by_role("img", name="Margin of each version")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("4 drafts answered, 25 % sent as they were.")
    expect(page.locator(".figures")).to_contain_text("Drafts of your versions")
    page.get_by_label("One", exact=True).select_option(label="Version 1")
    expect(page.get_by_label("Other", exact=True)).to_have_value(f"{learned}@2")
    desk.button("Draft both").click()
    for column in page.locator(".side-by-side section p").all():
        expect(column).not_to_be_empty()
    desk.button("Go back to version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back", exact=True).click()
    expect(page.locator(".time-line .serving")).to_contain_text("Version 1")
    assert service.get(f"users/{learned}")["serving"] == 1
    desk.button("Go back to version 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back", exact=True).click()
    expect(page.locator(".time-line .serving")).to_contain_text("Version 2")


def test_curves_grow_while_a_client_edits(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "simulated writer", learn=False)
    desk.open("/learning")
    expect(desk.page.locator("header")).to_contain_text("Simulated writer")
    for number in range(2):
        draft = service.draft(user="simulated writer")
        service.post("edits", {"draft_id": draft["id"], "text": "Hello."})
        figures = desk.page.locator(".figures")
        expect(figures).to_contain_text(f"{number + 1} draft")


def test_all_that_is_kept_can_be_searched_and_taken_along(
    service: RunningService, open_desk: OpenDesk, learned: str
) -> None:
    desk = open_desk(service, learned)
    desk.open("/data")
    page = desk.page
    page.get_by_role("searchbox").fill("PARCEL 3 COMES")
    records = page.locator(".records > details")
    expect(records).to_have_count(1)
    records.locator("summary").first.click()
    expect(records).to_contain_text("Parcel 3 is late.")
    records.locator("details summary").first.click()
    expect(records.locator("ins").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Everything that is kept of you").click()
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert lines[0]["record"] == "user"
    texts = [line["text"].lstrip() for line in lines if line.get("text")]
    assert "Dear customer, parcel 3 comes soon." in texts


def test_of_a_framed_prompt_what_the_user_wrote_is_shown_and_the_whole_is_a_click_away(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "framed", learn=False)
    desk.hint.fill("yes, two")
    desk.sign_as.fill("Anna")
    desk.draft("Is the red one in stock?")
    service.draft("I received this message: word for word.", user="framed")
    desk.open("/data")
    records = desk.page.locator(".records > details")
    expect(records).to_have_count(2)
    bare, framed = records.all()
    expect(bare.locator("summary").first).to_contain_text("I received this message: word for word")
    expect(bare.locator("details")).to_have_count(0)
    expect(framed.locator("summary").first).to_contain_text("Is the red one in stock?")
    framed.locator("summary").first.click()
    expect(framed.get_by_text("To say: yes, two")).to_be_visible()
    expect(framed.get_by_text("Signed as: Anna")).to_be_visible()
    whole = framed.get_by_text("Anna received this message")
    expect(whole).to_be_hidden()
    framed.get_by_text("What the model was told").click()
    expect(whole).to_be_visible()
    assert desk.errors == []


def test_letters_can_be_kept_from_requests_pinned_and_forgotten(
    service: RunningService, open_desk: OpenDesk
) -> None:
    user = "remembers"
    service.put(f"users/{user}/consent", {"store": True, "learn": True})
    for number in range(2):
        draft = service.draft(f"Parcel {number} is late.", user=user)
        body = {"draft_id": draft["id"], "text": f"Dear customer, parcel {number} comes soon."}
        service.post("edits", body)
    desk = open_desk(service, user)
    desk.open("/data")
    letters = desk.page.get_by_role("listitem").filter(has_text="comes soon")
    expect(letters).to_have_count(2)
    newest = letters.filter(has_text="parcel 1")
    newest.get_by_role("button", name="Never").click()
    newest.get_by_role("button", name="Never: undo").click()
    newest.get_by_role("button", name="Always").click()
    expect(newest.get_by_role("button", name="Always: undo")).to_be_visible()
    marks = {one["text"]: one["mark"] for one in service.get(f"users/{user}/memory")["data"]}
    assert list(marks.values()) == ["pinned", None]
    desk.page.get_by_role("button", name="Forget all until now").click()
    expect(desk.page.get_by_text("None yet. A text that you copied")).to_be_visible()
    assert service.get(f"users/{user}/memory")["data"] == []
    assert desk.errors == []


def test_consent_is_given_and_withdrawn(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "decides", learn=False)
    desk.draft()
    expect(desk.quiet_line).to_contain_text("Learning is switched off.")
    desk.button("Learn from my edits").click()
    expect(desk.quiet_line).to_contain_text("2 edits until the next step.")
    desk.open("/data")
    store = desk.page.get_by_role("switch", name="Keep my drafts and edits")
    expect(store).to_be_checked()
    expect(desk.page.get_by_role("switch", name="Learn from my edits")).to_be_checked()
    store.click()
    expect(desk.page.get_by_text("edits are not taken.")).to_be_visible()
    desk.page.get_by_label("Drafts held back").fill("20")
    until(lambda: service.get("users/decides")["holdback"] == 0.2)
    drafter = desk.page.get_by_label("Who drafts")
    expect(drafter).to_have_value("both")
    drafter.select_option("Whoever saves you most")
    until(lambda: service.get("users/decides")["arm"] == "auto")
    expect(desk.page.get_by_text("what your edits cost decides")).to_be_visible()
    desk.open("/")
    desk.prompt.wait_for()
    desk.another_draft()
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Your texts are not kept, so it teaches nothing.")
    assert [row["edits"] for row in service.get("users/decides/drafts")["data"]] == [[]]


def test_signing_out(service: RunningService, open_desk: OpenDesk) -> None:
    desk = open_desk(service, "leaves", learn=False)
    desk.button("Sign out").click()
    expect(desk.page.get_by_role("heading", name="Sign in")).to_be_visible()
    desk.page.goto(f"{service.url}/data")
    expect(desk.page.get_by_role("heading", name="Sign in")).to_be_visible()
