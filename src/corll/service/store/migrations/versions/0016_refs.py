"""The references by which clients find their drafts, and what responses follow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns; no draft of before has a reference, and none was a response."""
    op.add_column("drafts", sa.Column("ref", sa.String()))
    op.add_column("drafts", sa.Column("response", sa.JSON(none_as_null=True)))
    op.create_index("ix_drafts_user_id_ref", "drafts", ["user_id", "ref"])
