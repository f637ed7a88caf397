"""Which exchanges stood before a prompt while it was drafted for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column; before drafts of earlier releases nothing stood."""
    column = sa.Column(
        "memory", sa.JSON(none_as_null=True), nullable=False, server_default=sa.text("'[]'")
    )
    op.add_column("drafts", column)
