"""Log-probabilities over HTTP: where their tokens stand, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.service.api.replies import Places
from corll.service.drafting.requests import TokenLogprob
from running_service import RunningService, running_service, settings_for

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]
TEXT: dict[str, Any] = {"model": "base", "prompt": "Dear", "max_tokens": 24, "temperature": 1.5}


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("logprobs")
    with running_service(settings_for(tiny_model_folder, folder, learn=False)) as running:
        yield running


def chunks(service: RunningService, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = service.http.post(f"/v1/{path}", json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@given(st.lists(st.binary(max_size=3), max_size=12))
def test_places_are_those_in_the_text(pieces: list[bytes]) -> None:
    text, places = b"".join(pieces).decode(errors="replace"), Places()
    tokens = [TokenLogprob("", -0.5, piece) for piece in pieces]
    half = len(tokens) // 2
    found = places.of(tokens[:half]) + places.of(tokens[half:])
    assert found == Places().of(tokens) == sorted(found)
    for at, piece in zip(found, pieces, strict=True):
        assert at <= len(text)
        if piece.isascii():
            assert text[at:].startswith(piece.decode())


def test_offsets_are_places_in_the_choices_text_also_in_a_stream(service: RunningService) -> None:
    """Behind loose bytes too, which stand in the text as U+FFFD."""
    loose = 0
    for seed in range(6):
        body = {**TEXT, "seed": seed, "logprobs": 1, "n": 2}
        wholes = service.post("completions", body)["choices"]
        streamed = chunks(service, "completions", **body)
        for number, whole in enumerate(wholes):
            told, text = whole["logprobs"], whole["text"]
            pieces = [
                choice["logprobs"]
                for chunk in streamed
                for choice in chunk["choices"]
                if choice["index"] == number and choice["logprobs"] is not None
            ]
            for name in ("tokens", "text_offset"):
                assert [one for piece in pieces for one in piece[name]] == told[name]
            for token, at in zip(told["tokens"], told["text_offset"], strict=True):
                if not token.startswith("bytes:"):
                    assert text[at:].startswith(token)
                    loose += "\N{REPLACEMENT CHARACTER}" in text[:at]
    assert loose


def test_a_draft_without_text_has_log_probabilities_of_no_tokens(service: RunningService) -> None:
    """They are null only where none were asked for."""
    body = {"model": "base", "messages": MESSAGES, "seed": 2, "max_tokens": 4}
    text = service.post("chat/completions", body)["choices"][0]["message"]["content"]
    body |= {"stop": [text[:1]], "logprobs": True}
    (choice,) = service.post("chat/completions", body)["choices"]
    assert choice["message"]["content"] == ""
    assert choice["logprobs"] == {"content": [], "refusal": None}
    asked = {**TEXT, "seed": 2, "max_tokens": 2}
    text = service.post("completions", asked)["choices"][0]["text"]
    (choice,) = service.post("completions", {**asked, "stop": text[:1], "logprobs": 0})["choices"]
    assert (choice["text"], choice["logprobs"]["tokens"]) == ("", [])
    for path, plain in (("chat/completions", {**body, "logprobs": False}), ("completions", asked)):
        assert service.post(path, plain)["choices"][0]["logprobs"] is None
        for chunk in chunks(service, path, **plain):
            assert all(one["logprobs"] is None for one in chunk["choices"])


def test_no_boolean_is_a_number_of_likely_tokens(service: RunningService) -> None:
    for value in (False, True):
        answer = service.http.post("/v1/completions", json={**TEXT, "logprobs": value})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "logprobs: must be a whole number."


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_usage_is_null_before_its_chunk_where_it_was_asked_for(
    service: RunningService, path: str
) -> None:
    asked = {"messages": MESSAGES} if path[1] == "h" else {"prompt": "Dear"}
    body = {"model": "base", "max_tokens": 3, **asked}
    assert not any("usage" in chunk for chunk in chunks(service, path, **body))
    *others, last = chunks(service, path, **body, stream_options={"include_usage": True})
    assert others
    assert all(chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)
