"""What the commands share that work on the service's own database, beside a service or without."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator

from corll.configuring import Config
from corll.errors import ConfigError, StoreError
from corll.service.environment import from_environment
from corll.service.process_settings import from_anywhere
from corll.service.setting_kinds import OptionalText, default_data_dir
from corll.service.settings import ServiceSettings
from corll.service.store import migrating
from corll.service.store.accounts import (
    DEFAULT_USER,
    LOCAL_NAMESPACE,
    User,
    find_user_called,
    users_of,
)
from corll.service.store.database import PRIVATE_UMASK, Database
from corll.service.version_store.opening import OptionalVersions

Namespace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class StoreSettings(Config):
    """Where the service keeps its data; as `corll serve`, by CORLL_DATA_DIR and so on."""

    data_dir: Path = Field(
        default_factory=lambda: Path(os.environ.get("CORLL_DATA_DIR") or default_data_dir()),
        description="Folder of the service's database and of all versions.",
    )
    database: OptionalText = Field(
        default_factory=lambda: os.environ.get("CORLL_DATABASE") or None,
        description="URL of a PostgreSQL database; by default SQLite in the data folder.",
    )

    versions: OptionalVersions = Field(
        default_factory=lambda: os.environ.get("CORLL_VERSIONS") or None,
        description="URL of the service's store of versions; by default the data folder.",
    )

    @field_validator("data_dir")
    @classmethod
    def _from_anywhere(cls, path: Path) -> Path:
        return from_anywhere(path)

    def at(self, place: str | None) -> Self:
        """Return the settings of a place: a data folder, or the URL of a database."""
        if place is None:
            return self
        if "://" in place:
            return self.model_copy(update={"database": place})
        return self.model_copy(update={"data_dir": from_anywhere(Path(place))})

    def as_served(self, **changes: Any) -> ServiceSettings:
        """Return the service's settings, as its variables give them, of these places.

        *Raises*: ConfigError for a variable that names no setting, or a value that does not fit.
        """
        places = {"data_dir": self.data_dir, "database": self.database, "versions": self.versions}
        served = from_environment(os.environ, settled=False)
        return served.model_copy(update={**places, **changes})

    @contextmanager
    def opened(self, *, create: bool = False, migrate: bool = True) -> Iterator[Database]:
        """Yield the database, and close it afterwards; without `migrate` its tables stay as before.

        *Raises*: ConfigError where there is none and `create` does not ask for one.
        """
        if not (create or self.database or (self.data_dir / "corll.db").exists()):
            raise ConfigError(
                f"There is no database in {self.data_dir}: name the folder of the service with "
                "--data-dir, or start `corll serve` first."
            )
        open_it = Database.open if migrate else Database.open_unchanged
        with files_private():
            database = open_it(self.database, self.data_dir, self.versions)
            try:
                yield database
            finally:
                database.close()


class UserSettings(StoreSettings):
    """Whose versions are meant."""

    user: str = Field(
        DEFAULT_USER, min_length=1, max_length=64, description="The user, by name or id."
    )
    namespace: Namespace = Field(LOCAL_NAMESPACE, description="The name space that knows the name.")

    def found_in(self, database: Database) -> User:
        """Return the user that is meant. *Raises*: ConfigError where there is no such user."""
        with database.read() as db:
            found = find_user_called(db, self.namespace, self.user)
            others = [] if found else [user.name for user in users_of(db, self.namespace)]
        if found is None:
            there = f"There are: {', '.join(others)}." if others else "It has no users yet."
            raise ConfigError(f"Name space {self.namespace!r} has no user {self.user!r}. {there}")
        return found


def check_up_to_date(database: Database) -> None:
    """Check that the tables are those of this corll. *Raises*: StoreError for earlier ones."""
    if database.revision() != migrating.newest_revision():
        raise StoreError(
            f"{database} is of an earlier corll. Back it up (`corll backup`), start `corll "
            "serve` once, which brings it up to date, and come again."
        )


@contextmanager
def files_private() -> Iterator[None]:
    """Make all files that are written meanwhile their owner's alone."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def stores_by_default() -> bool:
    """Say whether the texts of a new user are kept, as the service's variables say."""
    return from_environment(os.environ, settled=False).stores_by_default


def actor() -> str:
    """Return how the audit trail names whoever types."""
    name = "unknown"
    with suppress(OSError, KeyError, ImportError):
        name = getpass.getuser()
    return f"cli {name}"


def when(seconds: float | None) -> str:
    """Write a moment for people, in the time of this machine."""
    if seconds is None:
        return "–"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
