"""Folders of versions and references relative to the data folder, which may then be moved."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FOLDERS = {"versions": "versions", "model_references": "references"}
"""Table → the folder of the data folder in which its rows' folders lie."""


def upgrade() -> None:
    """Rewrites each absolute path that ends in such a folder; leaves every other as it is."""
    db = op.get_bind()
    for table, parent in _FOLDERS.items():
        rows = sa.table(table, sa.column("id", sa.String), sa.column("folder", sa.String))
        query = sa.select(rows.c.id, rows.c.folder).where(rows.c.folder.is_not(None))
        absolute = re.compile(
            rf"(?:/|[A-Za-z]:[/\\])(?:.*[/\\])?{parent}[/\\](?P<name>[^/\\]+)[/\\]?"
        )
        for row_id, folder in db.execute(query).all():
            if found := absolute.fullmatch(folder):
                relative = f"{parent}/{found['name']}"
                db.execute(sa.update(rows).where(rows.c.id == row_id).values(folder=relative))
