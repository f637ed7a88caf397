"""What the desk asks for: a frame, a hint and a name, and what follows a draft that was cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from writing_desk import Desk

from corll.frames import FRAMES, FRAMES_WITHOUT_NAME, Framing
from running_service import RunningService, running_service, settings_for, until

OpenDesk = Callable[..., Desk]
expect: Any = pytest.importorskip("playwright.sync_api").expect
PROMPT = "The parcel is late."


def stored(service: RunningService, user: str) -> list[dict[str, Any]]:
    """The user's drafts, newest first."""
    drafts: list[dict[str, Any]] = service.get(f"users/{user}/drafts")["data"]
    return drafts


def asked(service: RunningService, user: str) -> str:
    """What the newest draft was drafted for."""
    (message,) = stored(service, user)[0]["prompt"]
    return str(message["content"])


def test_a_message_is_answered_as_the_user_with_a_hint_and_their_name(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "asks", learn=False)
    desk.hint.fill(" yes,  Fri ")
    desk.sign_as.fill("Anna")
    desk.draft()
    assert asked(service, "asks") == Framing("reply", "yes, Fri", "Anna").around(PROMPT)
    expect(desk.button("Draft")).to_be_hidden()
    desk.hint.fill("no")
    expect(desk.button("Draft")).to_be_visible()
    desk.frame.select_option("What I want written")
    desk.hint.press("Enter")
    expect(desk.button("Draft 2")).to_be_visible()
    desk.drafted()
    assert asked(service, "asks") == Framing("write", "no", "Anna").around(PROMPT)
    assert desk.errors == []


def test_the_frame_and_the_name_are_remembered_and_the_hint_with_its_sheet(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "remembers", learn=False)
    expect(desk.frame).to_have_value("reply")
    desk.frame.select_option("What I want written")
    desk.sign_as.fill("Anna")
    desk.prompt.fill(PROMPT)
    desk.hint.fill("three lines")
    desk.page.reload()
    expect(desk.prompt).to_have_value(PROMPT)
    expect(desk.frame).to_have_value("write")
    expect(desk.sign_as).to_have_value("Anna")
    expect(desk.hint).to_have_value("three lines")
    desk.button("New sheet").click()
    expect(desk.hint).to_have_value("")
    expect(desk.sign_as).to_have_value("Anna")


def test_without_a_frame_the_prompt_goes_word_for_word(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "bare", learn=False)
    desk.hint.fill("yes")
    desk.frame.select_option("The whole prompt, word for word")
    expect(desk.hint).to_be_hidden()
    desk.draft()
    assert asked(service, "bare") == PROMPT


def test_the_frames_words_can_be_the_users_own(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "rewords", learn=False)
    desk.page.get_by_text("What the model is told").click()
    words = desk.page.get_by_label("Around the message")
    expect(words).to_have_value(FRAMES_WITHOUT_NAME["reply"])
    words.fill("Answer {message} with {hint} as {name}")
    desk.hint.fill("yes")
    desk.sign_as.fill("Anna")
    desk.draft()
    assert asked(service, "rewords") == f"Answer {PROMPT} with yes as Anna"
    words.fill("Answer.")
    desk.button("Draft").click()
    expect(desk.said).to_contain_text("no place for the message")
    desk.button("Take the usual words").click()
    expect(words).to_have_value(FRAMES["reply"])
    desk.button("Draft").click()
    expect(desk.button("Draft 2")).to_be_visible()
    desk.drafted()
    assert asked(service, "rewords") == Framing("reply", "yes", "Anna").around(PROMPT)


def test_the_usual_words_are_those_for_a_name_or_for_none(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "names", learn=False)
    desk.page.get_by_text("What the model is told").click()
    words = desk.page.get_by_label("Around the message")
    for frame in FRAMES:
        desk.frame.select_option(frame)
        for name, usual in (
            ("Anna", FRAMES),
            (" ", FRAMES_WITHOUT_NAME),
            ("", FRAMES_WITHOUT_NAME),
        ):
            desk.sign_as.fill(name)
            expect(words).to_have_value(usual[frame])


def test_nobody_types_before_the_usual_words_are_there(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "early", learn=False)
    held: list[Any] = []
    desk.page.route("**/v1/frames", lambda route: held.append(route))
    desk.page.get_by_text("What the model is told").click()
    words = desk.page.get_by_label("Around the message")
    expect(words).to_be_visible()
    expect(words).not_to_be_editable()
    until(lambda: desk.page.wait_for_timeout(20) or held)
    held.pop().continue_()
    expect(words).to_have_value(FRAMES_WITHOUT_NAME["reply"])
    expect(words).to_be_editable()


def test_the_words_can_be_told_where_the_usual_ones_cannot_be_read(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "blind", learn=False)
    desk.page.route("**/v1/frames", lambda route: route.abort())
    desk.page.get_by_text("What the model is told").click()
    expect(desk.page.get_by_label("Around the message")).to_be_editable()


def test_own_words_with_a_name_that_is_missing_are_not_left_out_in_silence(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "nameless", learn=False)
    desk.page.get_by_text("What the model is told").click()
    words = desk.page.get_by_label("Around the message")
    desk.sign_as.fill("Anna")
    own = FRAMES["reply"] + "\nBe brief."
    words.fill(own)
    left_out = desk.page.get_by_text("without a name these are left out")
    expect(left_out).to_be_hidden()
    desk.sign_as.fill("")
    lines = sum("{name}" in line for line in own.splitlines())
    expect(left_out).to_contain_text(f"have {lines} lines with {{name}}")
    expect(words).to_have_value(own)
    desk.page.reload()
    expect(left_out).to_be_visible()
    desk.page.get_by_text("What the model is told").click()
    words.fill("Answer {message}.\nSign as {name}.")
    expect(left_out).to_contain_text("have a line with {name}")
    desk.button("Take the usual words").click()
    expect(left_out).to_be_hidden()
    expect(words).to_have_value(FRAMES_WITHOUT_NAME["reply"])
    desk.draft()
    assert asked(service, "nameless") == Framing("reply").around(PROMPT)
    assert desk.errors == []


def bodies(desk: Desk, path: str) -> list[dict[str, Any]]:
    """What the page sends there from now on."""
    sent: list[dict[str, Any]] = []

    def note(request: Any) -> None:
        if request.method == "POST" and request.url.endswith(path):
            sent.append(json.loads(request.post_data))

    desk.page.on("request", note)
    return sent


def test_two_versions_are_compared_as_the_latest_draft_was_asked_for(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "compares", learn=False)
    desk.hint.fill("yes, Fri")
    desk.sign_as.fill("Anna")
    desk.draft()
    desk.open("/learning")
    expect(desk.page.get_by_label("Prompt")).to_have_value(PROMPT)
    expect(desk.hint).to_have_value("yes, Fri")
    sent = bodies(desk, "/v1/chat/completions")
    desk.button("Draft both").click()
    expect(desk.said).to_contain_text("Both drafts are there.")
    assert len(sent) == 2
    for body in sent:
        assert body["messages"] == [{"role": "user", "content": PROMPT}]
        assert (body["frame"], body["hint"], body["sign_as"]) == ("reply", "yes, Fri", "Anna")
    desk.frame.select_option("The whole prompt, word for word")
    desk.button("Draft both").click()
    until(lambda: len(sent) == 4 or desk.page.wait_for_timeout(50))
    assert "frame" not in sent[-1]
    desk.open("/")
    expect(desk.frame).to_have_value("reply")
    # Of a draft that was asked for without a frame the whole prompt is shown, and asked again.
    service.draft("Word for word.", user="compares")
    desk.open("/learning")
    expect(desk.page.get_by_label("Prompt")).to_have_value("Word for word.")
    expect(desk.frame).to_have_value("none")
    assert desk.errors == []


def test_past_texts_are_learned_from_as_the_desk_asks(
    service: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(service, "hands over")
    desk.open("/welcome")
    rows = b"prompt,sent,hint\nIs it in?,It is. Anna,yes\n"
    file = {"name": "past.csv", "mimeType": "text/csv", "buffer": rows}
    desk.page.get_by_label("Or a file of them").set_input_files(file)
    expect(desk.page.get_by_label("What was answered is")).to_have_value("reply")
    desk.sign_as.fill("Anna")
    imports, drafts = bodies(desk, "/v1/imports"), bodies(desk, "/v1/chat/completions")
    desk.button("Learn from these").click()
    expect(desk.page.get_by_text("1 text of 1 taught the model")).to_be_visible()
    item = {"prompt": "Is it in?", "sent": "It is. Anna", "hint": "yes"}
    assert imports == [{"items": [item], "frame": "reply", "sign_as": "Anna"}]
    desk.page.reload()
    desk.button("Draft both").click()
    expect(desk.said).to_contain_text("Both drafts are there.")
    told = {"frame": "reply", "hint": "yes", "sign_as": "Anna"}
    assert [{name: body.get(name) for name in told} for body in drafts] == [told, told]
    framed = Framing("reply", "yes", "Anna").around("Is it in?")
    prompts = [draft["prompt"][0]["content"] for draft in stored(service, "hands%20over")]
    assert prompts == [framed] * 3
    assert desk.errors == []


@pytest.fixture
def cut_short(chromium: Any, tiny_model_folder: Path, tmp_path: Path) -> Iterator[RunningService]:
    """A service whose drafts are the likeliest text, cut after a few tokens."""
    coactive = {"max_completion_length": 6, "top_k": 1}
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, coactive=coactive)
    with running_service(settings) as service:
        yield service


def test_a_draft_that_was_cut_says_so_and_is_gone_on_with(
    cut_short: RunningService, open_desk: OpenDesk
) -> None:
    """The edit that is recorded is compared with the whole text."""
    desk = open_desk(cut_short, "goes-on", learn=False)
    first = desk.draft()
    expect(desk.quiet_line).to_contain_text("It was cut at the longest length.")
    bodies: list[Any] = []
    desk.page.on("request", lambda sent: bodies.append(sent.post_data))
    desk.button("Go on").click()
    expect(desk.button("Draft 2")).to_be_visible()
    whole = desk.drafted()
    assert whole.startswith(first)
    assert len(whole) > len(first)
    sent = next(json.loads(body) for body in bodies if body and '"messages"' in body)
    assert sent["messages"][1] == {"role": "assistant", "content": first}
    expect(desk.page.get_by_text("Nothing changed so far")).to_be_visible()
    desk.copy_button.click()
    expect(desk.said).to_contain_text("The draft was accepted.")
    newest, beginning = stored(cut_short, "goes-on")
    assert newest["prompt"] == beginning["prompt"]
    assert [edit["accepted"] for edit in newest["edits"]] == [True]
    assert beginning["edits"] == []
    assert desk.errors == []


def test_what_was_changed_before_going_on_is_not_lost(
    cut_short: RunningService, open_desk: OpenDesk
) -> None:
    desk = open_desk(cut_short, "changes", learn=False)
    first = desk.draft()
    desk.editor.press("Control+Home")
    desk.page.keyboard.type("Hello! ")
    desk.button("Go on").click()
    expect(desk.button("Draft 2")).to_be_visible()
    assert desk.drafted().startswith(f"Hello! {first}")
    desk.copy_button.click()
    expect(desk.said).to_contain_text("Recorded.")
    expect(desk.prompt).to_have_value("")
    (edit,) = until(lambda: stored(cut_short, "changes")[1]["edits"])
    (of_the_whole,) = stored(cut_short, "changes")[0]["edits"]
    assert of_the_whole["accepted"]
    assert edit["text"].strip() == f"Hello! {first}".strip()
