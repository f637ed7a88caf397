"""Which references users are to start from, and whether those were examined before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATES = "('examining', 'started', 'unexamined', 'rejected', 'withdrawn')"


def upgrade() -> None:
    """Adds the table; who started from an adapter before has no row, and started unexamined."""
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "starts",
        sa.Column("number", counter, autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("reference_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reasons", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("decided_at", sa.Float()),
        sa.CheckConstraint(f"state IN {_STATES}", name="ck_starts_state"),
        sa.PrimaryKeyConstraint("number", name="pk_starts"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_starts_user_id"),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["model_references.id"], name="fk_starts_reference_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_starts_user_id", "starts", ["user_id"])
