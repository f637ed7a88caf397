"""Lineages that start from references, their versions, and the alias that serves one.

A version's row is its commit point: its folder is complete before. Whatever moves the alias puts
the preferences right in the same transaction: what the serving ancestry was taught is learned, and
nothing else is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Integer, func, insert, literal, select, update

from corll.durable_points import reached
from corll.errors import InputError, StaleParentError
from corll.schemas.states import PreferenceState, VersionState
from corll.service.store.accounts import audit
from corll.service.store.coins import begin_anew, weigh_anew
from corll.service.store.preferences import (
    release_set_aside,
    set_aside_taught_twice,
    settle_learned,
    waiting_state,
)
from corll.service.store.references import Reference as Reference
from corll.service.store.references import add_reference as add_reference
from corll.service.store.references import all_references as all_references
from corll.service.store.references import find_reference as find_reference
from corll.service.store.references import (
    get_or_create_base_reference as get_or_create_base_reference,
)
from corll.service.store.references import reference_folders as reference_folders
from corll.service.store.rows import (
    add_row,
    all_rows,
    find_row,
    first_row,
    new_id,
    select_rows,
)
from corll.service.store.schema import (
    aliases,
    lineages,
    preferences,
    version_preferences,
    versions,
)

_ADVICE = "choose one that served and still has its folder, or 0 for the reference"


@dataclass(frozen=True, slots=True)
class Lineage:
    """A user's weights from one reference on; π_0 is that reference as long as it lasts.

    `ended_with` is the version that served when it ended.
    """

    id: str
    user_id: str
    reference_id: str
    created_at: float
    ended_at: float | None
    ended_with: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """Weights of a user's after some steps; never changed, only served, retired or rejected.

    `folder` is its name in the version store, None once the weights were pruned; `served_at` says
    when it first served. `recipe` says how its own steps were taken: the ids of preferences in
    `batches`, the `plans` of their steps, the letters that they were learned behind (`memory`),
    what was masked of which (`masks`), the `seconds` that they took, the `strength` of the weights,
    and what computed them. `erased_at` says when it was erased, since it saw a deleted text.
    """

    id: str
    user_id: str
    lineage_id: str
    number: int
    parent_id: str | None
    reference_id: str
    state: VersionState
    reasons: list[str]
    metrics: dict[str, Any]
    folder: str | None
    manifest_sha256: str | None
    has_optimizer: bool
    steps: int
    created_at: float
    served_at: float | None
    recipe: dict[str, Any] | None = None
    erased_at: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether steps can go on from it: with its weights and, but after another strength, its
        optimiser.
        """
        is_weaker = (self.recipe or {}).get("strength", 1) != 1
        return self.folder is not None and (self.has_optimizer or is_weaker)


def current_lineage(db: Connection, user_id: str) -> Lineage | None:
    """Return the lineage that a user's versions belong to now."""
    theirs = (lineages.c.user_id == user_id) & lineages.c.ended_at.is_(None)
    return find_row(db, Lineage, lineages, theirs)


def current_reference(db: Connection, user_id: str) -> Reference | None:
    """Return π_0 of a user's current lineage; None where they have none, and the base is it."""
    lineage = current_lineage(db, user_id)
    return None if lineage is None else find_reference(db, lineage.reference_id)


def lineages_of(db: Connection, user_id: str) -> list[Lineage]:
    """Return all of a user's lineages, oldest first."""
    query = select_rows(Lineage, lineages).where(lineages.c.user_id == user_id)
    return all_rows(db, Lineage, query.order_by(lineages.c.created_at, lineages.c.id))


def start_lineage(db: Connection, *, user_id: str, reference_id: str, now: float) -> Lineage:
    """Start over from a reference: the former lineage ends, and what it learned waits again.

    What is known of the user's arms is forgotten where the reference is another than before.
    """
    _forget_of_arms(db, user_id, reference_id, now=now)
    ended = (lineages.c.user_id == user_id) & lineages.c.ended_at.is_(None)
    former = serving_version(db, user_id)
    ended_with = None if former is None else former.id
    db.execute(update(lineages).where(ended).values(ended_at=now, ended_with=ended_with))
    serve_version(db, user_id, None, unlearned=waiting_state(db, user_id), now=now)
    lineage = Lineage(
        id=new_id("lineage"),
        user_id=user_id,
        reference_id=reference_id,
        created_at=now,
        ended_at=None,
    )
    add_row(db, lineages, lineage)
    return lineage


def serving_version(db: Connection, user_id: str) -> Version | None:
    """Return the version that the alias names; None where the reference itself serves."""
    query = select_rows(Version, versions).join(aliases, aliases.c.version_id == versions.c.id)
    return first_row(db, Version, query.where(aliases.c.user_id == user_id))


def next_number(db: Connection, user_id: str) -> int:
    """Return the number of a user's next version, counted from 1 over all lineages."""
    latest = select(func.max(versions.c.number)).where(versions.c.user_id == user_id)
    return (db.execute(latest).scalar() or 0) + 1


def numbered(db: Connection, version: Version) -> Version:
    """Return a version with the next number of its user's."""
    return replace(version, number=next_number(db, version.user_id))


def reject_candidate(db: Connection, version_id: str, reasons: Sequence[str]) -> None:
    """Note the reasons against a candidate; what it was taught goes on waiting."""
    rejected = {"state": "rejected", "reasons": list(reasons)}
    db.execute(update(versions).where(versions.c.id == version_id).values(rejected))


def register_version(
    db: Connection,
    version: Version,
    *,
    preference_ids: Sequence[str],
    expected_parent: str | None,
    serve: bool = False,
    now: float,
) -> Version:
    """Commit a version and what it was taught.

    With `serve` the alias moves to it and its preferences are learned. Those of a version whose
    state is "rejected" are set aside the second time; else they go on waiting, as those of a
    candidate do.
    *Raises*: StaleParentError where its number is taken or, with `serve`, where the alias no longer
    names `expected_parent`, its lineage ended, or one of its preferences no longer waits; and where
    its parent, or what it was taught, was deleted.
    """
    if find_version_by_number(db, version.user_id, version.number) is not None:
        raise StaleParentError(
            f"there is a version {version.number} of user {version.user_id} already; "
            "start the step again from the version that serves"
        )
    _check_is_there(db, version, preference_ids)
    if serve:
        _check_may_serve(db, version, preference_ids, expected_parent)
    add_row(db, versions, version)
    for preference_id in preference_ids:
        link = {"version_id": version.id, "preference_id": preference_id}
        db.execute(insert(version_preferences).values(link))
    if serve:
        serve_version(db, version.user_id, version.id, unlearned="set_aside", now=now)
    elif version.state == "rejected":
        why = "; ".join(version.reasons) or "no reason was given"
        reason = f"Version {version.number} was rejected, as one before it: {why}."
        set_aside_taught_twice(db, version.id, reason)
    reached("version written")
    registered = find_version(db, version.id)
    assert registered is not None
    return registered


def find_version(db: Connection, version_id: str) -> Version | None:
    """Return the version of that id."""
    return find_row(db, Version, versions, versions.c.id == version_id)


def find_version_by_number(db: Connection, user_id: str, number: int) -> Version | None:
    """Return a user's version of that number."""
    theirs = (versions.c.user_id == user_id) & (versions.c.number == number)
    return find_row(db, Version, versions, theirs)


def versions_of(db: Connection, user_id: str) -> list[Version]:
    """Return every version of a user's, of all lineages, in order of number."""
    query = select_rows(Version, versions).where(versions.c.user_id == user_id)
    return all_rows(db, Version, query.order_by(versions.c.number))


def known_folders(db: Connection) -> list[str]:
    """Return the names of the folders of all versions that still have their weights."""
    query = select(versions.c.folder).where(versions.c.folder.is_not(None))
    return list(db.execute(query).scalars())


def ancestry(db: Connection, version_id: str) -> list[Version]:
    """Return a version, its parent, its parent's parent, and so on to the first of the lineage."""
    line = (
        select(versions.c.id, versions.c.parent_id, literal(0, Integer).label("generation"))
        .where(versions.c.id == version_id)
        .cte("line", recursive=True)
    )
    parents = select(versions.c.id, versions.c.parent_id, line.c.generation + 1)
    line = line.union_all(parents.join(line, versions.c.id == line.c.parent_id))
    query = select_rows(Version, versions).join(line, line.c.id == versions.c.id)
    return all_rows(db, Version, query.order_by(line.c.generation))


def rollback(
    db: Connection, user_id: str, *, to: int, requeue: bool, actor: str, now: float
) -> Version | None:
    """Serve an earlier version again, or with `to=0` the reference; return what serves now.

    It may also go forward to a version that was rolled back. What edits said of the version that
    served is forgotten. What the versions left behind had
    learned is set aside or, with `requeue`, waits to be learned again.
    *Raises*: InputError where that version is none of the lineage or its weights are gone.
    """
    former = serving_version(db, user_id)
    target = None if to == 0 else _rollback_target(db, user_id, to)
    unlearned = waiting_state(db, user_id) if requeue else "set_aside"
    serve_version(db, user_id, None if target is None else target.id, unlearned=unlearned, now=now)
    weigh_anew(db, user_id, now=now)
    details = {"from": 0 if former is None else former.number, "to": to, "requeue": requeue}
    audit(db, actor=actor, action="rollback", subject=user_id, details=details, now=now)
    return serving_version(db, user_id)


def requeue_set_aside(db: Connection, user_id: str, *, actor: str, now: float) -> int:
    """Let what was set aside be learned again; say how many preferences that were."""
    count = release_set_aside(db, user_id)
    details = {"preferences": count}
    audit(db, actor=actor, action="requeue", subject=user_id, details=details, now=now)
    return count


def forget_folder(db: Connection, version_id: str) -> None:
    """Note that a version's folder is gone, and its optimiser with it."""
    gone = {"folder": None, "has_optimizer": False}
    db.execute(update(versions).where(versions.c.id == version_id).values(gone))


def forget_optimizer(db: Connection, version_id: str) -> None:
    """Note that a version's optimiser is gone."""
    db.execute(update(versions).where(versions.c.id == version_id).values(has_optimizer=False))


def serve_version(
    db: Connection, user_id: str, version_id: str | None, *, unlearned: PreferenceState, now: float
) -> None:
    """Serve a version, or none; make `learned` mean: taught to the serving ancestry."""
    moved = {"version_id": version_id, "updated_at": now}
    theirs = aliases.c.user_id == user_id
    if db.execute(update(aliases).where(theirs).values(moved)).rowcount == 0:
        db.execute(insert(aliases).values(user_id=user_id, **moved))
    former = (versions.c.user_id == user_id) & (versions.c.state == "serving")
    db.execute(update(versions).where(former).values(state="retired"))
    serving = versions.c.id == version_id
    served_at = func.coalesce(versions.c.served_at, now)
    db.execute(update(versions).where(serving).values(state="serving", served_at=served_at))
    line = [] if version_id is None else [version.id for version in ancestry(db, version_id)]
    settle_learned(db, user_id, line, unlearned=unlearned)
    reached("alias written")


def _forget_of_arms(db: Connection, user_id: str, reference_id: str, *, now: float) -> None:
    """Forget what is known of other weights than those that serve from a reference on."""
    former, next_one = current_reference(db, user_id), find_reference(db, reference_id)
    # Who has no lineage yet is served by the base.
    is_base = former is None and next_one is not None and next_one.kind == "base"
    if is_base or (former is not None and former.id == reference_id):
        weigh_anew(db, user_id, now=now)
    else:
        begin_anew(db, user_id, now=now)


def _check_may_serve(
    db: Connection, version: Version, preference_ids: Sequence[str], expected_parent: str | None
) -> None:
    again = "start the step again from the version that serves"
    serving = serving_version(db, version.user_id)
    serving_id = None if serving is None else serving.id
    if not serving_id == expected_parent == version.parent_id:
        raise StaleParentError(
            f"version {version.number} of user {version.user_id} starts from "
            f"{version.parent_id}, but {serving_id} serves now; {again}"
        )
    lineage = current_lineage(db, version.user_id)
    if lineage is None or lineage.id != version.lineage_id:
        raise StaleParentError(f"lineage {version.lineage_id} has ended; {again}")
    for preference_id in preference_ids:
        state = select(preferences.c.state).where(
            preferences.c.id == preference_id, preferences.c.user_id == version.user_id
        )
        found = db.execute(state).scalar_one_or_none()
        if found != "waiting":
            raise StaleParentError(
                f"preference {preference_id} is {found or 'gone'} and waits no longer; {again}"
            )


def _check_is_there(db: Connection, version: Version, preference_ids: Sequence[str]) -> None:
    again = "start the step again from what serves now"
    parent = None if version.parent_id is None else find_version(db, version.parent_id)
    if version.parent_id is not None and (parent is None or parent.erased_at is not None):
        raise StaleParentError(f"the parent of version {version.number} was erased; {again}")
    taught = preferences.c.id.in_(preference_ids) & (preferences.c.user_id == version.user_id)
    there = db.execute(select(func.count()).select_from(preferences).where(taught)).scalar_one()
    if there != len(set(preference_ids)):
        raise StaleParentError(f"a text that version {version.number} saw was deleted; {again}")


def _rollback_target(db: Connection, user_id: str, number: int) -> Version:
    target = find_version_by_number(db, user_id, number)
    lineage = current_lineage(db, user_id)
    if target is None or lineage is None or target.lineage_id != lineage.id:
        raise InputError(f"there is no version {number} in the current lineage; {_ADVICE}")
    if target.state not in ("serving", "retired"):
        raise InputError(f"version {number} is {target.state} and never served; {_ADVICE}")
    if target.erased_at is not None:
        raise InputError(f"version {number} saw a text that was deleted, and is erased; {_ADVICE}")
    if target.folder is None:
        raise InputError(f"the weights of version {number} were pruned; {_ADVICE}")
    return target
