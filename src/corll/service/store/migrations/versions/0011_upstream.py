"""Which drafts the model of another service wrote, and who lets past letters go to it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns; earlier drafts are of our own models, and nobody agreed to anything new."""
    op.add_column(
        "users", sa.Column("upstream", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    for table in ("drafts", "trials"):
        op.add_column(table, sa.Column("upstream", sa.String()))
