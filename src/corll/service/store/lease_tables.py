"""The table of learners' leases on users."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, String, Table

from corll.service.store.columns import metadata

# Which learner works for a user. The fence counts how often the user was taken; what was begun
# under an earlier one is not registered. A lease ends by the database's clock.
learning_leases = Table(
    "learning_leases",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("holder", String, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
)
