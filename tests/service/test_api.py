"""The HTTP API, over HTTP: a real service on a tiny model, asked by OpenAI's own client."""

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
from running_service import ADMIN_KEY, RunningService, running_service, settings_for, until

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Without a learner: these tests are about answers."""
    settings = settings_for(tiny_model_folder, tmp_path_factory.mktemp("api"), learn=False)
    with running_service(settings) as running:
        yield running


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
        ("frequency_penalty", 1.0),
        ("unheard_of", True),
        ("temperature", 9),
        ("n", 0),
        ("n", 99),
        ("stop", ["a"] * 9),
        ("messages", []),
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


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong-key-wrong-key-1"}])
def test_without_a_known_key_nothing_is_answered(
    service: RunningService, header: dict[str, str]
) -> None:
    response = httpx.get(f"{service.url}/v1/models", headers=header)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["x-request-id"].startswith("req_")


def test_an_edit_is_answered_with_what_will_come_of_it(service: RunningService) -> None:
    draft = service.draft(user="eve")
    off = service.post("edits", {"draft_id": draft["id"], "text": "Sorry for the delay."})
    assert (off["state"], off["will_learn"]) == ("recorded", False)
    assert "not agreed" in off["reason"]
    service.put("users/eve/consent", {"learn": True})
    other = service.draft(user="eve")
    edit = service.post("edits", {"draft_id": other["id"], "text": "Sorry for the delay.\r\n "})
    assert edit["will_learn"] is True
    assert edit["text"] == "Sorry for the delay."
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
    [("", 0, 400), ("  \n", 0, 400), ("a\0b", 0, 400), ("fine", 7, 400)],
)
def test_an_edit_that_cannot_be_used_is_refused(
    service: RunningService, text: str, choice: int, status: int
) -> None:
    draft = service.draft()
    response = service.http.post(
        "/v1/edits", json={"draft_id": draft["id"], "text": text, "choice": choice}
    )
    assert response.status_code == status


def test_an_edit_too_long_to_learn_from_is_kept_and_says_so(service: RunningService) -> None:
    service.draft(user="lou")
    service.put("users/lou/consent", {"learn": True})
    draft = service.draft(user="lou")
    edit = service.post("edits", {"draft_id": draft["id"], "text": "word " * 900})
    assert edit["will_learn"] is False
    assert "context" in edit["reason"]


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
    assert service.http.post("/v1/comparisons", json=same).status_code == 400
    other = service.draft("Another prompt.", user="dan")
    crossed = {**sides, "chosen": {"draft_id": other["id"]}}
    assert service.http.post("/v1/comparisons", json=crossed).status_code == 400


def test_without_store_a_draft_is_in_memory_alone_and_edits_need_consent(
    service: RunningService,
) -> None:
    service.draft(user="max")
    service.put("users/max/consent", {"store": False})
    draft = service.draft("A secret plan.", user="max")
    assert draft["corll"]["stored"] is False
    body = {"draft_id": draft["id"], "text": "Sorry."}
    response = service.http.post("/v1/edits", json=body)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "consent_required"
    kept = service.settings.data_dir.joinpath("corll.db-wal").read_bytes()
    kept += service.settings.data_dir.joinpath("corll.db").read_bytes()
    assert b"A secret plan." not in kept
    service.put("users/max/consent", {"store": True})
    assert service.post("edits", body)["state"] == "recorded"


def test_nobody_sees_anothers_drafts_edits_or_versions(service: RunningService) -> None:
    keys = {
        name: service.post("keys", {"scope": "user", "user": name, "label": name})
        for name in ("anna", "bert")
    }
    backend = service.post("keys", {"scope": "backend", "label": "shop", "namespace": "shop"})
    anna, bert, shop = (
        service.with_key(key["key"]) for key in (keys["anna"], keys["bert"], backend)
    )
    draft = anna.draft()
    edit = anna.post("edits", {"draft_id": draft["id"], "text": "Sorry."})
    owner = draft["corll"]["user"]
    for stranger in (bert, shop):
        body = {"draft_id": draft["id"], "text": "Mine."}
        assert stranger.http.post("/v1/edits", json=body).status_code == 404
        for path in (f"edits/{edit['id']}", f"users/{owner}", f"users/{owner}/export"):
            assert stranger.http.get(f"/v1/{path}").status_code == 404
        assert stranger.http.put(f"/v1/users/{owner}/consent", json={}).status_code == 404
    assert service.get(f"edits/{edit['id']}")["id"] == edit["id"]  # an admin may
    # The same name in another name space is another user.
    assert shop.draft(safety_identifier="anna")["corll"]["user"] != owner
    # A user's key speaks for that user, whatever the body says.
    assert anna.draft(user="bert")["corll"]["user"] == owner


def test_scopes_bound_what_a_key_may_do(service: RunningService) -> None:
    backend = service.post("keys", {"scope": "backend", "label": "b", "namespace": "b"})
    shop = service.with_key(backend["key"])
    user = shop.post("keys", {"scope": "user", "user": "u1", "label": "u1"})
    person = service.with_key(user["key"])
    assert shop.http.post("/v1/keys", json={"scope": "admin"}).status_code == 403
    assert person.http.get("/v1/keys").status_code == 403
    assert {key["id"] for key in shop.get("keys")["data"]} == {backend["id"], user["id"]}
    assert "key" not in shop.get("keys")["data"][0]
    assert person.get("users")["data"][0]["name"] == "u1"
    assert shop.ask("DELETE", f"keys/{user['id']}")["deleted"] is True
    assert person.http.get("/v1/models").status_code == 401


def test_a_key_with_a_limit_is_told_when_to_come_again(service: RunningService) -> None:
    key = service.post("keys", {"scope": "backend", "label": "slow", "rate_per_minute": 2})
    assert key["namespace"] != "local"  # a backend's users are its own
    slow = service.with_key(key["key"])
    responses = [slow.http.get("/v1/models") for _ in range(3)]
    assert [r.status_code for r in responses] == [200, 200, 429]
    assert responses[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert int(responses[2].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'"text"', 400),
        (json.dumps({"model": "corll", "messages": MESSAGES}).encode()[:-1] + b"," * 9, 400),
        (b" " * 3_000_000, 413),
    ],
)
def test_bodies_that_are_no_request_are_refused(
    service: RunningService, content: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    response = service.http.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_a_body_without_a_length_is_bounded_too(service: RunningService) -> None:
    def endless() -> Iterator[bytes]:
        yield from [b" " * 100_000] * 40

    headers = {"content-type": "application/json"}
    response = service.http.post("/v1/edits", content=endless(), headers=headers)
    assert response.status_code == 413


def test_a_client_that_leaves_stops_its_draft_which_is_kept_as_cancelled(
    service: RunningService,
) -> None:
    body = {
        "model": "base",
        "prompt": "Once",
        "max_tokens": 400,
        "stop": ["\u0001never"],
        "user": "gone",
        "stream": True,
    }
    with service.http.stream("POST", "/v1/completions", json=body) as response:
        first = next(response.iter_lines())
    draft_id = json.loads(first.removeprefix("data: "))["id"]

    def kept() -> dict[str, Any] | None:
        lines = service.http.get("/v1/users/gone/export").text.splitlines()
        rows = [json.loads(line) for line in lines]
        return next((row for row in rows if row.get("id") == draft_id), None)

    row = until(kept, within=30)
    assert row["status"] == "cancelled"
    assert len(row["candidates"][0]["token_ids"]) < 400
    service.put("users/gone/consent", {"learn": True})
    edit = service.post("edits", {"draft_id": draft_id, "text": "Enough."})
    assert edit["will_learn"] is False
    assert "cancelled" in edit["reason"]


def test_clients_that_leave_touch_nobody_elses_draft(service: RunningService) -> None:

    def ask(number: int) -> str | None:
        body = {"model": "base", "prompt": f"No. {number}", "max_tokens": 30, "seed": number}
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


def test_everything_kept_of_a_user_is_exported(service: RunningService) -> None:
    draft = service.draft("A plan for Ola.", user="ola")
    service.post("edits", {"draft_id": draft["id"], "text": "Dear Ola, no."})
    lines = [json.loads(x) for x in service.http.get("/v1/users/ola/export").text.splitlines()]
    records = [line["record"] for line in lines]
    assert records == ["user", "draft", "edit", "preference"]
    assert "secret_sha256" not in json.dumps(lines)


def test_operation(service: RunningService) -> None:
    assert httpx.get(f"{service.url}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{service.url}/readyz")
    assert (ready.status_code, ready.json()["learner"]) == (200, "off")
    service.draft("Nobody may read this in the metrics.", user="nil")
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'corll_drafts_total{status="complete"}' in metrics
    assert "corll_learner_lag_seconds" in metrics
    assert "Nobody" not in metrics
    assert 'route="/v1/users/{user_id}/consent"' in metrics


def test_a_second_server_on_one_data_folder_is_refused(service: RunningService) -> None:
    from corll.errors import ConfigError
    from corll.service.server import running_app

    with pytest.raises(ConfigError, match="Another server"), running_app(service.settings):
        pass


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
