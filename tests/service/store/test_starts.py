"""Starts from references: asked for, withdrawn by the next one, settled; each user's own."""

from __future__ import annotations

from sqlalchemy import Connection
from store_samples import NOW, add_user

from corll.service.store import starts
from corll.service.store.accounts import User
from corll.service.store.lineages import add_reference
from corll.service.store.starts import StartRow


def adapter(db: Connection, fingerprint: str) -> str:
    return add_reference(
        db,
        name=fingerprint,
        fingerprint=fingerprint,
        folder=f"references/{fingerprint}",
        base_model="tiny",
        base_fingerprint="f0",
        now=NOW,
    ).id


def ask(db: Connection, user: User, reference_id: str) -> StartRow:
    return starts.ask_to_start(
        db, user_id=user.id, reference_id=reference_id, actor="an admin", now=NOW
    )


def states(db: Connection, user: User) -> list[str]:
    return [row.state for row in starts.starts_of(db, user.id)]


def test_a_start_waits_until_it_is_settled(db: Connection, ada: User) -> None:
    asked = ask(db, ada, adapter(db, "f1"))
    assert (asked.state, asked.reasons, asked.decided_at) == ("examining", [], None)
    assert starts.waiting_starts(db) == [asked]
    settled = starts.settle_start(db, asked.number, "rejected", reasons=["it loops"], now=NOW + 1)
    assert (settled.state, settled.reasons, settled.decided_at) == (
        "rejected",
        ["it loops"],
        NOW + 1,
    )
    assert starts.waiting_starts(db) == []
    assert starts.latest_start(db, ada.id) == settled == starts.find_start(db, asked.number)


def test_another_start_takes_the_place_of_one_that_waits_and_of_nobody_elses(
    db: Connection, ada: User
) -> None:
    bob = add_user(db, "bob")
    one, other = adapter(db, "f1"), adapter(db, "f2")
    ask(db, bob, one)
    first, second = ask(db, ada, one), ask(db, ada, other)
    assert states(db, ada) == ["withdrawn", "examining"]
    assert states(db, bob) == ["examining"]
    assert [row.user_id for row in starts.waiting_starts(db)] == [bob.id, ada.id]
    assert starts.latest_start(db, ada.id) == second
    starts.settle_start(db, second.number, "started", now=NOW)
    ask(db, ada, one)
    assert states(db, ada) == ["withdrawn", "started", "examining"]
    assert first.number < second.number


def test_what_was_examined_last_counts_for_its_user_alone(db: Connection, ada: User) -> None:
    bob = add_user(db, "bob")
    one, other = adapter(db, "f1"), adapter(db, "f2")
    assert not starts.was_examined(db, ada.id, one)
    starts.settle_start(db, ask(db, ada, one).number, "started", now=NOW)
    assert starts.was_examined(db, ada.id, one)
    assert not starts.was_examined(db, ada.id, other)
    assert not starts.was_examined(db, bob.id, one)
    starts.settle_start(db, ask(db, ada, one).number, "rejected", reasons=["r"], now=NOW)
    assert starts.was_examined(db, ada.id, one)
    starts.settle_start(db, ask(db, ada, one).number, "unexamined", now=NOW)
    assert not starts.was_examined(db, ada.id, one)
