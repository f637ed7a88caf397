"""Drafts that vLLM streams are told as those that are drawn here, and end as these do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asking import PROMPTS, Listener, request
from vllm_double import VllmDouble, vllm_double

from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import Delta, NobodyWaitsError
from corll.service.drafting.vllm import VllmEngine
from corll.service.upstream import UpstreamError
from patience import PATIENCE_S


@pytest.fixture
def double(tiny_model_folder: Path) -> Iterator[VllmDouble]:
    with vllm_double(Policy.load(tiny_model_folder, dtype="float32")) as made:
        yield made


@pytest.fixture
def engine(policy: Policy, double: VllmDouble) -> Iterator[VllmEngine]:
    made = VllmEngine(policy, [double.url], timeout=PATIENCE_S, still_draft=frozenset)
    yield made
    made.close()


def test_a_draft_is_told_while_it_is_drawn(engine: VllmEngine, double: VllmDouble) -> None:
    double.texts[:] = ["Dear Anna, thank you."]
    double.holds_after = 6
    double.may_go_on.clear()
    listener = Listener()
    engine.submit(replace(request(), max_new_tokens=60), listener)
    assert listener.has_told.wait(PATIENCE_S)
    assert not listener.ended.is_set()
    assert "Dear Anna, thank you.".startswith(listener.told())
    double.may_go_on.set()
    assert listener.drawn.text(0) == listener.told() == "Dear Anna, thank you."
    assert sum(isinstance(one, Delta) for one in listener.events) > 2
    assert double.asked[0]["stream"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"choices": 2},
        {"choices": 2, "tells": False},
        {"stop": ("e", "th")},
        {"top_logprobs": 0, "tells_end": True},
        {"beginning": "Dear Anna,"},
    ],
    ids=["plain", "two", "unseen", "stop", "log-probabilities", "beginning"],
)
def test_it_tells_what_the_engine_here_tells(
    engine: VllmEngine, double: VllmDouble, tiny_model_folder: Path, changes: dict[str, object]
) -> None:
    here = Engine(Policy.load(tiny_model_folder, dtype="float32"))
    listeners = Listener(), Listener()
    asked = replace(request(PROMPTS[1]), max_new_tokens=24, **changes)  # type: ignore[arg-type]
    for one, listener in zip((here, engine), listeners, strict=True):
        one.submit(asked, listener)
    ours, theirs = (listener.drawn for listener in listeners)
    here.close()
    drawn = [replace(one, logprob=None) for one in ours.candidates]
    assert drawn == list(theirs.candidates)
    same = ("shown", "prompt_tokens", "completion_tokens", "cut", "beginning", "seed", "looped")
    assert {name: getattr(theirs, name) for name in same} == {
        name: getattr(ours, name) for name in same
    }
    assert [[one.bytes for one in row] for row in theirs.logprobs] == [
        [one.bytes for one in row] for row in ours.logprobs
    ]
    for choice in range(asked.choices):
        assert listeners[1].told(choice) == listeners[0].told(choice)


def test_half_a_character_and_half_a_stop_sequence_are_not_told(
    engine: VllmEngine, double: VllmDouble
) -> None:
    double.texts[:] = ["Grüße, 🦊 from Bonn. Yours"]
    listener = Listener()
    engine.submit(replace(request(), stop=("Yours",), max_new_tokens=60), listener)
    assert listener.drawn.text(0) == "Grüße, 🦊 from Bonn. "
    pieces = [one.text for one in listener.events if isinstance(one, Delta)]
    assert "".join(pieces) == "Grüße, 🦊 from Bonn. "
    assert not any("\N{REPLACEMENT CHARACTER}" in one for one in pieces)


def test_who_leaves_ends_the_request_at_the_engine(engine: VllmEngine, double: VllmDouble) -> None:
    double.texts[:] = ["Dear Anna, thank you for the letter. " * 30]
    double.holds_after = 6
    double.may_go_on.clear()
    listener = Listener()
    job = engine.submit(replace(request(), max_new_tokens=400), listener)
    assert listener.has_told.wait(PATIENCE_S)
    job.cancel()
    job.cancel()
    drawn = listener.drawn
    assert drawn.cancelled
    assert 1 <= len(drawn.candidates[0].token_ids) <= 6
    assert drawn.text(0).startswith(listener.told())
    double.may_go_on.set()
    until = time.monotonic() + PATIENCE_S
    while not double.left and time.monotonic() < until:
        time.sleep(0.01)
    assert double.left == 1
    assert engine.under_way == 0


def test_who_leaves_before_a_word_gets_none(engine: VllmEngine, double: VllmDouble) -> None:
    double.may_answer.clear()
    listener = Listener()
    engine.submit(request(), listener).cancel()
    assert isinstance(listener.failed, NobodyWaitsError)


def test_a_stream_that_breaks_off_is_no_draft(engine: VllmEngine, double: VllmDouble) -> None:
    double.breaks_after = 3
    listener = Listener()
    engine.submit(request(), listener)
    error = listener.failed
    assert isinstance(error, UpstreamError)
    assert error.code == "upstream_broke_off"


def test_a_loop_that_somebody_reads_is_stopped(engine: VllmEngine, double: VllmDouble) -> None:
    loop = "I am here to help. " * 30
    double.texts[:] = [loop]
    listener = Listener()
    engine.submit(replace(request(), guarded=True, max_new_tokens=400), listener)
    drawn = listener.drawn
    assert drawn.looped == (0,)
    assert drawn.thrown_away == 0
    assert len(double.asked) == 1
    ids = double.base.codec.encode_response(loop).token_ids
    assert len(drawn.candidates[0].token_ids) < len(ids)


def test_a_letter_that_leaks_is_not_told_and_the_draft_goes_on_without_it(
    engine: VllmEngine, double: VllmDouble
) -> None:
    letter = Exchange("Ask Mr Miller", "Dear Mr Miller, call 0176 5550199. Anna", "exchange_1")
    double.texts[:] = ["Please call 0176 5550199 soon.", " us on Friday."]
    listener = Listener()
    asked = replace(request(), memory=(letter,), guarded=True, max_new_tokens=60)
    engine.submit(asked, listener)
    drawn = listener.drawn
    assert "5550199" not in listener.told()
    assert listener.told().startswith("Please call")
    assert drawn.text(0) == listener.told()
    assert drawn.thrown_away == 1
    assert len(double.asked) == 2
