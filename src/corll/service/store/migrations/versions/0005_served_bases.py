"""Which base model is served, whose ids a draft holds, and what served when a lineage ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds a table and two columns; takes the base that was served so far as the one that is."""
    op.create_table(
        "served_bases",
        sa.Column("number", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reference_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "reason IN ('auto', 'named', 'switched', 'found')", name="ck_served_bases_reason"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_served_bases"),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["model_references.id"], name="fk_served_bases_reference_id"
        ),
        sqlite_autoincrement=True,
    )
    op.add_column("lineages", sa.Column("ended_with", sa.String()))
    op.add_column("drafts", sa.Column("base_fingerprint", sa.String()))
    _take_what_was_served()


def _take_what_was_served() -> None:
    """Of several bases the one that most users learn on, else the latest."""
    db = op.get_bind()
    bases = sa.table("model_references", *map(sa.column, _REFERENCE))
    lineages = sa.table("lineages", sa.column("reference_id"), sa.column("ended_at"))
    learning = (
        sa.select(sa.func.count())
        .where(lineages.c.reference_id == bases.c.id, lineages.c.ended_at.is_(None))
        .scalar_subquery()
    )
    query = sa.select(bases).where(bases.c.kind == "base")
    base = db.execute(query.order_by(learning.desc(), bases.c.number.desc())).mappings().first()
    if base is None:
        return
    served = sa.table("served_bases", *map(sa.column, _SERVED))
    row = {"name": base["name"], "reference_id": base["id"], "created_at": base["created_at"]}
    db.execute(sa.insert(served).values(reason="found", **row))
    drafts = sa.table("drafts", sa.column("base_fingerprint"))
    db.execute(sa.update(drafts).values(base_fingerprint=base["base_fingerprint"]))


_REFERENCE = ("id", "number", "kind", "name", "base_fingerprint", "created_at")
_SERVED = ("name", "reference_id", "reason", "created_at")
