"""Browsers that are signed in: by a link that works once, for a session that ends by itself.

Secrets are random and kept as hashes; a browser never holds a key.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from corll.service.store.accounts import audit
from corll.service.store.rows import find_row, hash_secret, new_id
from corll.service.store.schema import sessions, sign_in_links

LINK_LASTS_S = 15 * 60.0
SESSION_LASTS_S = 14 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that speaks for a user. `csrf` is what its requests must repeat in a header."""

    id: str
    csrf: str
    user_id: str
    created_at: float
    expires_at: float
    ended_at: float | None


def create_link(db: Connection, user_id: str, *, actor: str, now: float) -> str:
    """Make a link that signs a browser in, once, within a quarter of an hour; return its token."""
    token = secrets.token_urlsafe(32)
    db.execute(
        insert(sign_in_links).values(
            token_sha256=hash_secret(token),
            user_id=user_id,
            created_at=now,
            expires_at=now + LINK_LASTS_S,
        )
    )
    audit(db, actor=actor, action="link created", subject=user_id, details={}, now=now)
    return token


def redeem_link(db: Connection, token: str, *, now: float) -> tuple[Session, str] | None:
    """Start a session and return its secret too; None for a link that is unknown, used or old."""
    fresh = (
        (sign_in_links.c.token_sha256 == hash_secret(token))
        & sign_in_links.c.used_at.is_(None)
        & (sign_in_links.c.expires_at > now)
    )
    user_id = db.execute(select(sign_in_links.c.user_id).where(fresh)).scalar_one_or_none()
    # Of two that found it at the same time, one uses it.
    used = db.execute(update(sign_in_links).where(fresh).values(used_at=now)).rowcount
    if user_id is None or used == 0:
        return None
    secret, session_id = secrets.token_urlsafe(32), new_id("session")
    session = Session(
        id=session_id,
        csrf=secrets.token_urlsafe(24),
        user_id=user_id,
        created_at=now,
        expires_at=now + SESSION_LASTS_S,
        ended_at=None,
    )
    db.execute(
        insert(sessions).values(
            id=session.id,
            secret_sha256=hash_secret(secret),
            csrf=session.csrf,
            user_id=user_id,
            created_at=now,
            expires_at=session.expires_at,
        )
    )
    audit(db, actor=session.id, action="signed in", subject=user_id, details={}, now=now)
    return session, secret


def find_session(db: Connection, secret: str, *, now: float) -> Session | None:
    """Return the session of that secret, unless it has ended."""
    return find_session_by_hash(db, hash_secret(secret), now=now)


def find_session_by_hash(db: Connection, hashed: str, *, now: float) -> Session | None:
    """Return the session whose secret has that hash, unless it has ended."""
    return find_row(
        db,
        Session,
        sessions,
        sessions.c.secret_sha256 == hashed,
        sessions.c.ended_at.is_(None),
        sessions.c.expires_at > now,
    )


def end_session(db: Connection, session_id: str, *, now: float) -> None:
    """Sign a browser out."""
    db.execute(update(sessions).where(sessions.c.id == session_id).values(ended_at=now))
