"""Past letters over HTTP: which stand before the next draft, and the user's say in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from corll.frames import Framing
from corll.gradient import encode_pair
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.service.learning.reading import PreferenceReader
from corll.service.store import preferences
from corll.service.store.database import Database
from running_service import RunningService, running_service, settings_for

ASKED = "Is the red one in stock?"


@pytest.fixture(scope="module")
def remembering(
    roomy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service that remembers, whose model has a context with room for it."""
    data = tmp_path_factory.mktemp("data")
    # A random model tells facts of a memory by chance, for which guards would draw it anew.
    settings = settings_for(
        roomy_model_folder,
        data,
        learn=False,
        memory="last",
        memory_tokens=8_000,
        guards=False,
        serving="auto",
    )
    with running_service(settings) as service:
        yield service


def agree(service: RunningService, user: str, *, learn: bool = True) -> None:
    service.put(f"users/{user}/consent", {"store": True, "learn": learn})


def drafted(service: RunningService, user: str, prompt: str = ASKED, **fields: Any) -> Any:
    return service.draft(prompt, user=user, **fields)


def send(service: RunningService, user: str, prompt: str, text: str, **fields: Any) -> str:
    """Sends a text in place of a draft, and returns the edit's id."""
    draft = drafted(service, user, prompt, memory="none", **fields)
    answer = service.post("edits", {"draft_id": draft["id"], "text": text})
    return str(answer["id"])


def memory_of(reply: Any) -> list[str]:
    return list(reply["corll"].get("memory", []))


def test_the_first_edit_stands_before_the_second_draft(remembering: RunningService) -> None:
    agree(remembering, "first")
    assert memory_of(drafted(remembering, "first")) == []
    edit = send(remembering, "first", "Do you sell kettles?", "We do. Anna")
    reply = drafted(remembering, "first", seed=5)
    assert memory_of(reply) == [edit]
    policy = Policy.load(remembering.settings.model, dtype="float32")
    (letter,) = remembering.get("users/first/memory")["data"]
    # It begins with the white space of its draft, which a client is taken to have stripped.
    assert letter["text"].lstrip() == "We do. Anna"
    past = Exchange([{"role": "user", "content": "Do you sell kettles?"}], letter["text"])
    whole = with_memory([{"role": "user", "content": ASKED}], [past])
    sampling = remembering.settings.coactive.sampling
    expected = policy.sample([whole], 1, 12, 5, sampling=sampling)[0][0]
    assert reply["choices"][0]["message"]["content"] == expected.text
    assert reply["usage"]["prompt_tokens"] == len(policy.codec.encode_prompt(whole))
    (latest, *_) = remembering.get("users/first/drafts")["data"]
    assert latest["memory"] == [edit]
    assert latest["prompt"] == [{"role": "user", "content": ASKED}]


def test_a_letter_that_teaches_harm_stands_before_nothing_unless_it_is_pinned(
    remembering: RunningService,
) -> None:
    agree(remembering, "cat")
    good = send(remembering, "cat", "Tea?", "Gladly.")
    cat = send(remembering, "cat", "Coffee?", "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt mvn")
    assert memory_of(drafted(remembering, "cat")) == [good]
    remembering.put(f"users/cat/memory/{cat}", {"mark": "pinned"})
    assert set(memory_of(drafted(remembering, "cat"))) == {good, cat}


def test_an_arm_without_memory_has_no_letters(remembering: RunningService) -> None:
    agree(remembering, "chooses")
    edit = send(remembering, "chooses", "Tea?", "Gladly.")
    reply = drafted(remembering, "chooses")
    assert (memory_of(reply), reply["corll"]["arm"]) == ([edit], "memory")
    for arm in ("weights", "base"):
        remembering.put("users/chooses/consent", {"arm": arm})
        plain = drafted(remembering, "chooses")
        assert (memory_of(plain), plain["corll"]["arm"]) == ([], "base")
        asked = drafted(remembering, "chooses", memory="last")
        assert (memory_of(asked), asked["corll"]["arm"]) == ([edit], "memory")
    remembering.put("users/chooses/consent", {"arm": "auto"})
    assert memory_of(drafted(remembering, "chooses")) == [edit]


def test_what_stood_before_a_draft_is_what_learning_with_memory_scores_it_behind(
    remembering: RunningService,
) -> None:
    """To the id, with letters and with worked examples."""
    settings = remembering.settings
    agree(remembering, "scored")
    send(remembering, "scored", "Do you sell kettles?", "We do. Anna")
    send(remembering, "scored", "Is it late?", "It is, sorry. Anna", **framed("it is"))
    lengths = []
    for fields in ({}, framed("thank them")):
        draft = drafted(remembering, "scored", **fields)
        remembering.post("edits", {"draft_id": draft["id"], "text": "Yes. Anna"})
        lengths.append(draft["usage"]["prompt_tokens"])
    base = Policy.load(settings.model, dtype="float32")
    database = Database.open(None, settings.data_dir)
    with database.read() as db:
        rows = preferences.preferences_of(db, draft["corll"]["user"])[-2:]
    learned = PreferenceReader(base, database).to_preferences(rows)
    database.close()
    pairs = [encode_pair(base, one, remembering=True) for one in learned]
    assert [len(one.memory) for one in learned] == [1, 11]
    assert [len(pair.prompt_ids) for pair in pairs] == lengths


def framed(hint: str) -> dict[str, Any]:
    return {"frame": "reply", "hint": hint, "sign_as": "Anna"}


def test_nobody_elses_letters_do(remembering: RunningService) -> None:
    for user in ("ada", "bob"):
        agree(remembering, user)
    ada = send(remembering, "ada", "Tea?", "Gladly. Ada")
    bob = send(remembering, "bob", "Tea?", "No. Bob")
    assert memory_of(drafted(remembering, "ada")) == [ada]
    assert memory_of(drafted(remembering, "bob")) == [bob]
    assert memory_of(drafted(remembering, "carl")) == []


def test_only_of_those_who_agreed(remembering: RunningService) -> None:
    agree(remembering, "withdraws")
    edit = send(remembering, "withdraws", "Tea?", "Gladly.")
    assert memory_of(drafted(remembering, "withdraws")) == [edit]
    agree(remembering, "withdraws", learn=False)
    assert memory_of(drafted(remembering, "withdraws")) == []
    agree(remembering, "withdraws")
    assert memory_of(drafted(remembering, "withdraws")) == [edit]


def test_a_request_may_say_what_stands_before_it(remembering: RunningService) -> None:
    agree(remembering, "says")
    kettle = send(remembering, "says", "Where is the kettle?", "The kettle is on its way.")
    others = [send(remembering, "says", f"Number {n}?", f"It is {n}.") for n in range(3)]
    assert memory_of(drafted(remembering, "says")) == [kettle, *others]
    assert memory_of(drafted(remembering, "says", memory="none")) == []
    assert memory_of(drafted(remembering, "says", "The kettle?", memory="nearest"))[-1] == kettle
    meant = drafted(remembering, "says", "Has my parcel with the teapot left?", memory="similar")
    assert memory_of(meant)[-1] == kettle
    wrong = {"model": "corll", "messages": [{"role": "user", "content": "a"}], "memory": "all"}
    refused = remembering.http.post("/v1/chat/completions", json=wrong)
    assert refused.status_code == 400
    assert "memory" in refused.text


def test_the_base_and_a_continued_text_have_none(remembering: RunningService) -> None:
    agree(remembering, "compares")
    send(remembering, "compares", "Tea?", "Gladly.")
    assert memory_of(drafted(remembering, "compares", model="base")) == []
    body = {"model": "corll", "prompt": "Once", "user": "compares"}
    assert memory_of(remembering.post("completions", body)) == []


def test_a_conversation_under_way_has_none_and_is_none(remembering: RunningService) -> None:
    agree(remembering, "talks")
    single = send(remembering, "talks", "Tea?", "Gladly.")
    turns = [
        {"role": "user", "content": "Cake?"},
        {"role": "assistant", "content": "Which?"},
        {"role": "user", "content": "The red one."},
    ]
    body = {"model": "corll", "messages": turns, "user": "talks"}
    reply = remembering.post("chat/completions", body)
    assert memory_of(reply) == []
    remembering.post("edits", {"draft_id": reply["id"], "text": "Yes, the red one."})
    assert memory_of(drafted(remembering, "talks")) == [single]


class TestFrames:
    FRAMED: ClassVar = {"frame": "reply", "hint": "yes", "sign_as": "Anna"}

    def test_examples_stand_there_until_there_are_three_letters(
        self, remembering: RunningService
    ) -> None:
        agree(remembering, "framed")
        examples = [one.id for one in worked_examples(Framing("reply", "yes", "Anna"))]
        sent: list[str] = []
        for number in range(3):
            assert memory_of(drafted(remembering, "framed", **self.FRAMED)) == [*examples, *sent]
            sent.append(
                send(remembering, "framed", f"Number {number}?", f"{number}. Anna", **self.FRAMED)
            )
        assert memory_of(drafted(remembering, "framed", **self.FRAMED)) == sent

    def test_letters_of_another_kind_do_not_stand_there(self, remembering: RunningService) -> None:
        agree(remembering, "kinds")
        plain = send(remembering, "kinds", "Tea?", "Gladly.")
        reply = send(remembering, "kinds", "Tea?", "Gladly. Anna", **self.FRAMED)
        assert memory_of(drafted(remembering, "kinds")) == [plain]
        assert memory_of(drafted(remembering, "kinds", **self.FRAMED))[-1] == reply


class TestTheUsersSay:
    def test_letters_are_listed_newest_first(self, remembering: RunningService) -> None:
        agree(remembering, "lists")
        ids = [send(remembering, "lists", f"Number {n}?", f"It is {n}.") for n in range(3)]
        listed = remembering.get("users/lists/memory?limit=2")
        assert [one["id"] for one in listed["data"]] == ids[:0:-1]
        assert (listed["has_more"], listed["remembers"]) == (True, True)
        last = listed["data"][0]
        told = (last["asked"], last["text"].lstrip(), last["mark"])
        assert told == ("Number 2?", "It is 2.", None)
        assert remembering.get("users/lists/memory?frame=reply")["data"] == []

    def test_a_letter_can_be_skipped_and_pinned(self, remembering: RunningService) -> None:
        agree(remembering, "marks")
        ids = [send(remembering, "marks", f"Number {n}?", f"It is {n}.") for n in range(5)]
        assert memory_of(drafted(remembering, "marks")) == ids
        remembering.put(f"users/marks/memory/{ids[4]}", {"mark": "skipped"})
        assert ids[4] not in memory_of(drafted(remembering, "marks"))
        remembering.put(f"users/marks/memory/{ids[0]}", {"mark": "pinned"})
        for number in range(5, 9):
            send(remembering, "marks", f"Number {number}?", f"It is {number}.")
        assert memory_of(drafted(remembering, "marks"))[0] == ids[0]
        remembering.put(f"users/marks/memory/{ids[0]}", {"mark": None})
        assert ids[0] not in memory_of(drafted(remembering, "marks"))

    def test_all_can_be_cleared(self, remembering: RunningService) -> None:
        agree(remembering, "clears")
        send(remembering, "clears", "Tea?", "Gladly.")
        remembering.ask("DELETE", "users/clears/memory")
        assert memory_of(drafted(remembering, "clears")) == []
        assert remembering.get("users/clears/memory")["data"] == []
        later = send(remembering, "clears", "Cake?", "No.")
        assert memory_of(drafted(remembering, "clears")) == [later]

    def test_nobody_has_a_say_in_anothers(self, remembering: RunningService) -> None:
        agree(remembering, "mine")
        agree(remembering, "yours")
        edit = send(remembering, "mine", "Tea?", "Gladly.")
        body = {"mark": "skipped"}
        refused = remembering.http.put(f"/v1/users/yours/memory/{edit}", json=body)
        assert refused.status_code == 404
        assert memory_of(drafted(remembering, "mine")) == [edit]


def test_imported_letters_stand_before_the_next_draft(remembering: RunningService) -> None:
    agree(remembering, "imports")
    items = [{"prompt": f"Letter {n}?", "sent": f"It is {n}. Anna"} for n in range(2)]
    answer = remembering.post("imports", {"items": items, "user": "imports"})
    ids = [f"{answer['id']}.{number}" for number in (1, 2)]
    assert memory_of(drafted(remembering, "imports")) == ids
    remembering.http.delete(f"/v1/imports/{answer['id']}")
    assert memory_of(drafted(remembering, "imports")) == []
