"""All that is kept of a user, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.database import Database

_PAGE = 200


def export_lines(database: Database, user: User) -> Iterator[str]:
    """The user, then every draft, edit, comparison, preference, version and audit entry."""
    yield _line("user", asdict(user))
    yield from _pages(database, user, "draft", drafts.drafts_of)
    yield from _pages(database, user, "edit", drafts.edits_of)
    with database.read() as db:
        for comparison in comparisons.comparisons_of(db, user.id):
            yield _line("comparison", asdict(comparison))
        for preference in preferences.preferences_of(db, user.id):
            yield _line("preference", asdict(preference))
        for version in lineages.versions_of(db, user.id):
            yield _line("version", {**asdict(version), "folder": version.folder is not None})
        for entry in accounts.read_audit(db, subject=user.id, limit=10_000):
            yield _line("audit", asdict(entry))


def _pages(
    database: Database, user: User, record: str, page: Callable[..., list[Any]]
) -> Iterator[str]:
    """Newest first, a page at a time, so that no export holds all of a history in memory."""
    before: str | None = None
    while True:
        with database.read() as db:
            rows = page(db, user.id, limit=_PAGE, before=before)
        if not rows:
            return
        for row in rows:
            yield _line(record, asdict(row))
        before = rows[-1].id


def _line(record: str, content: dict[str, Any]) -> str:
    return json.dumps({"record": record, **content}, ensure_ascii=False) + "\n"
