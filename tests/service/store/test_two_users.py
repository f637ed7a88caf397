"""What happens to one user happens to nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection
from store_samples import (
    NOW,
    add_user,
    back,
    deleted,
    kept_draft,
    new_version,
    preference_from_edit,
    publish,
    register,
)

from corll.service.store.accounts import User, set_consent
from corll.service.store.drafts import drafts_of, edits_of
from corll.service.store.imports import NewItem, add_import
from corll.service.store.lineages import (
    current_lineage,
    lineages_of,
    requeue_set_aside,
    serving_version,
    start_lineage,
    versions_of,
)
from corll.service.store.preferences import (
    ask_to_learn,
    count_waiting,
    forget_fulfilled_requests,
    learned_ids,
    preferences_of,
    users_who_asked,
    users_with_waiting,
    withhold_waiting,
)


@pytest.fixture
def bob(db: Connection) -> User:
    return add_user(db, "bob")


def everything(db: Connection, user: User) -> tuple[object, ...]:
    """All that the store holds of a user's learning."""
    return (
        preferences_of(db, user.id),
        versions_of(db, user.id),
        lineages_of(db, user.id),
        serving_version(db, user.id),
        learned_ids(db, user.id, limit=9),
        user.id in users_who_asked(db),
    )


def test_each_user_s_request_is_kept_while_another_s_is_open(
    db: Connection, ada: User, bob: User
) -> None:
    for user in (ada, bob):
        preference_from_edit(db, user)
        ask_to_learn(db, user.id, now=NOW)
        ask_to_learn(db, user.id, now=NOW + 1)  # asked twice, open once
    assert users_who_asked(db) == {ada.id, bob.id}
    publish(db, ada, *[row.id for row in preferences_of(db, ada.id)])
    forget_fulfilled_requests(db)
    assert users_who_asked(db) == {bob.id}


def consent_ends(db: Connection, user: User) -> None:
    set_consent(db, user.id, learn=False, actor="a", now=NOW)


def consent_of_the_past(db: Connection, user: User) -> None:
    set_consent(db, user.id, include_past=True, actor="a", now=NOW)


def lineage_starts(db: Connection, user: User) -> None:
    lineage = current_lineage(db, user.id)
    assert lineage is not None
    start_lineage(db, user_id=user.id, reference_id=lineage.reference_id, now=NOW)


def import_goes(db: Connection, user: User) -> None:
    items = [NewItem([{"role": "user", "content": "Hi"}], None, "Hello.")]
    row = add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    deleted(db, "import", row.id)


def version_is_rejected(db: Connection, user: User) -> None:
    waiting = [row.id for row in preferences_of(db, user.id) if row.state == "waiting"]
    register(db, new_version(db, user, state="rejected"), *waiting, serve=False)


def edit_goes(db: Connection, user: User) -> None:
    deleted(db, "edit", edits_of(db, user.id, limit=9)[-1].id)


ACTS: list[Callable[[Connection, User], object]] = [
    consent_ends,
    consent_of_the_past,
    lineage_starts,
    import_goes,
    version_is_rejected,
    edit_goes,
    lambda db, user: deleted(db, "draft", drafts_of(db, user.id, limit=9)[-1].id),
    lambda db, user: deleted(db, "texts", user.id),
    lambda db, user: deleted(db, "model", user.id),
    lambda db, user: deleted(db, "user", user.id),
    lambda db, user: back(db, user, 0),
    lambda db, user: back(db, user, 0, requeue=True),
    lambda db, user: publish(db, user, preference_from_edit(db, user)),
    lambda db, user: requeue_set_aside(db, user.id, actor="a", now=NOW),
    lambda db, user: withhold_waiting(db, user.id),
    lambda db, user: ask_to_learn(db, user.id, now=NOW),
    lambda db, user: kept_draft(db, user, status="cancelled"),
]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_of_one_user_leaves_the_other_as_they_were(
    db: Connection, ada: User, bob: User, act: Callable[[Connection, User], object]
) -> None:
    for user in (ada, bob):
        publish(db, user, preference_from_edit(db, user))  # learned
        waiting = preference_from_edit(db, user)
        register(db, new_version(db, user, state="rejected"), waiting, serve=False)  # set aside
        preference_from_edit(db, user)  # waits
    before = everything(db, bob)
    act(db, ada)
    assert everything(db, bob) == before


def test_what_waits_is_counted_for_each(db: Connection, ada: User, bob: User) -> None:
    for user, number in ((ada, 1), (bob, 2)):
        for _ in range(number):
            preference_from_edit(db, user)
    assert [count_waiting(db, user.id) for user in (ada, bob)] == [1, 2]
    assert {row.user_id: row.waiting for row in users_with_waiting(db)} == {ada.id: 1, bob.id: 2}


def test_lineages_that_ended_before_keep_the_time_of_their_end(
    db: Connection, ada: User, bob: User
) -> None:
    for user in (ada, bob):
        publish(db, user, preference_from_edit(db, user))
    for moment in (NOW + 1, NOW + 2):
        lineage = current_lineage(db, ada.id)
        assert lineage is not None
        start_lineage(db, user_id=ada.id, reference_id=lineage.reference_id, now=moment)
    ended = sorted(str(one.ended_at) for one in lineages_of(db, ada.id))
    assert ended == sorted([str(NOW + 1), str(NOW + 2), "None"])
    assert [one.ended_at for one in lineages_of(db, bob.id)] == [None]
