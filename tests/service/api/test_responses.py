"""POST /v1/responses by the official client: whole, streamed, and conversations that go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from scripted_upstream import USAGE, ScriptedUpstream, answers, scripted_upstream, streams

from corll.service.store import drafts
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow
from corll.service.store.responses import written
from running_service import ADMIN_KEY, RunningService, running_service, settings_for
from tiny_models import build_llama
from tiny_tokenizers import byte_bpe

ASKED = "The parcel is late."
NAMES = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as made:
        yield made


def row_of(store: Database, draft_id: str) -> DraftRow:
    with store.read() as db:
        row = drafts.find_draft(db, draft_id)
    assert row is not None
    return row


def texts(row: DraftRow) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in written(row)]


def send(service: RunningService, draft_id: str, text: str) -> str:
    return str(service.post("edits", {"draft_id": draft_id, "text": text})["id"])


def test_a_response_is_a_draft(
    service: RunningService, client: openai.OpenAI, store: Database
) -> None:
    response = client.responses.create(
        model="corll",
        input=ASKED,
        instructions="Be short.",
        metadata={"case": "7"},
        max_output_tokens=5,
        include=["reasoning.encrypted_content"],
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
        truncation="auto",
        user="rita",
    )
    assert response.id.startswith("resp_")
    assert response.status in ("completed", "incomplete")
    assert response.metadata == {"case": "7"}
    assert response.usage is not None
    assert response.usage.output_tokens <= 5
    row = row_of(store, response.id)
    assert texts(row) == [("system", "Be short."), ("user", ASKED)]
    assert row.choice(0)["text"] == response.output_text
    again = client.responses.retrieve(response.id)
    assert again.output_text == response.output_text
    assert again.usage == response.usage
    assert (again.instructions, again.metadata) == ("Be short.", {"case": "7"})
    send(service, response.id, "It comes on Friday. Rita")
    assert client.responses.retrieve(response.id).to_dict()["sent"] == "It comes on Friday. Rita"


def test_a_draft_at_its_longest_is_incomplete(client: openai.OpenAI) -> None:
    asked: Any = {"model": "corll", "input": ASKED, "max_output_tokens": 1}
    found = [client.responses.create(**asked, extra_body={"seed": n}) for n in range(4)]
    (cut, *_) = [one for one in found if one.status == "incomplete"]
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    assert client.responses.retrieve(cut.id).status == "incomplete"


def test_a_stream_has_the_official_events_in_order(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="corll", input=ASKED, stream=True))
    named = [event.type for event in events]
    assert list(dict.fromkeys(named))[:-1] == NAMES
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    assert last.type == f"response.{last.response.status}"
    told = "".join(event.delta for event in events if event.type == NAMES[4])
    assert told == last.response.output_text
    assert client.responses.retrieve(last.response.id).output_text == told


def test_it_can_be_awaited(service: RunningService) -> None:
    async def ask() -> list[str]:
        url = f"{service.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=ADMIN_KEY) as client:
            whole = await client.responses.create(model="corll", input=ASKED)
            stream = await client.responses.create(model="corll", input=ASKED, stream=True)
            last = [event async for event in stream][-1]
            assert last.type in ("response.completed", "response.incomplete")
            return [whole.id, last.response.id]

    first, second = asyncio.run(ask())
    assert first != second


def test_a_conversation_goes_on_as_it_was_edited(
    service: RunningService, client: openai.OpenAI, store: Database
) -> None:
    first = client.responses.create(model="corll", input=ASKED, instructions="Be short.")
    second = client.responses.create(
        model="corll", input="And the second?", previous_response_id=first.id
    )
    assert texts(row_of(store, second.id)) == [
        ("user", ASKED),
        ("assistant", first.output_text),
        ("user", "And the second?"),
    ]
    send(service, first.id, "It comes on Friday.")
    send(service, second.id, "On Monday.")
    third = client.responses.create(
        model="corll", input="Thanks.", previous_response_id=second.id, instructions="Be kind."
    )
    assert third.previous_response_id == second.id
    assert texts(row_of(store, third.id)) == [
        ("system", "Be kind."),
        ("user", ASKED),
        ("assistant", "It comes on Friday."),
        ("user", "And the second?"),
        ("assistant", "On Monday."),
        ("user", "Thanks."),
    ]


def test_items_stand_as_they_are_and_references_as_they_were_edited(
    service: RunningService, client: openai.OpenAI, store: Database
) -> None:
    """As @ai-sdk/openai, pydantic-ai and openai-agents send a conversation."""
    first = client.responses.create(model="corll", input=ASKED)
    send(service, first.id, "It comes on Friday.")
    own: Any = first.output[0].model_dump()
    items: Any = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": ASKED}]},
        {"type": "item_reference", "id": own["id"]},
        {"type": "message", "role": "user", "content": "And?"},
        {**own, "status": "completed"},
        {"role": "user", "content": "Well?"},
    ]
    response = client.responses.create(model="corll", input=items)
    assert texts(row_of(store, response.id)) == [
        ("system", "Be short."),
        ("user", ASKED),
        ("assistant", "It comes on Friday."),
        ("user", "And?"),
        ("assistant", first.output_text),
        ("user", "Well?"),
    ]


SENT: dict[str, dict[str, Any]] = {
    "pydantic-ai 2.68": {
        "stream": False,
        "input": [
            {"role": "system", "content": "You write letters."},
            {"role": "user", "content": ASKED},
            {"role": "assistant", "content": "It comes."},
            {"role": "user", "content": "And the second?"},
        ],
        "instructions": "Be short.",
    },
    "openai-agents": {
        "include": [],
        "input": [
            {"content": ASKED, "role": "user"},
            {
                "id": "msg_omzlmIET8CRXAGuIbtN6Yzsf",
                "content": [
                    {"annotations": [], "text": "It comes.", "type": "output_text", "logprobs": []}
                ],
                "role": "assistant",
                "status": "completed",
                "type": "message",
            },
            {"role": "user", "content": "And?"},
        ],
        "instructions": "You write letters.",
        "tools": [],
    },
    "@ai-sdk/openai": {
        "input": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "input_text", "text": ASKED}]},
        ],
    },
    "langchain-openai 1.7": {
        "stream": False,
        "input": [{"content": ASKED, "role": "user", "type": "message"}],
    },
    "haystack 3.4": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": ASKED}]}],
    },
}
"""What these clients were seen to send by default."""


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("stream", [False, True])
def test_what_clients_send_is_understood(
    client: openai.OpenAI, store: Database, name: str, stream: bool
) -> None:
    body: Any = {"model": "corll", **SENT[name], "stream": stream}
    told = client.responses.create(**body)
    response: Any = list(told)[-1].response if stream else told
    row = row_of(store, response.id)
    assert ("user", ASKED) in texts(row)
    assert row.choice(0)["text"] == response.output_text


def test_deleting_a_response_takes_what_followed_it(
    service: RunningService, client: openai.OpenAI
) -> None:
    first = client.responses.create(model="corll", input="A secret of Dora's.", user="dora")
    (message,) = first.output
    items: Any = [{"type": "item_reference", "id": message.id}, {"role": "user", "content": "So?"}]
    second = client.responses.create(model="corll", input=items, user="dora")
    third = client.responses.create(
        model="corll", input="And?", previous_response_id=second.id, user="dora"
    )
    send(service, third.id, "Nothing of it.")
    other = client.responses.create(model="corll", input="Else.", user="dora")
    tried = service.ask("DELETE", f"responses/{first.id}?dry_run=true")
    assert (tried["deleted"], tried["receipt"]["counts"]["drafts"]) == (False, 3)
    client.responses.delete(first.id)
    for gone in (first, second, third):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(gone.id)
    assert client.responses.retrieve(other.id).output_text == other.output_text
    assert "secret" not in service.http.get("/v1/users/dora/export").text
    with pytest.raises(openai.BadRequestError, match="it was deleted") as refused:
        client.responses.create(
            model="corll", input="Go on.", previous_response_id=third.id, user="dora"
        )
    assert refused.value.code == "previous_response_not_found"


def test_deleting_an_edit_takes_what_read_it(
    service: RunningService, client: openai.OpenAI
) -> None:
    first = client.responses.create(model="corll", input=ASKED, user="edda")
    before = client.responses.create(
        model="corll", input="And?", previous_response_id=first.id, user="edda"
    )
    edit = send(service, first.id, "A secret of Edda's.")
    after = client.responses.create(
        model="corll", input="So?", previous_response_id=first.id, user="edda"
    )
    service.ask("DELETE", f"edits/{edit}")
    assert "secret" not in service.http.get("/v1/users/edda/export").text
    client.responses.retrieve(first.id)
    client.responses.retrieve(before.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(after.id)


def test_nobody_goes_on_with_anothers_response(client: openai.OpenAI) -> None:
    first = client.responses.create(model="corll", input=ASKED, user="first")
    (message,) = first.output
    more: Any
    for more in (
        {"input": "And?", "previous_response_id": first.id},
        {"input": [{"type": "item_reference", "id": message.id}]},
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="corll", user="second", **more)
        assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"input": [{"type": "reasoning", "summary": []}]}, "message, item_reference"),
        ({"input": [{"type": "computer_call_output"}]}, "message, item_reference"),
        ({"input": [{"type": "function_call", "arguments": "{}"}]}, "input[0].name: is missing"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].output: is missing"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "tool_calls"),
        ({"input": "Hi", "top_k": -2}, "top_k: must be at least -1"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "type"),
        ({"input": []}, "at least 1"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": "Hi", "previous_response_id": "resp_none"}, "no response"),
        ({"input": "Hi", "background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "msg_"),
        ({"input": "Hi", "text": {"format": {"type": "json_object"}}}, "text"),
        ({"input": "Hi", "conversation": "conv_1"}, "conversation"),
        ({"input": "Hi", "metadata": {"corll_ref": ""}}, "corll_ref"),
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused(
    service: RunningService, body: dict[str, Any], word: str
) -> None:
    answer = service.http.post("/v1/responses", json={"model": "corll", **body})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]["message"]


def test_what_changes_nothing_is_named_in_the_reply(service: RunningService) -> None:
    asked = {"model": "corll", "input": ASKED, "seed": 1, "metadata": {"ticket": "7"}}
    plain = service.post("responses", asked)
    assert "ignored" not in plain["corll"]
    harmless = {
        "service_tier": "flex",
        "prompt_cache_key": "abc",
        "prompt_cache_options": {"mode": "auto"},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_tool_calls": 3,
        "truncation": "auto",
        "stream_options": {"include_obfuscation": False},
        "reasoning": {"effort": "none", "summary": None},
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "store": True,
    }
    for stream in (False, True):
        answer = service.http.post("/v1/responses", json={**asked, **harmless, "stream": stream})
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        reply = json.loads(lines[-1])["response"] if stream else answer.json()
        assert reply["output"][0]["content"][0]["text"] == plain["output"][0]["content"][0]["text"]
        assert set(reply["corll"]["ignored"]) == {
            *(harmless.keys() - {"stream_options", "reasoning", "text", "include", "store"}),
            "stream_options.include_obfuscation",
            "reasoning.effort",
            "text.verbosity",
            "include[1]",
        }


@pytest.mark.parametrize(
    "said",
    [
        {"top_k": 1},
        {"min_p": 0.3},
        {"frequency_penalty": 1.5, "presence_penalty": 0.5},
        {"repetition_penalty": 1.4, "temperature": 0},
        {"logit_bias": {"9": 60}},
    ],
    ids=str,
)
def test_a_response_is_sampled_as_a_chat_is(service: RunningService, said: dict[str, Any]) -> None:
    asked = {"model": "corll", "seed": 5, **said}
    chat = service.post(
        "chat/completions", {**asked, "messages": [{"role": "user", "content": ASKED}]}
    )
    response = service.post("responses", {**asked, "input": ASKED})
    (part,) = response["output"][0]["content"]
    assert part["text"] == chat["choices"][0]["message"]["content"]


def test_what_a_tool_answered_stands_in_the_prompt(
    service: RunningService, client: openai.OpenAI, store: Database
) -> None:
    items: Any = [
        {"role": "user", "content": "Where is order 77?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call_output", "call_id": "c", "output": "It left on Monday."},
    ]
    first = client.responses.create(model="corll", input=items)
    row = row_of(store, first.id)
    assert texts(row)[-1] == ("tool", "It left on Monday.")
    items[-1]["output"] = [{"type": "input_text", "text": "It left on Monday."}]
    parts = client.responses.create(model="corll", input=items)
    assert row_of(store, parts.id).prompt == row.prompt
    again = client.responses.create(model="corll", input="And?", previous_response_id=first.id)
    assert texts(row_of(store, again.id))[:3] == texts(row)


CALLING = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]"
    "{% endfor %}<|done|>\n{% endfor %}<|turn|>assistant\n"
)


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service on a model whose chat template writes the calls of tools."""
    folder = tmp_path_factory.mktemp("calling")
    tokenizer = byte_bpe(CALLING)
    build_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with running_service(settings_for(folder, folder / "data", learn=False)) as running:
        yield running


def test_calls_of_a_history_join_the_assistants_turn(calling: RunningService) -> None:
    """As the official client holds a conversation in which tools were called at once."""
    asked, answered = {"role": "user", "content": "Where are 7 and 8?"}, "On their way."
    call = {"type": "function_call", "name": "find", "status": "completed"}
    outputs = [
        {"type": "function_call_output", "call_id": f"c{n}", "output": answered, "id": None}
        for n in (7, 8)
    ]
    calls = [
        {**call, "call_id": f"c{n}", "arguments": json.dumps({"n": n}), "id": f"fc_{n}"}
        for n in (7, 8)
    ]
    said = {"role": "assistant", "content": "I look."}
    function = [
        {"id": f"c{n}", "function": {"name": "find", "arguments": {"n": n}}} for n in (7, 8)
    ]
    tools = [{"role": "tool", "tool_call_id": f"c{n}", "content": answered} for n in (7, 8)]
    for before, turn in (
        ([said], {**said, "tool_calls": function}),
        ([], {"role": "assistant", "content": None, "tool_calls": function}),
    ):
        first = calling.post(
            "responses", {"model": "corll", "input": [asked, *before, *calls, *outputs]}
        )
        chat = calling.post(
            "chat/completions", {"model": "corll", "messages": [asked, turn, *tools]}
        )
        assert first["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
        # A conversation that holds calls goes on as any other.
        second = calling.post(
            "responses",
            {"model": "corll", "input": "And 9?", "previous_response_id": first["id"]},
        )
        drafted = first["output"][0]["content"][0]["text"]
        more = [
            {"role": "assistant", "content": drafted},
            {"role": "user", "content": "And 9?"},
        ]
        chat = calling.post(
            "chat/completions", {"model": "corll", "messages": [asked, turn, *tools, *more]}
        )
        assert second["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]


def test_null_is_as_if_left_out(service: RunningService) -> None:
    names = "instructions previous_response_id metadata include store stream text reasoning tools"
    names += " conversation prompt background top_logprobs moderation context_management user"
    service.post("responses", {"model": "corll", "input": "Hi", **dict.fromkeys(names.split())})


def test_what_is_read_again_is_what_was_answered(service: RunningService) -> None:
    """Also where the draft went on with a beginning, which is no part of the answer."""
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "Dear Anna, "}]
    for asked in ({"input": ASKED}, {"input": turns}, {"input": turns, "instructions": ""}):
        response = service.post("responses", {"model": "corll", "max_output_tokens": 6, **asked})
        again = service.get(f"responses/{response['id']}")
        assert again.pop("sent") is None
        facts = [
            {name: it for name, it in one.pop("corll").items() if it is not None}
            for one in (again, response)
        ]
        assert facts[0] == facts[1]
        assert again == response
    second = service.post(
        "responses", {"model": "corll", "input": "And?", "previous_response_id": response["id"]}
    )
    drafts = service.get("users/me/drafts")["data"]
    (prompt,) = [one["prompt"] for one in drafts if one["id"] == second["id"]]
    text = response["output"][0]["content"][0]["text"]
    assert prompt[1]["content"] == f"Dear Anna, {text}"


def test_empty_instructions_are_none(
    service: RunningService, client: openai.OpenAI, store: Database
) -> None:
    response = client.responses.create(model="corll", input=ASKED, instructions="")
    assert texts(row_of(store, response.id)) == [("user", ASKED)]
    assert client.responses.retrieve(response.id).instructions is None


def test_store_false_keeps_it_nowhere(client: openai.OpenAI, service: RunningService) -> None:
    response = client.responses.create(model="corll", input=ASKED, store=False)
    told = response.to_dict()
    assert (told["store"], told["corll"]["stored"]) == (False, False)  # type: ignore[index]
    edit = service.http.post("/v1/edits", json={"draft_id": response.id, "text": "Hello."})
    assert edit.status_code == 403
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="corll", input="And?", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"


def test_without_consent_a_conversation_goes_on_for_a_day(
    service: RunningService, client: openai.OpenAI
) -> None:
    service.put("users/una/consent", {"store": False})
    first = client.responses.create(model="corll", input=ASKED, user="una")
    second = client.responses.create(
        model="corll", input="And?", previous_response_id=first.id, user="una"
    )
    assert client.responses.retrieve(second.id).previous_response_id == first.id
    assert "parcel" not in service.http.get("/v1/users/una/export").text


def test_logprobs_come_where_they_are_asked_for(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="corll", input=ASKED, top_logprobs=2, include=["message.output_text.logprobs"]
    )
    message: Any = response.output[0]
    for token in message.content[0].logprobs:
        assert len(token.top_logprobs) >= 2


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def fronting(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> Iterator[openai.OpenAI]:
    """A client of a service in front of the scripted upstream."""
    settings = settings_for(
        tiny_model_folder,
        tmp_path_factory.mktemp("fronting"),
        learn=False,
        upstream=upstream.url,
        upstream_model="big",
    )
    with running_service(settings) as service:
        url = f"{service.url}/v1"
        with openai.OpenAI(base_url=url, api_key=ADMIN_KEY, max_retries=0) as made:
            yield made


def test_an_upstream_drafts_responses_too(
    upstream: ScriptedUpstream, fronting: openai.OpenAI
) -> None:
    upstream.will(answers("It comes on Friday."))
    first = fronting.responses.create(model="corll", input=ASKED)
    assert (first.status, first.output_text) == ("completed", "It comes on Friday.")
    more = fronting.responses.create(model="corll", input="And?", previous_response_id=first.id)
    assert [turn["content"] for turn in upstream.asked[-1]["messages"]] == [
        ASKED,
        "It comes on Friday.",
        "And?",
    ]
    assert more.usage is not None
    assert more.usage.input_tokens == USAGE["prompt_tokens"]


def test_the_helper_for_streams_gathers_the_whole_response(
    upstream: ScriptedUpstream, fronting: openai.OpenAI
) -> None:
    upstream.will(streams(["It", "comes", "on", "Friday."]))
    with fronting.responses.stream(model="corll", input=ASKED) as stream:
        told = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(told) > 1
    assert final.output_text == "".join(told)
    assert final.usage is not None
    assert final.usage.total_tokens == USAGE["total_tokens"]


def test_a_stream_that_breaks_off_ends_as_failed(
    upstream: ScriptedUpstream, fronting: openai.OpenAI
) -> None:
    upstream.will(streams(["It", "comes"], reason=None, done=False))
    events = list(fronting.responses.create(model="corll", input=ASKED, stream=True))
    last: Any = events[-1]
    assert last.type == "response.failed"
    assert (last.response.status, last.response.error.code) == ("failed", "upstream_broke_off")
    assert last.response.output_text == "".join(
        event.delta for event in events if event.type == "response.output_text.delta"
    )


def test_each_reply_names_its_draft_in_a_header(service: RunningService) -> None:
    for path, body in (
        ("responses", {"input": "Hi"}),
        ("completions", {"prompt": "Hi"}),
        ("chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ):
        for stream in (False, True):
            answer: httpx.Response = service.http.post(
                f"/v1/{path}", json={"model": "corll", "stream": stream, **body}
            )
            draft_id = answer.headers["x-corll-draft-id"]
            assert draft_id in answer.text
            service.post("edits", {"draft_id": draft_id, "text": "Hello there."})
