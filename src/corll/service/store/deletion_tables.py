"""The tables of what was deleted, and of lineages that are computed anew without it."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, String, Table, text

from corll.schemas.states import DeletionKind
from corll.service.store.columns import Json, metadata, number, one_of

# A deletion outlives its user, so it names no row of theirs.
deletions = Table(
    "deletions",
    metadata,
    number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, nullable=False, index=True),
    Column("namespace", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("receipt", Json, nullable=False),
    # Folders of weights, in the data folder, that are still to be removed.
    Column("folders", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    # When the folders were gone, and the database's files were rid of what was deleted.
    Column("cleaned_at", Float),
    one_of("kind", DeletionKind),
    sqlite_autoincrement=True,
)

# What each user's learner has to learn again without what was deleted; a row while it does.
replays = Table(
    "replays",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("lineage_id", String, ForeignKey("lineages.id"), nullable=False),
    # What serves meanwhile, and what the next step starts from; none: the reference.
    Column("stands_in_id", String, ForeignKey("versions.id")),
    Column("latest_id", String, ForeignKey("versions.id")),
    Column("preferences", Json, nullable=False),
    # The deletions that wait for it.
    Column("deletions", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    # How the preferences were learned before: of each version the batches and their plans, the
    # oldest first.
    Column("recipes", Json, nullable=False, server_default=text("'[]'")),
)
