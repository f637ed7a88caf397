"""The shapes by themselves: who reads them needs pydantic alone, and none is said twice."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from corll.schemas import requests
from corll.schemas.answers import ImportResult, Interval
from corll.schemas.completion_requests import ChatRequest, TextRequest
from corll.schemas.completions import DraftFacts
from corll_client import calls
from corll_client.calls import Call

HEAVY = "{'fastapi', 'sqlalchemy', 'openai', 'torch', 'transformers', 'numpy'}"


@pytest.mark.parametrize("name", ["answers", "completions", "requests", "events", "administration"])
def test_shapes_need_neither_server_nor_model(name: str) -> None:
    code = f"import sys, corll.schemas.{name}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


CALLS: list[tuple[Call[Any], type[BaseModel]]] = [
    (
        calls.create_edit(draft_id="d", text="t", choice=1, idempotency_key="k"),
        requests.EditRequest,
    ),
    (
        calls.create_comparison(chosen="d", rejected={"draft_id": "d"}, idempotency_key="k"),
        requests.ComparisonRequest,
    ),
    (calls.request_learning("anna"), requests.LearnRequest),
    (
        calls.create_import(
            [calls.as_item("Greet.", "Hello", "Yo", hint="kindly", sign_as="Bo")],
            user="anna",
            frame="write",
            sign_as="Anna",
            frame_template="{message} {hint} {name}",
        ),
        requests.ImportRequest,
    ),
    (
        calls.update_consent(
            store=True,
            learn=True,
            share=True,
            holdback=0.1,
            arm="auto",
            upstream=True,
            mask="both",
            include_past=True,
        ),
        requests.ConsentRequest,
    ),
]


@pytest.mark.parametrize(("call", "request_body"), CALLS, ids=[c.path for c, _ in CALLS])
def test_a_call_sends_every_field_that_its_request_has(
    call: Call[Any], request_body: type[BaseModel]
) -> None:
    assert set(call.body or {}) == set(request_body.model_fields)
    request_body.model_validate(call.arguments()["body"])


def test_what_is_left_out_is_not_said() -> None:
    facts = {"candidates": 1, "implicit_reward": None, "user": "u", "stored": True}
    told = DraftFacts(**facts, version=None)
    blind = DraftFacts(**facts, blind=True)
    assert told.model_dump(exclude_unset=True) == {**facts, "version": None}
    assert blind.model_dump(exclude_unset=True) == {**facts, "blind": True}
    assert ImportResult.model_validate({}).model_dump(exclude_unset=True) == {}


def test_an_answer_ignores_what_a_later_release_adds_and_is_not_changed() -> None:
    interval = Interval.model_validate({"mean": 0.5, "low": 0, "high": 1, "median": 0.4})
    assert interval.model_dump() == {"mean": 0.5, "low": 0.0, "high": 1.0}
    with pytest.raises(ValidationError):
        interval.mean = 1.0


def test_a_request_refuses_what_it_does_not_know() -> None:
    body = {"model": "corll", "messages": [{"role": "user", "content": "Hi"}]}
    assert ChatRequest.model_validate(body).stored_prompt == body["messages"]
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ChatRequest.model_validate(body | {"unheard_of": 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(field, None) for field in sorted({*ChatRequest.model_fields} - {"model", "messages"})],
        *[(field, None) for field in ("audio", "metadata", "prediction", "reasoning_effort")],
        *[(field, None) for field in ("verbosity", "web_search_options", "unheard_of")],
        ("tools", []),
        ("modalities", ["text"]),
        ("tool_choice", "none"),
        ("parallel_tool_calls", False),
    ],
)
def test_null_and_what_changes_nothing_are_as_left_out(field: str, value: Any) -> None:
    body = {"model": "corll", "messages": [{"role": "user", "content": "Hi", "weight": None}]}
    found, plain = (ChatRequest.model_validate(b) for b in (body | {field: value}, body))
    assert found.stored_prompt == plain.stored_prompt == [{"role": "user", "content": "Hi"}]
    assert found.template_kwargs == plain.template_kwargs == {}
    text = {"model": "corll", "prompt": "Hi", "unheard_of": None}
    assert TextRequest.model_validate(text).stored_prompt == "Hi"


@pytest.mark.parametrize(
    ("field", "value"),
    [("tools", [{}]), ("modalities", ["audio"]), ("tool_choice", "required"), ("audio", {})],
)
def test_what_would_change_something_is_refused(field: str, value: Any) -> None:
    body = {"model": "corll", "messages": [{"role": "user", "content": "Hi"}], field: value}
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(body)


def test_who_speaks_is_part_of_the_prompt() -> None:
    message = {"role": "developer", "content": "Hi", "name": "anna"}
    body = ChatRequest.model_validate({"model": "corll", "messages": [message]})
    assert body.stored_prompt == [{"role": "system", "content": "Hi", "name": "anna"}]
