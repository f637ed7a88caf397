"""Findings about weights: rows whose folders are missing or damaged."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from corll.errors import AdapterError, ModelNotFoundError
from corll.model import file_names
from corll.model.stored_weights import parameters_in
from corll.service.doctor.findings import Finding
from corll.service.store import imports, lineages, soundness, starts
from corll.service.store.database import Database
from corll.service.store.lineages import Reference, Version
from corll.service.store.starts import StartRow
from corll.service.versions import publishing, references

_ACTOR = "doctor"
_RESTORE = "Put the folder back from a backup"


def examine_weights(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with the folders of versions and references. Reads every file."""
    with database.read() as db:
        versions = soundness.all_versions(db)
        names = soundness.user_names(db)
        kept = {one for user_id in names for one in imports.formers_of_running(db, user_id)}
        serving = {
            found.id for user_id in names if (found := lineages.serving_version(db, user_id))
        }
        unsound = soundness.unsound_lineages(db)
        all_references = lineages.all_references(db)
    broken = {version.id: error for version in versions if (error := _damage(database, version))}
    whole = {version.id for version in versions if version.folder} - broken.keys()
    for version in versions:
        name = f"Version {version.number} of {names[version.user_id]}"
        if version.id in broken or (version.folder is None and version.id in serving):
            why = broken.get(version.id, "its weights were removed")
            cannot = version.user_id in unsound or version.id in kept
            is_serving = version.id in serving
            yield _of_broken(database, version, f"{name}: {why}", whole, is_serving, not cannot)
        elif version.folder is not None:
            yield from _of_optimizer(database, version, name)
    for reference in all_references:
        yield from _of_reference(database, reference)


def _damage(database: Database, version: Version) -> str | None:
    """Return what is wrong with the weights of a version; None where they are whole, or gone."""
    if version.folder is None:
        return None
    try:
        with database.versions.copied(version.folder) as folder:
            if version.manifest_sha256 is None:
                raise AdapterError(f"no checksum of {folder} is known")
            publishing.verify(folder, version.manifest_sha256, without=(file_names.OPTIMIZER,))
            _parse(folder)
    except AdapterError as error:
        return str(error).rstrip(".")
    return None


def _parse(folder: Path) -> None:
    """Check that a folder holds a LoRA adapter. *Raises*: AdapterError."""
    try:
        fields = json.loads((folder / file_names.ADAPTER_CONFIG).read_text(encoding="utf-8"))
        if fields["peft_type"] != "LORA":
            raise AdapterError(f"{folder} holds {fields['peft_type']}, which cannot be used")
        parameters_in(folder)
    except ModelNotFoundError as error:
        raise AdapterError(str(error)) from error
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise AdapterError(f"{folder} holds no adapter that can be read ({error})") from error


def _of_broken(
    database: Database,
    version: Version,
    problem: str,
    whole: Collection[str],
    is_serving: bool,
    may_mend: bool,
) -> Finding:
    if not may_mend:
        return Finding(problem, f"{_RESTORE}.")
    if is_serving:
        return Finding(
            f"{problem}. It serves",
            f"{_RESTORE}.",
            "goes back to the nearest whole version before it, or to the reference; what only the "
            "versions after that were taught waits to be learned again",
            partial(_go_back, database, version, whole),
        )
    return Finding(
        f"{problem}. It does not serve",
        f"{_RESTORE}.",
        "removes what is left of its weights; nothing can go back to it then",
        partial(_forget, database, version),
    )


def _go_back(database: Database, version: Version, whole: Collection[str]) -> None:
    def go_back(db: Connection) -> None:
        serving = lineages.serving_version(db, version.user_id)
        if serving is not None and serving.id == version.id:
            former = lineages.ancestry(db, version.id)[1:]
            usable = (
                one.number
                for one in former
                if one.id in whole and one.state == "retired" and one.folder is not None
            )
            to = next(usable, 0)
            now = time.time()
            lineages.rollback(db, version.user_id, to=to, requeue=True, actor=_ACTOR, now=now)
        lineages.forget_folder(db, version.id)

    database.write(go_back)
    _remove(database, version)


def _forget(database: Database, version: Version) -> None:
    database.write(lambda db: lineages.forget_folder(db, version.id))
    _remove(database, version)


def _remove(database: Database, version: Version) -> None:
    if version.folder is not None:
        database.versions.remove(version.folder)


def _of_optimizer(database: Database, version: Version, name: str) -> Iterator[Finding]:
    assert version.folder is not None
    folder, optimizer = version.folder, file_names.OPTIMIZER
    is_there = database.versions.has_file(folder, optimizer)
    if version.has_optimizer and not is_there:
        yield Finding(
            f"{name}: {folder}/{optimizer} is missing",
            f"{_RESTORE}.",
            "notes that it is gone: the next step begins with an empty optimiser",
            partial(database.write, partial(_forget_optimizer, version)),
        )
    elif is_there and not version.has_optimizer:
        yield Finding(
            f"{name}: {folder}/{optimizer} was left over",
            "",
            "removes the file",
            partial(database.versions.remove_file, folder, optimizer),
        )


def _forget_optimizer(version: Version, db: Connection) -> None:
    lineages.forget_optimizer(db, version.id)


def _of_reference(database: Database, reference: Reference) -> Iterator[Finding]:
    if reference.folder is None:
        return
    try:
        with database.versions.copied(reference.folder) as folder:
            publishing.verify_reference(folder, reference.fingerprint)
            _parse(folder)
    except AdapterError as error:
        with database.read() as db:
            waiting = [one for one in starts.waiting_starts(db) if one.reference_id == reference.id]
        problem = f"Reference {reference.number} ({reference.name}): {str(error).rstrip('.')}"
        advice = (
            f"{_RESTORE}, or remove what is left of {reference.folder} and import the same "
            "adapter again (`corll adapters import`)."
        )
        yield Finding(problem, advice)
        yield from (_of_start(database, one, reference, problem) for one in waiting)


def _of_start(database: Database, start: StartRow, reference: Reference, problem: str) -> Finding:
    def reject(db: Connection) -> None:
        references.reject(db, start, reference, [problem], now=time.time())

    return Finding(
        f"Start {start.number} waits for reference {reference.number}, which is damaged",
        "Mend the reference first.",
        "rejects the start; it may be asked for again",
        lambda: database.write(reject),
    )
