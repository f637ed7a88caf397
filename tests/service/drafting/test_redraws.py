"""What becomes of drafts that nobody can use, on a tiny model that often goes round in loops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from queue import SimpleQueue

import pytest
from asking import PLAIN, PROMPTS, Listener, request

from corll import guards
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import MOST_REDRAWS, DraftJob, DraftRequest, Drawn

LENGTH = 160
LIKELIEST = PLAIN.with_settings(top_k=1)
COLD = PLAIN.with_settings(temperature=0.3)
LOOPS_FOR_SEED = 4


@pytest.fixture
def engine(policy: Policy) -> Iterator[Engine]:
    made = Engine(policy)
    yield made
    made.close()


def drawn(engine: Engine, listener: Listener | None = None, **changes: object) -> Drawn:
    listener = listener or Listener()
    fields = {"max_new_tokens": LENGTH, "guarded": True, "tells": False, **changes}
    engine.submit(request(**fields), listener)  # type: ignore[arg-type]
    return listener.drawn


def alone(policy: Policy, request: DraftRequest, seed: int, count: int = 1) -> list[Sample]:
    """What the policy draws where nothing guards it."""
    samples = policy.sample(
        [request.prompt], count, request.max_new_tokens, seed, sampling=request.sampling
    )
    return samples[0]


def loops(policy: Policy, sample: Sample) -> bool:
    ids, decode = sample.token_ids, policy.codec.decode
    return any(guards.is_loop(ids[:n], decode) for n in range(len(ids)))


@pytest.fixture
def other(tiny_model_folder: object) -> Policy:
    return Policy.load(tiny_model_folder, dtype="float32")  # type: ignore[arg-type]


def test_a_loop_is_drawn_anew_unseen(engine: Engine, other: Policy) -> None:
    result = drawn(engine, seed=LOOPS_FOR_SEED, config=COLD)
    asked = request(config=COLD, max_new_tokens=LENGTH, seed=LOOPS_FOR_SEED)
    assert loops(other, alone(other, asked, LOOPS_FOR_SEED)[0])
    assert (result.thrown_away, result.looped) == (1, ())
    assert len(result.candidates) == 1
    assert result.seed != LOOPS_FOR_SEED
    # Its seed draws it again, so what is stored can be repeated.
    assert result.candidates[0].token_ids == alone(other, asked, result.seed)[0].token_ids


def test_after_two_more_a_loop_is_shown_as_far_as_it_went(engine: Engine, other: Policy) -> None:
    result = drawn(engine, config=LIKELIEST)
    assert (result.thrown_away, result.looped, result.cut) == (MOST_REDRAWS, (0,), {0})
    ids = result.candidates[0].token_ids
    assert len(ids) < LENGTH
    assert guards.is_loop(ids, other.codec.decode)
    assert not guards.is_loop(ids[:-1], other.codec.decode)
    assert not result.candidates[0].finished


def test_a_stream_stops_at_the_loop_and_nothing_is_thrown_away(engine: Engine) -> None:
    listener = Listener()
    result = drawn(engine, listener, config=LIKELIEST, tells=True)
    assert (result.thrown_away, result.looped, result.cut) == (0, (0,), {0})
    assert listener.told() == result.candidates[0].text
    assert len(result.candidates[0].token_ids) < LENGTH


def test_without_guards_a_loop_goes_on(engine: Engine) -> None:
    result = drawn(engine, config=LIKELIEST, guarded=False)
    assert (result.thrown_away, result.looped) == (0, ())
    assert len(result.candidates[0].token_ids) == LENGTH


def test_of_several_those_that_can_be_used_are_kept(engine: Engine, other: Policy) -> None:
    """Each of them is one that was drawn; only the others are drawn anew."""
    asked = request(config=COLD, max_new_tokens=LENGTH, seed=LOOPS_FOR_SEED, choices=6)
    first = alone(other, asked, LOOPS_FOR_SEED, 6)
    good = [sample.token_ids for sample in first if not loops(other, sample)]
    assert 0 < len(good) < 6
    result = drawn(engine, config=COLD, seed=LOOPS_FOR_SEED, choices=6)
    ids = [sample.token_ids for sample in result.candidates]
    assert ids[: len(good)] == good
    assert len(ids) == len(result.shown) == 6
    assert result.thrown_away >= 6 - len(good)


def test_those_that_wait_beside_it_draw_what_they_would(engine: Engine, other: Policy) -> None:
    beside, looping = Listener(), Listener()
    shared = {"config": COLD, "max_new_tokens": LENGTH, "tells": False}
    engine.submit(request(**shared, guarded=True, seed=LOOPS_FOR_SEED), looping)  # type: ignore[arg-type]
    engine.submit(request(PROMPTS[1], **shared), beside)  # type: ignore[arg-type]
    expected = alone(other, request(PROMPTS[1], **shared), 3)[0]  # type: ignore[arg-type]
    assert beside.drawn.candidates[0].token_ids == expected.token_ids
    assert looping.drawn.thrown_away == 1


def test_a_disclaimer_is_drawn_anew_before_it_is_whole(
    engine: Engine, other: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model has other words for it: those that it opens with by this seed."""
    asked = request(config=PLAIN, max_new_tokens=LENGTH, seed=1)
    opening = alone(other, asked, 1)[0].text[:10]
    monkeypatch.setattr(guards, "_DISCLAIMER", re.compile(re.escape(opening)))
    result = drawn(engine, config=PLAIN, seed=1)
    assert result.thrown_away == 1
    assert not result.candidates[0].text.startswith(opening)
    streamed = drawn(engine, config=PLAIN, seed=1, tells=True)
    assert streamed.thrown_away == 0
    assert streamed.candidates[0].text.startswith(opening)


def test_nobody_waits_so_nothing_is_drawn_anew(policy: Policy) -> None:
    listener, jobs, turns = Listener(), SimpleQueue[DraftJob](), count()

    def before_a_token() -> None:
        if next(turns) == 3:
            jobs.get().cancel()

    engine = Engine(policy, threads=before_a_token)
    fields = {"max_new_tokens": LENGTH, "guarded": True, "tells": False, "config": LIKELIEST}
    jobs.put(engine.submit(request(**fields), listener))  # type: ignore[arg-type]
    assert listener.drawn.cancelled
    assert listener.drawn.thrown_away == 0
    assert len(listener.drawn.candidates[0].token_ids) == 3
    engine.close()
