"""Comparisons: a user's word that one answer to a prompt is better than another."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection
from store_samples import NOW, add_user, edit, kept_draft

from corll.errors import IdempotencyError, InputError
from corll.service.store.comparisons import (
    ComparisonRow,
    chosen_drafts,
    comparisons_of,
    record_comparison,
)
from corll.service.store.drafts import DraftRow
from corll.service.store.preferences import find_preference


def compare(
    db: Connection, chosen: DraftRow, rejected: DraftRow, **changes: object
) -> ComparisonRow:
    fields = {
        "chosen": chosen,
        "chosen_choice": 0,
        "rejected": rejected,
        "rejected_choice": 1,
        "will_learn": True,
        "reason": None,
        "idempotency_key": None,
        "now": NOW,
    }
    return record_comparison(db, **{**fields, **changes})  # type: ignore[arg-type]


def test_a_comparison_makes_a_preference_of_one_sample_over_the_other(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    row = compare(db, draft, draft)
    preference = find_preference(db, row.preference_id)
    assert preference is not None
    assert (preference.source, preference.state) == ("comparison", "waiting")
    assert (preference.chosen, preference.rejected) == tuple(draft.candidates[::-1])
    assert row.id.startswith("comparison_")
    assert comparisons_of(db, row.user_id, limit=9) == [row]


def test_the_same_comparison_twice_is_one(db: Connection) -> None:
    ada = add_user(db)
    first, second = kept_draft(db, ada), kept_draft(db, ada)
    row = compare(db, first, second, idempotency_key="k")
    assert compare(db, first, second, idempotency_key="k") == row
    assert compare(db, first, second) == row
    with pytest.raises(IdempotencyError, match="another comparison"):
        compare(db, second, first, idempotency_key="k")


def test_only_two_answers_to_one_prompt_of_one_user_are_compared(db: Connection) -> None:
    ada, bob = add_user(db), add_user(db, "bob")
    draft = kept_draft(db, ada)
    with pytest.raises(InputError, match="not of one user"):
        compare(db, draft, kept_draft(db, bob))
    with pytest.raises(InputError, match="different prompts"):
        compare(db, draft, kept_draft(db, ada, prompt="Another"))
    with pytest.raises(InputError, match="no better than itself"):
        compare(db, draft, draft, rejected_choice=0)


def test_a_new_key_and_another_choice_make_another_comparison(db: Connection) -> None:
    ada = add_user(db)
    first, second = kept_draft(db, ada), kept_draft(db, ada)
    rows = [
        compare(db, first, second, idempotency_key="k"),
        compare(db, second, first, idempotency_key="l"),
        compare(db, first, second, rejected_choice=0),
        compare(db, first, second, chosen_choice=1),
    ]
    assert comparisons_of(db, ada.id, limit=9) == rows[::-1]


def test_two_users_may_send_the_same_key(db: Connection) -> None:
    ada, bob = add_user(db), add_user(db, "bob")
    rows = {}
    for user in (ada, bob):
        draft = kept_draft(db, user)
        rows[user.id] = compare(db, draft, draft, idempotency_key="k")
    for user in (ada, bob):
        assert comparisons_of(db, user.id, limit=9) == [rows[user.id]]


def test_what_was_preferred_is_told_of_comparisons_alone(db: Connection) -> None:
    ada = add_user(db)
    first, second, third = (kept_draft(db, ada) for _ in "123")
    one, other = compare(db, first, second), compare(db, third, first)
    edited = edit(db, second, "Hi Tom")
    asked = [one.preference_id, str(edited.preference_id)]
    assert chosen_drafts(db, asked) == {one.preference_id: first.id}
    assert chosen_drafts(db, [other.preference_id]) == {other.preference_id: third.id}
