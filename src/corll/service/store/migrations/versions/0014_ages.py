"""Texts that grew too old, as a kind of deletion; and how what is learned again was learned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_KINDS = "('edit', 'draft', 'import', 'texts', 'model', 'user', 'age')"
_NAME = "ck_deletions_kind"
_GUARD = "audit_log_no_update"


def upgrade() -> None:
    """Lets a deletion be of one more kind, finds drafts by their time, and adds a column.

    Replays that are open go on as they can be: how was not kept.
    """
    json = sa.JSON(none_as_null=True)
    recipes = sa.Column("recipes", json, nullable=False, server_default=sa.text("'[]'"))
    op.add_column("replays", recipes)
    op.create_index("ix_drafts_created_at", "drafts", ["created_at"])
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(_NAME, "deletions")
        op.create_check_constraint(op.f(_NAME), "deletions", f"kind IN {_KINDS}")
        return
    # A table of SQLite is made anew, which its name in a guard's condition would forbid.
    guard = op.get_bind().exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?", (_GUARD,)
    )
    made_by = guard.scalar_one()
    op.execute(f"DROP TRIGGER {_GUARD}")
    with op.batch_alter_table(
        "deletions", recreate="always", table_kwargs={"sqlite_autoincrement": True}
    ) as table:
        table.drop_constraint(_NAME, type_="check")
        table.create_check_constraint(op.f(_NAME), f"kind IN {_KINDS}")
    op.execute(made_by)
