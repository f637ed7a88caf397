"""Adapters made elsewhere, offline and audited, as references: π_0 of whoever starts from them.

An adapter learned from many people is never taught online; it is imported, numbered and frozen, and
users' own adapters start as copies of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sqlalchemy import Connection

from corll.errors import AdapterError, InputError
from corll.model import file_names
from corll.service.store import bases, lineages
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.lineages import Reference
from corll.service.versions import publishing

_UNKNOWN = bases.UNKNOWN_BASE


def import_reference(
    database: Database, folder: Path, *, name: str, actor: str, now: float
) -> Reference:
    """Copy a PEFT folder into the data folder and number it; the same weights are one reference.

    *Raises*: AdapterError where it is no LoRA adapter, or one of another base than the service's.
    """
    for needed in (file_names.ADAPTER_CONFIG, file_names.ADAPTER_WEIGHTS):
        if not (folder / needed).is_file():
            raise AdapterError(f"{folder} is no adapter's folder: it has no {needed}.")
    fingerprint = publishing.file_sha256(folder / file_names.ADAPTER_WEIGHTS)
    base_model, base_fingerprint = _base_of(folder)
    with database.read() as db:
        _check_base(db, folder, base_fingerprint)
    place = f"{lineages.REFERENCES}/{fingerprint[:24]}"
    target = database.path_of(place)

    def copy(to: Path) -> None:
        for file in (file_names.ADAPTER_CONFIG, file_names.ADAPTER_WEIGHTS, file_names.BASE):
            if (folder / file).exists():
                shutil.copyfile(folder / file, to / file)

    if not target.exists():
        publishing.publish(target, copy)

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


def start_from(
    db: Connection,
    user_id: str,
    number: int,
    *,
    actor: str,
    now: float,
    base_fingerprint: str = _UNKNOWN,
) -> Reference:
    """Begin a user's new lineage from a reference; what was learned waits to be learned again.

    *Raises*: InputError where there is no such reference, or where it is of another base than that
    with `base_fingerprint`.
    """
    found = {one.number: one for one in lineages.all_references(db)}
    if number not in found:
        there = ", ".join(f"{number} ({one.name})" for number, one in found.items()) or "none"
        raise InputError(f"There is no reference {number}. There are: {there}.")
    reference = found[number]
    if len({reference.base_fingerprint, base_fingerprint} - {_UNKNOWN}) > 1:
        raise InputError(
            f"Reference {number} ({reference.name}) is of the base {reference.base_model}, which "
            "this service does not draft with."
        )
    lineages.start_lineage(db, user_id=user_id, reference_id=reference.id, now=now)
    details = {"reference": number}
    audit(db, actor=actor, action="lineage started", subject=user_id, details=details, now=now)
    return reference


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
