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
from corll.service.backup.deleted_since import DeletedSince, deletions_found, deletions_named
from corll.service.backup.deleting_again import DeletedAgain
from corll.service.backup.restoring import restore
from corll.service.setting_kinds import OptionalText


class RestoreSettings(StoreSettings):
    """Make a data folder from a backup. The folder, and a database that is named, must be empty.

    A backup of SQLite can be restored into PostgreSQL, and the other way round. What was deleted
    after the backup was made is deleted again: as --deletions knows it, or the data folder that the
    backup was made of, and that of --data-dir where --to names another one.
    """

    backup: Positional[Path] = Field(description="The folder of the backup.")
    to: OptionalText = Field(
        None, description="A new data folder, or the URL of a database beside --data-dir."
    )
    deletions: OptionalText = Field(
        None,
        description="What knows of deletions since: the data folder that is replaced, its file "
        "deletions.jsonl, receipts, or the URL of its database. One of another service is refused.",
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: ConfigError, StoreError, InputError."""
    settings = parse(RestoreSettings, arguments, command="restore")
    place = settings.at(settings.to)
    with files_private():
        since = _deleted_since(settings, place)
        restored = restore(
            settings.backup,
            place.database,
            place.data_dir,
            actor=actor(),
            now=time.time(),
            known=since.deletions,
            versions=place.versions,
        )
    print(f"Restored into {place.data_dir}: {told(restored.manifest)}")
    print(_about_deletions(since, restored.deleted))


def _deleted_since(settings: RestoreSettings, place: RestoreSettings) -> DeletedSince:
    if settings.deletions is not None:
        return deletions_named(settings.backup, settings.deletions)
    replaced = [str(settings.data_dir)]
    if settings.database is not None and settings.database != place.database:
        replaced.insert(0, settings.database)
    return deletions_found(settings.backup, replaced, new=place.data_dir)


def _about_deletions(since: DeletedSince, deleted: DeletedAgain) -> str:
    passed_over = "".join(f"\nNOTE: {one}." for one in since.passed_over)
    if not since.places:
        return (
            "NOTE: no deletions are known that came after the backup. Whatever users deleted since "
            "is back: delete it again before the service is opened, or restore with --deletions "
            f"FOLDER, of the data folder that this one replaces.{passed_over}"
        )
    places = " and ".join(since.places)
    know = "know" if since.places[1:] else "knows"
    if not (deleted.applied or deleted.of_nothing):
        return f"Nothing was deleted since the backup, as {places} {know}.{passed_over}"
    again = f"Deleted again, as {places} {know}: {', '.join(deleted.applied) or 'nothing'}."
    if deleted.of_nothing:
        again += f" Of what came after the backup: {', '.join(deleted.of_nothing)}."
    return f"{again}{passed_over}"
