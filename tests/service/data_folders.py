"""A data folder with users, edits, versions and a reference, whose weights are a few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from store_samples import NOW, edit, kept_draft, new_version, register

from corll.service.store import lineages, migrating
from corll.service.store.accounts import User, audit, get_or_create_user
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.rows import new_id
from corll.service.versions import publishing


def written(folder: Path, content: str, *, optimizer: bool = True) -> str:
    """Publish a folder that looks like an adapter's; return its manifest's SHA-256."""

    def save(to: Path) -> None:
        (to / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
        (to / "adapter_model.safetensors").write_bytes(weights_of(content))
        if optimizer:
            (to / "corll_optimizer.safetensors").write_bytes(weights_of("moments"))

    return publishing.publish(folder, save)


def weights_of(content: str) -> bytes:
    """A safetensors file without a tensor, that is another for other content."""
    header = f'{{"__metadata__":{{"of":"{content}"}}}}'.encode()
    return len(header).to_bytes(8, "little") + header


def taught(database: Database, user: User, *, served: bool = True) -> Version:
    """Two edits of a user, and the version that learned the first of them."""

    def write(db: Connection) -> Version:
        edit(db, kept_draft(db, user), "Zu spät – “sorry” 🙂")
        first = edit(db, kept_draft(db, user), "Hi Tom").preference_id
        version_id = new_id("ver")
        place = f"versions/{version_id}"
        digest = written(database.versions.at(place), version_id)
        version = new_version(db, user, id=version_id, folder=place, manifest_sha256=digest)
        return register(db, version, str(first), serve=served)

    return database.write(write)


def with_reference(database: Database) -> lineages.Reference:
    """An imported adapter of the base "tiny"."""
    written(database.versions.at("references/house"), "house", optimizer=False)
    fingerprint = publishing.file_sha256(
        database.versions.at("references/house/adapter_model.safetensors")
    )
    return database.write(
        lambda db: lineages.add_reference(
            db,
            name="house style",
            fingerprint=fingerprint,
            folder="references/house",
            base_model="tiny",
            base_fingerprint="f0",
            now=NOW,
        )
    )


def filled(database: Database) -> tuple[User, User]:
    """Two users who learned, and a reference."""

    def add(name: str) -> User:
        return database.write(
            lambda db: get_or_create_user(db, "home", name, store=True, learn=True, now=NOW)
        )

    ada, ben = add("ada"), add("ben")
    for user in (ada, ada, ben):
        taught(database, user)
    with_reference(database)
    return ada, ben


def all_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, but what a restore notes of itself."""
    with database.read() as db:
        tables = migrating.tables_at(str(migrating.revision_of(db)))
        return {
            table.name: sorted(
                (
                    tuple(map(repr, row))
                    for row in db.execute(select(table))
                    if not (table.name == "audit_log" and row.action == "restore")
                ),
            )
            for table in tables.sorted_tables
        }


def kept_bytes(database: Database) -> bytes:
    """All that a database holds: the bytes of SQLite's files, or the rows of a server."""
    if not database.is_sqlite:
        return repr(all_rows(database)).encode()
    path = Path(str(database.url.database))
    return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))


def noted(database: Database, subject: str) -> int:
    """Add an entry to the audit log; return its number."""

    def note(db: Connection) -> int:
        audit(db, actor="a", action="note", subject=subject, details={}, now=NOW)
        return int(db.exec_driver_sql("SELECT max(number) FROM audit_log").scalar_one())

    return database.write(note)
