"""Which weights of a user's versions may go, and which there are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, select

from corll.service.store.imports import formers_of_running
from corll.service.store.lineages import (
    Version,
    ancestry,
    lineages_of,
    serving_version,
    versions_of,
)
from corll.service.store.replays import find_replay, kept_for_replays
from corll.service.store.rows import in_chunks
from corll.service.store.schema import references, versions
from corll.service.store.thinning import needed_states


def prunable(
    db: Connection, user_id: str, *, keep_before: int = 3, keep_every: int = 10
) -> tuple[list[Version], list[Version]]:
    """Return the versions whose folder may go, and those that may go on without their optimiser.

    Whole stay the version that serves, the `keep_before` before it, what served when a lineage
    ended, what served before an import that is running, and what a replay has come to, so that
    learning can go on from them. So do the versions that replays need to begin at, by the slack
    that the newest version's recipe names.
    Of each `keep_every`th number the weights stay (0: of none).
    """
    serving = serving_version(db, user_id)
    line = [] if serving is None else ancestry(db, serving.id)
    whole = {version.id for version in line[: keep_before + 1]}
    whole.update(_needed_for_replays(db, user_id, line))
    whole.update(formers_of_running(db, user_id))
    whole.update(kept_for_replays(db, user_id, keep_before=keep_before))
    whole.update(one.ended_with for one in lineages_of(db, user_id) if one.ended_with)
    others = [version for version in versions_of(db, user_id) if version.id not in whole]
    others = [version for version in others if version.folder is not None]
    marked = {row.id for row in others if keep_every and row.number % keep_every == 0}
    folders = [version for version in others if version.id not in marked]
    optimizers = [version for version in others if version.id in marked and version.has_optimizer]
    return folders, optimizers


def still_drafting(db: Connection, ids: Collection[str]) -> set[str]:
    """Return those versions and references that may draft: they served, and have their weights."""
    found: set[str] = set()
    for some in in_chunks(ids):
        served = versions.c.state.in_(("serving", "retired"))
        of_versions = select(versions.c.id).where(versions.c.id.in_(some), served)
        of_references = select(references.c.id).where(references.c.id.in_(some))
        for query, table in ((of_versions, versions), (of_references, references)):
            there = table.c.folder.is_not(None), table.c.erased_at.is_(None)
            found.update(db.execute(query.where(*there)).scalars())
    return found


def _needed_for_replays(db: Connection, user_id: str, line: Sequence[Version]) -> Iterator[str]:
    """Yield the versions that a deletion's replay may begin at: of what serves, and of a replay."""
    replay = find_replay(db, user_id)
    latest_id = None if replay is None else replay.latest_id
    for ancestors in (line, [] if latest_id is None else ancestry(db, latest_id)):
        slack = (ancestors[0].recipe or {}).get("replay_slack") if ancestors else None
        if slack is not None:
            ends, whole = [one.steps for one in ancestors], [one.is_whole for one in ancestors]
            yield from (ancestors[place].id for place in needed_states(ends, whole, slack))
