"""Imports: jobs are taken up again, a fifth is held out, and deleting leaves no text behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import Connection, select, text
from store_samples import NOW, back, deleted, draft_of, kept_draft, new_version, publish

from corll.errors import InputError
from corll.service.store.accounts import User, set_consent
from corll.service.store.drafts import DraftRow, edits_of, find_draft
from corll.service.store.imports import (
    ImportRow,
    NewItem,
    add_import,
    add_imported_preference,
    find_import,
    held_out_numbers,
    imports_of,
    items_of,
    mark_item,
    next_import,
    update_import,
)
from corll.service.store.lineages import (
    register_version,
    requeue_set_aside,
    serving_version,
    start_lineage,
)
from corll.service.store.preferences import find_preference, waiting_preferences
from corll.service.store.schema import (
    audit_log,
    drafts,
    edits,
    import_items,
    imports,
    metadata,
    preferences,
    versions,
)


def job(db: Connection, user: User, count: int = 2) -> ImportRow:
    items = [
        NewItem(f"Prompt {n}", "A draft" if n % 2 else None, f"Sent {n}") for n in range(count)
    ]
    return add_import(db, user_id=user.id, items=items, actor="key_1", now=NOW)


def imported(db: Connection, user: User, import_id: str, sent: str) -> tuple[DraftRow, str]:
    draft = draft_of(user, source="import")
    preference_id = add_imported_preference(
        db, draft=draft, text=sent, import_id=import_id, now=NOW
    )
    return draft, preference_id


@pytest.mark.parametrize(
    ("total", "count"), [(0, 0), (11, 0), (12, 4), (24, 4), (25, 5), (100, 20), (1000, 20)]
)
def test_a_fifth_is_held_out_evenly(total: int, count: int) -> None:
    numbers = sorted(held_out_numbers(total))
    assert len(numbers) == count
    if numbers:
        assert 1 <= numbers[0] <= numbers[-1] <= total
        gaps = {after - before for before, after in pairwise(numbers)}
        assert max(gaps) - min(gaps) <= 1
        assert numbers[0] - 1 <= max(gaps)
        assert total - numbers[-1] <= max(gaps)


def test_a_job_comes_back_with_its_items(db: Connection, ada: User) -> None:
    row = job(db, ada, 12)
    assert (row.state, row.total, row.used, row.result) == ("waiting", 12, 0, None)
    assert find_import(db, row.id) == row
    assert imports_of(db, ada.id, limit=9) == [row]
    items = items_of(db, row.id)
    assert items_of(db, row.id, after=3, limit=2) == items[3:5]
    assert [item.number for item in items] == [*range(1, 13)]
    assert (items[0].prompt, items[0].draft, items[0].sent) == ("Prompt 0", None, "Sent 0")
    assert items[1].draft == "A draft"
    assert {item.number for item in items if item.held_out} == held_out_numbers(12)


def test_the_job_that_was_begun_goes_on_before_the_next(db: Connection, ada: User) -> None:
    first, second, third = job(db, ada), job(db, ada), job(db, ada)
    assert next_import(db) == first
    update_import(db, second.id, state="running")
    running = next_import(db)
    assert running is not None
    assert running.id == second.id
    update_import(db, second.id, state="done", result={"version": 1}, finished_at=NOW + 1)
    update_import(db, first.id, state="failed", error="no space")
    assert next_import(db) == third
    assert next_import(db, but=[third.id]) is None
    done = find_import(db, second.id)
    assert done is not None
    assert (done.result, done.finished_at) == ({"version": 1}, NOW + 1)
    deleted(db, "import", third.id)
    assert next_import(db) is None


def test_items_that_were_used_are_counted(db: Connection, ada: User) -> None:
    row = job(db, ada, 3)
    mark_item(db, row.id, 1, state="used")
    mark_item(db, row.id, 1, state="used")
    mark_item(db, row.id, 2, state="skipped", reason="empty")
    counted = find_import(db, row.id)
    assert counted is not None
    assert counted.used == 1
    assert [(item.state, item.reason) for item in items_of(db, row.id)] == [
        ("used", None),
        ("skipped", "empty"),
        ("waiting", None),
    ]


def test_a_text_that_was_sent_is_a_preference_over_the_draft(db: Connection, ada: User) -> None:
    row = job(db, ada)
    draft, preference_id = imported(db, ada, row.id, "Hi")
    preference = find_preference(db, preference_id)
    assert preference is not None
    assert (preference.source, preference.state) == ("import", "waiting")
    assert preference.chosen == {"text": "Hi"}
    assert preference.rejected == draft.choice(0)
    assert find_draft(db, draft.id) == draft
    [edit] = edits_of(db, ada.id, limit=9)
    assert (edit.preference_id, edit.state, edit.text) == (preference_id, "recorded", "Hi")
    assert edit.edit_cost == 10 / 2
    kept = kept_draft(db, ada, source="import")
    add_imported_preference(db, draft=kept, text="Hi", import_id=row.id, now=NOW)
    assert len(waiting_preferences(db, ada.id, limit=9)) == 2


def test_a_text_that_is_the_draft_is_no_preference(db: Connection, ada: User) -> None:
    row = job(db, ada)
    with pytest.raises(InputError, match="mark the item as skipped"):
        imported(db, ada, row.id, "Hello there \r\n")


def test_an_import_is_withheld_where_learning_is_off(db: Connection, ada: User) -> None:
    set_consent(db, ada.id, learn=False, actor="a", now=NOW)
    _, preference_id = imported(db, ada, job(db, ada).id, "Hi")
    preference = find_preference(db, preference_id)
    assert preference is not None
    assert preference.state == "withheld"


def test_deleting_a_job_takes_what_was_learned_and_leaves_the_other(
    db: Connection, ada: User
) -> None:
    row, other = job(db, ada), job(db, ada)
    _, elsewhere = imported(db, ada, other.id, "Of another job")
    kept = publish(db, ada, elsewhere)
    _, learned = imported(db, ada, row.id, "A secret that was learned")
    _, waiting = imported(db, ada, row.id, "A secret that waits")
    _, rejected = imported(db, ada, row.id, "A secret that was rejected")
    gone = publish(db, ada, learned)
    bad = new_version(db, ada, state="rejected", reasons=["a secret"])
    register_version(db, bad, preference_ids=[rejected], expected_parent=None, now=NOW)
    receipt = deleted(db, "import", row.id)
    assert {one.id for one in receipt.erased} == {gone.id, bad.id}
    assert serving_version(db, ada.id) == replace(kept, state="serving")
    assert find_import(db, row.id) is None
    assert items_of(db, row.id) == []
    ids = (learned, waiting, rejected, elsewhere)
    assert [find_preference(db, one) is None for one in ids] == [True, True, True, False]
    assert len(edits_of(db, ada.id, limit=9)) == 1
    assert len(items_of(db, other.id)) == 2
    for table in (drafts, edits, preferences, imports, import_items, versions):
        assert "secret" not in str(db.execute(select(table)).all())


@pytest.mark.parametrize("again", ["rollback", "lineage"])
def test_what_was_deleted_never_waits_again(db: Connection, ada: User, again: str) -> None:
    row = job(db, ada)
    _, learned = imported(db, ada, row.id, "Learned")
    version = publish(db, ada, learned)
    deleted(db, "import", row.id)
    assert serving_version(db, ada.id) is None
    if again == "rollback":
        with pytest.raises(InputError, match="saw a text that was deleted"):
            back(db, ada, 1, requeue=True)
    else:
        start_lineage(db, user_id=ada.id, reference_id=version.reference_id, now=NOW)
    requeue_set_aside(db, ada.id, actor="a", now=NOW)
    assert find_preference(db, learned) is None


def test_no_text_is_left_in_any_table(db: Connection, ada: User) -> None:
    row = job(db, ada)
    imported(db, ada, row.id, "Something private")
    update_import(db, row.id, result={"before": "Something private"}, error="Something private")
    deleted(db, "import", row.id)
    counts = {name: db.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in TABLES}
    assert counts == dict.fromkeys(TABLES, 0) | {
        "users": 1,
        "imports": 1,
        "audit_log": 2,
        "deletions": 1,
        "schema_compatibility": 1,
    }
    for table in (imports, audit_log):
        assert "private" not in str(db.execute(select(table)).all())


TABLES = list(metadata.tables)
