"""A conversation that ends with the assistant's message: the draft goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from corll.policy import Policy
from corll.records import Sample, messages_of
from corll.service.prompts import as_prompt
from corll.service.settings import ServiceSettings
from running_service import ADMIN_KEY, RunningService, running_service, settings_for

QUESTION = {"role": "user", "content": "The parcel is late."}
BEGUN = "Dear Ms Lopez, we are sorry"
MESSAGES: Any = [QUESTION, {"role": "assistant", "content": BEGUN}]


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def policy(service: RunningService) -> Policy:
    return Policy.load(service.settings.model, dtype="float32")


def stored(service: RunningService, reply: Any) -> Any:
    lines = service.http.get(f"/v1/users/{reply.corll['user']}/export").text.splitlines()
    return next(row for row in map(json.loads, lines) if row.get("id") == reply.id)


def test_the_reply_is_what_follows_and_the_draft_is_the_whole(
    service: RunningService, client: openai.OpenAI, policy: Policy
) -> None:
    """The ids that it was drawn after are those that learning scores it on."""
    reply = client.chat.completions.create(model="corll", messages=MESSAGES, seed=5)
    begun = policy.codec.encode_response(BEGUN).token_ids[:-1]
    prompt = policy.codec.encode_prompt([QUESTION])
    (row,) = policy.continuations(
        [(*prompt, *begun)], 1, 12, [5], sampling=service.settings.coactive.sampling
    )
    expected = row[0]
    content = reply.choices[0].message.content
    assert content is not None
    assert BEGUN + content == policy.codec.decode((*begun, *expected.token_ids))
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == len(prompt) + len(begun)
    assert reply.usage.completion_tokens == len(expected.token_ids)
    assert reply.corll["goes_on"] is True  # type: ignore[attr-defined]
    draft = stored(service, reply)
    assert messages_of(as_prompt(draft["prompt"], draft["kind"])) == [QUESTION]
    sample = Sample.from_dict(draft["candidates"][0])
    whole = Sample(BEGUN + content, (*begun, *expected.token_ids), None, expected.finished)
    assert sample == whole
    edit = policy.codec.encode_edit(sample, f"{BEGUN} for it.")
    assert edit.token_ids[: len(begun)] == begun


def test_the_edit_of_what_went_on_is_the_whole_text(
    service: RunningService, client: openai.OpenAI
) -> None:
    reply = client.chat.completions.create(model="corll", messages=MESSAGES, seed=5)
    whole = BEGUN + (reply.choices[0].message.content or "")
    assert service.post("edits", {"draft_id": reply.id, "text": whole})["accepted"] is True
    sent = {"draft_id": reply.id, "text": f"{BEGUN} that it is late."}
    assert service.post("edits", sent)["edit_cost"] < 1


def test_a_stream_says_the_same_and_stops_the_same(client: openai.OpenAI) -> None:
    wanted: Any = {"model": "corll", "messages": MESSAGES, "seed": 8, "max_tokens": 40}
    whole = client.chat.completions.create(**wanted).choices[0].message.content or ""
    stop = whole[len(whole) // 2 :][:3]
    stopped = client.chat.completions.create(**wanted, stop=[stop]).choices[0]
    assert stopped.message.content == whole[: whole.index(stop)]
    told = ""
    with client.chat.completions.create(**wanted, stop=[stop], stream=True) as stream:
        for chunk in stream:
            told += chunk.choices[0].delta.content or ""
    assert told == stopped.message.content


def test_of_several_that_go_on_the_best_is_ranked_as_a_whole(
    client: openai.OpenAI,
) -> None:
    reply = client.chat.completions.create(
        model="corll", messages=MESSAGES, seed=9, n=2, extra_body={"num_candidates": 3}
    )
    texts = [choice.message.content for choice in reply.choices]
    assert len(set(texts)) == 2
    assert all(not (text or "").startswith(BEGUN) for text in texts)


def test_an_empty_beginning_is_none(client: openai.OpenAI) -> None:
    empty: Any = [QUESTION, {"role": "assistant", "content": ""}]
    asked: Any = [QUESTION]
    first, second = (
        client.chat.completions.create(model="corll", messages=messages, seed=3)
        for messages in (empty, asked)
    )
    assert first.choices == second.choices
    assert first.usage == second.usage


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (MESSAGES[1:], "give at least one message"),
        ([QUESTION, {**MESSAGES[1], "name": "anna"}], "cannot have a name"),
        ([QUESTION, {**MESSAGES[1], "content": "Dear <|end|>"}], "control token"),
        ([QUESTION, {**MESSAGES[1], "content": "word " * 2000}], "context"),
    ],
)
def test_what_cannot_go_on_is_refused(service: RunningService, messages: Any, said: str) -> None:
    body = {"model": "corll", "messages": messages}
    response = service.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_a_draft_without_a_limit_takes_what_the_context_leaves(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Where it is cut there, nothing can be gone on with."""
    longest = ServiceSettings().coactive.max_completion_length
    settings = settings_for(
        tiny_model_folder, tmp_path, learn=False, coactive={"max_completion_length": longest}
    )
    with running_service(settings) as service:
        replies = [service.draft(seed=seed, temperature=1.5) for seed in range(3)]
        cut = next(r for r in replies if r["choices"][0]["finish_reason"] == "length")
        assert cut["usage"]["total_tokens"] == 512
        begun = {"role": "assistant", "content": cut["choices"][0]["message"]["content"]}
        body = {
            "model": "corll",
            "messages": [
                QUESTION,
                begun,
            ],
        }
        response = service.http.post("/v1/chat/completions", json=body)
    assert response.json()["error"]["code"] == "context_length_exceeded"
