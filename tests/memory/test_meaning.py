"""Which texts are alike in meaning, by the real model."""

from __future__ import annotations

import numpy as np
import pytest

from corll.errors import InputError
from corll.memory import meaning
from corll.memory.choosing import MemorySettings, choose
from corll.memory.exchanges import Exchange

SIMILAR = MemorySettings("similar", most=1)
REQUEST = "My luggage did not arrive with the flight."
LOST = Exchange("A suitcase is missing after landing.", "We are searching for it.", "lost")
SEATS = Exchange("The plane has too little room for my legs.", "Row twelve has more.", "seats")
FLIGHT = Exchange("Did the choir arrive with the right music?", "It did not.", "choir")


def ids(past: list[Exchange], settings: MemorySettings) -> list[str]:
    return [one.id for one in choose(past, REQUEST, settings, lambda text: len(text.split()))]


def test_a_text_of_the_same_meaning_in_other_words_is_the_most_similar() -> None:
    past = [LOST, SEATS, FLIGHT]
    assert ids(past, SIMILAR) == ["lost"]
    assert ids(past, MemorySettings("nearest", most=1)) == ["choir"]
    assert ids(past, MemorySettings("similar"))[-1] == "lost"


def test_of_equal_texts_the_later_is_taken() -> None:
    again = Exchange(LOST.prompt, "Sorry, we are looking for it.", "again")
    same = Exchange(LOST.prompt, again.text, "same")
    assert ids([LOST, again, same], SIMILAR) in (["lost"], ["same"])
    assert ids([again, same], SIMILAR) == ["same"]


def test_a_text_is_wholly_like_itself() -> None:
    alike, other = meaning.likeness(REQUEST, [REQUEST, "Bread without nuts, please."])
    assert alike == pytest.approx(1.0, abs=1e-5)
    assert -1 <= other < 0.5
    assert meaning.likeness(REQUEST, []) == []


def test_texts_are_embedded_once_and_few_embeddings_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embeddings = meaning._Embeddings()
    asked: list[list[str]] = []

    class Model:
        def encode(self, texts: list[str], **settings: object) -> np.ndarray:
            asked.append(texts)
            return np.eye(3, dtype=np.float32)[: len(texts)]

    monkeypatch.setattr(embeddings, "_model", Model())
    monkeypatch.setattr(meaning, "_MOST_KEPT", 2)
    embeddings.of(["a", "b", "a"])
    embeddings.of(["b", "c"])
    assert [list(row) for row in embeddings.of(["b", "c"])] == [[0, 1, 0], [1, 0, 0]]
    embeddings.of(["a"])
    assert asked == [["a", "b"], ["c"], ["a"]]


def test_without_the_model_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"corll\[meaning\]"):
        MemorySettings("similar")
    assert MemorySettings("nearest").choice == "nearest"
