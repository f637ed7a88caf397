"""Requests that stand behind past exchanges, and what is kept of their beginnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asking import PLAIN, Listener, request

from corll.compute import kept_prefixes
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Prompt, Verbatim
from corll.service.drafting.engine import Engine

MEMORY = (
    Exchange("Answer Ms Lopez: the kettle is on its way.", "Dear Ms Lopez, it comes.", "edit_1"),
    Exchange("Write to the hotel: two rooms in May.", "Hello, two rooms in May.", "edit_2"),
    Exchange("Thank Anna for the cake, and ask for its recipe.", "Anna, thank you!", "edit_3"),
)
ASKED = "The parcel is late."


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
    computed = []
    original = kept_prefixes.prefix_of

    def counted(network: object, ids: tuple[int, ...]) -> object:
        computed.append(ids)
        return original(network, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(kept_prefixes, "prefix_of", counted)
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
