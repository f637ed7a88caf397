"""Drafts over HTTP: a real service on a tiny model, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest

from corll.policy import Policy
from running_service import ADMIN_KEY, RunningService, until

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as made:
        yield made


def body_of(error: openai.APIStatusError) -> Any:
    return error.response.json()["error"]


def test_a_draft_is_what_the_policy_draws(service: RunningService, client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="corll", messages=MESSAGES, seed=5)
    config = service.settings.coactive
    policy = Policy.load(service.settings.model, dtype="float32")
    expected = policy.sample([MESSAGES], 1, 12, 5, sampling=config.sampling)[0][0]
    assert reply.choices[0].message.content == expected.text
    assert reply.choices[0].finish_reason == ("stop" if expected.finished else "length")
    assert reply.model == "corll"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == len(expected.token_ids)
    assert reply.corll["version"] is None  # type: ignore[attr-defined]


def test_a_stream_says_the_same_piece_by_piece(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="corll", messages=MESSAGES, seed=6, n=2)
    texts = ["", ""]
    reasons: list[str | None] = [None, None]
    usage = None
    with client.chat.completions.create(
        model="corll",
        messages=MESSAGES,
        seed=6,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage


def test_a_reply_leaves_out_what_it_has_nothing_to_say_of(service: RunningService) -> None:
    facts = {"candidates", "implicit_reward", "user", "stored", "version"}
    assert set(service.draft()["corll"]) == {*facts, "arm"}
    body = {"model": "base", "messages": MESSAGES, "stream": True, "seed": 6}
    with service.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = [line.removeprefix("data: ") for line in stream.iter_lines()]
    chunks = [json.loads(line) for line in lines if line.startswith("{")]
    head = {"id", "object", "created", "model", "system_fingerprint", "choices"}
    assert [set(chunk) - head for chunk in chunks] == [set()] * (len(chunks) - 1) + [{"corll"}]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert all(set(delta) == {"content"} for delta in deltas[1:-1])
    assert deltas[-1] == {}
    assert set(chunks[-1]["corll"]) == facts


def test_the_async_client_works_too(service: RunningService) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY) as client:
            stream = await client.chat.completions.create(
                model="base", messages=MESSAGES, seed=1, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    assert asyncio.run(ask())


def test_plain_completions_with_logprobs(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="base", prompt="Dear", max_tokens=6, seed=2, logprobs=2)
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert len(logprobs.tokens) == reply.usage.completion_tokens  # type: ignore[union-attr]
    assert reply.object == "text_completion"


def test_temperature_0_is_the_likeliest_text_whatever_the_seed(client: openai.OpenAI) -> None:
    texts = {
        client.completions.create(
            model="base", prompt="Dear", temperature=0, max_tokens=8, seed=seed
        )
        .choices[0]
        .text
        for seed in range(3)
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("response_format", {"type": "json_object"}),
        ("frequency_penalty", 2.1),
        ("unheard_of", True),
        ("temperature", 9),
        ("n", 0),
        ("n", 99),
        ("stop", ["a"] * 9),
        ("messages", []),
        ("messages", [{"role": "user", "content": "x", "name": ["ann"]}]),
        ("messages", [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        ("stream_options", {"include_usage": True}),
        ("top_logprobs", 3),
    ],
)
def test_what_is_not_supported_is_refused(
    service: RunningService, field: str, value: object
) -> None:
    response = service.http.post(
        "/v1/chat/completions", json={"model": "corll", "messages": MESSAGES, field: value}
    )
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("completions", {"prompt": "half \ud83d of it"}),
        ("chat/completions", {"messages": [{"role": "user", "content": "half \ud83d of it"}]}),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "half \ud83d"}]}]},
        ),
    ],
)
def test_half_a_character_is_refused(service: RunningService, path: str, fields: Any) -> None:
    body = json.dumps({"model": "base", **fields})
    response = service.http.post(
        f"/v1/{path}", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert "half of a character at 5" in response.json()["error"]["message"]


def test_a_conversation_goes_on_with_the_clients_own_message(client: openai.OpenAI) -> None:
    messages = list(MESSAGES)
    reply = client.chat.completions.create(model="corll", messages=messages, seed=5)
    messages += [reply.choices[0].message, {"role": "user", "content": "Shorter, please."}]
    again = client.chat.completions.create(model="corll", messages=messages, max_tokens=2)
    assert again.usage is not None
    assert reply.usage is not None
    assert again.usage.prompt_tokens > reply.usage.total_tokens


def test_logprobs_of_a_chat_are_those_of_its_text(client: openai.OpenAI) -> None:
    """Nothing behind a stop sequence; tokens' bytes make up the text, half characters too."""
    drawing: Any = {"model": "base", "messages": MESSAGES, "logprobs": True, "max_tokens": 60}
    whole = [
        choice
        for seed in range(3)
        for choice in client.chat.completions.create(**drawing, seed=seed, n=16).choices
    ]
    for choice in whole:
        assert choice.logprobs is not None
        tokens = choice.logprobs.content or []
        for token in tokens:
            if not token.token.startswith("bytes:"):
                assert token.bytes == list(token.token.encode())
        told = bytes(byte for token in tokens for byte in token.bytes or [])
        assert told.decode(errors="replace") == choice.message.content
    tokens = whole[0].logprobs.content[3:]  # type: ignore[union-attr,index]
    stop = next(one.token for one in tokens if one.bytes and not one.token.startswith("bytes:"))
    stopped = client.chat.completions.create(**drawing, seed=0, n=16, stop=[stop]).choices[0]
    assert stopped.logprobs is not None
    assert stopped.message.content is not None
    told = bytes(byte for token in stopped.logprobs.content or [] for byte in token.bytes or [])
    assert stopped.message.content.startswith(told.decode(errors="replace"))


def test_an_implicit_reward_can_be_asked_for(service: RunningService) -> None:
    assert service.draft()["corll"]["implicit_reward"] is None
    assert service.draft(implicit_reward=True)["corll"]["implicit_reward"] == 0  # of π_0 itself


def test_neutral_values_of_openais_are_understood(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(
        model="corll",
        messages=MESSAGES,
        frequency_penalty=0,
        presence_penalty=0,
        response_format={"type": "text"},
        store=False,
        max_completion_tokens=2,
    ).choices


def test_a_prompt_over_the_context_has_openais_code(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="corll", messages=[{"role": "user", "content": "word " * 2000}]
        )
    assert body_of(caught.value)["code"] == "context_length_exceeded"


@pytest.mark.parametrize("name", ["gpt-4", "ann@99", "@", "../../etc@1", "nobody@1", "corll@x"])
def test_an_unknown_model_is_404(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=name, messages=MESSAGES)
    assert body_of(caught.value)["code"] == "model_not_found"


def test_models_are_listed_corll_first(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()][:2] == ["corll", "base"]
    assert client.models.retrieve("base").id == "base"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


LONG: dict[str, Any] = {
    "model": "base",
    "prompt": "Once",
    "max_tokens": 400,
    "stop": ["\u0001never"],
    "stream": True,
}


def test_a_draft_is_not_stored_whose_user_withdraws_consent_while_it_is_drawn(
    service: RunningService,
) -> None:
    body = {**LONG, "user": "withdrawing"}
    service.put("users/withdrawing/consent", {"store": True, "learn": True})
    service.post("completions", {**body, "stream": False, "max_tokens": 1})
    with service.http.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        first = json.loads(next(lines).removeprefix("data: "))
        service.put("users/withdrawing/consent", {"store": False, "learn": False})
        events = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
    (stored,) = [event["corll"]["stored"] for event in map(json.loads, events) if "corll" in event]
    assert stored is False
    kept = service.get("users/withdrawing/drafts")["data"]
    assert len(kept) == 1
    assert first["id"] not in [draft["id"] for draft in kept]


def test_a_client_that_leaves_stops_its_draft_which_is_kept_as_cancelled(
    service: RunningService,
) -> None:
    body = {**LONG, "user": "gone"}
    with service.http.stream("POST", "/v1/completions", json=body) as response:
        first = next(response.iter_lines())
    draft_id = json.loads(first.removeprefix("data: "))["id"]

    def kept() -> dict[str, Any] | None:
        lines = service.http.get("/v1/users/gone/export").text.splitlines()
        rows = [json.loads(line) for line in lines]
        return next((row for row in rows if row.get("id") == draft_id), None)

    row = until(kept)
    assert row["status"] == "cancelled"
    assert len(row["candidates"][0]["token_ids"]) < 400
    service.put("users/gone/consent", {"learn": True})
    edit = service.post("edits", {"draft_id": draft_id, "text": "Enough."})
    assert edit["will_learn"] is False
    assert "cancelled" in edit["reason"]


def test_clients_that_leave_touch_nobody_elses_draft(service: RunningService) -> None:

    def ask(number: int) -> str | None:
        # Of these prompts no draw is nearer to a tie than 2e-4 nats: rounding cannot turn it.
        body = {"model": "base", "prompt": f"Text {number}", "max_tokens": 30, "seed": number}
        if number % 3 == 0:
            headers = {"authorization": f"Bearer {ADMIN_KEY}"}
            body["max_tokens"] = 400
            with (
                httpx.Client(headers=headers, timeout=0.05) as hasty,
                suppress(httpx.TimeoutException),
            ):
                hasty.post(f"{service.url}/v1/completions", json=body)
            return None
        return str(service.post("completions", body)["choices"][0]["text"])

    with ThreadPoolExecutor(9) as pool:
        found = list(pool.map(ask, range(9)))
    for number in (1, 2, 4):
        assert found[number] == ask(number)


def test_streams_are_answered_while_others_wait(service: RunningService) -> None:
    """Two requests at a time take turns, a token each."""
    ended: list[str] = []

    def ask(name: str, tokens: int) -> None:
        service.post("completions", {"model": "base", "prompt": name, "max_tokens": tokens})
        ended.append(name)

    long = threading.Thread(target=ask, args=("long", 400))
    long.start()
    ask("short", 2)
    long.join()
    assert ended == ["short", "long"]
