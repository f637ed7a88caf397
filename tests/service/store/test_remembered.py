"""What a user sent before, which may stand before a request: whose it is, and until when."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection
from store_samples import NOW, add_user, deleted, edit, kept_draft

from corll.frames import Filled, FrameName
from corll.service.store.accounts import User, read_audit
from corll.service.store.imports import NewItem, add_import, mark_item
from corll.service.store.remembered import (
    clear,
    find_exchange,
    marks_of,
    past_exchanges,
    set_mark,
)


@pytest.fixture
def ada(db: Connection) -> User:
    return add_user(db, "ada")


@pytest.fixture
def bob(db: Connection) -> User:
    return add_user(db, "bob")


def filled(frame: FrameName) -> Filled:
    return Filled(frame=frame, message="Hi.", hint="", name="", template=None)


def sent(db: Connection, user: User, *texts: str, now: float = NOW, **changes: Any) -> list[str]:
    """Edits of drafts of their own, by their ids."""
    return [edit(db, kept_draft(db, user, **changes), text, now=now).id for text in texts]


def texts(db: Connection, user: User, frame: FrameName = "none", **asked: Any) -> list[str]:
    found = past_exchanges(db, user.id, frame, **{"most": 100, **asked})
    return [exchange.text for exchange in found.exchanges]


def imported(db: Connection, user: User, *texts: str, **changes: Any) -> str:
    items = [NewItem(f"Prompt of {text}", None, text, **changes) for text in texts]
    return add_import(db, user_id=user.id, items=items, actor="key_1", now=NOW).id


class TestWhich:
    def test_what_was_sent_is_there_in_order_with_what_was_asked(
        self, db: Connection, ada: User
    ) -> None:
        ids = sent(db, ada, "One", "Two")
        found = past_exchanges(db, ada.id, "none", most=10).exchanges
        assert [(one.id, one.text) for one in found] == list(zip(ids, ["One", "Two"], strict=True))
        assert found[0].turns == [
            {"role": "user", "content": "Write to Tom ✉"},
            {"role": "assistant", "content": "One"},
        ]

    def test_an_accepted_draft_was_sent_too(self, db: Connection, ada: User) -> None:
        draft = kept_draft(db, ada)
        edit(db, draft, draft.choice(0)["text"])
        assert texts(db, ada) == [draft.choice(0)["text"]]

    def test_a_replaced_edit_was_not(self, db: Connection, ada: User) -> None:
        draft = kept_draft(db, ada)
        edit(db, draft, "First thought")
        edit(db, draft, "Second thought")
        assert texts(db, ada) == ["Second thought"]

    def test_each_user_has_their_own(self, db: Connection, ada: User, bob: User) -> None:
        sent(db, ada, "Ada's")
        sent(db, bob, "Bob's")
        imported(db, bob, "Bob's of before")
        assert texts(db, ada) == ["Ada's"]
        assert texts(db, bob) == ["Bob's of before", "Bob's"]

    @pytest.mark.parametrize("frame", ["none", "reply", "write"])
    def test_each_kind_of_request_has_its_own(
        self, db: Connection, ada: User, frame: FrameName
    ) -> None:
        for other in ("none", "reply", "write"):
            asked = None if other == "none" else filled(other)  # type: ignore[arg-type]
            sent(db, ada, f"In {other}", asked=asked)
            imported(db, ada, f"Before in {other}", asked=asked)
        assert texts(db, ada, frame) == [f"Before in {frame}", f"In {frame}"]

    def test_a_continued_text_is_none(self, db: Connection, ada: User) -> None:
        sent(db, ada, "upon a time", kind="text")
        assert texts(db, ada) == []

    def test_what_was_drafted_beside_an_import_is_none(self, db: Connection, ada: User) -> None:
        sent(db, ada, "Past", source="import")
        assert texts(db, ada) == []

    def test_what_measures_and_what_was_skipped_of_an_import_is_none(
        self, db: Connection, ada: User
    ) -> None:
        names = [f"Text {n}" for n in range(1, 21)]
        job = imported(db, ada, *names)
        assert len(texts(db, ada)) == 16
        mark_item(db, job, 1, state="skipped", reason="a control token")
        assert "Text 1" not in texts(db, ada)

    def test_a_deleted_import_is_gone(self, db: Connection, ada: User) -> None:
        kept, gone = imported(db, ada, "Kept"), imported(db, ada, "Gone")
        deleted(db, "import", gone)
        assert texts(db, ada) == ["Kept"]
        assert find_exchange(db, ada.id, f"{gone}.1") is None
        assert find_exchange(db, ada.id, f"{kept}.1") is not None


class TestHowMany:
    @pytest.mark.parametrize(
        ("most", "step", "left"),
        [
            (5, 1, "abcde"),
            (4, 1, "bcde"),
            (4, 2, "cde"),
            (4, 3, "de"),
            (1, 1, "e"),
            (5, 3, "abcde"),
        ],
    )
    def test_the_oldest_are_left_out_in_steps(
        self, db: Connection, ada: User, most: int, step: int, left: str
    ) -> None:
        imported(db, ada, "a", "b")
        sent(db, ada, "c", "d", "e")
        assert texts(db, ada, most=most, in_steps_of=step) == list(left)

    def test_pinned_ones_are_never_left_out(self, db: Connection, ada: User, bob: User) -> None:
        first, _, _ = sent(db, ada, "a", "b", "c")
        of_another_kind, *_ = sent(db, ada, "d", asked=filled("reply"))
        sent(db, bob, "x", "y")
        for name in (first, of_another_kind):
            set_mark(db, ada.id, name, "pinned", actor="key_1", now=NOW)
        assert texts(db, ada, most=1) == ["a", "c"]
        assert texts(db, ada, most=3) == ["a", "b", "c"]
        assert texts(db, bob, most=1) == ["y"]


class TestMarks:
    def test_what_is_skipped_is_left_out_unless_it_is_wanted(
        self, db: Connection, ada: User, bob: User
    ) -> None:
        (one, two), (theirs,) = sent(db, ada, "One", "Two"), sent(db, bob, "Bob's")
        set_mark(db, ada.id, one, "skipped", actor="key_1", now=NOW)
        assert texts(db, ada) == ["Two"]
        assert texts(db, ada, with_skipped=True) == ["One", "Two"]
        assert texts(db, bob) == ["Bob's"]
        set_mark(db, ada.id, two, "pinned", actor="key_1", now=NOW)
        assert past_exchanges(db, ada.id, "none", most=9).pinned == {two}
        assert past_exchanges(db, bob.id, "none", most=9).pinned == frozenset()
        set_mark(db, ada.id, one, None, actor="key_1", now=NOW)
        assert marks_of(db, ada.id) == {two: "pinned"}
        assert [row.action for row in read_audit(db, limit=3)] == ["memory"] * 3
        assert find_exchange(db, ada.id, theirs) is None

    def test_a_mark_can_be_changed(self, db: Connection, ada: User) -> None:
        (one,) = sent(db, ada, "One")
        set_mark(db, ada.id, one, "skipped", actor="key_1", now=NOW)
        set_mark(db, ada.id, one, "pinned", actor="key_1", now=NOW)
        assert marks_of(db, ada.id) == {one: "pinned"}


class TestClearing:
    def test_all_until_then_is_forgotten_and_later_texts_are_not(
        self, db: Connection, ada: User, bob: User
    ) -> None:
        (old,) = sent(db, ada, "Old")
        imported(db, ada, "Of before")
        sent(db, bob, "Bob's")
        set_mark(db, ada.id, old, "pinned", actor="key_1", now=NOW)
        clear(db, ada.id, actor="key_1", now=NOW)
        sent(db, ada, "New", now=NOW + 1)
        assert texts(db, ada) == ["New"]
        assert texts(db, bob) == ["Bob's"]
        assert marks_of(db, ada.id) == {}
        assert find_exchange(db, ada.id, old) is None

    def test_it_can_be_done_again(self, db: Connection, ada: User) -> None:
        clear(db, ada.id, actor="key_1", now=NOW)
        sent(db, ada, "New", now=NOW + 1)
        clear(db, ada.id, actor="key_1", now=NOW + 2)
        assert texts(db, ada) == []
