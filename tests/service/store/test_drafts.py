"""Drafts and edits: an edit counts once, a later one takes its place, what was learned stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select
from store_samples import NOW, add_user, draft_of, edit, kept_draft, publish

from corll.errors import IdempotencyError, StoreError
from corll.service.store.accounts import get_or_create_user, set_consent
from corll.service.store.database import Database
from corll.service.store.drafts import (
    DraftRow,
    EditRow,
    add_draft_once,
    answers_of,
    drafts_of,
    edits_of,
    edits_of_drafts,
    find_draft,
    find_edit,
    origins_of_complete,
)
from corll.service.store.preferences import (
    PreferenceRow,
    find_preference,
    find_preferences,
    keep_reference,
    learned_ids,
    set_one_aside,
    users_with_waiting,
    waiting_preferences,
)
from corll.service.store.rows import new_id
from corll.service.store.schema import edits, preferences, version_preferences


def preference_of(db: Connection, row: EditRow) -> PreferenceRow:
    found = find_preference(db, str(row.preference_id))
    assert found is not None
    return found


def test_ids_have_the_form_of_the_api() -> None:
    assert new_id("edit")[:5] == "edit_"
    assert len(new_id("edit")) == len("edit_") + 24
    assert len(new_id("chatcmpl-")) == len("chatcmpl-") + 24
    assert len({new_id("cmpl-") for _ in range(1000)}) == 1000


def test_a_draft_comes_back_as_it_was_kept(db: Connection) -> None:
    ada = add_user(db)
    first = kept_draft(db, ada)
    second = kept_draft(db, ada, id="cmpl-2", kind="text", prompt="Dear 😀", scores=None)
    assert find_draft(db, first.id) == first
    assert find_draft(db, "nothing") is None
    assert drafts_of(db, ada.id, limit=5) == [second, first]
    assert drafts_of(db, ada.id, limit=1) == [second]
    assert drafts_of(db, ada.id, limit=5, before=second.id) == [first]
    assert drafts_of(db, "nobody", limit=5) == []
    assert first.choice(0)["text"] == "Hello there"


def test_a_draft_of_nobody_is_refused(database: Database) -> None:
    ada = database.write(add_user)
    with pytest.raises(StoreError):
        database.write(lambda db: kept_draft(db, ada, user_id="nobody"))


def test_a_draft_that_is_kept_already_is_kept_once(db: Connection) -> None:
    ada = add_user(db)
    row = draft_of(ada)
    for _ in range(2):
        add_draft_once(db, row)
    assert drafts_of(db, ada.id, limit=5) == [row]


def test_origins_are_of_those_that_were_asked_for_and_drawn_to_their_end(db: Connection) -> None:
    ada = add_user(db)
    chat, text = kept_draft(db, ada), kept_draft(db, ada, kind="text", prompt="Dear")
    cancelled = kept_draft(db, ada, status="cancelled")
    kept_draft(db, ada)
    found = origins_of_complete(db, [chat.id, text.id, cancelled.id, "nothing"])
    assert {one: origin.kind for one, origin in found.items()} == {chat.id: "chat", text.id: "text"}


def test_edits_of_several_drafts_stand_in_the_order_of_their_coming(db: Connection) -> None:
    ada = add_user(db)
    first, second, other = (kept_draft(db, ada) for _ in "123")
    made = [edit(db, draft, f"Hi {n}") for n, draft in enumerate([second, first, other, second])]
    found = edits_of_drafts(db, [first.id, second.id])
    assert [row.id for row in found] == [made[n].id for n in (0, 1, 3)]


def test_an_edit_makes_a_preference_of_edit_over_draft(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    row = edit(db, draft, "Hi Tom", choice=1, idempotency_key="k", edit_cost=0.75)
    assert (row.state, row.edit_cost, row.idempotency_key) == ("recorded", 0.75, "k")
    assert find_edit(db, row.id) == row
    preference = preference_of(db, row)
    assert (preference.source, preference.state) == ("edit", "waiting")
    assert preference.prompt == draft.prompt
    assert preference.chosen == {"text": "Hi Tom"}
    assert preference.rejected == draft.candidates[0]
    assert preference.reference is None


def test_an_acceptance_makes_none(db: Connection) -> None:
    row = edit(db, kept_draft(db, add_user(db)), "Hello there")
    assert (row.state, row.preference_id) == ("accepted", None)
    assert db.execute(select(func.count()).select_from(preferences)).scalar() == 0


def test_what_will_not_be_learned_is_withheld(db: Connection) -> None:
    row = edit(db, kept_draft(db, add_user(db)), "Hi", will_learn=False, reason="too long")
    assert row.reason == "too long"
    assert preference_of(db, row).state == "withheld"


def test_the_same_edit_twice_is_one(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    first = edit(db, draft, "Hi", now=1.0)
    assert edit(db, draft, "Hi", now=2.0) == first
    assert edit(db, draft, "Hi", choice=1) != first


def test_a_key_that_comes_with_a_repeat_is_its_edits(db: Connection) -> None:
    ada = add_user(db)
    draft = kept_draft(db, ada)
    first = edit(db, draft, "Hi")
    named = edit(db, draft, "Hi", idempotency_key="k")
    assert named == replace(first, idempotency_key="k") == find_edit(db, first.id)
    with pytest.raises(IdempotencyError, match="'k' came with another edit"):
        edit(db, draft, "Hi Tom", idempotency_key="k")
    assert find_edit(db, first.id) == named
    assert edit(db, draft, "Hi", idempotency_key="other") == named
    bob = add_user(db, "bob")
    assert edit(db, kept_draft(db, bob), "Hello", idempotency_key="k").user_id == bob.id


def test_another_edit_takes_the_place_of_the_first(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    first = edit(db, draft, "Hi")
    other = edit(db, draft, "Hi", choice=1)
    second = edit(db, draft, "Hi Tom")
    replaced = find_edit(db, first.id)
    assert replaced is not None
    assert replaced.state == "replaced"
    assert preference_of(db, first).state == "replaced"
    assert [row.id for row in waiting_preferences(db, draft.user_id, limit=9)] == [
        other.preference_id,
        second.preference_id,
    ]
    back = edit(db, draft, "Hi")
    assert back.id != first.id
    assert preference_of(db, second).state == "replaced"


def test_an_acceptance_and_an_edit_replace_each_other(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    accepted = edit(db, draft, "Hello there")
    edited = edit(db, draft, "Hi")
    again = edit(db, draft, "Hello there")
    states = {row.id: row.state for row in edits_of(db, draft.user_id, limit=9)}
    assert states == {accepted.id: "replaced", edited.id: "replaced", again.id: "accepted"}
    assert waiting_preferences(db, draft.user_id, limit=9) == []


def test_after_it_was_learned_a_new_edit_is_a_further_preference(db: Connection) -> None:
    ada = add_user(db)
    draft = kept_draft(db, ada)
    first = edit(db, draft, "Hi")
    publish(db, ada, str(first.preference_id))
    second = edit(db, draft, "Hi Tom")
    third = edit(db, draft, "Hello")
    assert preference_of(db, first).state == "learned"
    assert preference_of(db, second).state == "replaced"
    assert preference_of(db, third).state == "waiting"
    assert find_edit(db, first.id) == first
    assert edits_of(db, third.user_id, limit=9)[0] == third


def test_back_to_what_was_learned_replaces_what_is_between(db: Connection) -> None:
    ada = add_user(db)
    for between in ("Hi Tom", "Hello there"):
        draft = kept_draft(db, ada)
        first = edit(db, draft, "Hi")
        publish(db, ada, str(first.preference_id))
        other = edit(db, draft, between)
        assert edit(db, draft, "Hi") == first
        assert edit(db, draft, "Hi") == first
        replaced = find_edit(db, other.id)
        assert replaced is not None
        assert replaced.state == "replaced"
        assert waiting_preferences(db, ada.id, limit=9) == []
        assert preference_of(db, first).state == "learned"


def test_back_to_what_was_learned_earlier_is_a_new_preference(db: Connection) -> None:
    ada = add_user(db)
    draft = kept_draft(db, ada)
    first = edit(db, draft, "Hi")
    publish(db, ada, str(first.preference_id))
    second = edit(db, draft, "Hi Tom")
    publish(db, ada, str(second.preference_id))
    back = edit(db, draft, "Hi")
    assert edit(db, draft, "Hi") == back
    assert back.id not in (first.id, second.id)
    assert [row.id for row in waiting_preferences(db, ada.id, limit=9)] == [back.preference_id]
    assert {preference_of(db, row).state for row in (first, second)} == {"learned"}
    assert answers_of(db, ada.id)[-1].edit_cost == back.edit_cost


def test_a_key_that_comes_again_gives_the_same_edit(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    first = edit(db, draft, "Hi", idempotency_key="k1")
    edit(db, draft, "Hi Tom", idempotency_key="k2")
    late = edit(db, draft, "Hi", idempotency_key="k1")
    assert (late.id, late.state) == (first.id, "replaced")
    assert len(waiting_preferences(db, draft.user_id, limit=9)) == 1


def test_a_key_that_comes_with_something_else_is_refused(db: Connection) -> None:
    ada = add_user(db)
    draft = kept_draft(db, ada)
    edit(db, draft, "Hi", idempotency_key="k")
    for changes in ({"text": "Hello"}, {"choice": 1}, {"draft": kept_draft(db, ada)}):
        request = {"draft": draft, "text": "Hi", **changes}
        with pytest.raises(IdempotencyError, match="'k' came with another edit"):
            edit(db, idempotency_key="k", **request)  # type: ignore[arg-type]
    bob = add_user(db, "bob")
    assert edit(db, kept_draft(db, bob), "Hello", idempotency_key="k").user_id == bob.id


def test_edits_are_paged_newest_first(db: Connection) -> None:
    ada = add_user(db)
    rows = [edit(db, kept_draft(db, ada), f"Hi {n}") for n in range(4)]
    newest = edits_of(db, ada.id, limit=2)
    assert newest == rows[:1:-1]
    assert edits_of(db, ada.id, limit=9, before=newest[-1].id) == rows[1::-1]


def test_answers_say_which_version_wrote_and_what_editing_cost(db: Connection) -> None:
    ada = add_user(db)
    first = edit(db, kept_draft(db, ada), "Hi", now=1.0)
    version = publish(db, ada, str(first.preference_id))
    later = kept_draft(db, ada, version_id=version.id, held_back=True, blind=True)
    edit(db, later, "Hello there", now=2.0)
    replaced = kept_draft(db, ada, version_id=version.id, arm="both", trial=3, share=0.3)
    edit(db, replaced, "Hi", now=3.0)
    edit(db, replaced, "Hi Tom", now=4.0)
    edit(db, kept_draft(db, ada, source="import"), "Hi", now=5.0)
    assert answers_of(db, ada.id) == [
        (1.0, None, False, False, False, 0.5, None, None),
        (2.0, 1, True, True, True, 0.0, None, None),
        (4.0, 1, False, False, False, 0.5, "both", 3),
    ]
    (imported,) = answers_of(db, ada.id, source="import")
    assert imported == (5.0, None, False, False, False, 0.5, None, None)
    assert all(type(answer.accepted) is bool for answer in answers_of(db, ada.id))


def test_preferences_wait_in_order_and_are_counted(db: Connection) -> None:
    ada, bob, eve = add_user(db), add_user(db, "bob"), add_user(db, "eve")
    for n in range(3):
        edit(db, kept_draft(db, ada), f"Hi {n}", now=10.0 + n)
    edit(db, kept_draft(db, bob), "Hi", now=5.0)
    edit(db, kept_draft(db, eve), "Hi", now=1.0)
    set_consent(db, eve.id, learn=False, actor="a", now=NOW)
    texts = [row.chosen["text"] for row in waiting_preferences(db, ada.id, limit=2)]
    assert texts == ["Hi 0", "Hi 1"]
    assert users_with_waiting(db) == [(bob.id, 1, 5.0), (ada.id, 3, 10.0)]


def test_the_latest_that_were_learned_come_oldest_first(db: Connection) -> None:
    ada = add_user(db)
    ids = [str(edit(db, kept_draft(db, ada), "Hi").preference_id) for _ in range(4)]
    publish(db, ada, *ids[:3])
    assert learned_ids(db, ada.id, limit=2) == ids[1:3]
    assert learned_ids(db, ada.id, limit=0) == []
    found = find_preferences(db, [ids[2], "gone", ids[0]])
    assert {name: row.id for name, row in found.items()} == {ids[0]: ids[0], ids[2]: ids[2]}


def test_the_scores_of_the_reference_are_kept_beside_it(db: Connection) -> None:
    row = edit(db, kept_draft(db, add_user(db)), "Hi")
    scores = {"chosen_tokens": [-0.1], "rejected_tokens": [-0.2, -0.3], "computed_with": "r1"}
    keep_reference(db, str(row.preference_id), scores)
    assert preference_of(db, row).reference == scores


# What may happen to one draft: an edit of a choice, with or without a key, or a step of learning.
TEXTS = ["Hello there", "Dear Sir", "Hi", "Hi Tom"]
EVENTS = st.one_of(
    st.tuples(
        st.just("edit"),
        st.integers(0, 1),
        st.sampled_from(TEXTS),
        st.none() | st.sampled_from(["k1", "k2"]),
    ),
    st.just(("learn",)),
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(EVENTS, max_size=12))
def test_any_sequence_of_edits_keeps_the_rules(database: Database, events: list[tuple]) -> None:  # type: ignore[type-arg]
    def play(db: Connection) -> None:
        user = get_or_create_user(db, "home", new_id("name"), store=True, learn=True, now=NOW)
        draft = kept_draft(db, user)
        for event in events:
            if event[0] == "learn":
                waiting = waiting_preferences(db, user.id, limit=9)
                publish(db, user, *(row.id for row in waiting))
            else:
                edit_twice(db, draft, *event[1:])
            check_the_rules(db, draft)

    database.write(play)


def edit_twice(db: Connection, draft: DraftRow, choice: int, text: str, key: str | None) -> None:
    try:
        first = edit(db, draft, text, choice=choice, idempotency_key=key)
    except IdempotencyError:
        assert key is not None
        return
    assert edit(db, draft, text, choice=choice, idempotency_key=key) == first
    assert (first.choice, first.text) == (choice, text)
    if key is None:
        assert first.state != "replaced"
        said = [row for row in edits_of(db, draft.user_id, limit=99) if row.choice == choice]
        assert next(row for row in said if row.state != "replaced") == first


def check_the_rules(db: Connection, draft: DraftRow) -> None:
    rows = edits_of(db, draft.user_id, limit=99)
    made = db.execute(
        select(preferences.c.id, preferences.c.state).where(preferences.c.draft_id == draft.id)
    ).all()
    states = {row.id: row.state for row in made}
    # Each preference is that of one edit, and each edit that accepts nothing has one.
    of_edits = [row.preference_id for row in rows if row.preference_id is not None]
    assert sorted(of_edits) == sorted(states)
    for row in rows:
        assert (row.preference_id is None) == (row.text == draft.choice(row.choice)["text"])
        if row.state == "replaced":
            assert row.preference_id is None or states[row.preference_id] == "replaced"
        elif row.preference_id is not None:
            assert states[row.preference_id] in ("waiting", "learned")
    for choice in (0, 1):
        standing = [row for row in rows if row.choice == choice and row.state != "replaced"]
        not_learned = [row for row in standing if states.get(row.preference_id or "") != "learned"]
        assert len(not_learned) <= 1
        assert all(one.text != other.text for one, other in pairwise(standing))
    taught = select(func.count()).select_from(
        version_preferences.join(
            preferences, preferences.c.id == version_preferences.c.preference_id
        )
    )
    times = taught.where(preferences.c.draft_id == draft.id).group_by(preferences.c.id)
    assert all(count == 1 for (count,) in db.execute(times))


def test_numbers_are_not_used_again(db: Connection) -> None:
    draft = kept_draft(db, add_user(db))
    last = preference_of(db, edit(db, draft, "Hi"))
    db.execute(edits.delete())
    db.execute(preferences.delete())
    assert preference_of(db, edit(db, draft, "Hi")).number > last.number


def test_a_draft_that_was_not_kept_cannot_be_edited(database: Database, tmp_path: Path) -> None:
    ada = database.write(add_user)
    with pytest.raises(StoreError):
        database.write(lambda db: edit(db, draft_of(ada), "Hi"))


def test_only_what_waits_is_set_aside(db: Connection) -> None:
    ada = add_user(db)
    bad, other, learned = (preference_of(db, edit(db, kept_draft(db, ada), "Hi")) for _ in "123")
    publish(db, ada, learned.id)
    for one in (bad, learned):
        set_one_aside(db, one.id, "It is empty.")
    found = find_preferences(db, [bad.id, other.id, learned.id])
    assert [(found[one.id].state, found[one.id].reason) for one in (bad, other, learned)] == [
        ("set_aside", "It is empty."),
        ("waiting", None),
        ("learned", None),
    ]
