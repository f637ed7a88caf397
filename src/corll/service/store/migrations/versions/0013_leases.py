"""Which learner works for which user, where several share a database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a table, in which nobody has taken anyone yet."""
    op.create_table(
        "learning_leases",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_learning_leases"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_learning_leases_user_id"),
    )
