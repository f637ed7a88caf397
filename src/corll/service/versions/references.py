"""Adapters made elsewhere, offline and audited, as references: π_0 of whoever starts from them.

An adapter learned from many people is never taught online; it is imported, numbered and frozen, and
users' own adapters start as copies of it, once it was examined for them (`learning.admitting`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from corll.errors import AdapterError, InputError
from corll.model import file_names
from corll.service.store import bases, lineages, starts
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.lineages import Reference
from corll.service.store.starts import StartRow
from corll.service.version_store.folders import REFERENCES, VersionStore
from corll.service.versions import publishing
from corll.service.versions.contents import tensors_sha256

_UNKNOWN = bases.UNKNOWN_BASE


def import_reference(
    database: Database, folder: Path, *, name: str, actor: str, now: float
) -> Reference:
    """Copy a PEFT folder into the version store and number it; the same weights are one reference,
    whatever their file is called, whoever wrote it, and whether or not it says its base.

    *Raises*: AdapterError where it is no LoRA adapter, or one of another base than the service's.
    """
    for needed in (file_names.ADAPTER_CONFIG, file_names.ADAPTER_WEIGHTS):
        if not (folder / needed).is_file():
            raise AdapterError(f"{folder} is no adapter's folder: it has no {needed}.")
    fingerprint = _fingerprint(database, folder / file_names.ADAPTER_WEIGHTS)
    base_model, base_fingerprint = _base_of(folder)
    with database.read() as db:
        _check_base(db, folder, base_fingerprint)
    place = place_of(fingerprint)

    def copy(to: Path) -> None:
        for file in (file_names.ADAPTER_CONFIG, file_names.ADAPTER_WEIGHTS, file_names.BASE):
            if (folder / file).exists():
                shutil.copyfile(folder / file, to / file)

    if not _is_whole(database.versions, place):
        database.versions.publish_as(place, copy)

    def register(db: Connection) -> Reference:
        reference = lineages.add_reference(
            db,
            name=name,
            fingerprint=fingerprint,
            folder=place,
            base_model=base_model,
            base_fingerprint=base_fingerprint,
            now=now,
        )
        details = {"name": name, "number": reference.number}
        audit(
            db,
            actor=actor,
            action="reference imported",
            subject=reference.id,
            details=details,
            now=now,
        )
        return reference

    return database.write(register)


def _fingerprint(database: Database, weights: Path) -> str:
    """Return the SHA-256 of a file of weights, or of the one with the same tensors that is here."""
    own, tensors = publishing.file_sha256(weights), tensors_sha256(weights)
    with database.read() as db:
        here = {one.fingerprint: one.folder for one in lineages.all_references(db) if one.folder}
    if own in here or tensors is None:
        return own
    for fingerprint, folder in here.items():
        with database.versions.copied(folder) as copy:
            if tensors_sha256(copy / file_names.ADAPTER_WEIGHTS) == tensors:
                return fingerprint
    return own


def place_of(fingerprint: str) -> str:
    """Return what the folder of a reference is called, whose weights have a fingerprint."""
    return f"{REFERENCES}/{fingerprint[:24]}"


class Start(NamedTuple):
    """A user's start from a reference, as it stands."""

    row: StartRow
    reference: Reference


def start_from(
    db: Connection,
    user_id: str,
    number: int,
    *,
    actor: str,
    now: float,
    base_fingerprint: str = _UNKNOWN,
    examined: bool = True,
) -> Start:
    """Start a user's weights from a reference; what was learned waits to be learned again.

    The base begins at once. An adapter waits for the learner to examine it, and what served before
    goes on until then; it begins at once, unexamined, where nobody examines it (`examined` False).
    *Raises*: InputError where there is no such reference, or where it is of another base than that
    with `base_fingerprint`.
    """
    found = {one.number: one for one in lineages.all_references(db)}
    if number not in found:
        there = ", ".join(f"{number} ({one.name})" for number, one in found.items()) or "none"
        raise InputError(f"There is no reference {number}. There are: {there}.")
    reference = found[number]
    check_reference(reference, base_fingerprint)
    asked = starts.ask_to_start(
        db, user_id=user_id, reference_id=reference.id, actor=actor, now=now
    )
    if reference.folder is not None and examined:
        details = {"reference": number}
        audit(db, actor=actor, action="start asked", subject=user_id, details=details, now=now)
        return Start(asked, reference)
    return Start(begin(db, asked, reference, examined=reference.folder is None, now=now), reference)


def begin(
    db: Connection, asked: StartRow, reference: Reference, *, examined: bool, now: float
) -> StartRow:
    """Begin a user's new lineage from a reference, as was asked."""
    user_id = asked.user_id
    lineages.start_lineage(db, user_id=user_id, reference_id=reference.id, now=now)
    details = {"reference": reference.number} | ({} if examined else {"examined": False})
    audit(
        db, actor=asked.actor, action="lineage started", subject=user_id, details=details, now=now
    )
    return starts.settle_start(db, asked.number, "started" if examined else "unexamined", now=now)


def reject(
    db: Connection, asked: StartRow, reference: Reference, reasons: Sequence[str], *, now: float
) -> StartRow:
    """Leave a user with what serves them, since reasons speak against the reference."""
    details = {"reference": reference.number, "reasons": list(reasons)}
    audit(
        db,
        actor="learner",
        action="start rejected",
        subject=asked.user_id,
        details=details,
        now=now,
    )
    return starts.settle_start(db, asked.number, "rejected", reasons=reasons, now=now)


def begin_unexamined(db: Connection, base_fingerprint: str, *, now: float) -> list[StartRow]:
    """Begin whatever waits for an examination, where the service has no learner to make it."""
    settled = []
    for asked in starts.waiting_starts(db):
        reference = lineages.find_reference(db, asked.reference_id)
        assert reference is not None
        try:
            check_reference(reference, base_fingerprint)
        except InputError as error:
            settled.append(reject(db, asked, reference, [str(error)], now=now))
        else:
            settled.append(begin(db, asked, reference, examined=False, now=now))
    return settled


def check_reference(reference: Reference, base_fingerprint: str) -> None:
    """Check that a reference belongs to a base. *Raises*: InputError where it names another."""
    if len({reference.base_fingerprint, base_fingerprint} - {_UNKNOWN}) > 1:
        raise InputError(
            f"Reference {reference.number} ({reference.name}) is of the base "
            f"{reference.base_model}, which this service does not draft with."
        )


def _is_whole(versions: VersionStore, place: str) -> bool:
    """Say whether a folder is there already, and not only a part of one."""
    try:
        return versions.holds(place) and bool(versions.fetch(place))
    except AdapterError:
        return False


def _base_of(folder: Path) -> tuple[str, str]:
    """Return the base that the adapter says it belongs to: its name and fingerprint."""
    try:
        config = json.loads((folder / file_names.ADAPTER_CONFIG).read_text(encoding="utf-8"))
        if config.get("peft_type") != "LORA":
            raise AdapterError(f"{folder} holds {config.get('peft_type')}; only LoRA can be used.")
        named = str(config.get("base_model_name_or_path") or _UNKNOWN)
        if not (folder / file_names.BASE).exists():
            return named, _UNKNOWN
        about = json.loads((folder / file_names.BASE).read_text(encoding="utf-8"))["base_model"]
        return str(about["name"]), str(about["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AdapterError(f"The adapter in {folder} cannot be read: {error}.") from error


def _check_base(db: Connection, folder: Path, fingerprint: str) -> None:
    """Check that an adapter which names its base names the one that is served here."""
    served = {bases.served_fingerprint(db)} - {None}
    if not served:
        served = {one.base_fingerprint for one in lineages.all_references(db) if one.kind == "base"}
    if served and fingerprint not in served | {_UNKNOWN}:
        raise AdapterError(
            f"The adapter in {folder} was trained on another base model than this service has; "
            "import one of the same base."
        )
