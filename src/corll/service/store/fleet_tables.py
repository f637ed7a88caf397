"""The tables by which processes that share a database know of each other."""

from __future__ import annotations

from sqlalchemy import Column, Float, String, Table

from corll.service.store.columns import Json, metadata, number

# What browsers are told of users' edits and versions, for an hour: posted by the process where it
# happened (`origin`), and read by all others.
news = Table(
    "news",
    metadata,
    number(),
    Column("user_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("event", Json, nullable=False),
    Column("origin", String, nullable=False),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Learners that are processes of their own, and when each was seen last, by the database's clock.
learners = Table(
    "learners",
    metadata,
    Column("holder", String, primary_key=True),
    Column("seen_at", Float, nullable=False),
)

# The oldest revision whose processes may go on with this schema.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("revision", String, primary_key=True),
)
