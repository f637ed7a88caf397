"""What is read out of the store to be learned from, on a tiny model and a real database."""

from __future__ import annotations

from teaching import add_edit

from corll.service.learning.trainer import Trainer
from corll.service.store.accounts import User


def test_preferences_are_found_in_the_order_asked_for_without_those_that_cannot_be_read(
    trainer: Trainer, user: User
) -> None:
    texts = ["Sorry.", "word " * 600, "On Friday."]  # the second is over the context
    first, long, last = (
        str(add_edit(trainer, user, text, number=number).preference_id)
        for number, text in enumerate(texts)
    )
    found = trainer.reader.find([last, "pref_gone", long, first])
    assert list(found) == [last, first]
    sent = [trainer.base.codec.encode_response(one.chosen).text for one in found.values()]
    assert sent == ["On Friday.", "Sorry."]
