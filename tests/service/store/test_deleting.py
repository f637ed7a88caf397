"""What is deleted is gone from every row and every byte, and what another user has stays."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from store_samples import (
    NOW,
    ON_SQLITE,
    add_user,
    deleted,
    draft_of,
    edit,
    kept_draft,
    new_version,
    publish,
    register,
)

from corll.errors import InputError, StaleParentError
from corll.schemas.states import DeletionKind
from corll.service.store import replays
from corll.service.store.accounts import User, audit, create_key, set_consent
from corll.service.store.comparisons import record_comparison
from corll.service.store.database import Database
from corll.service.store.drafts import edits_of, find_draft, find_edit
from corll.service.store.imports import NewItem, add_import, add_imported_preference, update_import
from corll.service.store.lineages import (
    Version,
    add_reference,
    all_references,
    current_reference,
    find_version,
    serving_version,
    start_lineage,
    versions_of,
)
from corll.service.store.preferences import (
    ask_to_learn,
    find_preference,
    preferences_of,
    set_one_aside,
)
from corll.service.store.remembered import set_mark
from corll.service.store.responses import conversation_of
from corll.service.store.schema import metadata, versions
from corll.service.store.sign_ins import create_link, redeem_link
from corll.service.store.starts import ask_to_start, settle_start
from corll.service.versions.forgetting import clean, delete_now, find_target, forget

BY_ID: list[DeletionKind] = ["edit", "draft", "import"]


def fill(db: Connection, user: User, word: str) -> dict[str, str]:
    """A word in every field that a user can fill; the ids of what holds it."""
    said = [{"role": "user", "content": f"{word} asks"}]
    sample = {"text": f"{word} drafted", "token_ids": [1], "logprob": -1.0, "finished": True}
    other = {**sample, "text": f"{word} drafted too"}
    asked: Any = {
        "frame": "reply",
        "message": word,
        "hint": word,
        "name": word,
        "template": word,
    }
    more: dict[str, Any] = {"prompt": said, "candidates": [sample, other], "asked": asked}
    named: dict[str, Any] = {"ref": word, "response": as_response([], {word: word})}
    draft = kept_draft(db, user, **more, **named, sampling={"stop": [word]}, model=word)
    later: dict[str, Any] = {"prompt": said, "response": as_response([draft.id], {})}
    edit(db, kept_draft(db, user, **later), f"{word} sent later")
    edit(db, draft, f"{word} sent at first", idempotency_key=f"{word}-1")
    sent = edit(db, draft, f"{word} sent", idempotency_key=f"{word}-2")
    record_comparison(
        db,
        chosen=draft,
        chosen_choice=0,
        rejected=draft,
        rejected_choice=1,
        will_learn=True,
        reason=word,
        idempotency_key=f"{word}-3",
        now=NOW,
    )
    set_mark(db, user.id, sent.id, "pinned", actor="a", now=NOW)
    job = add_import(
        db,
        user_id=user.id,
        items=[NewItem(said, f"{word} drafted", f"{word} imported", asked)],
        actor="a",
        now=NOW,
    )
    beside = draft_of(user, **more, source="import")
    taught = add_imported_preference(
        db, draft=beside, text=f"{word} imported", import_id=job.id, now=NOW
    )
    update_import(db, job.id, result={"before": word}, error=word)
    rows = preferences_of(db, user.id)
    publish(db, user, *(row.id for row in rows if row.state == "waiting"))
    versions_now = update(versions).where(versions.c.user_id == user.id)
    db.execute(versions_now.values(reasons=[word], metrics={word: 1.0}))
    set_one_aside(db, taught, word)
    audit(db, actor="l", action="set_aside", subject=taught, details={"reason": word}, now=NOW)
    start = ask_to_start(
        db, user_id=user.id, reference_id=all_references(db)[0].id, actor="a", now=NOW
    )
    settle_start(db, start.number, "rejected", reasons=[word], now=NOW)
    audit(db, actor="l", action="start rejected", subject=user.id, details={"r": word}, now=NOW)
    create_key(db, scope="user", namespace="home", user_id=user.id, label=word, actor="a", now=NOW)
    redeem_link(db, create_link(db, user.id, actor="a", now=NOW), now=NOW)
    ask_to_learn(db, user.id, now=NOW)
    return {"edit": sent.id, "draft": draft.id, "import": job.id, "user": user.id}


def as_response(
    follows: list[str], metadata: dict[str, str], *, own: int = 1, instructions: bool = False
) -> dict[str, Any]:
    """What is kept of a response beside its draft."""
    kept = {"previous": follows[0] if follows else None, "follows": follows, "own": own}
    return {**kept, "instructions": instructions, "metadata": metadata}


def whole(db: Connection, user: User) -> str:
    """All rows of all tables that name a user, or that of theirs."""
    found = []
    for table in metadata.sorted_tables:
        for row in db.execute(select(table)).mappings():
            text = json.dumps(dict(row), default=str)
            found += [text] if user.id in text else []
    return "\n".join(found)


def bytes_in(folder: Path, word: str) -> list[str]:
    """The files that hold a word, in any form of it."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    ]


@ON_SQLITE
@pytest.mark.parametrize("kind", ["user", "texts"])
def test_no_byte_is_left_of_a_user(database: Database, kind: DeletionKind) -> None:
    """And every byte of another user's is."""

    def prepare(db: Connection) -> tuple[User, User]:
        ada = add_user(db, "PAULINA" if kind == "user" else "ada")
        bob = add_user(db, "bob")
        fill(db, ada, "PAULINA")
        fill(db, bob, "QUIRINUS")
        for number in range(200):  # pages that are balanced, and freed
            edit(db, kept_draft(db, ada), f"PAULINA {number} " * 40)
        return ada, bob

    ada, bob = database.write(prepare)
    folder = database.folder / "versions" / "one"
    with database.read() as db:
        places = [one.folder for one in versions_of(db, ada.id)]
        before = whole(db, bob)
    for place in filter(None, places):
        folder = database.versions.at(place)
        folder.mkdir(parents=True)
        (folder / "adapter").write_text("PAULINA")
    assert bytes_in(database.folder, "PAULINA")
    planned = delete_now(database, kind, ada.id, actor="a", dry_run=True)
    assert bytes_in(database.folder, "PAULINA")
    receipt = delete_now(database, kind, ada.id, actor="a")
    assert receipt.cleaned
    assert (planned.counts, planned.erased) == (receipt.counts, receipt.erased)
    left = bytes_in(database.folder, "PAULINA")
    # The label of a key is no text.
    assert left == ([] if kind == "user" else ["corll.db"])
    with database.read() as db:
        assert whole(db, bob) == before
        texts = whole(db, ada)
    assert texts.count("PAULINA") == (0 if kind == "user" else 2)  # the key, and its audit entry


@ON_SQLITE
@pytest.mark.parametrize("kind", BY_ID)
def test_no_byte_is_left_of_a_thing(database: Database, kind: DeletionKind) -> None:
    """What holds the same word beside it is deleted too, so that only the one is looked for."""

    def prepare(db: Connection) -> str:
        ada = add_user(db, "ada")
        job = add_import(
            db, user_id=ada.id, items=[NewItem("P", "PAULINA", "PAULINA")], actor="a", now=NOW
        )
        sample = {"text": "Dear", "token_ids": [1], "logprob": -1.0, "finished": True}
        word = "Dear" if kind == "edit" else "PAULINA"
        draft = kept_draft(db, ada, candidates=[{**sample, "text": word}] * 2, prompt=word)
        sent = edit(db, draft, "PAULINA sent", idempotency_key="PAULINA")
        more: dict[str, Any] = {"prompt": [{"role": "user", "content": "PAULINA asks"}]}
        more["response"] = as_response([draft.id], {"case": "PAULINA"})
        later = kept_draft(db, ada, **more, ref="PAULINA", created_at=NOW + 1)
        edit(db, later, "PAULINA sent later")
        if kind == "import":
            deleted(db, "draft", later.id)
        beside = draft_of(ada, source="import")
        taught = add_imported_preference(
            db, draft=beside, text="PAULINA", import_id=job.id, now=NOW
        )
        publish(db, ada, taught, str(sent.preference_id))
        audit(db, actor="l", action="set_aside", subject=taught, details={"r": "PAULINA"}, now=NOW)
        others: dict[str, str] = {"edit": sent.id, "draft": draft.id, "import": job.id}
        subject = others.pop(kind)
        for other, other_id in others.items():
            if (kind, other) not in (("edit", "draft"), ("draft", "edit")):
                deleted(db, other, other_id)  # type: ignore[arg-type]
        return subject

    subject = database.write(prepare)
    assert bytes_in(database.folder, "PAULINA")
    receipt = delete_now(database, kind, subject, actor="a")
    assert receipt.cleaned
    assert bytes_in(database.folder, "PAULINA") == []


@ON_SQLITE
def test_what_an_earlier_release_deleted_goes_with_the_next_deletion(database: Database) -> None:
    """It left the bytes of deleted rows in the file, for SQLite to use again."""
    ada = database.write(add_user)
    for number in range(20):
        database.write(lambda db, n=number: edit(db, kept_draft(db, ada), f"PAULINA {n}"))
    earlier = sqlite3.connect(database.folder / "corll.db")
    earlier.execute("PRAGMA secure_delete = OFF")
    earlier.executescript("DELETE FROM edits; DELETE FROM preferences;")
    earlier.close()
    assert bytes_in(database.folder, "PAULINA")
    delete_now(database, "user", ada.id, actor="a")
    assert bytes_in(database.folder, "PAULINA") == []


def test_postgresql_is_written_anew(database: Database) -> None:
    """On both: after the purge a row that was deleted is in no table."""
    ada = database.write(add_user)
    database.write(lambda db: fill(db, ada, "PAULINA"))
    receipt = delete_now(database, "user", ada.id, actor="a")
    assert receipt.cleaned
    with database.read() as db:
        assert "PAULINA" not in whole(db, ada)


def test_an_edit_goes_with_the_earlier_ones_of_its_choice(db: Connection, ada: User) -> None:
    draft = kept_draft(db, ada)
    ids = [edit(db, draft, f"Text {n}").id for n in range(3)]
    other = edit(db, draft, "Of the other choice", choice=1)
    receipt = deleted(db, "edit", ids[1])
    assert receipt.counts.edits == 2
    assert [find_edit(db, one) is None for one in [*ids, other.id]] == [True, True, False, False]
    assert find_draft(db, draft.id) == draft


def test_a_draft_takes_along_the_responses_that_followed_it(db: Connection, ada: User) -> None:
    first = kept_draft(db, ada, response=as_response([], {}))
    second = kept_draft(db, ada, response=as_response([first.id], {}))
    third = kept_draft(db, ada, response=as_response([second.id, first.id], {}))
    fourth = kept_draft(db, ada, response=as_response([third.id], {}))
    beside = kept_draft(db, ada, response=as_response([], {}))
    ben = add_user(db, "ben")
    others = kept_draft(db, ben, response=as_response([second.id], {}))
    sent = edit(db, fourth, "Sent")
    publish(db, ada, str(sent.preference_id))
    receipt = deleted(db, "draft", second.id)
    assert (receipt.counts.drafts, receipt.counts.edits, len(receipt.erased)) == (3, 1, 1)
    left = [find_draft(db, one.id) for one in (first, second, third, fourth, beside, others)]
    assert [row is not None for row in left] == [True, False, False, False, True, True]


def test_an_edit_takes_along_the_responses_that_read_it(db: Connection, ada: User) -> None:
    first = kept_draft(db, ada, response=as_response([], {}))
    before = kept_draft(db, ada, response=as_response([first.id], {}), created_at=NOW - 1)
    edit(db, first, "Sent")
    after = kept_draft(db, ada, response=as_response([first.id], {}), created_at=NOW + 1)
    other = edit(db, first, "Of the other choice", choice=1)
    assert deleted(db, "edit", other.id).counts.drafts == 0
    sent = edit(db, first, "Sent in the end", now=NOW + 2)
    assert deleted(db, "edit", sent.id).counts.drafts == 1
    left = [find_draft(db, one.id) is not None for one in (first, before, after)]
    assert left == [True, True, False]


def test_a_conversation_goes_on_from_what_is_kept_of_it(db: Connection, ada: User) -> None:
    def turns(*texts: str) -> list[dict[str, str]]:
        roles = ("user", "assistant")
        return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]

    told = [{"role": "system", "content": "Be short."}]
    first = kept_draft(db, ada, prompt=turns("One?"), response=as_response([], {}))
    second = kept_draft(
        db,
        ada,
        prompt=[*told, *turns("One?", "As drafted", "Two?")],
        response=as_response([first.id], {}, instructions=True),
    )
    edit(db, first, "As sent")
    edit(db, second, "Sent at first")
    edit(db, second, "Sent")
    edit(db, second, "Another", choice=1)
    found, ids = conversation_of(db, second, lambda one: find_draft(db, one))
    assert found == turns("One?", "As sent", "Two?", "Sent")
    assert ids == [second.id, first.id]
    without, ids = conversation_of(db, second, lambda _: None)
    assert without == turns("One?", "As drafted", "Two?", "Sent")
    assert ids == [second.id]


def taught(db: Connection, user: User, count: int) -> tuple[list[str], list[Version]]:
    """Edits, of each of which a version learned."""
    ids, made = [], []
    for number in range(count):
        sent = edit(db, kept_draft(db, user), f"Text {number}")
        assert sent.preference_id is not None
        ids.append(sent.id)
        made.append(publish(db, user, sent.preference_id))
    return ids, made


def test_a_rejected_version_and_those_of_an_earlier_lineage_are_erased_too(
    db: Connection, ada: User
) -> None:
    ids, made = taught(db, ada, 2)
    start_lineage(db, user_id=ada.id, reference_id=made[0].reference_id, now=NOW)
    again = [row.id for row in preferences_of(db, ada.id) if row.state == "waiting"]
    bad = register(db, new_version(db, ada, state="rejected"), *again, serve=False)
    receipt = deleted(db, "edit", ids[1])
    assert {one.id for one in receipt.erased} == {made[1].id, bad.id}
    assert [one.erased_at for one in versions_of(db, ada.id)] == [None, NOW, NOW]
    assert receipt.replay.state == "none"  # of the lineage that goes on nothing had been learned


@pytest.mark.parametrize("known", [True, False])
def test_what_was_learned_behind_a_letter_saw_it(db: Connection, ada: User, known: bool) -> None:
    """By the version's recipe or, where there is none, by what its drafts were drawn behind."""
    letter = edit(db, kept_draft(db, ada), "A letter", will_learn=False)
    clean_one = kept_draft(db, ada, memory=[letter.id])
    first = edit(db, clean_one, "Learned without")
    assert first.preference_id is not None
    recipe = {"batches": [[first.preference_id]], "memory": [letter.id], "seconds": 1.0}
    version = new_version(db, ada, recipe=recipe if known else None)
    register(db, version, first.preference_id)
    receipt = deleted(db, "edit", letter.id)
    assert [one.id for one in receipt.erased] == [version.id]
    assert (receipt.drafts_behind, receipt.replay.edits) == (1, 1)
    assert find_preference(db, first.preference_id) is not None


def test_what_was_learned_without_a_letter_did_not_see_it(db: Connection, ada: User) -> None:
    letter = edit(db, kept_draft(db, ada), "A letter", will_learn=False)
    first = edit(db, kept_draft(db, ada, memory=[letter.id]), "Learned without")
    assert first.preference_id is not None
    recipe = {"batches": [[first.preference_id]], "memory": [], "seconds": 1.0}
    version = register(db, new_version(db, ada, recipe=recipe), first.preference_id)
    receipt = deleted(db, "edit", letter.id)
    assert receipt.erased == []
    assert serving_version(db, ada.id) == version


def test_a_reference_that_was_made_of_a_version_is_erased_with_what_came_of_it(
    db: Connection, ada: User
) -> None:
    bob = add_user(db, "bob")
    ids, [made] = taught(db, ada, 1)
    about = {"base_model": "tiny", "base_fingerprint": "f0", "now": NOW}
    house = add_reference(db, name="house", fingerprint="w1", folder="references/w1", **about)
    start_lineage(db, user_id=bob.id, reference_id=house.id, now=NOW)
    _, [of_bob] = taught(db, bob, 1)
    target = find_target(db, "edit", ids[0])
    assert target is not None
    receipt = forget(db, target, weights_of={made.folder: "w1"}.get, actor="a", now=NOW)
    assert receipt.references == [house.number]
    assert {one.id for one in receipt.erased} == {made.id, of_bob.id}
    base = current_reference(db, bob.id)
    assert base is not None
    assert (base.kind, serving_version(db, bob.id)) == ("base", None)
    assert [row.state for row in preferences_of(db, bob.id)] == ["waiting"]
    assert house.number not in [one.number for one in all_references(db)]
    with pytest.raises(InputError, match="was erased"):
        add_reference(db, name="again", fingerprint="w1", folder="references/w1", **about)


def test_a_step_that_saw_what_was_deleted_meanwhile_is_thrown_away(
    db: Connection, ada: User
) -> None:
    ids, _ = taught(db, ada, 1)
    waiting = edit(db, kept_draft(db, ada), "Waits")
    assert waiting.preference_id is not None
    child = new_version(db, ada)
    alone = new_version(db, ada, parent_id=None, number=9)
    deleted(db, "edit", ids[0])
    with pytest.raises(StaleParentError, match="erased"):
        register(db, child, waiting.preference_id, serve=False)
    deleted(db, "edit", waiting.id)
    with pytest.raises(StaleParentError, match="deleted"):
        register(db, alone, waiting.preference_id, serve=False)


def test_what_is_learned_again_waits_for_consent(db: Connection, ada: User) -> None:
    ids, _ = taught(db, ada, 2)
    set_consent(db, ada.id, learn=False, actor="a", now=NOW)
    deleted(db, "edit", ids[0])
    row = replays.find_replay(db, ada.id)
    assert row is not None
    assert replays.still_to_learn(db, row) == []
    set_consent(db, ada.id, learn=True, include_past=True, actor="a", now=NOW)
    assert [one.id for one in replays.still_to_learn(db, row)] == row.preferences


@ON_SQLITE
def test_a_deletion_that_was_killed_is_cleaned_at_the_next_start(database: Database) -> None:
    ada = database.write(add_user)
    ids, [made] = database.write(lambda db: taught(db, ada, 1))
    folder = database.versions.at(str(made.folder))
    folder.mkdir(parents=True)
    receipt = database.write(lambda db: deleted(db, "edit", ids[0]))
    assert not receipt.cleaned
    assert folder.exists()
    assert clean(database) == [receipt.id]
    assert not folder.exists()
    assert clean(database) == []


def test_a_dry_run_changes_nothing(database: Database) -> None:
    ada = database.write(add_user)
    database.write(lambda db: fill(db, ada, "PAULINA"))
    with database.read() as db:
        before = whole(db, ada)
        [newest, *_] = edits_of(db, ada.id, limit=1)
    for kind, subject in (("edit", newest.id), ("model", ada.id), ("user", ada.id)):
        delete_now(database, kind, subject, actor="a", dry_run=True)  # type: ignore[arg-type]
    with database.read() as db:
        assert whole(db, ada) == before
    with pytest.raises(InputError, match="There is no edit"):
        delete_now(database, "edit", "edit_none", actor="a")


def test_the_model_goes_and_the_texts_stay(db: Connection, ada: User) -> None:
    ids, made = taught(db, ada, 2)
    receipt = deleted(db, "model", ada.id)
    assert [one.id for one in receipt.erased] == [one.id for one in made]
    assert receipt.counts.edits == 0
    assert serving_version(db, ada.id) is None
    assert [row.state for row in preferences_of(db, ada.id)] == ["set_aside", "set_aside"]
    assert all(find_edit(db, one) is not None for one in ids)
    assert replays.find_replay(db, ada.id) is None
    erased = find_version(db, made[0].id)
    assert erased is not None
    assert (erased.folder, erased.metrics, erased.recipe) == (None, {}, None)
