"""Fields of requests: what is done, what is accepted and named, and what is refused how."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import PLANTED

from corll import AdjustedSampling, Policy
from corll.service.store import drafts
from corll.service.store.database import Database
from running_service import ADMIN_KEY, RunningService, running_service, settings_for
from tiny_models import END

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]
HARMLESS: dict[str, Any] = {
    "metadata": {"ticket": "7"},
    "service_tier": "flex",
    "prompt_cache_key": "abc",
    "prompt_cache_retention": "24h",
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "x"},
    "tools": [],
    "functions": [],
    "tool_choice": "none",
    "function_call": "auto",
    "parallel_tool_calls": True,
    "store": True,
}
TOOL_TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Where is order 77?"},
    {"role": "assistant", "content": "I look."},
    {"role": "tool", "content": "It left on Monday.", "tool_call_id": "call_1"},
]
NEUTRAL: dict[str, Any] = {
    **{name: it for name, it in HARMLESS.items() if name not in ("metadata", "store")},
    "verbosity": "medium",
    "reasoning_effort": "none",
    "prompt_cache_options": {},
    "suffix": "",
    "context_management": [],
    "truncation": "disabled",
    "max_tool_calls": 5,
}
"""What typed clients send of what no draft depends on, in one shape or another."""
SHAPES: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "corll", "messages": MESSAGES, "max_tokens": 4},
    "completions": {"model": "corll", "prompt": "Dear", "max_tokens": 4},
    "responses": {"model": "corll", "input": "Hi", "max_output_tokens": 4},
}
BAD_CHARACTERS = {"half of a character": "\ud800", "a NUL character": "\0"}
NAMED: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"model": "{}@7", "messages": MESSAGES}),
    ("chat/completions", {"model": "corll", "messages": MESSAGES, "user": "{}"}),
    ("chat/completions", {"model": "corll", "messages": MESSAGES, "metadata": {"corll_ref": "{}"}}),
    ("responses", {"model": "corll", "input": "Hi", "previous_response_id": "{}"}),
    ("responses", {"model": "corll", "input": [{"type": "item_reference", "id": "msg_{}"}]}),
    ("edits", {"draft_id": "{}", "text": "Hi"}),
    ("edits", {"ref": "{}", "text": "Hi"}),
    ("edits", {"draft_id": "chatcmpl-1", "text": "Hi", "idempotency_key": "{}"}),
    ("edits", {"draft_id": "chatcmpl-1", "text": "Hi", "user": "{}"}),
    ("comparisons", {"chosen": {"draft_id": "{}"}, "rejected": {"draft_id": "a"}}),
    ("users", {"name": "{}"}),
    ("learn", {"user": "{}"}),
    ("keys", {"scope": "user", "user": "anna", "label": "{}"}),
    ("keys", {"scope": "user", "user": "{}"}),
]
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"n": 77}'}}


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """One service: nothing of this is another database's."""
    folder = tmp_path_factory.mktemp("fields")
    with running_service(settings_for(tiny_model_folder, folder, learn=False)) as running:
        yield running


@pytest.fixture(scope="module")
def policy(service: RunningService) -> Policy:
    return Policy.load(service.settings.model, dtype="float32")


def refused(service: RunningService, path: str = "chat/completions", **fields: Any) -> Any:
    body = {"model": "corll", **({"messages": MESSAGES} if path[0] == "c" else {}), **fields}
    if path == "completions":
        body = {"model": "corll", **fields}
    answer = service.http.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


class TestSampling:
    @pytest.mark.parametrize(
        "said",
        [
            {"frequency_penalty": 0.8},
            {"presence_penalty": -0.5},
            {"repetition_penalty": 1.4},
            {"min_p": 0.3},
            {"top_k": 5},
            {"top_k": -1, "logit_bias": {"9": 6}},
            {"frequency_penalty": 0.3, "repetition_penalty": 1.1, "temperature": 0},
        ],
    )
    def test_a_draft_is_what_the_policy_draws_by_the_same_names(
        self, service: RunningService, policy: Policy, said: dict[str, Any]
    ) -> None:
        reply = service.draft(MESSAGES[0]["content"], seed=5, **said)
        own = {**service.settings.coactive.sampling.model_dump(), **said}
        if own["temperature"] == 0:
            own |= {"temperature": service.settings.coactive.temperature, "top_k": 1}
        own["top_k"] = max(own["top_k"], 0)
        expected = policy.sample([MESSAGES], 1, 12, 5, sampling=AdjustedSampling(**own))[0][0]
        assert reply["choices"][0]["message"]["content"] == expected.text

    def test_different_ones_at_once_do_not_mix(
        self, service: RunningService, policy: Policy
    ) -> None:
        own = service.settings.coactive.sampling.model_dump()
        for penalty in (0.0, 1.9):
            reply = service.draft(MESSAGES[0]["content"], seed=3, n=3, frequency_penalty=penalty)
            sampling = AdjustedSampling(**own, frequency_penalty=penalty)
            rows = policy.sample([MESSAGES], 3, 12, 3, sampling=sampling)[0]
            texts = [choice["message"]["content"] for choice in reply["choices"]]
            assert texts == [sample.text for sample in rows]

    def test_the_draft_keeps_its_sampler_and_its_ids_keep_their_probability(
        self, service: RunningService, policy: Policy
    ) -> None:
        reply = service.draft(MESSAGES[0]["content"], seed=5, repetition_penalty=1.4, user="kept")
        store = Database.open(service.settings.database, service.settings.data_dir)
        with store.read() as db:
            row = drafts.find_draft(db, reply["id"])
        store.close()
        assert row is not None
        assert row.sampling["repetition_penalty"] == 1.4
        (drawn,) = row.candidates
        expected = policy.score(
            [policy.codec.encode_prompt(row.prompt)], [tuple(drawn["token_ids"])]
        )
        assert drawn["logprob"] == pytest.approx(expected.item(), abs=1e-3)

    @pytest.mark.parametrize("top_p", [0, 0.0])
    def test_top_p_0_is_the_likeliest_text_as_temperature_0_is(
        self, service: RunningService, top_p: float
    ) -> None:
        texts = [
            service.draft(MESSAGES[0]["content"], seed=seed, **{name: top_p})["choices"][0][
                "message"
            ]
            for name in ("top_p", "temperature")
            for seed in (1, 2)
        ]
        assert all(text == texts[0] for text in texts)

    @pytest.mark.parametrize("penalty", [1e-300, 1e-40, 0.009, 0])
    def test_a_penalty_that_makes_every_number_too_large_is_refused(
        self, service: RunningService, penalty: float
    ) -> None:
        error = refused(service, repetition_penalty=penalty)
        assert error["message"] == "repetition_penalty: must be at least 0.01."
        service.draft(MESSAGES[0]["content"], repetition_penalty=0.01)

    def test_a_bias_on_no_token_of_the_model_is_refused(self, service: RunningService) -> None:
        for stream in (False, True):
            error = refused(service, logit_bias={"999999": 1}, stream=stream)
            assert "logit_bias names the token 999999" in error["message"]


class TestIgnored:
    def test_what_changes_nothing_is_named_in_the_reply(self, service: RunningService) -> None:
        plain = service.draft(MESSAGES[0]["content"], seed=1)
        assert "ignored" not in plain["corll"]
        reply = service.draft(MESSAGES[0]["content"], seed=1, **HARMLESS)
        assert set(reply["corll"]["ignored"]) == set(HARMLESS)
        assert reply["choices"][0]["message"] == plain["choices"][0]["message"]

    @pytest.mark.parametrize("shape", SHAPES)
    def test_what_is_neutral_in_one_shape_is_so_in_all(
        self, service: RunningService, shape: str
    ) -> None:
        reply = service.post(shape, {**SHAPES[shape], **NEUTRAL})
        assert set(reply["corll"]["ignored"]) == set(NEUTRAL)
        for name, value in {"verbosity": "low", "reasoning_effort": "high", "suffix": "x"}.items():
            answer = service.http.post(f"/v1/{shape}", json={**SHAPES[shape], name: value})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)

    def test_a_message_may_hold_empty_what_a_reply_of_others_holds(
        self, service: RunningService
    ) -> None:
        empty: dict[str, Any] = {"reasoning_content": "", "refusal": "", "function_call": {}}
        turns = [*MESSAGES, {"role": "assistant", "content": "Yes.", **empty}, *MESSAGES]
        service.draft(messages=turns)
        turns[1]["reasoning_content"] = "I think."
        assert refused(service, messages=turns)["param"] == "messages[1].reasoning_content"

    def test_an_option_of_a_stream_is_named_too(self, service: RunningService) -> None:
        options = {"include_obfuscation": True}
        body = {"model": "corll", "messages": MESSAGES, "stream": True, "stream_options": options}
        lines = service.http.post("/v1/chat/completions", json=body).text.splitlines()
        last = [json.loads(line[6:]) for line in lines if line.startswith("data: {")][-1]
        assert last["corll"]["ignored"] == ["stream_options.include_obfuscation"]

    def test_null_is_as_if_left_out_everywhere(self, service: RunningService) -> None:
        draft = service.draft(
            user="nulls", unheard_of=None, stream_options=None, **dict.fromkeys(HARMLESS)
        )
        assert "ignored" not in draft["corll"]
        edit = {"draft_id": draft["id"], "text": "Sorry.", "choice": None, "unheard_of": None}
        assert service.post("edits", edit)["state"] == "recorded"
        part = {"type": "text", "text": "Hello", "annotations": None}
        service.draft(
            user="nulls", messages=[{"role": "user", "content": [part], "tool_calls": None}]
        )
        service.put("users/nulls/consent", {"learn": True, "include_past": None, "mask": None})


class TestToolsOfAHistory:
    def test_what_a_tool_answered_is_rendered_by_the_template(
        self, service: RunningService, policy: Policy
    ) -> None:
        reply = service.post("chat/completions", {"model": "corll", "messages": TOOL_TURNS})
        rendered = policy.codec.render(TOOL_TURNS)
        assert f"<|tool|>\nIt left on Monday.{END}" in rendered
        assert reply["usage"]["prompt_tokens"] == len(policy.codec.encode_prompt(TOOL_TURNS))
        edit = {"draft_id": reply["id"], "text": "It is on its way."}
        assert service.post("edits", edit)["state"] == "recorded"

    def test_calls_that_the_template_does_not_write_are_refused(
        self, service: RunningService
    ) -> None:
        called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        error = refused(service, messages=[TOOL_TURNS[0], called, TOOL_TURNS[2]])
        assert "which the model's chat template does not write" in error["message"]


class TestWords:
    @pytest.mark.parametrize(
        ("fields", "param", "said"),
        [
            ({"tools": [{"type": "function"}]}, "tools", "no tools are called"),
            ({"tool_choice": "required"}, "tool_choice", "no tools are called"),
            (
                {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
                "response_format",
                "ask for the form in a message",
            ),
            ({"reasoning_effort": "high"}, "reasoning_effort", "chat_template_kwargs"),
            ({"verbosity": "low"}, "verbosity", "max_completion_tokens"),
            ({"length_penalty": 1.2}, "length_penalty", "num_candidates"),
            ({"unheard_of": 1}, "unheard_of", "unheard_of is not supported here"),
            ({"temperature": 9}, "temperature", "temperature: must be at most 2"),
            ({"temperature": "hot"}, "temperature", "temperature: must be a number"),
            ({"messages": "Hi"}, "messages", "messages: must be a list"),
            ({"messages": [{"content": "Hi"}]}, "messages[0].role", "is missing"),
            ({"messages": [{"role": "user"}]}, "messages[0]", "content is missing"),
            (
                {"messages": [{"role": "user", "content": 3}]},
                "messages[0].content",
                "must be a text or a list",
            ),
            (
                {"messages": [{"role": "user", "content": "\ud800"}]},
                "messages[0].content",
                "half of a character",
            ),
            (
                {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                "messages[0].content[0].type",
                "must be 'text'",
            ),
            ({"stop": [3]}, "stop[0]", "must be a text"),
            ({"logit_bias": {"x": 1}}, "logit_bias.x", "must be a whole number"),
            ({"n": True}, "n", "n: must be a whole number"),
            ({"temperature": False}, "temperature", "temperature: must be a number"),
            ({"metadata": {"a": "x" * 513}}, "metadata.a", "must have at most 512 characters"),
            ({"hint": "x" * 600, "frame": "reply"}, "hint", "must have at most 500 characters"),
        ],
    )
    def test_a_refusal_names_the_field_and_says_what_to_do(
        self, service: RunningService, fields: dict[str, Any], param: str, said: str
    ) -> None:
        body = json.dumps({"model": "corll", "messages": MESSAGES, **fields})
        headers = {"content-type": "application/json"}
        answer = service.http.post("/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param
        assert said in error["message"]

    @settings(max_examples=40)
    @given(
        st.dictionaries(
            st.sampled_from(["messages", "stop", "logit_bias", "n", "stream_options", "metadata"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["role", "content", "type", "7"]), inner)
                ),
                max_leaves=6,
            ),
            max_size=3,
        )
    )
    def test_no_words_of_the_validator_come_out(
        self, service: RunningService, fields: dict[str, Any]
    ) -> None:
        body = {"model": "corll", "messages": MESSAGES, "max_tokens": 1, **fields}
        answer = service.http.post("/v1/chat/completions", json=body)
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            error = answer.json()["error"]
            assert not re.search(
                r"function-|constrained-|\blist\[|Input should|\[key\]", str(error)
            )
            assert error["param"] is None or not error["param"].isdigit()

    def test_a_prompt_that_is_too_long_is_said_in_words_that_clients_know(
        self, service: RunningService
    ) -> None:
        """LiteLLM looks for the second, LangChain for the third and, of streams, the first."""
        long = [{"role": "user", "content": "late " * 600}]
        error = refused(service, messages=long)
        assert "prompt is too long" in error["message"]
        assert "this model's maximum context length is 512 tokens" in error["message"]
        assert error["code"] == "context_length_exceeded"

    @pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/chat/completions", "/models"])
    def test_a_missing_v1_is_said(self, service: RunningService, path: str) -> None:
        method = "GET" if path == "/models" else "POST"
        answer = service.http.request(method, path, headers={"accept": "application/json"})
        assert answer.status_code == 404, answer.text
        assert "base_url is to end with /v1" in answer.json()["error"]["message"]

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", None])
    def test_json_without_its_content_type_is_told_what_to_send(
        self, service: RunningService, content_type: str | None
    ) -> None:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        if content_type is not None:
            headers["content-type"] = content_type
        body = json.dumps({"model": "corll", "messages": MESSAGES}).encode()
        answer = httpx.post(f"{service.url}/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert "send the header content-type: application/json" in error["message"]
        assert error["param"] is None

    @pytest.mark.parametrize("body", ['"Hi"', "[]", "7"])
    def test_json_that_is_no_object_is_told_so(self, service: RunningService, body: str) -> None:
        headers = {"content-type": "application/json"}
        answer = service.http.post("/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "The body must be an object."

    def test_broken_json_has_no_place_for_a_parameter(self, service: RunningService) -> None:
        headers = {"content-type": "application/json"}
        answer = service.http.post("/v1/chat/completions", content=b'{"model": ', headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, None, "invalid_json")


class TestNames:
    """What no id, reference, name or label can hold."""

    @pytest.mark.parametrize(("what", "bad"), BAD_CHARACTERS.items(), ids=["half", "nul"])
    @pytest.mark.parametrize(("path", "body"), NAMED)
    def test_what_no_database_can_look_for_is_refused(
        self, service: RunningService, path: str, body: dict[str, Any], what: str, bad: str
    ) -> None:
        content = json.dumps(body).replace("{}", json.dumps(bad)[1:-1])
        headers = {"content-type": "application/json"}
        answer = service.http.post(f"/v1/{path}", content=content, headers=headers)
        assert answer.status_code == 400, answer.text
        message = answer.json()["error"]["message"]
        assert what in message or "printable characters" in message

    @pytest.mark.parametrize(
        "path", ["users/%00", "edits/a%00", "responses/%00", "models/%00@1", "deletions/%00"]
    )
    def test_no_path_holds_a_nul(self, service: RunningService, path: str) -> None:
        answer = service.http.get(f"/v1/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")

    @pytest.mark.parametrize("query", ["before=%00", "q=a%00b", "unheard_of=%00"])
    def test_no_query_holds_a_nul(self, service: RunningService, query: str) -> None:
        answer = service.http.get(f"/v1/users/me/drafts?{query}")
        name = query.partition("=")[0]
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


class TestNotStored:
    def test_a_reply_says_why_its_draft_is_not_kept(self, service: RunningService) -> None:
        assert "not_stored_because" not in service.draft(user="keeps")["corll"]
        assert service.draft(user="keeps", store=False)["corll"]["not_stored_because"] == "request"
        service.put("users/shy/consent", {"store": False})
        assert service.draft(user="shy")["corll"]["not_stored_because"] == "consent"

    @pytest.mark.parametrize("path", ["chat/completions", "completions"])
    def test_nothing_of_it_is_on_disk(self, service: RunningService, path: str) -> None:
        word = f"{PLANTED}-{path.partition('/')[0]}"
        asked = {"messages": [{"role": "user", "content": f"My {word}."}]}
        if path == "completions":
            asked = {"prompt": f"My {word}."}  # type: ignore[dict-item]
        service.put("users/hidden/consent", {"store": True, "learn": True})
        more = {"model": "corll", "user": "hidden", "store": False, "stop": [word]}
        headers = {"x-client-request-id": word, "x-request-id": word}
        body = {**more, **asked, "metadata": {"corll_ref": word}}
        answer = service.http.post(f"/v1/{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        edit = {"draft_id": answer.json()["id"], "text": f"Your {word}."}
        refusal = service.http.post("/v1/edits", json=edit)
        assert refusal.status_code == 403
        assert '"store": false' in refusal.json()["error"]["message"]
        holding = [
            file
            for file in service.settings.data_dir.rglob("*")
            if file.is_file() and word.encode() in file.read_bytes()
        ]
        assert holding == []
