"""The tables of browsers that are signed in; secrets are hashes."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, String, Table

from corll.service.store.columns import metadata

# Links that sign a browser in, once.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_sha256", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

# Browsers that are signed in.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("secret_sha256", String, nullable=False, unique=True),
    Column("csrf", String, nullable=False),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("ended_at", Float),
)
