"""News between the processes that share a database, its learners, and who may go on with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds three tables; processes of this revision may go on with what later ones add to it."""
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "news",
        sa.Column("number", counter, autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_news"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_news_user_id", "news", ["user_id"])
    op.create_table(
        "learners",
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name="pk_learners"),
    )
    compatibility = op.create_table(
        "schema_compatibility",
        sa.Column("revision", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_compatibility"),
    )
    op.execute(sa.insert(compatibility).values(revision=revision))
