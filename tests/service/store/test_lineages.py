"""Versions and the alias: what is learned is what the serving ancestry was taught, and once."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import Connection
from store_samples import (
    NOW,
    add_user,
    back,
    edit,
    kept_draft,
    new_version,
    preference_from_edit,
    publish,
    register,
)

from corll.errors import InputError, StaleParentError
from corll.service.store.accounts import User, read_audit, set_consent
from corll.service.store.coins import evidence_of, keep_evidence
from corll.service.store.database import Database
from corll.service.store.lineages import (
    Version,
    add_reference,
    all_references,
    ancestry,
    current_lineage,
    current_reference,
    find_reference,
    find_version,
    find_version_by_number,
    forget_folder,
    forget_optimizer,
    get_or_create_base_reference,
    lineages_of,
    next_number,
    requeue_set_aside,
    rollback,
    serving_version,
    start_lineage,
    versions_of,
)
from corll.service.store.preferences import find_preference, taught_in_vain
from corll.service.store.pruning import prunable
from corll.service.store.schema import versions
from corll.verdicts.arms import Arm
from corll.verdicts.evidence import EditScores, Evidence


def states(db: Connection, *preference_ids: str) -> list[str]:
    found = [find_preference(db, preference_id) for preference_id in preference_ids]
    return ["gone" if row is None else row.state for row in found]


def reasons(db: Connection, *preference_ids: str) -> list[str | None]:
    found = [find_preference(db, preference_id) for preference_id in preference_ids]
    return [None if row is None else row.reason for row in found]


def taught(db: Connection, user: User, count: int) -> tuple[list[Version], list[str]]:
    """Versions 1 … count in a line, each taught one preference."""
    ids = [preference_from_edit(db, user) for _ in range(count)]
    return [publish(db, user, preference_id) for preference_id in ids], ids


def test_a_base_is_one_reference_by_its_fingerprint(db: Connection) -> None:
    first = get_or_create_base_reference(db, base_model="tiny", base_fingerprint="f", now=NOW)
    again = get_or_create_base_reference(db, base_model="./tiny", base_fingerprint="f", now=NOW)
    other = get_or_create_base_reference(db, base_model="big", base_fingerprint="g", now=NOW)
    assert first == again
    assert (first.kind, first.number, first.folder, other.number) == ("base", 1, None, 2)
    assert find_reference(db, first.id) == first
    fields = {"name": "polite", "fingerprint": "a", "folder": "x", "base_model": "tiny"}
    adapter = add_reference(db, base_fingerprint="f", now=NOW, **fields)
    assert add_reference(db, base_fingerprint="f", now=NOW, **fields) == adapter
    assert all_references(db) == [first, other, adapter]
    assert all(one.id.startswith("reference_") for one in (first, other, adapter))


def test_lineages_stand_in_the_order_of_their_beginning(db: Connection, ada: User) -> None:
    assert current_reference(db, ada.id) is None
    base = get_or_create_base_reference(db, base_model="big", base_fingerprint="g", now=NOW)
    started = [
        start_lineage(db, user_id=ada.id, reference_id=base.id, now=NOW + n).id for n in range(9)
    ]
    assert [one.id for one in lineages_of(db, ada.id)] == started
    assert current_reference(db, ada.id) == base


def test_a_new_lineage_ends_the_former_and_its_preferences_wait_again(
    db: Connection, ada: User
) -> None:
    assert current_lineage(db, ada.id) is None
    [first], [learned] = taught(db, ada, 1)
    former = current_lineage(db, ada.id)
    other = get_or_create_base_reference(db, base_model="big", base_fingerprint="g", now=NOW)
    lineage = start_lineage(db, user_id=ada.id, reference_id=other.id, now=NOW + 1)
    assert former is not None
    assert current_lineage(db, ada.id) == lineage != former
    assert serving_version(db, ada.id) is None
    assert find_version(db, first.id) == replace(first, state="retired")
    assert states(db, learned) == ["waiting"]
    second = publish(db, ada, learned)
    assert (second.number, second.parent_id, second.lineage_id) == (2, None, lineage.id)
    with pytest.raises(InputError, match="no version 1 in the current lineage"):
        back(db, ada, 1)


def test_a_version_that_serves_has_learned_its_preferences(db: Connection, ada: User) -> None:
    assert next_number(db, ada.id) == 1
    versions, ids = taught(db, ada, 3)
    serving = serving_version(db, ada.id)
    assert serving is not None
    assert (serving.id, serving.state, serving.served_at) == (versions[2].id, "serving", NOW)
    assert [version.state for version in versions_of(db, ada.id)] == [
        "retired",
        "retired",
        "serving",
    ]
    assert [version.number for version in ancestry(db, serving.id)] == [3, 2, 1]
    assert next_number(db, ada.id) == 4
    assert find_version_by_number(db, ada.id, 2) == replace(versions[1], state="retired")
    assert states(db, *ids) == ["learned"] * 3
    found = find_preference(db, ids[1])
    assert found is not None
    assert found.version_id == versions[1].id


def test_numbers_and_aliases_are_a_user_s_own(db: Connection, ada: User) -> None:
    bob = add_user(db, "bob")
    (one, two), _ = taught(db, ada, 2)
    [his], _ = taught(db, bob, 1)
    assert (one.number, two.number, his.number) == (1, 2, 1)
    back(db, ada, 0)
    assert serving_version(db, ada.id) is None
    assert serving_version(db, bob.id) == his


def test_a_candidate_changes_nothing(db: Connection, ada: User) -> None:
    [first], _ = taught(db, ada, 1)
    waiting = preference_from_edit(db, ada)
    candidate = register(db, new_version(db, ada), waiting, serve=False)
    assert (candidate.state, candidate.served_at) == ("candidate", None)
    assert serving_version(db, ada.id) == first
    assert states(db, waiting) == ["waiting"]
    late = register(db, replace(candidate, id="late", number=3, parent_id=None), serve=False)
    assert (late.state, serving_version(db, ada.id)) == ("candidate", first)


def test_what_two_rejected_versions_were_taught_is_set_aside(db: Connection, ada: User) -> None:
    bob = add_user(db, "bob")
    bad, other = preference_from_edit(db, ada), preference_from_edit(db, ada)
    of_bob = preference_from_edit(db, bob)

    def reject(user: User, *taught: str) -> None:
        fields: dict[str, Any] = {"state": "rejected", "reasons": ["repeats itself"]}
        kept = register(db, new_version(db, user, **fields, folder=None), *taught, serve=False)
        assert (kept.state, kept.reasons) == ("rejected", ["repeats itself"])

    reject(ada, bad)
    reject(bob, of_bob)
    assert states(db, bad, other, of_bob) == ["waiting"] * 3
    assert taught_in_vain(db, [bad, other, of_bob]) == {bad, of_bob}
    assert taught_in_vain(db, [other]) == set()
    reject(ada, bad, other)
    assert states(db, bad, other, of_bob) == ["set_aside", "waiting", "waiting"]
    why = "Version 2 was rejected, as one before it: repeats itself."
    assert reasons(db, bad, other) == [why, None]
    assert requeue_set_aside(db, ada.id, actor="key_1", now=NOW) == 1
    assert states(db, bad, other) == ["waiting", "waiting"]
    assert reasons(db, bad, other) == [None, None]
    entry = read_audit(db, subject=ada.id)[0]
    assert (entry.action, entry.details) == ("requeue", {"preferences": 1})
    with pytest.raises(InputError, match="rejected and never served"):
        back(db, ada, 1)


def test_what_edits_said_of_a_version_goes_with_it(db: Connection, ada: User) -> None:
    bob = add_user(db, "bob")
    found: dict[Arm, EditScores] = {
        "weights": EditScores(4.0, None),
        "base": EditScores(3.0, None),
    }
    for user in (ada, bob):
        publish(db, user, preference_from_edit(db, user))
        keep_evidence(db, user.id, Evidence().after(found), now=NOW)
    back(db, ada, 0)
    assert [evidence_of(db, user.id).learned.count for user in (ada, bob)] == [0, 1]


def test_what_is_requeued_is_withheld_where_learning_is_off(db: Connection, ada: User) -> None:
    _, [first] = taught(db, ada, 1)
    back(db, ada, 0)
    set_consent(db, ada.id, learn=False, actor="a", now=NOW)
    requeue_set_aside(db, ada.id, actor="a", now=NOW)
    assert states(db, first) == ["withheld"]
    assert "withdrew consent" in str(reasons(db, first))


def test_a_step_from_what_no_longer_serves_is_stale_and_changes_nothing(
    database: Database,
) -> None:
    ada = database.write(add_user)
    database.write(lambda db: taught(db, ada, 1))
    waiting = database.write(lambda db: preference_from_edit(db, ada))
    with database.read() as db:
        late = new_version(db, ada)
    database.write(lambda db: publish(db, ada))
    with pytest.raises(StaleParentError, match="a version 2 of user"):
        database.write(lambda db: register(db, late, waiting))
    with pytest.raises(StaleParentError, match="serves now; start the step again"):
        database.write(lambda db: register(db, replace(late, number=3), waiting))
    database.write(lambda db: back(db, ada, 1))
    with database.read() as db:
        assert len(versions_of(db, ada.id)) == 2
        assert states(db, waiting) == ["waiting"]
    # After the rollback its parent serves again.
    database.write(lambda db: register(db, replace(late, number=3), waiting))
    with database.read() as db:
        assert states(db, waiting) == ["learned"]


def test_a_first_step_is_stale_once_another_serves(db: Connection, ada: User) -> None:
    first = new_version(db, ada)
    publish(db, ada)
    with pytest.raises(StaleParentError, match="starts from None"):
        register(db, replace(first, number=2))


def test_a_step_of_a_lineage_that_ended_is_stale(db: Connection, ada: User) -> None:
    version = new_version(db, ada)
    start_lineage(db, user_id=ada.id, reference_id=version.reference_id, now=NOW)
    with pytest.raises(StaleParentError, match="has ended"):
        register(db, version)


@pytest.mark.parametrize("what", ["learned", "replaced", "withheld", "another's", "gone"])
def test_a_preference_that_no_longer_waits_makes_a_step_stale(
    database: Database, what: str
) -> None:
    ada, bob = database.write(lambda db: (add_user(db), add_user(db, "bob")))
    draft = database.write(lambda db: kept_draft(db, ada))
    first = str(database.write(lambda db: edit(db, draft, "Hi")).preference_id)
    if what == "learned":
        database.write(lambda db: publish(db, ada, first))
    elif what == "replaced":
        database.write(lambda db: edit(db, draft, "Hi Tom"))
    elif what == "withheld":
        database.write(lambda db: set_consent(db, ada.id, learn=False, actor="a", now=NOW))
    elif what == "another's":
        first = database.write(lambda db: preference_from_edit(db, bob))
    else:
        first = "pref_none"
    why = "was deleted" if what in ("another's", "gone") else "waits no longer"
    with pytest.raises(StaleParentError, match=why):
        database.write(lambda db: publish(db, ada, first))


def test_one_of_two_learners_wins(database: Database) -> None:
    ada = database.write(add_user)
    waiting = database.write(lambda db: preference_from_edit(db, ada))
    one, two = database.write(lambda db: (new_version(db, ada), new_version(db, ada)))
    database.write(lambda db: register(db, one, waiting))
    with pytest.raises(StaleParentError):
        database.write(lambda db: register(db, two, waiting))


@pytest.mark.parametrize(
    ("requeue", "afterwards"), [(False, "set_aside"), (True, "waiting")], ids=["keep", "requeue"]
)
def test_rolling_back_unlearns_what_came_later(
    db: Connection, ada: User, requeue: bool, afterwards: str
) -> None:
    versions, ids = taught(db, ada, 3)
    serving = back(db, ada, 1, requeue=requeue)
    assert serving == replace(versions[0], state="serving")
    assert serving == serving_version(db, ada.id)
    assert [v.state for v in versions_of(db, ada.id)] == ["serving", "retired", "retired"]
    assert states(db, *ids) == ["learned", afterwards, afterwards]
    said = [None if reason is None else "rolled back" in reason for reason in reasons(db, *ids)]
    assert said == [None, *[None if requeue else True] * 2]
    entry = read_audit(db, subject=ada.id)[0]
    assert (entry.action, entry.details) == ("rollback", {"from": 3, "to": 1, "requeue": requeue})


def test_a_version_that_serves_again_has_served_since_its_first_time(
    db: Connection, ada: User
) -> None:
    taught(db, ada, 2)
    again = rollback(db, ada.id, to=1, requeue=False, actor="key_1", now=NOW + 5)
    assert again is not None
    assert (again.number, again.served_at) == (1, NOW)


def test_rolling_back_to_the_reference_unlearns_all(db: Connection, ada: User) -> None:
    _, ids = taught(db, ada, 2)
    assert back(db, ada, 0, requeue=True) is None
    assert states(db, *ids) == ["waiting", "waiting"]
    version = publish(db, ada, *ids)
    assert (version.number, version.parent_id) == (3, None)


def test_rolling_forward_learns_again_what_is_in_the_weights(db: Connection, ada: User) -> None:
    versions, ids = taught(db, ada, 3)
    back(db, ada, 1, requeue=True)
    branch = publish(db, ada, ids[1])
    back(db, ada, 3)
    assert states(db, *ids) == ["learned"] * 3
    found = find_preference(db, ids[1])
    assert found is not None
    assert found.version_id == versions[1].id
    back(db, ada, 4)
    found = find_preference(db, ids[1])
    assert found is not None
    assert (found.state, found.version_id) == ("learned", branch.id)
    assert states(db, ids[2]) == ["set_aside"]


def test_an_edit_that_was_replaced_does_not_come_back(db: Connection, ada: User) -> None:
    draft = kept_draft(db, ada)
    first = str(edit(db, draft, "Hi").preference_id)
    publish(db, ada, first)
    back(db, ada, 0)
    edit(db, draft, "Hi Tom")
    assert states(db, first) == ["replaced"]
    back(db, ada, 1)
    assert states(db, first) == ["learned"]
    back(db, ada, 0, requeue=True)
    assert states(db, first) == ["replaced"]


def test_a_version_whose_weights_are_gone_cannot_serve_again(db: Connection, ada: User) -> None:
    (first, *_), _ = taught(db, ada, 2)
    forget_folder(db, first.id)
    gone = find_version(db, first.id)
    assert gone is not None
    assert (gone.folder, gone.has_optimizer) == (None, False)
    with pytest.raises(InputError, match="version 1 were pruned; choose one"):
        back(db, ada, 1)
    with pytest.raises(InputError, match="no version 9"):
        back(db, ada, 9)


def test_what_may_be_pruned(db: Connection, ada: User) -> None:
    for _ in range(16):
        publish(db, ada)
    register(db, new_version(db, ada, state="rejected"), serve=False)
    back(db, ada, 12)
    publish(db, ada)
    # 18 ← 12 ← 11 ← 10 are whole.
    folders, optimizers = prunable(db, ada.id)
    assert [version.number for version in folders] == [*range(1, 10), *range(13, 18)]
    assert optimizers == []
    folders, optimizers = prunable(db, ada.id, keep_before=1, keep_every=5)
    assert [version.number for version in optimizers] == [5, 10, 15]
    assert {5, 10, 12, 15, 18}.isdisjoint(version.number for version in folders)
    for version in folders:
        forget_folder(db, version.id)
    for version in optimizers:
        forget_optimizer(db, version.id)
    assert prunable(db, ada.id, keep_before=1, keep_every=5) == ([], [])
    kept = [version.number for version in versions_of(db, ada.id) if version.folder]
    assert kept == [5, 10, 12, 15, 18]
    everything, _ = prunable(db, ada.id, keep_before=0, keep_every=0)
    assert [version.number for version in everything] == [5, 10, 12, 15]


def test_a_long_ancestry_is_followed_to_its_root(db: Connection, ada: User) -> None:
    line = [publish(db, ada)]
    while len(line) < 2000:
        last = line[-1]
        number = last.number + 1
        line.append(
            replace(last, id=f"v{number}", number=number, parent_id=last.id, state="retired")
        )
    db.execute(versions.insert(), [asdict(version) for version in line[1:]])
    assert [version.number for version in ancestry(db, line[-1].id)] == [*range(2000, 0, -1)]
