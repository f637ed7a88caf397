"""Whether weights that were learned again without a text are what their steps give: taken anew.

Nothing is written but to a temporary folder. The steps begin at the last version before those of
the replay that still has its weights and optimiser, or at the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sqlalchemy import Connection

from corll.errors import CorllError, InputError
from corll.model.file_names import ADAPTER_WEIGHTS
from corll.schemas.deletions import Receipt
from corll.service.learning.kernel_modes import Mode, own_mode
from corll.service.learning.other_modes import Task
from corll.service.learning.plans import computed_by, differences, plans_of
from corll.service.learning.replaying import past_of
from corll.service.learning.stepping import Steps
from corll.service.learning.trainer import Trainer
from corll.service.settings import ServedConfig
from corll.service.store import lineages, preferences
from corll.service.store.lineages import Reference, Version
from corll.service.store.preferences import PreferenceRow
from corll.service.versions.publishing import file_sha256
from corll.service.versions.verifying import Finding
from corll.step import PreferenceOptimizer

_AS_RECORDED = ("computed_by", "config", "plans")


class _Line(NamedTuple):
    """Versions to be computed anew, the oldest first, and what they start from."""

    start: Version | None
    reference: Reference
    versions: Sequence[Version]


def verify_weights(trainer: Trainer, receipt: Receipt) -> Finding:
    """Take the steps of a receipt's replay anew, and compare the weights to the byte."""
    told = receipt.first_without
    if told is None or receipt.replay.state != "done" or told == receipt.stands_in:
        return Finding("open", "no weights were learned again that could be computed anew")
    what = f"version {told.number}, which learned the rest,"
    with trainer.database.read() as db:
        version = lineages.find_version(db, told.id)
        if version is None or version.erased_at is not None or version.folder is None:
            return Finding("open", f"{what} has no weights any more to compare with")
        line = _line(db, version, receipt.deleted_at)
    why_not = _why_not(trainer, line)
    if why_not:
        return Finding("open", f"{what} cannot be computed anew: {why_not}")
    modes = [mode for one in line.versions if (mode := (one.recipe or {}).get("kernel_mode"))]
    if any(mode != own_mode() for mode in modes):
        return _in_mode(trainer, receipt, what, modes)
    try:
        folder = trainer.database.versions.fetch(version.folder)
        same = _anew(trainer, line) == file_sha256(folder / ADAPTER_WEIGHTS)
    except (CorllError, OSError) as error:
        return Finding("open", f"{what} cannot be computed anew: {error}")
    steps = sum(len((one.recipe or {})["batches"]) for one in line.versions)
    since = "the reference" if line.start is None else f"version {line.start.number}"
    anew = f"{steps} steps from {since}, taken anew without what was deleted,"
    if same:
        return Finding("holds", f"{anew} give {what.removesuffix(',')} to the bit")
    if any((one.recipe or {})["memory"] for one in line.versions):
        return Finding("open", f"{anew} give other weights, but letters stood before its texts")
    return Finding("broken", f"{anew} give other weights than {what.removesuffix(',')} has")


def _in_mode(trainer: Trainer, receipt: Receipt, what: str, modes: Sequence[Mode]) -> Finding:
    """Verify a receipt by a process in the mode of its steps, where all of them have the same."""
    if any(mode != modes[0] for mode in modes):
        return Finding("open", f"{what} cannot be computed anew: its steps have several modes")
    try:
        task = Task(trainer.settings, modes[0], receipt=receipt)
        return Finding(**trainer.hand_over(task))
    except CorllError as error:
        return Finding("open", f"{what} cannot be computed anew: {error}")


def _line(db: Connection, version: Version, deleted_at: float) -> _Line:
    """Return what has to be computed anew for a version that a replay came to."""
    line = lineages.ancestry(db, version.id)
    reference = lineages.find_reference(db, version.reference_id)
    assert reference is not None
    starts = [one for one in line if one.created_at <= deleted_at and one.is_whole]
    start = starts[0] if starts else None
    after = line if start is None else line[: line.index(start)]
    return _Line(start, reference, after[::-1])


def _why_not(trainer: Trainer, line: _Line) -> str:
    """Return why steps could not be taken as they were; nothing where they can."""
    if line.reference.base_fingerprint != trainer.base.base.fingerprint:
        return f"it belongs to the base model {line.reference.base_model}, and here is another one"
    recipes = [one.recipe or {} for one in line.versions]
    if not all(name in recipe for recipe in recipes for name in _AS_RECORDED):
        return "how its steps were taken was not recorded by the corll that took them"
    now = computed_by(trainer.base)
    told = sorted({text for one in recipes for text in differences(one["computed_by"], now)})
    return "it was computed by other paths: " + "; ".join(told) if told else ""


def _anew(trainer: Trainer, line: _Line) -> str:
    """Return the SHA-256 of the weights that the steps come to. *Raises*: CorllError, OSError."""
    with TemporaryDirectory(prefix="corll-verify-") as scratch:
        folder, former = None, line.start
        if former is not None and former.folder is not None:
            folder = trainer.database.versions.fetch(former.folder, optimizer=former.has_optimizer)
        for version in line.versions:
            target = Path(scratch) / version.id
            target.mkdir()
            _take(trainer, version, former, folder, line.reference, target)
            former, folder = version, target
        assert folder is not None
        return file_sha256(folder / ADAPTER_WEIGHTS)


def _take(
    trainer: Trainer,
    version: Version,
    former: Version | None,
    folder: Path | None,
    reference: Reference,
    target: Path,
) -> None:
    """Take a version's steps from the weights of the former one in a folder, into another."""
    recipe = version.recipe
    assert recipe is not None
    config = ServedConfig(**recipe["config"])
    rows = _rows(trainer, recipe["batches"])
    with trainer.policies.of_folder(folder, reference) as policy:
        optimizer = PreferenceOptimizer(policy, config, give_way=trainer.give_way)
        if former is not None and folder is not None:
            optimizer.steps_taken = former.steps
            if former.has_optimizer:
                optimizer.restore(folder, steps_taken=former.steps)
        steps = Steps(trainer.reader, trainer.threads, _refuse)
        past = past_of(trainer.database, config, former)
        lesson = steps.take(optimizer, rows, past, plans_of(recipe))
        if lesson.masks != recipe.get("masks", {}):
            raise InputError("what is masked of its user's texts is not what was masked then")
        if recipe["strength"] != 1:
            lesson.fold(policy, recipe["strength"])
        policy.save(target)
        if recipe["strength"] == 1:
            optimizer.save(target)


def _rows(trainer: Trainer, batches: Sequence[Sequence[str]]) -> list[list[PreferenceRow]]:
    with trainer.database.read() as db:
        found = preferences.find_preferences(db, [one for batch in batches for one in batch])
    missing = sorted({one for batch in batches for one in batch} - found.keys())
    if missing:
        raise InputError(f"what it was taught is gone ({', '.join(missing)})")
    return [[found[one] for one in batch] for batch in batches]


def _refuse(rows: Sequence[PreferenceRow], error: CorllError) -> None:
    """*Raises*: InputError for what was learned from then and could not be now."""
    raise InputError(f"{', '.join(row.id for row in rows)}: {error}")
