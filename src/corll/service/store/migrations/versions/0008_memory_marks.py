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
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("exchange_id", sa.String, primary_key=True),
        sa.Column("mark", sa.String, nullable=False),
        sa.CheckConstraint("mark IN ('pinned', 'skipped')", name="mark"),
    )
    op.create_table(
        "memories_cleared",
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("cleared_at", sa.Float, nullable=False),
    )
