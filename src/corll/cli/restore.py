"""`corll restore`: a data folder and its database from a backup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from corll.cli.backup import told
from corll.cli.parsing import parse
from corll.cli.store import StoreSettings, actor, files_private
from corll.service.backup.deleting_again import DeletedAgain
from corll.service.backup.restoring import restore
from corll.service.setting_kinds import OptionalText
from corll.service.store.urls import without_password
from corll.service.versions.tombstones import deletions_at, knows_deletions


class RestoreSettings(StoreSettings):
    """Make a data folder from a backup. The folder, and a database that is named, must be empty.

    A backup of SQLite can be restored into PostgreSQL, and the other way round. What was deleted
    after the backup was made is deleted again: as --deletions knows it, or the folder of --data-dir
    where --to names another one.
    """

    backup: Positional[Path] = Field(description="The folder of the backup.")
    to: OptionalText = Field(
        None, description="A new data folder, or the URL of a database beside --data-dir."
    )
    deletions: OptionalText = Field(
        None,
        description="What knows of deletions since: the data folder that is replaced, its file "
        "deletions.jsonl, receipts, or the URL of its database.",
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: ConfigError, StoreError, InputError."""
    settings = parse(RestoreSettings, arguments, command="restore")
    place = settings.at(settings.to)
    source = settings.deletions or _replaced(settings, place)
    with files_private():
        known = [] if source is None else deletions_at(source)
        restored = restore(
            settings.backup,
            place.database,
            place.data_dir,
            actor=actor(),
            now=time.time(),
            known=known,
            versions=place.versions,
        )
    print(f"Restored into {place.data_dir}: {told(restored.manifest)}")
    print(_about_deletions(source, restored.deleted))


def _replaced(settings: RestoreSettings, place: RestoreSettings) -> str | None:
    """Return what is replaced and may know of deletions; None where nothing is known."""
    if settings.database is not None and settings.database != place.database:
        return settings.database
    folder = settings.data_dir.expanduser()
    is_another = folder.absolute() != place.data_dir.expanduser().absolute()
    return str(folder) if is_another and knows_deletions(folder) else None


def _about_deletions(source: str | None, deleted: DeletedAgain) -> str:
    if source is None:
        return (
            "NOTE: no deletions are known that came after the backup. Whatever users deleted since "
            "is back: delete it again before the service is opened, or restore with --deletions "
            "FOLDER, of the data folder that this one replaces."
        )
    place = without_password(source) if "://" in source else source
    if not (deleted.applied or deleted.of_nothing):
        return f"Nothing was deleted since the backup, as {place} knows."
    again = f"Deleted again, as {place} knows: {', '.join(deleted.applied) or 'nothing'}."
    if not deleted.of_nothing:
        return again
    return f"{again} Of what came after the backup: {', '.join(deleted.of_nothing)}."
