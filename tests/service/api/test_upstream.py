"""`corll serve --upstream`: another service's model drafts, and our own learns from the edits."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from scripted_upstream import (
    USAGE,
    Behaviour,
    ScriptedUpstream,
    answers,
    breathes,
    chunk,
    hangs,
    says,
    scripted_upstream,
    streams,
    whole,
)

from corll.policy import Policy
from corll.service.api.completion_routes import _abandoned, _DraftUnderWay
from corll.service.learning.reading import PreferenceReader
from corll.service.store import drafts, preferences
from corll.service.store.database import Database
from patience import PATIENCE_S
from running_service import (
    ADMIN_KEY,
    RunningService,
    free_port,
    running_service,
    settings_for,
    until,
)

KEY = "sk-upstream-very-secret"
MESSAGES: Any = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "The parcel is late."},
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def fronting(
    tiny_model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    upstream: ScriptedUpstream,
) -> Iterator[RunningService]:
    """A service in front of the scripted upstream, that does not learn."""
    settings = settings_for(
        tiny_model_folder,
        tmp_path_factory.mktemp("fronting"),
        learn=False,
        upstream=upstream.url,
        upstream_model="big-one",
        upstream_key=KEY,
        upstream_timeout=1.0,
    )
    with running_service(settings) as running:
        yield running


@pytest.fixture
def client(fronting: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{fronting.url}/v1", api_key=ADMIN_KEY, max_retries=0) as made:
        yield made


def agree(service: RunningService, user: str, **consent: Any) -> None:
    service.put(f"users/{user}/consent", {"store": True, "learn": True, **consent})


def latest(service: RunningService, user: str) -> dict[str, Any]:
    record: dict[str, Any] = service.get(f"users/{user}/drafts")["data"][0]
    return record


def error_of(service: RunningService, **body: Any) -> tuple[int, dict[str, Any], httpx.Headers]:
    asked = {"model": "corll", "messages": MESSAGES, **body}
    response = service.http.post("/v1/chat/completions", json=asked)
    return response.status_code, response.json()["error"], response.headers


def streamed(service: RunningService, **body: Any) -> list[Any]:
    """The data of all events of a draft."""
    asked = {"model": "corll", "messages": MESSAGES, "stream": True, **body}
    answer = service.http.post("/v1/chat/completions", json=asked)
    # httpx would end lines at what Unicode calls their ends, too.
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_draft_is_the_upstreams(upstream: ScriptedUpstream, client: openai.OpenAI) -> None:
    upstream.will(answers("It comes on Friday."))
    reply = client.chat.completions.create(
        model="corll",
        messages=MESSAGES,
        temperature=0.2,
        top_p=0.9,
        max_tokens=40,
        seed=3,
        stop=["\n\n"],
        user="whoever",
    )
    assert reply.choices[0].message.content == "It comes on Friday."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.model_dump(exclude_none=True) == USAGE
    facts = reply.corll  # type: ignore[attr-defined]
    assert (facts["drafted_by"], facts["upstream_model"]) == ("upstream", "big-one")
    assert (facts["version"], facts["stored"], facts["candidates"]) == (None, True, 1)
    (asked,) = upstream.asked
    assert asked == {
        "model": "big-one",
        "messages": MESSAGES,
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 40,
        "seed": 3,
        "stop": ["\n\n"],
    }
    assert upstream.headers[0]["authorization"] == f"Bearer {KEY}"


def test_what_the_request_does_not_say_the_upstream_is_not_told(
    upstream: ScriptedUpstream, client: openai.OpenAI
) -> None:
    upstream.will(answers("Yes."))
    client.chat.completions.create(model="corll", messages=MESSAGES)
    assert upstream.asked == [{"model": "big-one", "messages": MESSAGES}]


def test_a_stream_is_passed_on_piece_by_piece(
    upstream: ScriptedUpstream, fronting: RunningService, client: openai.OpenAI
) -> None:
    upstream.will(streams(["It", "comes", "on", "Friday."]))
    with client.chat.completions.create(
        model="corll", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    pieces = [c.choices[0].delta.content for c in chunks if c.choices]
    assert pieces == ["", "It", " comes", " on", " Friday.", None]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == USAGE["completion_tokens"]
    ending = chunks[-2]
    assert ending.choices[0].finish_reason == "stop"
    assert ending.corll["drafted_by"] == "upstream"  # type: ignore[attr-defined]
    assert latest(fronting, "default")["choices"] == [{"text": "It comes on Friday."}]
    assert upstream.asked[0]["stream_options"] == {"include_usage": True}


def test_ends_of_lines_within_a_text_are_none_of_an_event(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    """U+2028, U+0085 and the like may stand in JSON as they are."""
    odd = "a\u2028b\x85c\u2029d"
    upstream.will(streams([odd]))
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in streamed(fronting)) == odd


def test_an_end_may_be_said_by_done_alone(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    upstream.will(streams(["Yes."], reason=None))
    assert streamed(fronting)[-1]["choices"][0]["finish_reason"] == "stop"
    upstream.will(streams(["Yes."], done=False))
    assert streamed(fronting)[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_asynchronous_client_works_too(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    upstream.will(answers("Gladly."))

    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{fronting.url}/v1", api_key=ADMIN_KEY) as made:
            return await made.chat.completions.create(model="corll", messages=MESSAGES)

    assert asyncio.run(ask()).choices[0].message.content == "Gladly."


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(
    upstream: ScriptedUpstream, fronting: RunningService, stream: bool
) -> None:
    upstream.will(answers("One.", "Two."))
    if stream:
        texts = ["", ""]
        for event in streamed(fronting, n=2):
            for choice in event["choices"]:
                texts[choice["index"]] += choice["delta"].get("content", "")
    else:
        reply = fronting.draft(n=2)
        texts = [choice["message"]["content"] for choice in reply["choices"]]
    assert texts == ["One.", "Two."]
    assert [asked.get("n") for asked in upstream.asked] == [2]


def test_an_upstream_that_refuses_n_is_asked_for_each(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    def one_only(call: Any) -> None:
        if call.body.get("n", 1) > 1:
            says('{"error": {"message": "n must be 1"}}', status=400)(call)
        else:
            answers(f"Seed {call.body['seed']}.")(call)

    upstream.will(one_only)
    reply = fronting.draft(n=3, seed=5)
    texts = [choice["message"]["content"] for choice in reply["choices"]]
    assert texts == ["Seed 5.", "Seed 6.", "Seed 7."]
    assert reply["usage"]["completion_tokens"] == 3 * USAGE["completion_tokens"]


def test_without_usage_our_own_tokenizer_counts(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    upstream.will(answers("It comes on Friday.", usage=None))
    usage = fronting.draft()["usage"]
    assert usage["completion_tokens"] > 0
    assert usage["prompt_tokens"] > 0


def test_a_draft_that_was_cut_is_told_as_such(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    upstream.will(answers("It comes on", reason="length"))
    assert fronting.draft()["choices"][0]["finish_reason"] == "length"


def test_the_base_versions_and_continued_texts_are_our_own(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    upstream.will(answers("Never."))
    reply = fronting.draft(model="base")
    assert "drafted_by" not in reply["corll"]
    body = {"model": "corll", "prompt": "Dear"}
    assert "drafted_by" not in fronting.post("completions", body)["corll"]
    assert upstream.asked == []
    assert [one["id"] for one in fronting.get("models")["data"]][:2] == ["corll", "base"]


def test_a_framed_message_is_passed_on_in_its_frame(
    upstream: ScriptedUpstream, fronting: RunningService
) -> None:
    agree(fronting, "framed")
    upstream.will(answers("Yes. Anna"))
    fronting.draft("Can I send it back?", user="framed", frame="reply", hint="yes", sign_as="Anna")
    (message,) = upstream.asked[0]["messages"]
    assert "Can I send it back?" in message["content"]
    assert "Anna" in message["content"]
    assert latest(fronting, "framed")["asked"]["message"] == "Can I send it back?"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "It"}]}, "messages"),
        ({"n": 100}, "n"),
    ],
)
def test_what_an_upstream_cannot_be_asked_for_is_refused(
    upstream: ScriptedUpstream, fronting: RunningService, body: Any, param: str
) -> None:
    upstream.will(answers("Never."))
    status, error, _ = error_of(fronting, **body)
    assert (status, error["param"]) == (400, param)
    assert upstream.asked == []


class TestKeepsPromptDraftAndEdit:
    def test_an_edit_is_learned_from_by_the_texts_of_both(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        agree(fronting, "teaches")
        upstream.will(answers("It comes on Friday."))
        draft = fronting.draft("Where is it?", user="teaches")
        edit = fronting.post("edits", {"draft_id": draft["id"], "text": "It comes on Monday."})
        assert (edit["accepted"], edit["will_learn"]) == (False, True)
        record = latest(fronting, "teaches")
        assert (record["upstream"], record["arm"]) == ("big-one", "base")
        assert record["edits"][0]["text"] == "It comes on Monday."
        base = Policy.load(fronting.settings.model, dtype="float32")
        database = Database.open(None, fronting.settings.data_dir)
        with database.read() as db:
            row = drafts.find_draft(db, draft["id"])
            rows = preferences.preferences_of(db, draft["corll"]["user"])
        (learned,) = PreferenceReader(base, database).to_preferences(rows)
        database.close()
        assert row is not None
        assert row.candidates[0]["token_ids"] == []
        assert row.base_fingerprint is None
        decoded = [base.codec.decode(side.token_ids) for side in (learned.chosen, learned.rejected)]
        assert decoded == ["It comes on Monday.", "It comes on Friday."]

    def test_the_same_text_accepts_it(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        upstream.will(answers("It comes on Friday."))
        draft = fronting.draft()
        edit = fronting.post("edits", {"draft_id": draft["id"], "text": "It comes on Friday."})
        assert (edit["accepted"], edit["edit_cost"]) == (True, 0.0)

    def test_only_of_users_who_agreed(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        agree(fronting, "agrees")
        agree(fronting, "declines", store=False, learn=False)
        upstream.will(answers("Yes."))
        assert fronting.draft(user="agrees")["corll"]["stored"]
        kept = fronting.draft(user="declines")
        assert not kept["corll"]["stored"]
        assert fronting.get("users/declines/drafts")["data"] == []
        body = {"draft_id": kept["id"], "text": "No."}
        assert fronting.http.post("/v1/edits", json=body).status_code == 403
        fronting.put("users/agrees/consent", {"store": False})
        assert not fronting.draft(user="agrees")["corll"]["stored"]

    def test_nobody_sees_anothers(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        upstream.will(answers("For ada."))
        agree(fronting, "ada")
        agree(fronting, "bob")
        fronting.draft(user="ada")
        key = fronting.post("keys", {"scope": "user", "user": "bob", "label": "bob"})["key"]
        bob = fronting.with_key(key)
        assert bob.get("users/me/drafts")["data"] == []
        assert bob.http.get("/v1/users/ada/drafts").status_code == 404


BAD: list[tuple[Behaviour, int, str, str]] = [
    (says("<html><h1>Welcome</h1>", "text/html"), 502, "upstream_not_openai", "<h1>Welcome"),
    (says("{}"), 502, "upstream_not_openai", "choices"),
    (says(json.dumps(whole([]))), 502, "upstream_not_openai", "choices"),
    (says(json.dumps(whole([{"index": 0, "text": "x"}]))), 502, "upstream_not_openai", "message"),
    (says('{"choices": [{"mess'), 502, "upstream_not_openai", "application/json"),
    (says("[" * 100_000), 502, "upstream_not_openai", "application/json"),
    (says(f'{{"error": "{KEY} is wrong"}}', status=401), 502, "upstream_refused_key", "401"),
    (says("no", "text/plain", 403), 502, "upstream_refused_key", "CORLL_UPSTREAM_KEY"),
    (says("{}", status=404), 502, "upstream_failed", "--upstream-model"),
    (says("", "text/plain", 307, location="http://x"), 502, "upstream_failed", "307"),
    (says('{"error": {"message": "too long"}}', status=400), 400, "upstream_refused", "too long"),
    (says("oh", status=500), 502, "upstream_failed", "500 (oh)"),
    (
        says('{"error": {"message": "slow down"}}', status=429, retry_after="17"),
        503,
        "upstream_busy",
        "slow down",
    ),
    (hangs(), 504, "upstream_timeout", "--upstream-timeout"),
    (answers("", reason="content_filter"), 502, "upstream_no_draft", "content_filter"),
    (answers("", reason="tool_calls"), 502, "upstream_no_draft", "tool_calls"),
]


class TestABadUpstream:
    @pytest.mark.parametrize(("does", "status", "code", "says_what"), BAD)
    def test_is_named_to_whoever_asked_a_whole_draft(
        self,
        upstream: ScriptedUpstream,
        fronting: RunningService,
        does: Behaviour,
        status: int,
        code: str,
        says_what: str,
    ) -> None:
        upstream.will(does)
        before = fronting.get("users/default/drafts")["data"][:1]
        came, error, headers = error_of(fronting)
        assert (came, error["code"]) == (status, code)
        assert says_what in error["message"]
        assert KEY not in json.dumps(error)
        assert headers.get("retry-after") == ("17" if code == "upstream_busy" else None)
        assert fronting.get("users/default/drafts")["data"][:1] == before

    def test_that_is_down(
        self, tiny_model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = settings_for(
            tiny_model_folder,
            tmp_path,
            learn=False,
            upstream=f"http://127.0.0.1:{free_port()}/v1",
            upstream_model="big-one",
            upstream_key=KEY,
        )
        with caplog.at_level(logging.DEBUG), running_service(settings) as service:
            status, error, _ = error_of(service)
            events = streamed(service)
        assert (status, error["code"]) == (502, "upstream_unreachable")
        assert "see whether it runs" in error["message"].lower()
        assert events[-1]["error"]["code"] == "upstream_unreachable"
        assert KEY not in caplog.text

    @pytest.mark.parametrize(
        ("does", "code"),
        [
            (says(json.dumps(whole([]))), "upstream_not_openai"),
            (says("nonsense", "text/event-stream"), "upstream_broke_off"),
            (says("data: nonsense\n\n", "text/event-stream"), "upstream_not_openai"),
            (says("data: [DONE]\n\n", "text/event-stream"), "upstream_broke_off"),
            (streams([], reason="content_filter"), "upstream_no_draft"),
            (breathes, "upstream_timeout"),
            (hangs(), "upstream_timeout"),
        ],
    )
    def test_is_named_to_whoever_asked_for_a_stream(
        self, upstream: ScriptedUpstream, fronting: RunningService, does: Behaviour, code: str
    ) -> None:
        upstream.will(does)
        before = fronting.get("users/default/drafts")["data"][:1]
        assert streamed(fronting)[-1]["error"]["code"] == code
        assert fronting.get("users/default/drafts")["data"][:1] == before

    @pytest.mark.parametrize(
        ("does", "code"),
        [
            (streams(["It", "comes"], reason=None, done=False), "upstream_broke_off"),
            (hangs("It", " comes"), "upstream_timeout"),
        ],
    )
    def test_whose_stream_ends_half_leaves_a_draft_that_was_cut_off(
        self, upstream: ScriptedUpstream, fronting: RunningService, does: Behaviour, code: str
    ) -> None:
        agree(fronting, "half")
        upstream.will(does)
        *pieces, error = streamed(fronting, user="half")
        assert "".join(p["choices"][0]["delta"]["content"] for p in pieces) == "It comes"
        assert error["error"]["code"] == code
        record = latest(fronting, "half")
        assert (record["status"], record["choices"]) == ("cancelled", [{"text": "It comes"}])
        body = {"draft_id": record["id"], "text": "It comes on Friday."}
        assert not fronting.post("edits", body)["will_learn"]

    def test_that_reports_an_error_within_a_stream(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        def behave(call: Any) -> None:
            call.begin("text/event-stream")
            call.event(chunk("It"))
            call.event({"error": {"message": f"out of memory, {KEY}"}})

        upstream.will(behave)
        error = streamed(fronting)[-1]["error"]
        assert "out of memory, ***" in error["message"]


class TestAClientThatHangsUp:
    def test_ends_the_call_of_a_stream(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        agree(fronting, "leaves")
        upstream.will(hangs("It", " comes"))
        asked = {"model": "corll", "messages": MESSAGES, "stream": True, "user": "leaves"}
        with fronting.http.stream("POST", "/v1/chat/completions", json=asked) as stream:
            lines = stream.iter_lines()
            while "comes" not in next(lines):
                pass
        # Long before the upstream's own time is over.
        assert upstream.gone.wait(0.7)
        record = until(lambda: fronting.get("users/leaves/drafts")["data"])[0]
        assert (record["status"], record["choices"]) == ("cancelled", [{"text": "It comes"}])

    def test_while_a_draft_that_broke_off_is_kept_leaves_nothing_waiting(
        self,
        upstream: ScriptedUpstream,
        fronting: RunningService,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        agree(fronting, "hasty")
        upstream.will(streams(["It", "comes"], reason=None, done=False))
        keeping, gone, left = threading.Event(), threading.Event(), set(_abandoned)
        keep, stream = drafts.add_draft_if_agreed, _DraftUnderWay.stream

        def kept_once_gone(*given: Any) -> Any:
            keeping.set()
            gone.wait(PATIENCE_S)
            return keep(*given)

        async def noted(draft: _DraftUnderWay) -> AsyncIterator[str]:
            try:
                async for chunk in stream(draft):
                    yield chunk
            finally:
                gone.set()

        monkeypatch.setattr(drafts, "add_draft_if_agreed", kept_once_gone)
        monkeypatch.setattr(_DraftUnderWay, "stream", noted)
        body = {"model": "corll", "messages": MESSAGES, "stream": True, "user": "hasty"}
        with fronting.http.stream("POST", "/v1/chat/completions", json=body):
            assert keeping.wait(PATIENCE_S)
        assert gone.wait(PATIENCE_S)
        (record,) = until(lambda: fronting.get("users/hasty/drafts")["data"])
        assert record["status"] == "cancelled"
        assert _abandoned <= left

    def test_ends_the_call_of_a_whole_draft(
        self, upstream: ScriptedUpstream, fronting: RunningService
    ) -> None:
        upstream.will(hangs())
        body = {"model": "corll", "messages": MESSAGES}
        with pytest.raises(httpx.ReadTimeout):
            fronting.http.post("/v1/chat/completions", json=body, timeout=0.2)
        assert upstream.gone.wait(0.7)


def test_another_corll_can_be_the_upstream(
    service: RunningService, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Whole and streamed, with OpenAI's own client before both."""
    settings = settings_for(
        tiny_model_folder,
        tmp_path,
        learn=False,
        upstream=f"{service.url}/v1",
        upstream_model="base",
        upstream_key=ADMIN_KEY,
    )
    with (
        running_service(settings) as front,
        openai.OpenAI(base_url=f"{front.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client,
    ):
        reply = client.chat.completions.create(model="corll", messages=MESSAGES, seed=4, n=2)
        with client.chat.completions.create(
            model="corll", messages=MESSAGES, seed=4, stream=True
        ) as stream:
            text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        edit = front.post("edits", {"draft_id": reply.id, "text": "Hello, it comes. Anna"})
    ours = service.draft(model="base", messages=MESSAGES, seed=4, n=2)
    expected = [choice["message"]["content"] for choice in ours["choices"]]
    assert [choice.message.content for choice in reply.choices] == expected
    assert text == expected[0]
    assert reply.usage is not None
    assert reply.usage.model_dump(exclude_none=True) == ours["usage"]
    assert edit["state"] == "recorded"
