"""All that is kept of a user, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import Connection

from corll.service.store import (
    coins,
    comparisons,
    deletions,
    drafts,
    imports,
    lineages,
    preferences,
    starts,
)
from corll.service.store.accounts import AuditRow, User, read_audit
from corll.service.store.database import Database
from corll.service.store.imports import ImportItem

Row = TypeVar("Row")

_PAGE = 200


def export_lines(database: Database, user: User) -> Iterator[str]:
    """Yield the user, then all that is kept of them, a line each.

    These are drafts, edits, comparisons, preferences, imports with their items, the coin and its
    decided trials, lineages, versions, deletions and audit entries.
    """
    yield _line("user", asdict(user))
    yield from _pages(database, user, "draft", drafts.drafts_of)
    yield from _pages(database, user, "edit", drafts.edits_of)
    yield from _pages(database, user, "comparison", comparisons.comparisons_of)
    yield from _pages(database, user, "preference", preferences.preferences_page)
    for row in _paged(database, _after_id(imports.imports_of, user)):
        yield _line("import", asdict(row))
        for item in _paged(database, _items_after(row.id)):
            yield _line("import_item", asdict(item))
    with database.read() as db:
        lines = lineages.lineages_of(db, user.id)
        found = {
            line.reference_id: lineages.find_reference(db, line.reference_id) for line in lines
        }
        versions = lineages.versions_of(db, user.id)
        coin, trials = coins.coin_of(db, user.id), coins.trials_of(db, user.id)
        asked = starts.starts_of(db, user.id)
        receipts = [row.to_receipt() for row in deletions.deletions_of(db, user.id)]
    if coin is not None:
        yield _line("coin", coin.to_dict())
    for trial in trials:
        yield _line("trial", asdict(trial))
    for start in asked:
        yield _line("start", asdict(start))
    for line in lines:
        reference = found[line.reference_id]
        assert reference is not None
        about = {"number": reference.number, "kind": reference.kind, "name": reference.name}
        yield _line("lineage", {**asdict(line), "reference": about})
    for version in versions:
        yield _line("version", {**asdict(version), "folder": version.folder is not None})
    for receipt in receipts:
        yield _line("deletion", receipt.model_dump())
    for entry in _paged(database, _audit_before(user)):
        yield _line("audit", asdict(entry))


def _pages(
    database: Database, user: User, record: str, page: Callable[..., list[Any]]
) -> Iterator[str]:
    """Yield lines of all rows of a kind, newest first."""
    for row in _paged(database, _after_id(page, user)):
        yield _line(record, asdict(row))


def _paged(
    database: Database, page: Callable[[Connection, Row | None], list[Row]]
) -> Iterator[Row]:
    """Yield rows a page at a time, so that no export holds all of a history in memory.

    `page` gives what follows the last row of the page before, or begins where that is None.
    """
    last: Row | None = None
    while True:
        with database.read() as db:
            rows = page(db, last)
        if not rows:
            return
        yield from rows
        last = rows[-1]


def _after_id(
    page: Callable[..., list[Any]], user: User
) -> Callable[[Connection, Any | None], list[Any]]:
    return lambda db, last: page(db, user.id, limit=_PAGE, before=None if last is None else last.id)


def _items_after(import_id: str) -> Callable[[Connection, ImportItem | None], list[ImportItem]]:
    return lambda db, last: imports.items_of(
        db, import_id, limit=_PAGE, after=0 if last is None else last.number
    )


def _audit_before(user: User) -> Callable[[Connection, AuditRow | None], list[AuditRow]]:
    return lambda db, last: read_audit(
        db, subject=user.id, limit=_PAGE, before=None if last is None else last.number
    )


def _line(record: str, content: dict[str, Any]) -> str:
    return json.dumps({"record": record, **content}, ensure_ascii=False) + "\n"
