"""An edit finds its draft without its id: by the client's reference, or by the draft's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from running_service import ADMIN_KEY, RunningService

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as made:
        yield made


def edit(service: RunningService, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = service.http.post("/v1/edits", json={"text": "Dear Ola, no.", **body})
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told if status == 200 else told["error"]


def test_by_the_reference_of_its_metadata_or_of_a_header(
    service: RunningService, client: openai.OpenAI
) -> None:
    named: Any = {"metadata": {"corll_ref": "ticket 7 – Ω"}, "user": "mel"}
    chat = client.chat.completions.create(model="corll", messages=MESSAGES, **named)
    assert edit(service, ref="ticket 7 – Ω", user="mel")["draft_id"] == chat.id
    headers = {"x-client-request-id": "0b6f-1"}
    text = client.completions.create(
        model="corll", prompt="Dear", user="mel", extra_headers=headers
    )
    assert edit(service, ref="0b6f-1", user="mel")["draft_id"] == text.id
    response = client.responses.create(
        model="corll", input="Hi", user="mel", metadata={"corll_ref": "r1"}, extra_headers=headers
    )
    assert edit(service, ref="r1", user="mel")["draft_id"] == response.id
    assert edit(service, ref="0b6f-1", user="mel")["draft_id"] == text.id


def test_of_a_stream_too(service: RunningService, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="corll", messages=MESSAGES, stream=True, metadata={"corll_ref": "streamed"}
    )
    (draft_id,) = {chunk.id for chunk in stream}
    assert edit(service, ref="streamed")["draft_id"] == draft_id


def test_a_reference_is_its_users_alone(service: RunningService) -> None:
    service.draft(user="tom", metadata={"corll_ref": "mine"})
    assert edit(service, 404, ref="mine", user="tim")["param"] is None
    service.draft(user="tim")
    refused = edit(service, 404, ref="mine", user="tim")
    assert refused["param"] == "ref"
    assert "metadata.corll_ref" in refused["message"]
    other = service.draft(user="tim", metadata={"corll_ref": "mine"})
    assert edit(service, ref="mine", user="tim")["draft_id"] == other["id"]


def test_the_same_request_again_is_a_retry_and_another_is_refused(
    service: RunningService,
) -> None:
    named: Any = {"metadata": {"corll_ref": "once"}, "user": "kim"}
    first = service.draft("One.", **named)
    again = service.draft("One.", **named)
    body = {"model": "corll", "messages": [{"role": "user", "content": "Two."}], **named}
    answer = service.http.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ref_taken")
    assert again["id"] in answer.text
    assert edit(service, ref="once", user="kim")["draft_id"] == again["id"] != first["id"]


def test_a_header_that_comes_twice_draws_drafts_and_refuses_their_edit(
    service: RunningService,
) -> None:
    """Some programs send one for a whole conversation."""
    headers = {"x-client-request-id": "conversation"}
    ids = []
    for prompt in ("One.", "Two."):
        body = {"model": "corll", "messages": [{"role": "user", "content": prompt}], "user": "liv"}
        answer = service.http.post("/v1/chat/completions", json=body, headers=headers)
        ids.append(answer.json()["id"])
    refused = edit(service, 409, ref="conversation", user="liv")
    assert refused["code"] == "draft_ambiguous"
    assert all(draft_id in refused["message"] for draft_id in ids)
    assert "UTC" in refused["message"]


@pytest.mark.parametrize("sent", ["x" * 201, "", "a\tb"])
def test_a_header_that_cannot_be_a_reference_is_none(service: RunningService, sent: str) -> None:
    headers = {"x-client-request-id": sent}
    body = {"model": "corll", "messages": MESSAGES, "user": "lea"}
    assert service.http.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    named = {**body, "metadata": {"corll_ref": "x" * 201}}
    answer = service.http.post("/v1/chat/completions", json=named, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_header_may_have_any_letters(service: RunningService, encoding: str) -> None:
    headers: Any = {"x-client-request-id": f"Grüße {encoding}".encode(encoding)}
    body = {"model": "corll", "messages": MESSAGES, "user": "jan"}
    answer = service.http.post("/v1/chat/completions", json=body, headers=headers)
    found = edit(service, ref=f"Grüße {encoding}", user="jan")
    assert found["draft_id"] == answer.json()["id"]


RETURNED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "stripped": str.strip,
    "padded": lambda text: f"\n{text}  \n\n",
    "with other line ends": lambda text: text.replace("\n", "\r\n"),
    "spaced": lambda text: text.replace(" ", "  "),
    "in one line": lambda text: " ".join(text.split()),
    "from a page": lambda text: text.replace(" ", "\u00a0") + "\u200b",
    "from a file": lambda text: f"\ufeff{text}",
}


@pytest.mark.parametrize("name", RETURNED)
def test_by_its_text_as_the_client_returns_it(service: RunningService, name: str) -> None:
    returned = RETURNED[name]
    service.draft("Another.", user=name, seed=5)
    draft = service.draft("A plan.", user=name, seed=7)
    text = draft["choices"][0]["message"]["content"]
    assert text.strip()
    found = edit(service, user=name, draft_text=returned(text))
    assert found["draft_id"] == draft["id"]


def test_by_the_text_of_any_choice(service: RunningService) -> None:
    draft = service.draft(user="nia", n=3, seed=1)
    for number, choice in enumerate(draft["choices"]):
        found = edit(service, user="nia", draft_text=choice["message"]["content"])
        assert (found["draft_id"], found["choice"]) == (draft["id"], number)


def test_of_two_drafts_of_one_text_none_is_taken_but_by_their_conversations(
    service: RunningService,
) -> None:
    """The greedy model says the same to both."""
    asked = ["Hello.", "Hello."]
    drafts = [service.draft(one, user="two", temperature=0) for one in asked]
    texts = {draft["choices"][0]["message"]["content"] for draft in drafts}
    (text,) = texts
    refused = edit(service, 409, user="two", draft_text=text)
    assert refused["code"] == "draft_ambiguous"
    assert all(draft["id"] in refused["message"] for draft in drafts)
    other = service.draft("Something else.", user="two", temperature=0)
    said = other["choices"][0]["message"]["content"]
    turns = [{"role": "user", "content": " Something else. "}]
    messages = [*turns, {"role": "assistant", "content": f"{said}\n"}]
    assert edit(service, user="two", messages=messages)["draft_id"] == other["id"]
    messages[0] = {"role": "user", "content": "Something other."}
    assert edit(service, 404, user="two", messages=messages)["param"] == "messages"


BEGUN: Any = [*MESSAGES, {"role": "assistant", "content": "Dear Ola, we"}]


def test_a_draft_that_the_client_began_is_found_whole_and_by_what_was_drawn(
    service: RunningService,
) -> None:
    asked = {"model": "corll", "messages": BEGUN, "user": "ola", "max_tokens": 12, "seed": 5}
    draft = service.post("chat/completions", asked)
    drawn, begun = draft["choices"][0]["message"]["content"], BEGUN[-1]["content"]
    for text in (drawn, begun + drawn):
        assert edit(service, user="ola", draft_text=text)["draft_id"] == draft["id"]
        for turns in ([*BEGUN, {"role": "assistant", "content": drawn}],):
            assert edit(service, user="ola", messages=turns)["draft_id"] == draft["id"]
    whole = [*MESSAGES, {"role": "assistant", "content": begun + drawn}]
    assert edit(service, user="ola", messages=whole)["draft_id"] == draft["id"]
    edit(service, 404, user="ola", draft_text=f"Another one {drawn}")
    edit(service, 404, user="ola", messages=[*BEGUN[:-1], *BEGUN[-1:], *BEGUN[-1:]])
    again = service.post(
        "chat/completions", {**asked, "messages": [{**BEGUN[0], "content": "No."}, BEGUN[1]]}
    )
    same = again["choices"][0]["message"]["content"] == drawn
    assert edit(service, 409 if same else 200, user="ola", draft_text=drawn)


def test_a_conversation_is_found_as_it_was_drafted_and_as_it_was_edited(
    service: RunningService,
) -> None:
    def respond(text: str, **more: Any) -> tuple[str, str]:
        body = {"model": "corll", "input": text, "user": "pim", "max_output_tokens": 12, **more}
        made = service.post("responses", body)
        return made["id"], made["output"][0]["content"][0]["text"]

    first, drafted = respond("First?")
    for sent in ("Sent at first.", "Sent in the end."):
        edit(service, user="pim", draft_id=first, text=sent)
    second, text = respond("Second?", previous_response_id=first)
    edit(service, user="pim", draft_id=first, text="Sent later still.")
    for earlier, status in ((drafted, 200), ("Sent in the end.", 200), ("Never said.", 404)):
        turns = [
            ("user", "First?"),
            ("assistant", earlier),
            ("user", "Second?"),
            ("assistant", text),
        ]
        messages = [{"role": role, "content": content} for role, content in turns]
        found = edit(service, status, user="pim", messages=messages)
        assert found.get("draft_id") == (second if status == 200 else None)


def test_what_nobody_drafted_is_not_found(service: RunningService) -> None:
    service.draft(user="una")
    assert edit(service, 404, user="una", draft_text="Never.")["param"] == "draft_text"
    assert edit(service, 400, user="una", draft_text=" \n")["param"] == "draft_text"


def test_a_draft_is_named_in_one_way(service: RunningService) -> None:
    draft = service.draft(user="ivo")["id"]
    assert "draft_id and ref" in edit(service, 400, draft_id=draft, ref="r")["message"]
    assert "none came" in edit(service, 400)["message"]
    turns = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}]
    assert "assistant" in edit(service, 400, messages=turns)["message"]
    assert edit(service, draft_id=draft, user="ivo")["draft_id"] == draft
    service.draft(user="ida")
    edit(service, 404, draft_id=draft, user="ida")


def test_drafts_that_are_not_stored_yet_are_found(service: RunningService) -> None:
    service.put("users/ema/consent", {"store": False})
    draft = service.draft("Hi.", user="ema", metadata={"corll_ref": "early"}, seed=3)
    text = draft["choices"][0]["message"]["content"]
    assert edit(service, 403, ref="early", user="ema")["code"] == "consent_required"
    service.put("users/ema/consent", {"store": True})
    assert edit(service, ref="early", user="ema")["draft_id"] == draft["id"]
    assert edit(service, draft_text=text, user="ema")["draft_id"] == draft["id"]
