"""Which arm drafted, and by which coins that is decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ARMS = "('base', 'memory', 'weights', 'both')"


def upgrade() -> None:
    """Adds columns and three tables; of earlier drafts no coin decided."""
    op.add_column("users", sa.Column("arm", sa.String()))
    for column in ("arm", sa.String()), ("trial", sa.Integer()), ("share", sa.Float()):
        op.add_column("drafts", sa.Column(*column))
    for table in ("coins", "free_evidence"):
        op.create_table(
            table,
            sa.Column("user_id", sa.String(), nullable=False),
            sa.Column("state", sa.JSON(none_as_null=True), nullable=False),
            sa.Column("updated_at", sa.Float(), nullable=False),
            sa.PrimaryKeyConstraint("user_id", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id"),
        )
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "trials",
        sa.Column("number", counter, autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("winner", sa.String(), nullable=False),
        sa.Column("loser", sa.String(), nullable=False),
        sa.Column("drafts", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_trials"),
        sa.CheckConstraint(f"winner IN {_ARMS}", name="ck_trials_winner"),
        sa.CheckConstraint(f"loser IN {_ARMS}", name="ck_trials_loser"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_trials_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_trials_user_id", "trials", ["user_id"])
