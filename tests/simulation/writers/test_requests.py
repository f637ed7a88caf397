"""The writing requests: many, apart in their splits, and each fact found where it is said."""

from __future__ import annotations

from collections import Counter

import pytest
from drafts import REQUESTS

from corll.edits import content_words
from corll.errors import ConfigError, InputError
from corll.simulation.sentences import find_sentences
from corll.simulation.writers import REQUEST_KINDS, request_of, writing_requests
from corll.simulation.writers.judging import reader_of
from corll.simulation.writers.requests import Split, Wording, fact_in

each_wording = pytest.mark.parametrize("wording", ["say", "formal", "note"])


def test_there_are_96_to_learn_from_and_32_held_out() -> None:
    train, held_out = writing_requests("train"), writing_requests("held_out")
    assert (len(train), len(held_out)) == (96, 32)
    assert len({request.prompt for request in REQUESTS}) == len(REQUESTS)
    assert len({request.id for request in REQUESTS}) == len(REQUESTS)


def test_the_splits_are_of_other_situations() -> None:
    situations = {
        split: {request.situation for request in writing_requests(split)}
        for split in ("train", "held_out")
    }
    assert (len(situations["train"]), len(situations["held_out"])) == (24, 8)
    assert situations["train"].isdisjoint(situations["held_out"])


def test_held_out_prompts_are_not_paraphrases() -> None:
    seen = [content_words(request.prompt) for request in writing_requests("train")]
    for request in writing_requests("held_out"):
        words = content_words(request.prompt)
        assert max(len(words & other) / len(words | other) for other in seen) < 0.35


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_kinds_and_situations_take_turns(split: Split) -> None:
    requests = writing_requests(split)
    for end in range(1, len(requests) + 1):
        kinds = Counter(request.kind for request in requests[:end])
        assert abs(kinds["reply"] - kinds["write"]) <= 1
    number = len({request.situation for request in requests})
    assert len({request.situation for request in requests[:number]}) == number
    by_kind = [one.prompt for kind in REQUEST_KINDS for one in writing_requests(split, kind)]
    assert sorted(by_kind) == sorted(request.prompt for request in requests)


@each_wording
def test_each_sentence_says_its_fact_alone_and_nothing_wrong(wording: Wording) -> None:
    for request in REQUESTS:
        reader = reader_of(request, "Anna Berg")
        for number, fact in enumerate(request.facts):
            sentence = fact_in(fact, wording)
            assert reader.said(sentence) == {number}, sentence
        for sentence in request.sentences(wording):
            assert not reader.is_wrong(sentence), sentence
            assert "{" not in sentence
            assert "  " not in sentence


@pytest.mark.parametrize("wording", ["say", "formal"])
def test_each_sentence_of_a_body_is_one(wording: Wording) -> None:
    for request in REQUESTS:
        for sentence in request.sentences(wording):
            parts = list(find_sentences(sentence))
            assert [part.finished for part in parts] == [True], sentence
            assert sentence[0].isupper() or sentence[0].isdigit(), sentence


def test_the_prompt_holds_every_note() -> None:
    for request in REQUESTS:
        assert all(fact.note in request.prompt for fact in request.facts)


def test_bodies_differ_in_sentences_and_length() -> None:
    bodies = {request.body for request in REQUESTS}
    assert len(bodies) == len(REQUESTS)
    assert {len(request.facts) for request in REQUESTS} == {2, 3, 4}
    assert {len(request.sentences("say")) for request in REQUESTS} == {2, 3, 4, 5, 6}
    assert max(map(len, bodies)) > 2 * min(map(len, bodies))


def test_a_fact_is_found_in_other_words_and_not_in_a_part_of_them() -> None:
    fact = next(one for one in REQUESTS if one.id == "tools-1").facts[0]  # ladder, Saturday
    assert fact.is_said("May I have the LADDER from Saturday on?")
    assert not fact.is_said("May I have the ladder?")
    assert not fact.is_said("May I have the stepladder on Saturday?")
    minutes = next(one for one in REQUESTS if one.id == "practice-date-1").facts[1]
    assert minutes.is_said("Be there ten minutes before.")
    assert minutes.is_said("Be there 10 minutes before.")
    assert not minutes.is_said("Be there 110 minutes before.")


def test_a_prompt_finds_its_request() -> None:
    request = REQUESTS[0]
    assert request_of(request.prompt) is request
    talk = [{"role": "system", "content": "Hi."}, {"role": "user", "content": request.prompt}]
    assert request_of(talk) is request
    with pytest.raises(InputError, match="writing_requests"):
        request_of("Write a poem.")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="split"):
        writing_requests("test")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kind"):
        writing_requests("train", "poem")  # type: ignore[arg-type]
