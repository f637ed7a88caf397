"""A memory in the form that a model reads: turns, or documents where it has no chat template."""

from __future__ import annotations

from typing import Any

import pytest

from corll.errors import InputError
from corll.memory.exchanges import Exchange, with_memory
from corll.model.tokens import TokenCodec
from corll.records import Verbatim
from tiny_models import END
from tiny_tokenizers import (
    ALL,
    END_ID,
    base_codec,
    beginning_with_the_end,
    chat_codec,
    codec_of,
    ids_of,
    with_ends_added,
)

TEA = Exchange("Coming for tea?", " Gladly.")
WALK = Exchange("A walk?", " On Friday.")


def test_a_template_makes_them_turns() -> None:
    found = chat_codec().behind("And?", [TEA])
    assert found == with_memory("And?", [TEA])
    with pytest.raises(InputError, match="has no turns"):
        chat_codec().behind(Verbatim("And?"), [TEA])


def test_without_one_they_are_documents_that_end_as_texts_do() -> None:
    codec = base_codec()
    found = codec.behind("And on Friday?", [TEA, WALK])
    documents = ["Coming for tea? Gladly.", "A walk? On Friday.", "And on Friday?"]
    assert found == END.join(documents)
    first, second, last = (ids_of(codec, text) for text in documents)
    assert codec.encode_prompt(found) == (*first, END_ID, *second, END_ID, *last)


def test_no_memory_changes_nothing() -> None:
    assert base_codec().behind("And?", []) == "And?"
    assert not isinstance(base_codec().behind("And?", []), Verbatim)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_each_document_begins_and_ends_as_it_does_alone(make: Any) -> None:
    """But for the dummy space of a tokenizer that writes it before the first piece alone."""
    codec = codec_of(with_ends_added(make(None)))
    begin, end = codec.tokenizer.bos_token_id, codec.end_ids[0]
    found = codec.encode_prompt(codec.behind("Hello Anna", [TEA, WALK]))
    assert [i for i in found if i in (begin, end)] == [begin, end, begin, end, begin]
    last = codec.encode_prompt("Hello Anna")
    assert codec.decode(found[-len(last) :]).endswith("Anna")
    if make is not ALL["Llama 2, first"]:
        assert found[-len(last) :] == last


def test_one_token_may_end_a_text_and_begin_the_next() -> None:
    codec = TokenCodec(beginning_with_the_end(), False, (END_ID,), None)
    found = codec.encode_prompt(codec.behind("Hello", [TEA]))
    tea, hello = ids_of(base_codec(), "Coming for tea? Gladly."), ids_of(base_codec(), "Hello")
    assert found == (END_ID, *tea, END_ID, *hello)


def test_what_cannot_be_a_document_is_refused() -> None:
    with pytest.raises(InputError, match="no chat template"):
        base_codec().behind([{"role": "user", "content": "And?"}], [TEA])
    with pytest.raises(InputError, match=r"memory contains '<\|end\|>'"):
        base_codec().behind("And?", [Exchange("Tea?", f"Yes.{END}No.")])
    with pytest.raises(InputError, match=r"prompt contains '<\|end\|>'"):
        base_codec().behind("And?", [Exchange(f"Tea?{END}", "Yes.")])


def test_the_earliest_are_left_out_where_the_context_ends() -> None:
    tokenizer, memory, room = base_codec().tokenizer, (TEA, WALK), 5
    whole = len(base_codec().encode_prompt(base_codec().behind("And?", memory))) + room
    for context, kept in ((whole, 2), (whole - 1, 1)):
        codec = TokenCodec(tokenizer, False, (END_ID,), context)
        assert codec.memory_within("And?", memory, room=room) == memory[2 - kept :]


def test_they_are_counted_with_what_ends_them() -> None:
    codec = base_codec()
    whole, alone = (len(codec.encode_prompt(codec.behind("And?", past))) for past in ([TEA], []))
    counted = sum(codec.count_turn_tokens(turn["content"]) for turn in TEA.turns)
    assert whole - alone <= counted
    assert codec.count_turn_tokens("Tea?") == codec.count_tokens("Tea?") + 1
