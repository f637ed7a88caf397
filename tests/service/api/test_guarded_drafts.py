"""Replies say what guards did. The tiny model's likeliest text goes round in a loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.service.drafting.requests import MOST_REDRAWS
from running_service import RunningService, running_service, settings_for

LOOPS: dict[str, Any] = {"temperature": 0, "max_tokens": 160}


def test_the_reply_counts_what_was_thrown_away_and_keeps_none_of_it(
    service: RunningService,
) -> None:
    reply = service.draft(**LOOPS, n=2, user="loops")
    facts = reply["corll"]
    assert (facts["thrown_away"], facts["looped"]) == (2 * MOST_REDRAWS, [0, 1])
    assert [choice["finish_reason"] for choice in reply["choices"]] == ["length", "length"]
    assert facts["candidates"] == 2
    lines = service.http.get(f"/v1/users/{facts['user']}/export").text.splitlines()
    (draft,) = [row for row in map(json.loads, lines) if row["record"] == "draft"]
    assert len(draft["candidates"]) == 2


def test_a_stream_says_that_it_stopped_at_a_loop(service: RunningService) -> None:
    messages = [{"role": "user", "content": "The parcel is late."}]
    body = {"model": "corll", "messages": messages, "stream": True, **LOOPS}
    with service.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = [line.removeprefix("data: ") for line in stream.iter_lines()]
    last = [json.loads(line) for line in lines if line.startswith("{")][-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["corll"]["looped"] == [0]
    assert "thrown_away" not in last["corll"]


def test_what_has_a_seed_is_left_as_it_is_drawn(service: RunningService) -> None:
    reply = service.draft(**LOOPS, seed=1)
    assert reply["usage"]["completion_tokens"] == 160
    assert not {"looped", "thrown_away"} & set(reply["corll"])


@pytest.mark.parametrize("guards", [True, False])
def test_guards_can_be_switched_off(guards: bool, tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, guards=guards)
    with running_service(settings) as service:
        reply = service.draft(**LOOPS)
    assert (reply["usage"]["completion_tokens"] < 160) == guards
