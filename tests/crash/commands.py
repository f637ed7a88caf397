"""A backup or a restore that dies beside a running service, and the next one that works."""

from __future__ import annotations

from pathlib import Path

from corll.errors import InputError, StoreError
from corll.service.backup.manifest import verify_backup
from corll.service.doctor.examining import examine
from corll.service.store.database import Database
from crash.cases import Case
from crash.service import Service, store_in


def kill_command(service: Service, case: Case) -> tuple[bool, list[str]]:
    """Kill the command of a case, and run it again; say whether it died, and what does not hold."""
    folder = service.folder
    place = service.database or str(folder)
    of_case = f"{folder.name}-{case.point.replace(' ', '-')}"
    first, second, restored = (
        folder.with_name(f"{of_case}-{name}") for name in ("first", "second", "restored")
    )
    of_backup = case.point.startswith("backup")
    stored = () if service.versions is None else ("--versions", service.versions)
    if of_backup:
        code = service.run("backup", place, "--to", str(first), *stored, die_at=case.die_at)
        problems = _of_half_backup(first, is_whole=case.point == "backup finished")
    problems_again = _again(service, "backup", place, second, *stored)
    if not of_backup:
        source = ("restore", str(second), "--to", str(first), *_store_of(service, first))
        code = service.run(*source, die_at=case.die_at)
        problems = _of_half_restore(first)
    to = _store_of(service, restored)
    problems += [*problems_again, *_again(service, "restore", str(second), restored, *to)]
    with_restored = Database.open_unchanged(None, restored, *to[1:])
    try:
        problems += [one.problem for one in examine(with_restored, is_served=False)]
    finally:
        with_restored.close()
    return code is None, problems


def _store_of(service: Service, folder: Path) -> tuple[str, ...]:
    """Return the flag of a new store for a restore, where the service has one."""
    return () if service.versions is None else ("--versions", store_in(folder))


def _again(service: Service, command: str, source: str, target: Path, *flags: str) -> list[str]:
    code = service.run(command, source, "--to", str(target), *flags)
    return [] if code == 0 else [f"another {command} failed ({code}): {service.said()}"]


def _of_half_backup(folder: Path, *, is_whole: bool) -> list[str]:
    try:
        verify_backup(folder)
    except InputError as error:
        return [f"a whole backup is refused: {error}"] if is_whole else []
    return [] if is_whole else ["a backup that was not finished is taken for one"]


def _of_half_restore(folder: Path) -> list[str]:
    try:
        Database.open_unchanged(None, folder).close()
    except StoreError:
        return []
    return ["a restore that was not finished is taken for a data folder"]
