"""The engine with more to do than it can do at once: whose turn it is, and what is not begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from asking import PLAIN, PROMPTS, Listener, request

from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.fairness import Owner
from corll.service.drafting.requests import (
    Begun,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    EngineBusyError,
    Failed,
    NobodyWaitsError,
)
from patience import PATIENCE_S

ANNA, BEN = Owner("shop", "anna"), Owner("desk", "ben")


class Gate:
    """Holds the engine's thread before each token, until it is opened."""

    def __init__(self) -> None:
        self.open, self.reached, self.turns = threading.Event(), threading.Event(), count()

    def __call__(self) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE_S)
        next(self.turns)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def engine(policy: Policy, gate: Gate) -> Iterator[Engine]:
    made = Engine(policy, threads=gate)
    yield made
    gate.open.set()
    made.close()


def asked(owner: Owner, **changes: object) -> DraftRequest:
    return replace(request(max_new_tokens=60, stop=("\0never",)), owner=owner, **changes)  # type: ignore[arg-type]


def failure_of(listener: Listener) -> Exception:
    assert listener.ended.wait(PATIENCE_S)
    last = listener.events[-1]
    assert isinstance(last, Failed)
    return last.error


@pytest.mark.parametrize(("drafts", "kinds"), [(32, 1), (8, 8)])
def test_a_flood_of_one_key_leaves_another_half_of_the_turns(
    policy: Policy, gate: Gate, monkeypatch: pytest.MonkeyPatch, drafts: int, kinds: int
) -> None:
    """Whether its drafts share a decoding or not; here each token takes the same time."""
    ticks = count()
    alike = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr("corll.service.drafting.engine.time", alike)
    engine = Engine(policy, threads=gate, longest_wait=1e6)
    flood, began_and_ended = [Listener() for _ in range(drafts)], list[int]()
    for number, listener in enumerate(flood):
        config = PLAIN.with_settings(temperature=1 + number % kinds)
        engine.submit(asked(ANNA, seed=number, config=config, max_new_tokens=80), listener)
    assert gate.reached.wait(PATIENCE_S)
    ben = Listener()

    def noted(event: DraftEvent) -> None:
        if isinstance(event, Begun | Drawn):
            began_and_ended.append(next(gate.turns))
        ben(event)

    engine.submit(asked(BEN, config=PLAIN.with_settings(temperature=0.5)), noted)
    gate.open.set()
    tokens = len(ben.drawn.candidates[0].token_ids)
    began, ended = began_and_ended
    assert began <= 1
    assert ended - began <= 2 * tokens + 2
    assert all(listener.drawn.candidates for listener in flood)
    engine.close()


def test_whoever_waits_is_told_for_how_long_once_it_is_begun(engine: Engine, gate: Gate) -> None:
    listener = Listener()
    engine.submit(asked(ANNA), listener)
    gate.open.set()
    assert listener.drawn
    first, *others = listener.events
    assert isinstance(first, Begun)
    assert first.waited >= 0
    assert not [event for event in others if isinstance(event, Begun)]


def test_a_cancelled_one_leaves_the_line_without_being_drawn(engine: Engine, gate: Gate) -> None:
    listener, other = Listener(), Listener()
    engine.submit(asked(BEN), other)
    assert gate.reached.wait(PATIENCE_S)
    engine.submit(asked(ANNA), listener).cancel()
    assert engine.waiting == 2
    gate.open.set()
    assert isinstance(failure_of(listener), NobodyWaitsError)
    assert len(listener.events) == 1  # not begun
    assert other.drawn


def test_a_cancelled_one_takes_no_further_token(policy: Policy) -> None:
    jobs, turns, listener = SimpleQueue[DraftJob](), count(), Listener()

    def before_a_token() -> None:
        if next(turns) == 4:
            jobs.get(timeout=PATIENCE_S).cancel()

    engine = Engine(policy, threads=before_a_token)
    jobs.put(engine.submit(asked(ANNA), listener))
    assert listener.drawn.cancelled
    assert len(listener.drawn.candidates[0].token_ids) == 4
    assert engine.under_way == 0
    engine.close()


def test_who_waits_longer_than_the_bound_is_told_to_come_again(policy: Policy, gate: Gate) -> None:
    """Unless it can be begun now."""
    engine, first, second = Engine(policy, max_branches=1, threads=gate), Listener(), Listener()
    engine.submit(asked(ANNA), first)
    assert gate.reached.wait(PATIENCE_S)
    engine.submit(asked(ANNA), second)
    engine._line.longest_wait = 1e-9
    gate.open.set()
    error = failure_of(second)
    assert isinstance(error, EngineBusyError)
    assert error.retry_after >= 1
    assert first.drawn
    engine.close()


def test_the_line_is_measured_while_it_is_drawn(engine: Engine, gate: Gate) -> None:
    guess = engine._pace.step_s(1), engine._pace.prompt_token_s
    gate.open.set()
    for prompt in PROMPTS:
        listener = Listener()
        engine.submit(asked(ANNA, prompt=prompt), listener)
        assert listener.drawn
    assert engine._pace.step_s(1) != guess[0]
    assert engine._pace.prompt_token_s != guess[1]
    assert 0 < engine._pace.grown <= 1
