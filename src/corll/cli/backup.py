"""`corll backup`: all rows and weights of a data folder, or a check of a backup that was made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from corll.cli.parsing import parse
from corll.cli.settings import OptionalFolder
from corll.cli.store import StoreSettings, when
from corll.errors import ConfigError
from corll.service.backup.making import back_up
from corll.service.backup.manifest import Manifest, verify_backup
from corll.service.setting_kinds import OptionalText


class BackupSettings(StoreSettings):
    """Back up the database and all weights that it names. The service may run meanwhile.

    A backup is a folder. It holds the rows as JSON lines, whichever database they come from, the
    adapters, and a manifest with the SHA-256 of each file. It holds texts as they are: encrypt it.
    """

    place: Positional[OptionalText] = Field(
        None, description="A data folder, or the URL of a database beside --data-dir."
    )
    to: OptionalFolder = Field(None, description="The new folder of the backup.")
    verify: OptionalFolder = Field(None, description="A backup to check in place of making one.")


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: ConfigError, StoreError, InputError."""
    settings = parse(BackupSettings, arguments, command="backup")
    if settings.verify is not None and settings.to is None and settings.place is None:
        print(f"The backup is whole: {told(verify_backup(settings.verify))}")
        return
    if settings.to is None or settings.verify is not None:
        raise ConfigError("Give --to FOLDER for a new backup, or --verify FOLDER alone.")
    with settings.at(settings.place).opened(migrate=False) as database:
        manifest = back_up(database, Path(settings.to), now=time.time())
    print(f"Backed up into {settings.to}: {told(manifest)}")


def told(manifest: Manifest) -> str:
    """Return what a backup holds, for people."""
    size = sum(file.bytes for file in manifest.files.values())
    rows = manifest.rows
    return (
        f"{rows['users']} users, {rows['edits']} edits, {rows['versions']} versions; "
        f"{len(manifest.files)} files, {size / 1e6:.1f} MB, made {when(manifest.made_at)} by corll "
        f"{manifest.corll}, base model {manifest.base_model or 'unknown'}."
    )
