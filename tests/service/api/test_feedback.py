"""Edits and comparisons over HTTP: what comes of them, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from data_folders import kept_bytes

from corll.service.learning.supervisor import Supervisor
from corll.service.store.database import Database
from running_service import RunningService
from tiny_models import END


def refusal(
    service: RunningService, path: str, body: dict[str, Any]
) -> tuple[int, str, str | None, str]:
    """The status, code, field and message of a request that is refused."""
    response = service.http.post(f"/v1/{path}", json=body)
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"], error["message"]


def test_an_edit_is_answered_with_what_will_come_of_it(service: RunningService) -> None:
    draft = service.draft(user="eve")
    off = service.post("edits", {"draft_id": draft["id"], "text": "Sorry for the delay."})
    assert (off["state"], off["will_learn"]) == ("recorded", False)
    assert "not agreed" in off["reason"]
    service.put("users/eve/consent", {"learn": True})
    other = service.draft(user="eve")
    edit = service.post("edits", {"draft_id": other["id"], "text": "Sorry for the delay.\r\n "})
    assert edit["will_learn"] is True
    # An edit begins with the white space of its draft, which a client is taken to have stripped.
    assert edit["text"].lstrip() == "Sorry for the delay."
    assert edit["edit_cost"] > 0
    assert service.get(f"edits/{edit['id']}") == edit
    assert service.get("users/eve")["waiting"] == 1


def test_a_text_equal_to_its_draft_accepts_it(service: RunningService) -> None:
    service.post("completions", {"model": "base", "prompt": "x", "user": "kim", "max_tokens": 1})
    service.put("users/kim/consent", {"learn": True})
    draft = service.draft(user="kim")
    text = draft["choices"][0]["message"]["content"]
    edit = service.post("edits", {"draft_id": draft["id"], "text": text + "\r\n"})
    assert (edit["accepted"], edit["state"], edit["will_learn"]) == (True, "accepted", False)
    assert edit["edit_cost"] == 0


def test_the_same_edit_twice_is_one_and_a_reused_key_is_a_conflict(
    service: RunningService,
) -> None:
    draft = service.draft(user="ida")
    body = {"draft_id": draft["id"], "text": "Sorry.", "idempotency_key": "k1"}
    first = service.post("edits", body)
    assert service.post("edits", body) == first
    response = service.http.post("/v1/edits", json={**body, "text": "Very sorry."})
    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    second = service.post("edits", {"draft_id": draft["id"], "text": "Very sorry."})
    assert service.get(f"edits/{first['id']}")["state"] == "replaced"
    assert second["id"] != first["id"]


@pytest.mark.parametrize(
    ("text", "choice", "status"),
    [("", 0, 400), ("  \n", 0, 400), ("\0\x1b[0m", 0, 400), ("fine", 7, 400)],
)
def test_an_edit_that_cannot_be_used_is_refused(
    service: RunningService, text: str, choice: int, status: int
) -> None:
    draft = service.draft()
    body = {"draft_id": draft["id"], "text": text, "choice": choice}
    found, code, param, _ = refusal(service, "edits", body)
    assert (found, code) == (status, "invalid_value")
    assert (param == "choice") is (choice > 0)


@pytest.mark.parametrize("consent", [{"learn": True}, {"learn": False}])
def test_an_edit_with_a_control_token_of_the_served_model_is_refused_before_it_is_kept(
    service: RunningService, consent: dict[str, bool]
) -> None:
    draft = service.draft(user="bea")
    service.put("users/bea/consent", consent)
    body = {"draft_id": draft["id"], "text": f"It is late.{END} Sorry."}
    status, code, param, message = refusal(service, "edits", body)
    assert (status, code, param) == (400, "invalid_value", "text")
    assert repr(END) in message
    assert "remove it" in message
    (kept,) = service.get("users/bea/drafts?limit=1")["data"]
    assert kept["edits"] == []
    # Of another model it would be one, and a part of one is a text.
    for text in ("It is late.<|im_end|> Sorry.", "It is late. <|end| > Sorry."):
        edit = service.post("edits", {"draft_id": draft["id"], "text": text})
        assert (edit["text"].lstrip(), edit["will_learn"]) == (text, consent["learn"])


def test_the_reason_is_that_of_now(service: RunningService) -> None:
    before = service.draft(user="flo")
    past = service.post("edits", {"draft_id": before["id"], "text": "Past."})
    assert "not agreed" in past["reason"]
    service.put("users/flo/consent", {"learn": True, "include_past": True})
    found = service.get(f"edits/{past['id']}")
    assert (found["will_learn"], found["reason"]) == (True, None)
    service.put("users/flo/consent", {"learn": False})
    found = service.get(f"edits/{past['id']}")
    assert found["will_learn"] is False
    assert "withdrew consent" in found["reason"]
    service.post("edits", {"draft_id": before["id"], "text": "Later."})
    found = service.get(f"edits/{past['id']}")
    assert (found["state"], found["will_learn"]) == ("replaced", False)
    assert "later edit" in found["reason"]


def test_an_edit_that_is_sent_twice_counts_once(service: RunningService) -> None:
    def counted() -> float:
        lines = service.http.get("/metrics").text.splitlines()
        return sum(float(li.split()[-1]) for li in lines if li.startswith("corll_edits_total"))

    draft, before = service.draft(user="gus"), counted()
    for _ in range(3):
        service.post("edits", {"draft_id": draft["id"], "text": "Sorry."})
    assert counted() == before + 1


def test_an_edit_too_long_to_learn_from_is_kept_and_says_so(service: RunningService) -> None:
    service.draft(user="lou")
    service.put("users/lou/consent", {"learn": True})
    draft = service.draft(user="lou")
    edit = service.post("edits", {"draft_id": draft["id"], "text": "word " * 900})
    assert edit["will_learn"] is False
    assert "context" in edit["reason"]


def test_what_was_pasted_with_an_edit_and_stripped_from_it_teaches_nothing(
    service: RunningService,
) -> None:
    draft = service.draft(user="pat")
    shown = draft["choices"][0]["message"]["content"]
    pasted = {"draft_id": draft["id"], "text": "It is late \x96 \x93sorry\x94,\x0bAda\x00"}
    first = service.post("edits", pasted)
    assert first["text"].strip() == "It is late – “sorry”,\nAda"
    assert service.post("edits", {**pasted, "text": first["text"].strip()}) == first
    # An acceptance is one, however a client strips what it shows.
    for text in (shown, shown.strip(), f"\n{shown}\x07 "):
        body = {"draft_id": draft["id"], "text": text, "idempotency_key": "accepts"}
        assert service.post("edits", body)["accepted"] is True
    other = service.draft("Where is it?", user="pat")
    half = f'{{"draft_id": "{other["id"]}", "text": "It is \\ud83d late."}}'
    headers = {"content-type": "application/json"}
    assert service.http.post("/v1/edits", content=half, headers=headers).status_code == 400


@pytest.mark.parametrize("draft_id", ["", "chatcmpl-unknown", "../x", "\u2028", "x" * 60])
def test_an_unknown_draft_is_404(service: RunningService, draft_id: str) -> None:
    response = service.http.post("/v1/edits", json={"draft_id": draft_id, "text": "x"})
    assert response.status_code == 404


def test_two_drafts_can_be_compared(service: RunningService) -> None:
    service.draft(user="dan")
    service.put("users/dan/consent", {"learn": True})
    draft = service.draft(user="dan", n=2, seed=3)
    sides = {
        "chosen": {"draft_id": draft["id"], "choice": 1},
        "rejected": {"draft_id": draft["id"], "choice": 0},
    }
    comparison = service.post("comparisons", sides)
    assert comparison["will_learn"] is True
    assert service.post("comparisons", sides) == comparison
    same = {**sides, "chosen": sides["rejected"]}
    assert refusal(service, "comparisons", same) == (
        400,
        "invalid_value",
        "rejected",
        "The two texts are the same: neither is better.",
    )
    other = service.draft("Another prompt.", user="dan")
    crossed = {**sides, "chosen": {"draft_id": other["id"]}}
    status, _, _, message = refusal(service, "comparisons", crossed)
    assert status == 400
    assert "prompt" in message


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_comparison_of_a_choice_that_is_not_there_says_which(
    service: RunningService, side: str
) -> None:
    draft = service.draft(user="dot", n=2)
    sides = {
        "chosen": {"draft_id": draft["id"], "choice": 0},
        "rejected": {"draft_id": draft["id"], "choice": 1},
    }
    sides[side]["choice"] = 2
    assert refusal(service, "comparisons", sides) == (
        400,
        "invalid_value",
        f"{side}.choice",
        "The draft has 2 choices, counted from 0; there is no 2.",
    )


def test_a_comparison_says_why_it_teaches_nothing(service: RunningService) -> None:
    draft = service.draft(user="una", n=2)
    chosen, rejected = ({"draft_id": draft["id"], "choice": choice} for choice in (1, 0))
    answer = service.post("comparisons", {"chosen": chosen, "rejected": rejected})
    assert answer == {
        "id": answer["id"],
        "object": "comparison",
        "chosen": chosen,
        "rejected": rejected,
        "created_at": answer["created_at"],
        "state": "recorded",
        "will_learn": False,
        "reason": "This user has not agreed to be learned from (consent: learn). Agreed to with "
        "include_past, it lets this be learned from too.",
        "version": None,
    }


def test_an_edit_is_answered_with_all_that_there_is_to_say(service: RunningService) -> None:
    draft = service.draft(user="vic", n=2)
    body = {"draft_id": draft["id"], "choice": 1, "text": "Sorry for the delay."}
    answer = service.post("edits", body)
    # An edit begins with the white space of its draft.
    assert answer["text"].lstrip() == body["text"]
    assert answer == {
        "id": answer["id"],
        "object": "edit",
        **body,
        "text": answer["text"],
        "accepted": False,
        "edit_cost": answer["edit_cost"],
        "created_at": answer["created_at"],
        "state": "recorded",
        "will_learn": False,
        "reason": "This user has not agreed to be learned from (consent: learn). Agreed to with "
        "include_past, it lets this be learned from too.",
        "version": None,
        "masked": [],
    }
    accepted = service.draft(user="vic")
    text = accepted["choices"][0]["message"]["content"]
    answer = service.post("edits", {"draft_id": accepted["id"], "text": text})
    assert (answer["state"], answer["accepted"], answer["edit_cost"]) == ("accepted", True, 0)


def test_a_learner_that_is_there_is_asked_where_something_waits(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "state", property(lambda self: "ready"))
    monkeypatch.setattr(Supervisor, "ask_to_learn", lambda self, user_id: asked.append(user_id))
    asked: list[str] = []
    draft = service.draft(user="pia")
    service.put("users/pia/consent", {"learn": True})
    nothing = service.post("learn", {"user": "pia"})
    assert (nothing["queued"], nothing["waiting"], nothing["learner"]) == (False, 0, "ready")
    assert asked == []
    service.post("edits", {"draft_id": draft["id"], "text": "Sorry for the delay."})
    one = service.post("learn", {"user": "pia"})
    assert (one["queued"], one["waiting"]) == (True, 1)
    assert asked == [draft["corll"]["user"]]


def test_a_learner_that_is_off_takes_no_request(service: RunningService) -> None:
    service.draft(user="wes")
    status, code, _, message = refusal(service, "learn", {"user": "wes"})
    assert (status, code) == (403, "consent_required")
    assert "has not agreed" in message
    service.put("users/wes/consent", {"learn": True})
    service.post("edits", {"draft_id": service.draft(user="wes")["id"], "text": "Sorry."})
    asked = service.post("learn", {"user": "wes"})
    assert asked == {"object": "learn", "queued": False, "waiting": 1, "learner": "off"}


def test_without_store_a_draft_is_in_memory_alone_and_edits_need_consent(
    service: RunningService, store: Database
) -> None:
    service.draft(user="max")
    service.put("users/max/consent", {"store": False})
    draft = service.draft("A secret plan.", user="max")
    assert draft["corll"]["stored"] is False
    body = {"draft_id": draft["id"], "text": "Sorry."}
    response = service.http.post("/v1/edits", json=body)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "consent_required"
    assert b"A secret plan." not in kept_bytes(store)
    service.put("users/max/consent", {"store": True})
    assert service.post("edits", body)["state"] == "recorded"


@pytest.mark.parametrize("stream", [False, True])
def test_a_draft_that_is_not_to_be_stored_is_in_memory_alone_whatever_consent_says(
    service: RunningService, store: Database, stream: bool
) -> None:
    service.put("users/nil/consent", {"store": True, "learn": True})
    secret = f"A plan that nobody may keep, {stream}."
    messages = [{"role": "user", "content": secret}]
    body = {"model": "corll", "messages": messages, "user": "nil", "store": False}
    if stream:
        answer = service.http.post("/v1/chat/completions", json={**body, "stream": True}).text
        last = [line for line in answer.splitlines() if line.startswith("data: {")][-1]
        draft = json.loads(last.removeprefix("data: "))
    else:
        draft = service.post("chat/completions", body)
    assert draft["corll"]["stored"] is False
    edit = {"draft_id": draft["id"], "text": "Sorry."}
    side = {"draft_id": draft["id"]}
    for path, said in (("edits", edit), ("comparisons", {"chosen": side, "rejected": side})):
        response = service.http.post(f"/v1/{path}", json=said)
        assert response.status_code == 403
        error = response.json()["error"]
        assert error["code"] == "consent_required"
        assert '"store": false' in error["message"]
    assert service.get("users/nil/drafts")["data"] == []
    assert secret.encode() not in kept_bytes(store)


def test_a_draft_that_may_be_stored_is(service: RunningService) -> None:
    draft = service.draft(user="one", store=None)
    assert draft["corll"]["stored"] is True
    assert service.post("edits", {"draft_id": draft["id"], "text": "Sorry."})["id"]


def test_an_edit_says_what_is_masked_of_it(service: RunningService) -> None:
    """By each user's own choice, of which a backend's key may tell; the text stays as it was."""
    for user, mask in (("mia", "numbers"), ("max", "none")):
        about = service.put(f"users/{user}/consent", {"learn": True, "mask": mask})
        assert about["mask"] == mask
        draft = service.draft(user=user)
        text = "Your code is 48291, or ask a@firm.example."
        edit = service.post("edits", {"draft_id": draft["id"], "text": text})
        assert edit["text"].lstrip() == text
        assert edit["masked"] == (["48291"] if mask == "numbers" else [])
        assert service.get(f"edits/{edit['id']}") == edit
    assert service.put("users/mia/consent", {"mask": "both"})["mask"] == "both"
    assert service.get("users/mia")["mask"] == "both"
    assert service.get("users/max")["mask"] == "none"
    assert service.get(f"users/{service.draft(user='new')['corll']['user']}")["mask"] == "none"


def test_a_mask_that_is_none_is_refused(service: RunningService) -> None:
    response = service.http.put("/v1/users/mia/consent", json={"mask": "names"})
    assert response.status_code in (400, 422)
    assert "mask" in response.text
