"""Whose weights draft: the serving version, a named one, or π_0 in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event
from store_samples import NOW, add_user, back, new_version, preference_from_edit, publish, register

from corll.service.drafting.serving import Serving, named_serving, serving_for
from corll.service.store.accounts import User, set_consent
from corll.service.store.lineages import add_reference, forget_folder, start_lineage
from corll.service.version_store.data_folder import DataFolder


def called(db: Connection, name: str, *, namespace: str = "home") -> Serving | None:
    return named_serving(db, name, namespace=namespace, may_see=lambda _: True)


def test_a_user_without_a_version_is_served_by_the_base(db: Connection, ada: User) -> None:
    assert serving_for(db, ada) == Serving(ada, None)
    assert serving_for(db, ada).folder_in(DataFolder(Path("/data"))) is None


def test_each_user_is_served_by_their_own_version(db: Connection, ada: User) -> None:
    bob = add_user(db, "bob")
    version = publish(db, ada, preference_from_edit(db, ada))
    found = serving_for(db, ada)
    assert (found.version, found.held_back, found.blind) == (version, False, False)
    folder = found.folder_in(DataFolder(Path("/data")))
    assert folder is not None
    assert version.folder is not None
    assert (folder.id, folder.folder) == (version.id, Path("/data") / version.folder)
    assert serving_for(db, bob).version is None


def test_who_withdrew_consent_gets_the_plain_base_at_once(db: Connection, ada: User) -> None:
    publish(db, ada, preference_from_edit(db, ada))
    unwilling = set_consent(db, ada.id, learn=False, actor="a", now=NOW)
    assert serving_for(db, unwilling) == Serving(unwilling, None)
    assert called(db, "ada@1") is None


def test_an_imported_reference_drafts_until_there_is_a_version(db: Connection, ada: User) -> None:
    reference = add_reference(
        db,
        name="shared",
        fingerprint="f1",
        folder="references/f1",
        base_model="tiny",
        base_fingerprint="f0",
        now=NOW,
    )
    start_lineage(db, user_id=ada.id, reference_id=reference.id, now=NOW)
    folder = serving_for(db, ada).folder_in(DataFolder(Path("/data")))
    assert folder is not None
    assert (folder.id, folder.is_reference) == (reference.id, True)
    version = publish(db, ada, preference_from_edit(db, ada))
    folder = serving_for(db, ada).folder_in(DataFolder(Path("/data")))
    assert folder is not None
    assert (folder.id, folder.is_reference) == (version.id, False)
    assert folder.reference == Path("/data/references/f1")


@pytest.mark.parametrize(("drawn", "held_back"), [(0.0, True), (0.249, True), (0.25, False)])
def test_the_holdback_draws_blindly_between_version_and_reference(
    db: Connection, ada: User, drawn: float, held_back: bool
) -> None:
    measured = set_consent(db, ada.id, holdback=0.25, actor="a", now=NOW)
    before = serving_for(db, measured, chance=lambda: 0.0)
    assert (before.blind, before.held_back) == (False, False)  # there is nothing to compare yet
    version = publish(db, ada, preference_from_edit(db, ada))
    found = serving_for(db, measured, chance=lambda: drawn)
    assert (found.blind, found.held_back) == (True, held_back)
    assert found.version == (None if held_back else version)


def test_a_version_is_named_by_its_owner_and_number(db: Connection, ada: User) -> None:
    first = publish(db, ada, preference_from_edit(db, ada))
    second = publish(db, ada, preference_from_edit(db, ada))
    for name, version in (("ada@1", first), ("ada@2", second), (f"{ada.id}@2", second)):
        found = called(db, name)
        assert found is not None
        assert found.version is not None
        assert (found.user, found.version.id) == (ada, version.id)
    back(db, ada, 1)
    assert called(db, "ada@2") is not None  # retired, and still there


def test_a_named_version_reads_its_own_reference_alone(db: Connection, ada: User) -> None:
    publish(db, ada, preference_from_edit(db, ada))
    for number in range(3):
        add_reference(
            db,
            name=f"shared {number}",
            fingerprint=f"f{number}",
            folder=f"references/f{number}",
            base_model="tiny",
            base_fingerprint="f0",
            now=NOW,
        )
    read: list[str] = []

    def note(db: Any, cursor: Any, statement: str, *more: Any) -> None:
        read.append(statement)

    event.listen(db, "before_cursor_execute", note)
    found = called(db, "ada@1")
    assert found is not None
    assert found.reference is not None
    of_references = [statement for statement in read if "FROM model_references" in statement]
    assert of_references
    assert all("WHERE" in statement or "LIMIT" in statement for statement in of_references)


@pytest.mark.parametrize(
    "name", ["ada@3", "ada@0", "ada@-1", "ada@١", "ada@", "@1", "ada", "bob@1", "ada@1234567890"]
)
def test_what_names_no_version_is_not_found(db: Connection, ada: User, name: str) -> None:
    publish(db, ada, preference_from_edit(db, ada))
    assert called(db, name) is None


def test_a_version_of_another_is_not_found(db: Connection, ada: User) -> None:
    publish(db, ada, preference_from_edit(db, ada))
    assert called(db, "ada@1", namespace="elsewhere") is None
    hidden = named_serving(db, "ada@1", namespace="home", may_see=lambda user: user != ada)
    assert hidden is None


def test_a_version_that_cannot_draft_is_not_found(db: Connection, ada: User) -> None:
    version = publish(db, ada, preference_from_edit(db, ada))
    register(db, new_version(db, ada, state="rejected"), serve=False)
    assert called(db, "ada@2") is None
    forget_folder(db, version.id)
    assert called(db, "ada@1") is None
