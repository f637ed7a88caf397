"""Frames and hints over HTTP: the framed message is the prompt that is drafted from and stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.frames import FRAMES, FRAMES_WITHOUT_NAME, Framing
from corll.memory.examples import worked_examples
from corll.memory.exchanges import with_memory
from corll.policy import Policy
from running_service import RunningService, running_service, settings_for

MESSAGE = "Is the red one in stock?"
FRAMED = {"frame": "reply", "hint": "yes, two", "sign_as": "Anna"}


def asked(service: RunningService, **fields: Any) -> Any:
    messages = [{"role": "user", "content": MESSAGE}]
    body = {"model": "corll", "messages": messages, **fields}
    return service.http.post("/v1/chat/completions", json=body)


def stored_prompt(service: RunningService, user: str) -> Any:
    return service.get(f"users/{user}/drafts")["data"][0]["prompt"]


def test_what_is_framed_is_drafted_from_and_stored(service: RunningService) -> None:
    reply = asked(service, **FRAMED, seed=5, user="framed").json()
    prompt = [{"role": "user", "content": Framing("reply", "yes, two", "Anna").around(MESSAGE)}]
    policy = Policy.load(service.settings.model, dtype="float32")
    sampling = service.settings.coactive.sampling
    expected = policy.sample([prompt], 1, 12, 5, sampling=sampling)[0][0]
    assert reply["choices"][0]["message"]["content"] == expected.text
    assert stored_prompt(service, "framed") == prompt


def test_what_the_user_wrote_is_kept_beside_the_framed_prompt(service: RunningService) -> None:
    own = "Answer as me: {message}\nSay: {hint}"
    body = {"frame": "reply", "hint": " yes,  two ", "frame_template": own}
    asked(service, **body, user="wrote")
    asked(service, frame="write", sign_as="Anna", user="wrote")
    asked(service, user="wrote")
    asked(service, **FRAMED, user="another")
    bare, usual, reworded = service.get("users/wrote/drafts")["data"]
    wrote = {"message": MESSAGE, "hint": "", "sign_as": "Anna", "frame_template": None}
    assert bare["asked"] is None
    assert usual["asked"] == {"frame": "write", **wrote}
    told = {"hint": "yes, two", "sign_as": "", "frame_template": own}
    assert reworded["asked"] == {"frame": "reply", "message": MESSAGE, **told}
    # A frame's words are not the user's, so a search does not find them.
    for words, found in (("FIRST PERSON", 0), ("yes, two", 1), ("anna", 1), ("RED ONE", 3)):
        assert len(service.get(f"users/wrote/drafts?q={words}")["data"]) == found
    lines = service.http.get("/v1/users/wrote/export").text.splitlines()
    kept = [line["asked"] for line in map(json.loads, lines) if line["record"] == "draft"]
    assert [one and one["frame"] for one in kept] == [None, "write", "reply"]


def test_of_a_conversation_its_last_message_is_what_the_user_wrote(
    service: RunningService,
) -> None:
    turns = [("system", "Be brief."), ("user", "First."), ("assistant", "Yes."), ("user", MESSAGE)]
    messages = [{"role": role, "content": text} for role, text in (*turns, ("assistant", "Dear"))]
    asked(service, **FRAMED, messages=messages, user="talks")
    (draft,) = service.get("users/talks/drafts")["data"]
    assert draft["asked"]["message"] == MESSAGE
    assert len(service.get("users/talks/drafts?q=be brief")["data"]) == 1


@pytest.mark.parametrize("frame", [{}, {"frame": None}, {"frame": "none"}])
def test_without_a_frame_nothing_changes(service: RunningService, frame: dict[str, Any]) -> None:
    reply = asked(service, **frame, seed=6, user="bare").json()
    assert reply["choices"] == service.draft(MESSAGE, seed=6)["choices"]
    assert stored_prompt(service, "bare") == [{"role": "user", "content": MESSAGE}]


def test_a_frame_of_the_users_own_words(service: RunningService) -> None:
    own = "Answer as me: {message}\nSay: {hint}"
    assert asked(service, **{**FRAMED, "sign_as": None}, frame_template=own, user="own").is_success
    wanted = f"Answer as me: {MESSAGE}\nSay: yes, two"
    assert stored_prompt(service, "own") == [{"role": "user", "content": wanted}]


def test_a_frame_can_be_read_and_sent_back_as_ones_own(service: RunningService) -> None:
    frames = {frame["id"]: frame for frame in service.get("frames")["data"]}
    assert {name: frame["template"] for name, frame in frames.items()} == FRAMES
    asked(service, **FRAMED, user="usual")
    asked(service, **FRAMED, frame_template=frames["reply"]["template"], user="sent back")
    assert stored_prompt(service, "usual") == stored_prompt(service, "sent%20back")


def test_the_words_for_a_user_without_a_name_can_be_sent_back_too(service: RunningService) -> None:
    frames = {frame["id"]: frame for frame in service.get("frames")["data"]}
    words = {name: frame["template_without_name"] for name, frame in frames.items()}
    assert words == FRAMES_WITHOUT_NAME
    nameless = {"frame": "reply", "hint": "yes, two"}
    asked(service, **nameless, user="nameless")
    asked(service, **nameless, frame_template=words["reply"], user="nameless back")
    assert stored_prompt(service, "nameless") == stored_prompt(service, "nameless%20back")


def imported(service: RunningService, user: str, *items: Any, **fields: Any) -> Any:
    service.put(f"users/{user}/consent", {"store": True, "learn": True})
    return service.http.post("/v1/imports", json={"items": items, "user": user, **fields})


def kept_items(service: RunningService, user: str) -> list[dict[str, Any]]:
    lines = service.http.get(f"/v1/users/{user}/export").text.splitlines()
    return [line for line in map(json.loads, lines) if line["record"] == "import_item"]


def test_an_import_puts_its_prompts_into_the_frame_that_drafts_are_asked_for_with(
    service: RunningService,
) -> None:
    items = [
        {"prompt": MESSAGE, "sent": "Two are. Anna", "hint": "yes, two"},
        {"prompt": [{"role": "user", "content": MESSAGE}], "sent": "No. Bo", "sign_as": "Bo"},
        {"prompt": MESSAGE, "sent": "No.", "hint": None, "sign_as": ""},
    ]
    assert imported(service, "imp", *items, frame="reply", sign_as="Anna").is_success
    framings = [Framing("reply", *told) for told in (("yes, two", "Anna"), ("", "Bo"), ("", ""))]
    kept = kept_items(service, "imp")
    assert [item["prompt"][0]["content"] for item in kept] == [
        framing.around(MESSAGE) for framing in framings
    ]
    assert [item["asked"]["hint"] for item in kept] == ["yes, two", "", ""]
    assert {item["asked"]["message"] for item in kept} == {MESSAGE}


@pytest.mark.parametrize("frame", [{}, {"frame": "none"}, {"frame": None}])
def test_an_import_without_a_frame_keeps_its_prompts(
    service: RunningService, frame: dict[str, Any]
) -> None:
    user = f"bare {frame.get('frame', 'left out')}"
    assert imported(service, user, {"prompt": MESSAGE, "sent": "Yes."}, **frame).is_success
    (item,) = kept_items(service, user)
    assert item["prompt"] == [{"role": "user", "content": MESSAGE}]
    assert item["asked"] is None


def test_a_text_that_does_not_fit_the_frame_is_named_and_nothing_is_kept(
    service: RunningService,
) -> None:
    fits = {"prompt": MESSAGE, "sent": "Yes."}
    system = {"prompt": [{"role": "system", "content": "Be brief."}], "sent": "Yes."}
    for fields, bad, said in (
        ({}, {**fits, "hint": "yes"}, "text 2: There is a hint but no frame"),
        ({"frame": "write"}, system, "text 2: A frame (write) stands around the user's last"),
        ({"frame": "reply", "frame_template": "x"}, fits, "text 1: The frame's template has no"),
    ):
        response = imported(service, "unfit", fits, bad, **fields)
        assert response.status_code == 400
        assert said in response.json()["error"]["message"]
        assert not response.json()["error"]["message"].endswith("..")
    assert kept_items(service, "unfit") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hint": "yes"}, "hint but no frame"),
        ({"frame": "none", "hint": "yes"}, "hint but no frame"),
        ({"sign_as": "Anna"}, "name but no frame"),
        ({"frame": "poem"}, "'none', 'reply' or 'write'"),
        ({"frame": "reply", "hint": "x" * 501}, "at most 500"),
        ({"frame": "reply", "frame_template": "Answer."}, "no place for the message"),
        ({"frame": "reply", "messages": [{"role": "system", "content": "Hi."}]}, "last message"),
        ({"frame": "reply", "messages": [{"role": "user", "content": " "}]}, "no message"),
    ],
)
def test_what_does_not_fit_is_a_400_that_says_so(
    service: RunningService, fields: dict[str, Any], said: str
) -> None:
    response = asked(service, **fields)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_model_without_a_chat_template_cannot_be_told(
    frame: str, tiny_gpt2_folder: Path, tmp_path: Path
) -> None:
    with running_service(settings_for(tiny_gpt2_folder, tmp_path, learn=False)) as service:
        response = asked(service, frame=frame)
        refused = imported(service, "gpt", {"prompt": MESSAGE, "sent": "Yes."}, frame=frame)
        assert imported(service, "gpt", {"prompt": MESSAGE, "sent": "Yes."}).is_success
    assert refused.json() == response.json()
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "frame")
    assert "no chat template" in error["message"]
    assert "corll models" in error["message"]


@pytest.fixture(scope="module")
def roomy(
    roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service with a model of a longer context, which has room for all of them."""
    data = tmp_path_factory.mktemp("data")
    with running_service(settings_for(roomy_model_folder, data, learn=False)) as service:
        yield service


class TestExamples:
    """Worked examples stand before what is framed, and are no part of what is learned from."""

    def test_they_are_told_and_kept_beside_the_prompt(self, roomy: RunningService) -> None:
        reply = asked(roomy, **FRAMED, seed=5, user="shown").json()
        framing = Framing("reply", "yes, two", "Anna")
        ids = [example.id for example in worked_examples(framing)]
        assert reply["corll"]["memory"] == ids
        (draft,) = roomy.get("users/shown/drafts")["data"]
        assert draft["memory"] == ids
        assert draft["prompt"] == [{"role": "user", "content": framing.around(MESSAGE)}]

    def test_the_model_reads_them_before_the_message(self, roomy: RunningService) -> None:
        reply = asked(roomy, **FRAMED, seed=5, user="read").json()
        framing = Framing("reply", "yes, two", "Anna")
        prompt = with_memory(framing.around(MESSAGE), worked_examples(framing))
        policy = Policy.load(roomy.settings.model, dtype="float32")
        sampling = roomy.settings.coactive.sampling
        expected = policy.sample([prompt], 1, 12, 5, sampling=sampling)[0][0]
        assert reply["choices"][0]["message"]["content"] == expected.text
        assert reply["usage"]["prompt_tokens"] == len(policy.codec.encode_prompt(prompt))

    def test_without_a_frame_there_are_none(self, roomy: RunningService) -> None:
        assert "memory" not in asked(roomy, user="frameless").json()["corll"]
        (draft,) = roomy.get("users/frameless/drafts")["data"]
        assert draft["memory"] == []

    def test_an_edit_is_learned_without_them(self, roomy: RunningService) -> None:
        roomy.put("users/taught/consent", {"store": True, "learn": True})
        reply = asked(roomy, **FRAMED, user="taught").json()
        body = {"draft_id": reply["id"], "text": "Two are there. Anna"}
        assert roomy.http.post("/v1/edits", json=body).is_success
        lines = roomy.http.get("/v1/users/taught/export").text.splitlines()
        (kept,) = [one for one in map(json.loads, lines) if one["record"] == "preference"]
        framed = Framing("reply", "yes, two", "Anna").around(MESSAGE)
        assert kept["prompt"] == [{"role": "user", "content": framed}]

    def test_without_room_for_any_there_are_none(self, service: RunningService) -> None:
        assert "memory" not in asked(service, **FRAMED).json()["corll"]

    def test_they_can_be_switched_off(self, tiny_model_folder: Path, tmp_path: Path) -> None:
        with running_service(settings_for(tiny_model_folder, tmp_path, examples=False)) as service:
            assert "memory" not in asked(service, **FRAMED).json()["corll"]
