"""What is masked of a user's texts before they are learned from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column; of users of before the service's setting says what is masked."""
    op.add_column("users", sa.Column("mask", sa.String()))
