"""`corll adapters …`: the versions that a user's edits have made.

list              every version, and which one serves
show NUMBER       all that is known of one, as JSON
rollback NUMBER   serves an earlier version again; 0 is the reference, before anything was learned
prune             removes the weights of versions that are not worth their place
import FOLDER     takes an adapter made elsewhere as a numbered reference
start NUMBER      begins a new lineage from a reference, which the learner examines before it serves
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from tyro.conf import Positional

from corll.cli.parsing import dispatch, parse
from corll.cli.store import StoreSettings, UserSettings, actor, when
from corll.errors import ConfigError
from corll.service.store import bases, lineages, pruning, starts
from corll.service.store.lineages import Version
from corll.service.versions.references import import_reference, start_from
from corll.service.versions.retention import remove_pruned


class ListAdaptersSettings(UserSettings):
    """List the versions of a user, the newest last."""


class ShowAdapterSettings(UserSettings):
    """Print all that is known of a version, as JSON."""

    number: Positional[int] = Field(ge=1, description="The version's number.")


class RollbackSettings(UserSettings):
    """Serve another version of the same lineage from now on, earlier or later."""

    number: Positional[int] = Field(
        ge=0, description="The version to serve; 0 for the reference, with nothing learned."
    )
    requeue: bool = Field(
        False,
        description="Let the learner learn again what is left behind; else it is set aside.",
    )


class PruneSettings(UserSettings):
    """Remove weights: kept are the version that serves, the three before it, each tenth, and what
    deletions replay from by --replay-slack of the service.
    """

    dry_run: bool = Field(False, description="Only say what would be removed.")


class ImportAdapterSettings(StoreSettings):
    """Take an adapter made elsewhere as a reference that users' adapters can start from."""

    folder: Positional[Path] = Field(description="The adapter: a PEFT folder of the same base.")
    name: str = Field("", max_length=200, description="What it is; by default the folder's name.")


class StartSettings(UserSettings):
    """Begin a new lineage from a reference: π_0, and the start of the user's own weights.

    An adapter is examined by the service's learner first; until then what serves now goes on.
    """

    number: Positional[int] = Field(ge=1, description="The reference's number.")


def main(arguments: Sequence[str]) -> None:
    dispatch("adapters", __doc__, _COMMANDS, arguments)


def _list(arguments: Sequence[str]) -> None:
    settings = parse(ListAdaptersSettings, arguments, command="adapters list")
    with settings.opened() as database:
        user = settings.found_in(database)
        with database.read() as db:
            versions = lineages.versions_of(db, user.id)
            said = list(_said_of_start(db, user.id))
    numbers = {version.id: version.number for version in versions}
    columns = ("version", "state", "from", "steps", "made", "weights", "reasons")
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for version in sorted(versions, key=lambda version: version.number):
        table.add_row(*_row(version, numbers))
    console = Console(highlight=False)
    console.print(table)
    if not any(version.state == "serving" for version in versions):
        console.print("The reference serves: nothing learned is in use.", style="dim")
    for line in said:
        console.print(line)


def _said_of_start(db: Connection, user_id: str) -> Iterator[str]:
    """Yield what there is to say of the start that was asked for last, and of what serves."""
    current = lineages.current_reference(db, user_id)
    asked = starts.unserved_start(db, user_id)
    if current is not None and current.folder is not None:
        examined = starts.was_examined(db, user_id, current.id)
        how = "" if examined else ", which was not examined before it served"
        yield f"Versions start from reference {current.number} ({current.name}){how}."
    if asked is None:
        return
    reference = lineages.find_reference(db, asked.reference_id)
    assert reference is not None
    name = f"Reference {reference.number} ({reference.name})"
    if asked.state == "examining":
        yield f"{name} is being examined; until it passed, what serves now goes on."
    else:
        yield f"{name} was rejected, so what served goes on: {'; '.join(asked.reasons)}."


def _row(version: Version, numbers: Mapping[str, int]) -> tuple[str, ...]:
    parent = 0 if version.parent_id is None else numbers[version.parent_id]
    weights = "pruned" if version.folder is None else "kept"
    if version.folder is not None and not version.has_optimizer:
        weights = "kept, no optimiser"
    made = when(version.created_at)
    reasons = "; ".join(version.reasons)
    return (
        str(version.number),
        version.state,
        str(parent),
        str(version.steps),
        made,
        weights,
        reasons,
    )


def _show(arguments: Sequence[str]) -> None:
    settings = parse(ShowAdapterSettings, arguments, command="adapters show")
    with settings.opened() as database:
        user = settings.found_in(database)
        with database.read() as db:
            version = lineages.find_version_by_number(db, user.id, settings.number)
            reference = version and lineages.find_reference(db, version.reference_id)
    if version is None or reference is None:
        raise ConfigError(
            f"User {user.name!r} has no version {settings.number}; see `corll adapters list`."
        )
    shown = {**asdict(version), "reference": asdict(reference)}
    print(json.dumps(shown, indent=1, ensure_ascii=False))


def _rollback(arguments: Sequence[str]) -> None:
    settings = parse(RollbackSettings, arguments, command="adapters rollback")
    with settings.opened() as database:
        user = settings.found_in(database)
        serving = database.write(
            lambda db: lineages.rollback(
                db,
                user.id,
                to=settings.number,
                requeue=settings.requeue,
                actor=actor(),
                now=time.time(),
            )
        )
    what = "the reference" if serving is None else f"version {serving.number}"
    rest = "waits to be learned again" if settings.requeue else "is set aside"
    print(f"From now on {what} serves {user.name}; what was left behind {rest}.")


def _prune(arguments: Sequence[str]) -> None:
    settings = parse(PruneSettings, arguments, command="adapters prune")
    with settings.opened() as database:
        user = settings.found_in(database)
        with database.read() as db:
            folders, optimizers = pruning.prunable(db, user.id)
        if not settings.dry_run:
            remove_pruned(database, user.id, actor=actor())
    verb = "would go" if settings.dry_run else "went"
    print(f"Weights that {verb}: {_numbers(folders)}.")
    print(f"Optimiser's states that {verb} without the weights: {_numbers(optimizers)}.")


def _import(arguments: Sequence[str]) -> None:
    settings = parse(ImportAdapterSettings, arguments, command="adapters import")
    name = settings.name or settings.folder.absolute().name
    with settings.opened() as database:
        reference = import_reference(
            database, settings.folder, name=name, actor=actor(), now=time.time()
        )
    print(f"{reference.name} is reference {reference.number}.")


def _start(arguments: Sequence[str]) -> None:
    settings = parse(StartSettings, arguments, command="adapters start")
    with settings.opened() as database:
        user = settings.found_in(database)
        row, reference = database.write(
            lambda db: start_from(
                db,
                user.id,
                settings.number,
                base_fingerprint=bases.served_fingerprint(db) or bases.UNKNOWN_BASE,
                actor=actor(),
                now=time.time(),
            )
        )
    if row.state == "examining":
        print(
            f"{user.name} is to start from {reference.name}. The service's learner examines it "
            "first, and what serves now goes on until it passed: see `corll adapters list`. A "
            "service that does not learn has it serve when it starts, unexamined."
        )
        return
    print(f"{user.name} starts from {reference.name}; what was learned waits to be learned again.")


def _numbers(versions: Sequence[Version]) -> str:
    numbers = sorted(version.number for version in versions)
    return f"version {', '.join(map(str, numbers))}" if numbers else "none"


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "list": _list,
    "show": _show,
    "rollback": _rollback,
    "prune": _prune,
    "import": _import,
    "start": _start,
}
