"""What a user wrote of a prompt that stands in a frame, beside the framed prompt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two columns; of prompts from before nothing is known but their whole text."""
    op.add_column("drafts", sa.Column("asked", sa.JSON(none_as_null=True)))
    op.add_column("import_items", sa.Column("asked", sa.JSON(none_as_null=True)))
