"""What users said of the texts that may stand before their requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two tables; until now nobody had a say."""
    op.create_table(
        "memory_marks",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("exchange_id", sa.String(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "exchange_id", name="pk_memory_marks"),
        sa.CheckConstraint("mark IN ('pinned', 'skipped')", name="ck_memory_marks_mark"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memory_marks_user_id"),
    )
    op.create_table(
        "memories_cleared",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("cleared_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_memories_cleared"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memories_cleared_user_id"),
    )
