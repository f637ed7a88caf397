"""Requests that stand behind past exchanges, and what is kept of their beginnings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import PLAIN, Listener, request

from corll.compute import kept_prefixes
from corll.compute.kept_prefixes import Prefix
from corll.compute.network import Network
from corll.memory.exchanges import Exchange, with_memory
from corll.memory.leaks import Leak, LeakFinder
from corll.memory.words import words_of
from corll.policy import Policy
from corll.records import Prompt, Verbatim
from corll.service.drafting.candidate_rows import Row
from corll.service.drafting.engine import Engine
from corll.service.drafting.following import Follower
from corll.service.drafting.requests import Delta, DraftJob, Drawn, VersionFolder
from running_service import until
from tiny_models import perturb_adapter

MEMORY = (
    Exchange("Answer Ms Lopez: the kettle is on its way.", "Dear Ms Lopez, it comes.", "edit_1"),
    Exchange("Write to the hotel: two rooms in May.", "Hello, two rooms in May.", "edit_2"),
    Exchange("Thank Anna for the cake, and ask for its recipe.", "Anna, thank you!", "edit_3"),
)
ASKED = "The parcel is late."
LEAK = Leak(0, 4, "1234", "number", "edit_2")


@pytest.fixture
def engine(policy: Policy) -> Iterator[Engine]:
    made = Engine(policy)
    yield made
    made.close()


def drawn_by(engine: Engine, memory: tuple[Exchange, ...], **changes: object) -> Listener:
    listener = Listener()
    engine.submit(request(ASKED, memory=memory, **changes), listener)
    listener.ended.wait()
    return listener


def blocks_computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that grows by the ids of each block that is computed."""
    computed: list[tuple[int, ...]] = []
    original = kept_prefixes._block

    def counted(network: Network, ids: tuple[int, ...], before: list[Prefix]) -> Prefix:
        computed.append(ids)
        return original(network, ids, before)

    monkeypatch.setattr(kept_prefixes, "_block", counted)
    return computed


def test_what_is_drawn_follows_on_the_whole_prompt(engine: Engine, tiny_model_folder: Path) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    whole = with_memory(ASKED, MEMORY)
    drawn = drawn_by(engine, MEMORY, choices=2).drawn
    (expected,) = alone.sample([whole], 2, 12, 3)
    assert [s.token_ids for s in drawn.candidates] == [s.token_ids for s in expected]
    assert drawn.memory == ("edit_1", "edit_2", "edit_3")
    assert drawn.prompt_tokens == len(alone.codec.encode_prompt(whole))


def test_requests_with_other_memories_share_a_decoding(
    engine: Engine, tiny_model_folder: Path
) -> None:
    """Two users of the base at once, a third with nothing to remember."""
    alone = Policy.load(tiny_model_folder, dtype="float32")
    memories = [MEMORY[:1], MEMORY[1:], ()]
    listeners = [Listener() for _ in memories]
    for memory, listener in zip(memories, listeners, strict=True):
        engine.submit(request(ASKED, memory=memory), listener)
    for memory, listener in zip(memories, listeners, strict=True):
        ((expected,),) = alone.sample([with_memory(ASKED, memory)], 1, 12, 3)
        assert listener.drawn.candidates[0].token_ids == expected.token_ids
        assert listener.drawn.memory == tuple(exchange.id for exchange in memory)


def test_what_stands_before_the_last_message_is_computed_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = blocks_computed(monkeypatch)
    first = drawn_by(engine, MEMORY).drawn
    again = drawn_by(engine, MEMORY).drawn
    assert first.candidates == again.candidates
    assert len(computed) == 1
    drawn_by(engine, MEMORY[1:])
    assert len(computed) == 2
    drawn_by(engine, ())
    assert len(computed) == 2


def test_rewards_are_of_the_whole_prompt(engine: Engine, policy: Policy) -> None:
    """Of the base they are 0, and of as many candidates as were drawn behind the memory."""
    config = PLAIN.with_settings(num_candidates=2)
    drawn = drawn_by(engine, MEMORY, config=config, scored=True).drawn
    assert drawn.scores is not None
    assert all(score == 0.0 for score in drawn.scores)


class TestRoom:
    def length(self, policy: Policy, memory: tuple[Exchange, ...]) -> int:
        return len(policy.codec.encode_prompt(with_memory(ASKED, memory)))

    def engine_of(self, policy: Policy, context: int) -> Engine:
        policy.codec = replace(policy.codec, context_length=context)
        return Engine(policy)

    @pytest.mark.parametrize("missing", [0, 1])
    def test_a_memory_over_the_context_loses_its_earliest_exchanges(
        self, policy: Policy, missing: int
    ) -> None:
        engine = self.engine_of(policy, self.length(policy, MEMORY) + 12 - missing)
        try:
            drawn = drawn_by(engine, MEMORY).drawn
        finally:
            engine.close()
        assert drawn.memory == ("edit_1", "edit_2", "edit_3")[missing:]
        assert drawn.prompt_tokens == self.length(policy, MEMORY[missing:])

    def test_without_room_for_any_there_is_none(self, policy: Policy) -> None:
        engine = self.engine_of(policy, self.length(policy, ()) + 12)
        try:
            drawn = drawn_by(engine, MEMORY).drawn
        finally:
            engine.close()
        assert drawn.memory == ()

    def test_a_shortened_draft_gives_no_room_to_a_memory(self, policy: Policy) -> None:
        """What was asked for is drawn first: a memory is help."""
        engine = self.engine_of(policy, self.length(policy, ()) + 40)
        try:
            drawn = drawn_by(engine, MEMORY, shortens=True, max_new_tokens=512).drawn
        finally:
            engine.close()
        assert drawn.memory == ()

    def test_the_limit_of_prompts_does_not_count_the_memory(
        self, engine: Engine, policy: Policy
    ) -> None:
        limit = self.length(policy, ())
        drawn = drawn_by(engine, MEMORY, config=PLAIN.with_settings(max_prompt_length=limit)).drawn
        assert len(drawn.memory) == 3


def test_a_text_that_is_continued_has_no_memory(engine: Engine) -> None:
    verbatim: Prompt = Verbatim("Once upon a time")
    listener = Listener()
    with pytest.raises(Exception, match="no turns"):
        engine.submit(replace(request(ASKED, memory=MEMORY), prompt=verbatim), listener)


class TestPreparing:
    def wait_for(self, engine: Engine) -> None:
        until(lambda: not engine._preparing)

    def test_what_is_prepared_is_not_computed_again(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed = blocks_computed(monkeypatch)
        monkeypatch.setattr(kept_prefixes, "BLOCK", 32)
        engine.prepare(request("Something else.", memory=MEMORY))
        self.wait_for(engine)
        prepared = len(computed)
        assert prepared > 2
        prepared_drawn = drawn_by(engine, MEMORY).drawn
        assert len(computed) == prepared
        assert prepared_drawn.candidates == drawn_by(engine, MEMORY).drawn.candidates

    def test_a_version_is_prepared_for_by_its_own_weights(
        self,
        engine: Engine,
        policy: Policy,
        tiny_model_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        alone = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(alone)
        alone.save(tmp_path / "v1")
        version = VersionFolder("v1", tmp_path / "v1")
        computed = blocks_computed(monkeypatch)
        monkeypatch.setattr(kept_prefixes, "BLOCK", 32)
        engine.prepare(request("Something else.", memory=MEMORY, version=version))
        engine.prepare(request("Something else.", memory=MEMORY))
        self.wait_for(engine)
        prepared = len(computed)
        drawn = drawn_by(engine, MEMORY, version=version).drawn
        assert len(computed) == prepared
        monkeypatch.setattr(kept_prefixes, "BLOCK", 256)
        ((expected,),) = alone.sample([with_memory(ASKED, MEMORY)], 1, 12, 3)
        assert drawn.candidates[0].token_ids == expected.token_ids

    def test_nothing_is_prepared_for_a_single_message(self, engine: Engine) -> None:
        engine.prepare(request("Something else."))
        assert not engine._preparing

    def test_a_version_that_is_gone_stops_nothing(self, engine: Engine, tmp_path: Path) -> None:
        gone = VersionFolder("gone", tmp_path / "gone")
        engine.prepare(request("Something else.", memory=MEMORY, version=gone))
        self.wait_for(engine)
        assert drawn_by(engine, MEMORY).drawn.candidates


class TestLeaks:
    """Facts of past exchanges in a draft that nobody asked for."""

    def leaking(
        self, monkeypatch: pytest.MonkeyPatch, *, exchange: str, words: str = ""
    ) -> list[str]:
        """Let texts with these words have a fact of an exchange, where that is in the memory."""
        looked_at: list[str] = []

        def found(finder: LeakFinder, text: str) -> tuple[Leak, ...]:
            looked_at.append(text)
            known = any(one.id == exchange for one in finder._past)
            at = text.find(words)
            return (Leak(at, at + 4, "1234", "number", exchange),) if known and at >= 0 else ()

        monkeypatch.setattr(LeakFinder, "find", found)
        return looked_at

    def test_a_draft_nobody_saw_is_drawn_anew_without_the_exchange(
        self, engine: Engine, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.leaking(monkeypatch, exchange="edit_2")
        drawn = drawn_by(engine, MEMORY, guarded=True, tells=False).drawn
        assert drawn.memory == ("edit_1", "edit_3")
        assert (drawn.thrown_away, drawn.leaks) == (1, ((),))
        alone = Policy.load(tiny_model_folder, dtype="float32")
        whole = with_memory(ASKED, [MEMORY[0], MEMORY[2]])
        ((expected,),) = alone.sample([whole], 1, 12, drawn.seed)
        assert drawn.candidates[0].token_ids == expected.token_ids

    def test_where_another_leaks_then_it_is_drawn_without_any(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def found(finder: LeakFinder, text: str) -> tuple[Leak, ...]:
            return tuple(Leak(0, 4, "1234", "number", one.id) for one in finder._past[:1])

        monkeypatch.setattr(LeakFinder, "find", found)
        drawn = drawn_by(engine, MEMORY, guarded=True, tells=False).drawn
        assert (drawn.memory, drawn.thrown_away, drawn.leaks) == ((), 2, ((),))

    @pytest.mark.parametrize("how", [{"guarded": False}, {"guarded": True, "choices": 2}])
    def test_one_that_was_seen_and_is_not_held_back_is_marked(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
    ) -> None:
        self.leaking(monkeypatch, exchange="edit_2")
        drawn = drawn_by(engine, MEMORY, **how).drawn
        assert drawn.leaks == ((LEAK,),) * len(drawn.leaks)
        assert drawn.memory == ("edit_1", "edit_2", "edit_3")

    def test_without_a_memory_nothing_is_looked_for(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_at = self.leaking(monkeypatch, exchange="edit_2")
        assert drawn_by(engine, ()).drawn.leaks == ((),)
        assert looked_at == []

    def test_words_alone_are_no_leak(self) -> None:
        memory = (Exchange("Tea?", "Your order number 1234 is at the post office.", "edit_1"),)
        job = DraftJob(request("Where is it?", memory=memory), (), lambda _: None)
        assert [leak.words for leak in job.leaks("It is 1234.")] == ["1234"]
        assert job.leaks("It is at the post office.") == ()


LONG = {"guarded": True, "max_new_tokens": 60}


class TestLeaksInWhatIsRead:
    """A draft that is read while it is drawn: its latest words are searched first."""

    leaking = TestLeaks.leaking

    def test_it_is_told_in_pieces_and_whole_in_the_end(self, engine: Engine) -> None:
        unguarded = drawn_by(engine, MEMORY, **{**LONG, "guarded": False})
        held = drawn_by(engine, MEMORY, **LONG)
        assert held.told() == unguarded.told() == held.drawn.text(0)
        pieces = [event for event in held.events if isinstance(event, Delta)]
        assert len(pieces) > 5

    @pytest.mark.parametrize("nth", [0, 3, 6, -1])
    def test_what_was_not_told_is_drawn_anew_without_the_exchange(
        self,
        engine: Engine,
        tiny_model_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        nth: int,
    ) -> None:
        first = drawn_by(engine, MEMORY, **LONG).drawn.text(0)
        found = [first[word.start : word.end] for word in words_of(first)]
        word = [word for word in found if first.count(word) == 1][nth]
        self.leaking(monkeypatch, exchange="edit_2", words=word)
        listener = drawn_by(engine, MEMORY, **LONG)
        drawn = listener.drawn
        assert drawn.memory == ("edit_1", "edit_3")
        assert (drawn.thrown_away, drawn.leaks) == (1, ((),))
        assert listener.told() == drawn.text(0)
        kept = os.path.commonprefix([first, drawn.text(0)])
        assert word not in kept

        alone = Policy.load(tiny_model_folder, dtype="float32")
        (sample,) = drawn.candidates
        whole = alone.codec.encode_prompt(with_memory(ASKED, [MEMORY[0], MEMORY[2]]))
        assert drawn.prompt_tokens == len(whole)
        assert alone.codec.decode(sample.token_ids) == sample.text
        assert (sample.logprob is None) or nth == 0
        assert len(sample.token_ids) <= 60
        # What follows on what was told is what the rest of the memory would have gone on with.
        told = next(
            count
            for count in range(60)
            if (
                *sample.token_ids[:count],
                *self.rest(alone, whole, sample.token_ids[:count], drawn),
            )
            == sample.token_ids
        )
        assert first.startswith(alone.codec.decode(sample.token_ids[:told]))

    @staticmethod
    def rest(
        policy: Policy, prompt: tuple[int, ...], told: tuple[int, ...], drawn: Drawn
    ) -> tuple[int, ...]:
        beginnings = [(*prompt, *told)]
        ((branch,),) = policy.continuations(beginnings, 1, 60 - len(told), [drawn.seed])
        return branch.token_ids

    def test_what_begins_in_what_was_told_is_marked(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = drawn_by(engine, MEMORY, **LONG).drawn.text(0)
        last = first.split()[-1]

        def found(finder: LeakFinder, text: str) -> tuple[Leak, ...]:
            return (LEAK,) if text.rstrip().endswith(last) and len(text) > 20 else ()

        monkeypatch.setattr(LeakFinder, "find", found)
        listener = drawn_by(engine, MEMORY, **LONG)
        assert listener.drawn.text(0) == listener.told() == first
        assert listener.drawn.leaks == ((LEAK,),)

    def test_it_is_drawn_anew_twice_at_most_the_second_time_without_any(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_at: list[str] = []

        def found(finder: LeakFinder, text: str) -> tuple[Leak, ...]:
            looked_at.append(text)
            return (Leak(len(text) - 1, len(text), "1", "number", "edit_9"),)

        monkeypatch.setattr(LeakFinder, "find", found)
        drawn = drawn_by(engine, MEMORY, **LONG).drawn
        assert (drawn.memory, drawn.thrown_away, drawn.leaks) == ((), 2, ((),))

    def test_scripts_without_spaces_are_told_too(self) -> None:
        job = DraftJob(request(memory=MEMORY, **LONG), (), lambda _: None)
        row = Row(0, text="这个包裹已经在星期五寄出了请放心")
        Follower._search(row, job)
        assert row.free == len(row.text) - 8
