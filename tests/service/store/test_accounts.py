"""Users, what they consent to and from when on, keys whose secrets are not kept, and the log."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event, select, text
from store_samples import NOW, add_user, edit, kept_draft, preference_from_edit

from corll.errors import ConfigError, InputError
from corll.service.store.accounts import (
    Key,
    audit,
    create_key,
    find_key,
    find_user,
    find_user_by_name,
    find_user_called,
    get_or_create_user,
    list_keys,
    read_audit,
    revoke_key,
    rotate_key,
    set_consent,
    users_of,
)
from corll.service.store.database import Database
from corll.service.store.preferences import find_preference, users_with_waiting
from corll.service.store.rows import add_row, hash_secret, new_id
from corll.service.store.schema import keys, users
from corll.service.store.sign_ins import find_session


def test_a_user_is_made_once_and_found_by_name_and_id(database: Database) -> None:
    ada = database.write(add_user)
    again = database.write(lambda db: get_or_create_user(db, "home", "ada", store=False, now=9.0))
    other = database.write(lambda db: get_or_create_user(db, "work", "ada", store=False, now=9.0))
    assert ada == again != other
    assert (ada.store, ada.learn, ada.share, ada.holdback) == (True, True, False, 0.0)
    assert (other.store, other.learn) == (False, False)
    with database.read() as db:
        assert find_user(db, ada.id) == find_user_by_name(db, "home", "ada") == ada
        assert find_user(db, "nobody") is find_user_by_name(db, "home", "nobody") is None
        assert users_of(db, "home") == [ada]
        assert users_of(db, None) == [ada, other]


def test_a_name_like_an_id_takes_nobodys_place(database: Database) -> None:
    ada = database.write(add_user)
    assert database.write(lambda db: add_user(db, ada.id)) == ada
    with database.read() as db:
        assert users_of(db, None) == [ada]
        assert find_user_called(db, "home", ada.id) == ada
        assert find_user_called(db, "work", ada.id) == ada


def test_an_id_means_its_user_even_where_another_is_called_so(database: Database) -> None:
    """Some were called so before such names were refused."""
    ada = database.write(add_user)
    other = replace(ada, id=new_id("user"), name=ada.id)
    database.write(lambda db: add_row(db, users, other))
    with database.read() as db:
        assert find_user_called(db, "home", ada.id) == ada
        assert find_user_called(db, "home", other.id) == other
    assert database.write(lambda db: add_user(db, ada.id)) == ada


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "x" * 65, "a\nb", "a\x00"),
        *("me", ".", ".."),
        "user_" + "0" * 24,
    ],
)
def test_what_no_path_can_name_is_no_name(database: Database, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        database.write(lambda db: add_user(db, name))
    with database.read() as db:
        assert users_of(db, None) == []


@pytest.mark.parametrize("name", ["me", "..", "."])
def test_whoever_is_called_so_already_is_found(database: Database, name: str) -> None:
    ada = database.write(add_user)
    old = replace(ada, id=new_id("user"), name=name)
    database.write(lambda db: add_row(db, users, old))
    assert database.write(lambda db: add_user(db, name)) == old


def test_an_id_of_another_name_space_is_no_name_in_this_one(database: Database) -> None:
    ada = database.write(add_user)
    with pytest.raises(InputError, match="ids look like that"):
        database.write(lambda db: get_or_create_user(db, "work", ada.id, store=True, now=NOW))


def test_a_name_is_one_in_any_form_of_unicode(database: Database) -> None:
    composed, parted = "zo\u00eb", "zoe\u0308"
    zoe = database.write(lambda db: add_user(db, parted))
    assert zoe.name == composed
    assert database.write(lambda db: add_user(db, composed)) == zoe
    assert database.write(lambda db: add_user(db, "zoe")) != zoe
    # Those who were made before names had one form stay as they are.
    old = replace(zoe, id=new_id("user"), name="rene\u0301")
    database.write(lambda db: add_row(db, users, old))
    assert database.write(lambda db: add_user(db, "ren\u00e9")) == old
    assert database.write(lambda db: add_user(db, "rene\u0301")) == old
    both = replace(zoe, id=new_id("user"), name=parted)
    database.write(lambda db: add_row(db, users, both))
    with database.read() as db:
        assert find_user_by_name(db, "home", parted) == both
        assert find_user_by_name(db, "home", composed) == zoe


def test_consent_changes_what_is_given_and_is_audited(database: Database) -> None:
    ada = database.write(add_user)
    after = database.write(
        lambda db: set_consent(db, ada.id, share=True, holdback=0.2, actor="key_1", now=5.0)
    )
    assert (after.store, after.learn, after.share, after.holdback) == (True, True, True, 0.2)
    with database.read() as db:
        [entry] = read_audit(db, subject=ada.id)
    assert (entry.actor, entry.action, entry.created_at) == ("key_1", "consent", 5.0)
    assert entry.details == {"share": [False, True], "holdback": [0.0, 0.2]}


def test_consent_of_nobody_is_an_input_error(database: Database) -> None:
    with pytest.raises(InputError, match="no user 'nobody'"):
        database.write(lambda db: set_consent(db, "nobody", learn=True, actor="a", now=NOW))


def state(database: Database, preference_id: str) -> str:
    with database.read() as db:
        found = find_preference(db, preference_id)
    assert found is not None
    return found.state


@pytest.mark.parametrize(("include_past", "afterwards"), [(False, "withheld"), (True, "waiting")])
def test_what_waits_when_learning_ends_is_withheld(
    database: Database, include_past: bool, afterwards: str
) -> None:
    ada = database.write(add_user)
    bob = database.write(lambda db: add_user(db, "bob"))
    hers = database.write(lambda db: preference_from_edit(db, ada))
    his = database.write(lambda db: preference_from_edit(db, bob))
    database.write(lambda db: set_consent(db, ada.id, learn=False, actor="a", now=NOW))
    assert (state(database, hers), state(database, his)) == ("withheld", "waiting")
    with database.read() as db:
        assert users_with_waiting(db) == [(bob.id, 1, NOW)]
    database.write(
        lambda db: set_consent(
            db, ada.id, learn=True, include_past=include_past, actor="a", now=NOW
        )
    )
    assert (state(database, hers), state(database, his)) == (afterwards, "waiting")


def test_past_edits_can_be_included_later_too(database: Database) -> None:
    ada = database.write(add_user)
    hers = database.write(lambda db: preference_from_edit(db, ada))
    for changes in ({"learn": False}, {"learn": True}, {"include_past": True}):
        database.write(lambda db, c=changes: set_consent(db, ada.id, **c, actor="a", now=NOW))
    assert state(database, hers) == "waiting"


def test_including_the_past_does_nothing_while_learning_is_off(database: Database) -> None:
    ada = database.write(add_user)
    hers = database.write(lambda db: preference_from_edit(db, ada))
    database.write(
        lambda db: set_consent(db, ada.id, learn=False, include_past=True, actor="a", now=NOW)
    )
    database.write(lambda db: set_consent(db, ada.id, include_past=True, actor="a", now=NOW))
    assert state(database, hers) == "withheld"


def test_consent_counts_as_it_is_when_the_edit_is_kept(database: Database) -> None:
    """A request that read the consent before it was withdrawn does not go round it."""
    ada = database.write(add_user)
    database.write(lambda db: set_consent(db, ada.id, learn=False, actor="a", now=NOW))
    kept = database.write(lambda db: edit(db, kept_draft(db, ada), "Hi", will_learn=True))
    assert state(database, str(kept.preference_id)) == "withheld"


def test_a_key_is_found_by_its_secret_which_is_not_kept(database: Database) -> None:
    ada = database.write(add_user)
    key, secret = database.write(
        lambda db: create_key(
            db,
            scope="user",
            namespace="home",
            label="laptop",
            user_id=ada.id,
            rate_per_minute=60,
            actor="cli",
            now=NOW,
        )
    )
    assert secret.startswith("corll-")
    assert len(secret) == len("corll-") + 43
    assert (key.scope, key.user_id, key.rate_per_minute) == ("user", ada.id, 60)
    with database.read() as db:
        assert find_key(db, secret, now=NOW) == key
        assert find_key(db, secret + "x", now=NOW) is None
        rows = [*db.execute(select(keys)), *db.execute(text("SELECT * FROM audit_log"))]
    assert secret not in str(rows)


def test_a_revoked_key_opens_nothing(database: Database) -> None:
    def make(db: object, namespace: str) -> object:
        return create_key(
            db,  # type: ignore[arg-type]
            scope="backend",
            namespace=namespace,
            label="app",
            secret=f"given-{namespace}",
            actor="cli",
            now=NOW,
        )

    (home, secret), _ = database.write(lambda db: (make(db, "home"), make(db, "work")))
    assert secret == "given-home"
    assert database.write(lambda db: revoke_key(db, home.id, actor="cli", now=NOW + 1))
    assert not database.write(lambda db: revoke_key(db, home.id, actor="cli", now=NOW + 2))
    with database.read() as db:
        assert find_key(db, secret, now=NOW) is not None
        assert find_key(db, secret, now=NOW + 1) is None
        assert [key.revoked_at for key in list_keys(db, "home")] == [NOW + 1]
        assert len(list_keys(db, None)) == 2
        actions = [entry.action for entry in read_audit(db)]
    assert actions == ["key revoked", "key created", "key created"]
    with pytest.raises(ConfigError, match=r"that of key .*revoked; choose another"):
        database.write(lambda db: make(db, "home"))


def test_the_log_is_read_latest_first(database: Database) -> None:
    def fill(db: object) -> None:
        for number in range(5):
            audit(
                db,  # type: ignore[arg-type]
                actor="a",
                action=str(number),
                subject="even" if number % 2 == 0 else "odd",
                details={"number": number},
                now=NOW,
            )

    database.write(fill)
    with database.read() as db:
        assert [entry.action for entry in read_audit(db, limit=3)] == ["4", "3", "2"]
        assert [entry.details["number"] for entry in read_audit(db, subject="odd")] == [3, 1]


def made_key(database: Database, namespace: str = "home") -> tuple[Key, str]:
    return database.write(
        lambda db: create_key(
            db,
            scope="backend",
            namespace=namespace,
            label="app",
            rate_per_minute=7,
            actor="cli",
            now=NOW,
        )
    )


def rotated(database: Database, key_id: str, overlap_s: float) -> tuple[Key, str] | None:
    return database.write(
        lambda db: rotate_key(db, key_id, overlap_s=overlap_s, actor="cli", now=NOW)
    )


def test_a_rotated_key_works_until_its_overlap_is_over(database: Database) -> None:
    old, old_secret = made_key(database)
    other, other_secret = made_key(database, "work")
    found = rotated(database, old.id, 60.0)
    assert found is not None
    new, secret = found
    assert secret != old_secret
    about = ("scope", "namespace", "user_id", "label", "rate_per_minute")
    assert [getattr(new, name) for name in about] == [getattr(old, name) for name in about]
    with database.read() as db:
        assert find_key(db, old_secret, now=NOW + 59.9) is not None
        assert find_key(db, old_secret, now=NOW + 60.0) is None
        assert find_key(db, secret, now=NOW + 1e9) == new
        assert find_key(db, other_secret, now=NOW + 1e9) == other
        entry = read_audit(db, subject=old.id)[0]
    assert (entry.action, entry.details) == ("key rotated", {"by": new.id, "ends_at": NOW + 60.0})
    assert rotated(database, old.id, 1e6) is None  # what ends is not put off
    assert rotated(database, "key_of_nobody", 60.0) is None
    assert database.write(lambda db: revoke_key(db, old.id, actor="cli", now=NOW + 1))
    with database.read() as db:
        assert find_key(db, old_secret, now=NOW + 1) is None


def test_without_an_overlap_the_old_key_ends_at_once(database: Database) -> None:
    old, old_secret = made_key(database)
    assert rotated(database, old.id, 0.0) is not None
    with database.read() as db:
        assert find_key(db, old_secret, now=NOW) is None


def test_the_database_is_asked_for_hashes_of_secrets_alone(database: Database) -> None:
    """So a comparison that stops early tells of a hash, which nobody can steer."""
    _, secret = made_key(database)
    asked: list[str] = []

    def note(*about: object) -> None:
        asked.append(str(about))

    with database.read() as db:
        event.listen(db.engine, "before_cursor_execute", note)
        find_key(db, secret, now=NOW)
        find_session(db, secret, now=NOW)
        event.remove(db.engine, "before_cursor_execute", note)
    queries = [statement for statement in asked if "SELECT" in statement]
    assert len(queries) == 2
    for statement in queries:
        assert hash_secret(secret) in statement
        assert secret not in statement
