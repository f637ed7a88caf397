"""A lineage learned again without what was deleted: steps alone, and one examination at the end.

The steps go on from the last version that never saw it, over candidates that do not serve, so a
process that dies goes on from the last candidate. The batches are those of a lineage that never had
the text: N at a time, in the order in which they came. What is left over waits as any edit does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count, takewhile
from typing import NamedTuple

from sqlalchemy import Connection

from corll.buffer import REPLAY_MEMORY
from corll.config import CoactiveConfig
from corll.durable_points import reached
from corll.errors import CorllError, StaleParentError
from corll.schemas.states import ReplayState
from corll.service.learning.falling_back import FallBack
from corll.service.learning.kernel_modes import Mode, own_mode, told
from corll.service.learning.lesson import Lesson, check_letters, keep_references
from corll.service.learning.other_modes import ModeError, Task
from corll.service.learning.plans import Before, computed_by, differences
from corll.service.learning.starting_points import LOOKED_BACK, Former, StartingPoint
from corll.service.learning.step_spans import about_learning, about_swap
from corll.service.learning.trainer import Trainer
from corll.service.store import deletions, lineages, preferences, replays
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.lineages import Lineage, Reference, Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.replays import ReplayRow
from corll.service.tracing import REPLAY, SWAP
from corll.service.versions.retention import remove_pruned

log = logging.getLogger(__name__)

_BATCHES_AT_ONCE = 8
"""Steps between two candidates."""


class _Next(NamedTuple):
    """What a replay does next: steps on `batches`, all in one mode, or where there is none its end.

    `mode` is that in which they were taken before; None where that is not known.
    """

    lineage: Lineage
    latest: Version | None
    before: Before
    batches: Sequence[Sequence[PreferenceRow]]
    mode: Mode | None


def go_on(trainer: Trainer, row: ReplayRow) -> Version | None:
    """Take the next steps of a replay, or examine what they came to; return what was examined.

    A replay ends, and nothing of it serves, where its user moved to other weights meanwhile.
    """
    following = _following(trainer, row)
    if following is None:
        trainer.database.write(lambda db: replays.close_replay(db, row, "withdrawn"))
        return None
    batches = following.batches
    try:
        with trainer.tracing.span(REPLAY, about_learning(row.user_id, batches)):
            if not batches:
                return _finish(trainer, row, following.lineage, following.latest)
            if not _taken_elsewhere(trainer, row, following.mode):
                _learn(trainer, row, following)
    except StaleParentError as error:
        log.info("a replay begins its last steps again: %s", error)
    return None


def take_steps(trainer: Trainer, user_id: str) -> int:
    """Take the next steps of a user's replay that were taken in this mode; say how many candidates.

    *Raises*: StaleParentError.
    """
    for done in count():
        with trainer.database.read() as db:
            row = replays.find_replay(db, user_id)
        following = None if row is None else _following(trainer, row)
        if row is None or following is None or not following.batches:
            return done
        if following.mode != own_mode():
            return done
        _learn(trainer, row, following)
    raise AssertionError("counting does not end")


def _following(trainer: Trainer, row: ReplayRow) -> _Next | None:
    """Return what a replay does next; None where nothing of it is wanted any more."""
    with trainer.database.read() as db:
        lineage = lineages.current_lineage(db, row.user_id)
        is_wanted = lineage is not None and _is_wanted(db, row)
        remaining = replays.still_to_learn(db, row)
        latest = None if row.latest_id is None else lineages.find_version(db, row.latest_id)
    if lineage is None or not is_wanted:
        return None
    before = Before(row.recipes, row.preferences)
    batches = _until_weaker(trainer.batches(remaining)[:_BATCHES_AT_ONCE], before)
    modes = [before.mode_of(_ids(batch)) for batch in batches]
    alike = len(list(takewhile(lambda mode: mode == modes[0], modes)))
    return _Next(lineage, latest, before, batches[:alike], modes[0] if modes else None)


def _taken_elsewhere(trainer: Trainer, row: ReplayRow, mode: Mode | None) -> bool:
    """Have the next steps taken in the mode that took them, where that is another; say whether.

    Where this machine has not got it, the receipts say so. *Raises*: CorllError.
    """
    if mode is None or mode == own_mode():
        return False
    task = Task(trainer.settings, mode, user_id=row.user_id)
    try:
        if not trainer.hand_over(task):
            raise CorllError(f"no step was taken with {told(mode)}")
    except ModeError as error:
        here = f"{told(mode)}, and again with {told(own_mode())}: {error}"
        log.warning("a replay is not equal to the bit: it was computed with %s", here)
        trainer.database.write(lambda db: deletions.note_differences(db, row.deletions, [here]))
        return False
    return True


def _learn(trainer: Trainer, row: ReplayRow, following: _Next) -> None:
    """Take steps on these batches, and keep what they came to as a candidate.

    Each step is computed as the one that taught its first preference before, whatever else the
    machine does now.
    """
    lineage, latest, before, batches, _ = following
    _say_what_differs(trainer, row)
    reference = _reference(trainer, lineage)
    plans = [before.plan_for(_ids(batch)) for batch in batches]
    with trainer.policies.of_version(latest, reference) as policy:
        optimizer = trainer.optimizer(policy, latest)
        past = past_of(trainer.database, optimizer.config, latest)
        lesson = trainer.steps.take(optimizer, batches, past, plans)
        tried = {one.id for batch in batches for one in batch}
        unusable = tried - {one.id for one, _ in lesson.learned}
        if not lesson.learned:
            trainer.database.write(lambda db: _note(db, row, row.latest_id, unusable))
            return
        strength = before.strength_after(_ids(batches[-1]))
        if strength != 1:
            lesson.fold(policy, strength)
        version = trainer.published(lineage, latest, optimizer, lesson)
    try:
        trainer.database.write(lambda db: _register(db, row, version, lesson, unusable))
        reached("replay registered")
    except StaleParentError:
        trainer.discard(version)
        raise
    remove_pruned(trainer.database, row.user_id, actor="learner")


def _register(
    db: Connection, row: ReplayRow, version: Version, lesson: Lesson, unusable: set[str]
) -> None:
    check_letters(db, version)
    registered = lineages.register_version(
        db,
        lineages.numbered(db, version),
        preference_ids=[one.id for one, _ in lesson.learned],
        expected_parent=version.parent_id,
        now=time.time(),
    )
    keep_references(db, lesson.learned)
    _note(db, row, registered.id, unusable)


def _note(db: Connection, row: ReplayRow, latest_id: str | None, unusable: set[str]) -> None:
    """*Raises*: StaleParentError where something was deleted, or what serves changed, meanwhile."""
    if replays.find_replay(db, row.user_id) != row or not _is_wanted(db, row):
        raise StaleParentError(f"what user {row.user_id} is to learn again has changed")
    replays.go_on_from(db, row, latest_id, without=unusable)


def _finish(
    trainer: Trainer, row: ReplayRow, lineage: Lineage, latest: Version | None
) -> Version | None:
    """Examine what the steps came to; it serves, or is rejected and its edits wait as others do."""
    with trainer.database.read() as db:
        serving = lineages.serving_version(db, row.user_id)
        taught = [] if latest is None else sorted(replays.taught_to(db, [latest]))
        looked_at = preferences.learned_ids(db, row.user_id, limit=LOOKED_BACK)
    if latest is None or latest.state != "candidate" or latest.folder is None:
        trainer.database.write(
            lambda db: replays.close_replay(db, row, "done", replays.about(serving))
        )
        return None
    start = StartingPoint(
        lineage, _reference(trainer, lineage), serving, [], [], looked_at, set(), False
    )
    with ExitStack() as loaded:
        former = Former(start, trainer.policies, trainer.reader, loaded)
        learned = list(trainer.reader.find(taught).values())
        folder = trainer.database.versions.fetch(latest.folder)
        reasons, fall_back = trainer.examine(folder, former, learned)
    with trainer.tracing.span(SWAP, {"corll.user.id": row.user_id}) as span:
        settled = trainer.database.write(lambda db: _settle(db, row, latest, reasons))
        reached("replay settled")
        span.note(about_swap(settled))
    if fall_back is not None:
        _carry_out(trainer, fall_back)
    remove_pruned(trainer.database, row.user_id, actor="learner")
    return settled


def _settle(db: Connection, row: ReplayRow, latest: Version, reasons: list[str]) -> Version:
    """Let a candidate serve, or reject it, and end the replay. *Raises*: StaleParentError."""
    if replays.find_replay(db, row.user_id) != row or not _is_wanted(db, row):
        raise StaleParentError(f"what user {row.user_id} is to learn again has changed")
    now = time.time()
    if reasons:
        lineages.reject_candidate(db, latest.id, reasons)
    else:
        lineages.serve_version(db, row.user_id, latest.id, unlearned="set_aside", now=now)
    serving = lineages.serving_version(db, row.user_id)
    details = {"version": latest.number, "serves": not reasons, "deletions": row.deletions}
    audit(db, actor="learner", action="replayed", subject=row.user_id, details=details, now=now)
    state: ReplayState = "rejected" if reasons else "done"
    replays.close_replay(db, row, state, replays.about(serving))
    settled = lineages.find_version(db, latest.id)
    assert settled is not None
    return settled


def _carry_out(trainer: Trainer, fall_back: FallBack) -> None:
    """Go back from what stood in, where that was found ruined beside the rejected version."""
    try:
        trainer.database.write(lambda db: trainer.falling_back.carry_out(db, fall_back))
    except StaleParentError as error:
        log.info("nothing was fallen back to: %s", error)


def _is_wanted(db: Connection, row: ReplayRow) -> bool:
    """Say whether a replay's lineage goes on, and still serves what stood in."""
    lineage, serving = (
        lineages.current_lineage(db, row.user_id),
        lineages.serving_version(db, row.user_id),
    )
    serving_id = None if serving is None else serving.id
    return lineage is not None and (lineage.id, serving_id) == (row.lineage_id, row.stands_in_id)


def _until_weaker(
    batches: Sequence[Sequence[PreferenceRow]], before: Before
) -> Sequence[Sequence[PreferenceRow]]:
    """Return batches up to the first after which the weights got another strength."""
    for n, batch in enumerate(batches, start=1):
        if before.strength_after(_ids(batch)) != 1:
            return batches[:n]
    return batches


def _ids(batch: Sequence[PreferenceRow]) -> list[str]:
    return [one.id for one in batch]


def _say_what_differs(trainer: Trainer, row: ReplayRow) -> None:
    """Say where steps were computed by other paths before: of another dtype, device or kernel."""
    now = computed_by(trainer.base)
    found = [differences(one["computed_by"], now) for one in row.recipes if "computed_by" in one]
    lines = sorted({line for one in found for line in one})
    for line in lines:
        log.warning("a replay is not equal to the bit: it was computed by %s", line)
    if lines:
        trainer.database.write(lambda db: deletions.note_differences(db, row.deletions, lines))


def past_of(database: Database, config: CoactiveConfig, latest: Version | None) -> list[str]:
    """Return the ids of what a step may replay, as `starting_point` does of what serves."""
    if latest is None or not config.replay_per_step:
        return []
    with database.read() as db:
        taught = replays.taught_to(db, lineages.ancestry(db, latest.id))
        found = preferences.find_preferences(db, sorted(taught)).values()
    return [one.id for one in sorted(found, key=lambda one: one.number)][-REPLAY_MEMORY:]


def _reference(trainer: Trainer, lineage: Lineage) -> Reference:
    with trainer.database.read() as db:
        reference = lineages.find_reference(db, lineage.reference_id)
    assert reference is not None
    return reference
