"""Which weights saw what is deleted, what serves in their place, and what is learned again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, update

from corll.service.store import bases, coins, lineages
from corll.service.store.deleting import Doomed, drafts_behind
from corll.service.store.lineages import Lineage, Version, ancestry, serving_version
from corll.service.store.preferences import waiting_state
from corll.service.store.replays import (
    ReplayRow,
    about,
    close_replay,
    find_replay,
    how_learned,
    open_replay,
    taught_to,
)
from corll.service.store.rows import all_rows, in_chunks, select_rows
from corll.service.store.schema import (
    imports,
    preferences,
    references,
    starts,
    version_preferences,
    versions,
)
from corll.service.store.schema import lineages as lineage_table

WeightsOf = Callable[[str], str | None]
"""The fingerprint of the weights in a version's folder; None where it cannot be read."""

_ERASED = "The version that had learned it, or was rejected with it, was erased."


@dataclass(frozen=True)
class Seen:
    """Versions and references that saw what is deleted, of whichever user."""

    versions: Sequence[Version] = ()
    references: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the versions."""
        return frozenset(version.id for version in self.versions)


def who_saw(db: Connection, user_id: str, doomed: Doomed, weights_of: WeightsOf) -> Seen:
    """Return the versions that were taught any of it, or came of one that was.

    So were those that learned behind a letter among it. A reference that was made of such weights,
    to the byte, is one of them, and so is whatever came of that.
    """
    own = _standing(db, user_id)
    direct = _taught(db, doomed.preferences) | _behind(db, own, user_id, doomed.exchanges)
    return _with_descent(db, own, direct, weights_of)


def all_versions(db: Connection, user_id: str, weights_of: WeightsOf) -> Seen:
    """Return all versions of a user, and what came of them."""
    own = _standing(db, user_id)
    return _with_descent(db, own, {version.id for version in own}, weights_of)


def erase(db: Connection, seen: Seen, *, now: float) -> list[str]:
    """Remove versions and references from the rows; return the folders that are to go.

    A row of theirs stays, with numbers alone: nothing serves it.
    """
    for version in seen.versions:
        gone: dict[str, Any] = {
            "folder": None,
            "has_optimizer": False,
            "reasons": [],
            "metrics": {},
            "recipe": None,
            "erased_at": now,
        }
        if version.state == "candidate":
            gone["state"] = "retired"
        db.execute(update(versions).where(versions.c.id == version.id).values(gone))
        _forget_reasons(db, version)
    folders = [version.folder for version in seen.versions if version.folder is not None]
    for reference_id in sorted(seen.references):
        row = lineages.find_reference(db, reference_id)
        if row is not None and row.folder is not None:
            folders.append(row.folder)
        of_it = references.c.id == reference_id
        db.execute(update(references).where(of_it).values(folder=None, erased_at=now))
        asked = (starts.c.reference_id == reference_id) & (starts.c.state == "examining")
        db.execute(update(starts).where(asked).values(state="withdrawn", decided_at=now))
    return folders


def step_back(db: Connection, user_id: str, seen: Seen, *, deletion_id: str, now: float) -> None:
    """Serve the last version that is clean, or the reference; open a replay of what is lost.

    A replay that was open goes on from its last clean candidate. Whatever is in `seen` has to be
    erased afterwards.
    """
    _end_elsewhere(db, user_id, seen)
    lineage = lineages.current_lineage(db, user_id)
    if lineage is not None and lineage.reference_id in seen.references:
        _begin_from_the_base(db, lineage, now=now)
        return
    serving = serving_version(db, user_id)
    earlier = find_replay(db, user_id)
    line = [] if serving is None else ancestry(db, serving.id)
    dead = [version for version in line if version.id in seen.ids]
    reached = (
        [] if earlier is None or earlier.latest_id is None else ancestry(db, earlier.latest_id)
    )
    if lineage is None or not (dead or any(one.id in seen.ids for one in reached)):
        return
    clean = [version for version in line if version.id not in seen.ids]
    stands_in = next((one for one in clean if one.folder is not None), None)
    start = latest_whole(clean if earlier is None else reached, seen)
    wanted = taught_to(db, line) | set([] if earlier is None else earlier.preferences)
    goes_on = [] if start is None else ancestry(db, start.id)
    wanted -= taught_to(db, goes_on)
    known = {one.id for one in goes_on}
    again = [one for one in reversed(line) if one.id not in known]
    if dead:
        stands_in_id = None if stands_in is None else stands_in.id
        unlearned = waiting_state(db, user_id)
        lineages.serve_version(db, user_id, stands_in_id, unlearned=unlearned, now=now)
        coins.weigh_anew(db, user_id, now=now)
    row = ReplayRow(
        user_id=user_id,
        lineage_id=lineage.id,
        stands_in_id=None if stands_in is None else stands_in.id,
        latest_id=None if start is None else start.id,
        preferences=sorted(wanted),
        deletions=[*([] if earlier is None else earlier.deletions), deletion_id],
        created_at=now if earlier is None else earlier.created_at,
        recipes=[*([] if earlier is None else earlier.recipes), *how_learned(again)],
    )
    open_replay(db, row)


def settle_replay(db: Connection, user_id: str) -> Sequence[str]:
    """Leave a replay with what is still there; return the ids. One of nothing is over.

    log π_0 of what is learned again is computed again, as of what was never learned.
    """
    row = find_replay(db, user_id)
    if row is None:
        return []
    there = set(
        db.execute(select(preferences.c.id).where(preferences.c.user_id == user_id)).scalars()
    )
    kept = [one for one in row.preferences if one in there]
    for some in in_chunks(kept):
        these = preferences.c.id.in_(some)
        db.execute(update(preferences).where(these).values(reference=None))
    if kept:
        open_replay(db, replace(row, preferences=kept))
    else:
        close_replay(db, row, "done", about(serving_version(db, user_id)))
    return kept


def begin_without_learning(db: Connection, user_id: str, seen: Seen, *, now: float) -> None:
    """Serve the reference, with nothing learned; what had been learned is set aside.

    The base serves where the reference is erased too.
    """
    _end_elsewhere(db, user_id, seen)
    if (row := find_replay(db, user_id)) is not None:
        close_replay(db, row, "withdrawn")
    lineage = lineages.current_lineage(db, user_id)
    if lineage is None:
        return
    lineages.serve_version(db, user_id, None, unlearned="set_aside", now=now)
    if lineage.reference_id in seen.references:
        _begin_from_the_base(db, lineage, now=now)
    else:
        lineages.start_lineage(db, user_id=user_id, reference_id=lineage.reference_id, now=now)
    coins.begin_anew(db, user_id, now=now)


def others_in(db: Connection, seen: Seen, user_id: str) -> list[str]:
    """Return the other users whose current weights came of a reference that is erased."""
    current = lineage_table.c.ended_at.is_(None)
    of_them = lineage_table.c.reference_id.in_(sorted(seen.references))
    found = db.execute(select(lineage_table.c.user_id).where(current, of_them)).scalars()
    return sorted(set(found) - {user_id})


def _standing(db: Connection, user_id: str) -> list[Version]:
    return [one for one in lineages.versions_of(db, user_id) if one.erased_at is None]


def _with_descent(
    db: Connection, own: Sequence[Version], direct: Iterable[str], weights_of: WeightsOf
) -> Seen:
    known = {version.id: version for version in own}
    seen = _descendants(known, set(direct) & known.keys())
    made_of: set[str] = set()
    adapters = select(references.c.id).where(references.c.kind == "adapter").limit(1)
    if db.execute(adapters).first() is None:
        # Weights need not be read, which may lie in a store that is away.
        return Seen([known[one] for one in sorted(seen)], frozenset())
    while True:
        prints = {weights_of(known[one].folder or "") for one in seen} - {None}
        query = select(references.c.id).where(
            references.c.fingerprint.in_(sorted(map(str, prints))), references.c.kind == "adapter"
        )
        found = set(db.execute(query).scalars()) - made_of
        if not found:
            break
        made_of |= found
        started = select_rows(Version, versions).where(versions.c.reference_id.in_(sorted(found)))
        for version in all_rows(db, Version, started.where(versions.c.erased_at.is_(None))):
            known[version.id] = version
            seen.add(version.id)
    return Seen([known[one] for one in sorted(seen)], frozenset(made_of))


def _descendants(known: dict[str, Version], direct: set[str]) -> set[str]:
    children: dict[str | None, list[str]] = defaultdict(list)
    for version in known.values():
        children[version.parent_id].append(version.id)
    found: set[str] = set()
    todo = list(direct)
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += children[one]
    return found


def _taught(db: Connection, ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in in_chunks(ids):
        these = version_preferences.c.preference_id.in_(some)
        found |= set(db.execute(select(version_preferences.c.version_id).where(these)).scalars())
    return found


def _behind(
    db: Connection, own: Sequence[Version], user_id: str, exchanges: frozenset[str]
) -> set[str]:
    """Return the versions that learned behind one of these letters.

    Of one whose recipe is not known it is assumed of whatever was drafted behind one.
    """
    if not exchanges:
        return set()
    found = {
        version.id
        for version in own
        if version.recipe is not None and not exchanges.isdisjoint(version.recipe["memory"])
    }
    unknown = {version.id for version in own if version.recipe is None}
    behind = set(drafts_behind(db, user_id, exchanges)) if unknown else set()
    theirs = select(preferences.c.id, preferences.c.draft_id).where(
        preferences.c.user_id == user_id
    )
    ids = [row.id for row in db.execute(theirs) if row.draft_id in behind]
    return found | (_taught(db, ids) & unknown)


def latest_whole(line: Sequence[Version], seen: Seen) -> Version | None:
    """Return the last clean version that steps can go on from: with weights and optimiser.

    Steps after a version at another strength begin without one.
    """
    whole = (one for one in line if one.is_whole)
    return next((one for one in whole if one.id not in seen.ids), None)


def _last_clean(db: Connection, version_id: str, seen: Seen) -> str | None:
    """Return the id of the last version of an ancestry that is clean; None where none is."""
    line = ancestry(db, version_id)
    return next((one.id for one in line if one.id not in seen.ids), None)


def _forget_reasons(db: Connection, version: Version) -> None:
    """Take the words of a rejected version from what it was taught."""
    taught = select(version_preferences.c.preference_id).where(
        version_preferences.c.version_id == version.id
    )
    aside = preferences.c.id.in_(taught) & (preferences.c.state == "set_aside")
    db.execute(update(preferences).where(aside).values(reason=_ERASED))


def _end_elsewhere(db: Connection, user_id: str, seen: Seen) -> None:
    """Let lineages that ended, and imports that run, name clean versions alone."""
    for lineage in lineages.lineages_of(db, user_id):
        if lineage.ended_with in seen.ids:
            clean = _last_clean(db, str(lineage.ended_with), seen)
            ended = lineage_table.c.id == lineage.id
            db.execute(update(lineage_table).where(ended).values(ended_with=clean))
    running = (imports.c.user_id == user_id) & (imports.c.state == "running")
    for row in db.execute(select(imports.c.id, imports.c.result).where(running)).all():
        if row.result and row.result.get("former") in seen.ids:
            result = {**row.result, "former": _last_clean(db, row.result["former"], seen)}
            db.execute(update(imports).where(imports.c.id == row.id).values(result=result))


def _begin_from_the_base(db: Connection, lineage: Lineage, *, now: float) -> None:
    """Begin a user anew from the base, since their reference is erased."""
    if (row := find_replay(db, lineage.user_id)) is not None:
        close_replay(db, row, "withdrawn")
    reference = lineages.find_reference(db, lineage.reference_id)
    served = bases.served_base(db)
    assert reference is not None
    name, fingerprint = reference.base_model, reference.base_fingerprint
    if fingerprint == bases.UNKNOWN_BASE and served is not None:
        name, fingerprint = served.name, bases.served_fingerprint(db) or fingerprint
    base = lineages.get_or_create_base_reference(
        db, base_model=name, base_fingerprint=fingerprint, now=now
    )
    lineages.start_lineage(db, user_id=lineage.user_id, reference_id=base.id, now=now)
