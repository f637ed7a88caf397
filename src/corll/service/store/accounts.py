"""Users and what they consent to, the keys that open the service, and the log of who did what."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, update

from corll.errors import ConfigError, InputError
from corll.memory.masking import Mask
from corll.schemas.states import ArmChoice, KeyScope
from corll.service.store.preferences import release_withheld, withhold_waiting
from corll.service.store.rows import (
    add_row,
    all_rows,
    find_row,
    hash_secret,
    new_id,
    select_rows,
)
from corll.service.store.schema import audit_log, keys, users
from corll.service.store.user_names import forms_of, is_name, settled, why_no_name

LOCAL_NAMESPACE = "local"
"""That of the first key, which `corll serve` makes."""

DEFAULT_USER = "default"
"""The user of a key that names none."""


@dataclass(frozen=True, slots=True)
class User:
    """Someone whose edits teach a model of their own.

    `store`, `learn` and `share` are the switches of consent. *Units*: `holdback` is the share of
    drafts, from 0 to 1, that the reference writes so that learning can be measured. `arm` is which
    arm is to draft, None where the service's setting says it. `upstream` is consent of its own:
    past letters may leave this machine, for another service's model. `mask` is what is masked of
    their texts before they are learned from, None where the service's setting says it.
    """

    id: str
    namespace: str
    name: str
    store: bool
    learn: bool
    share: bool
    holdback: float
    created_at: float
    arm: ArmChoice | None = None
    upstream: bool = False
    mask: Mask | None = None

    @property
    def is_remembered(self) -> bool:
        """Whether texts that they sent may stand before their requests."""
        return self.store and self.learn

    @property
    def sends_letters(self) -> bool:
        """Whether these may also stand before requests to another service's model."""
        return self.is_remembered and self.upstream


@dataclass(frozen=True, slots=True)
class Key:
    """A bearer key; its secret is shown once and kept as a hash only.

    `revoked_at` is when it ended, or will end where another has taken its place.
    """

    id: str
    scope: KeyScope
    namespace: str
    user_id: str | None
    label: str
    rate_per_minute: int | None
    created_at: float
    revoked_at: float | None

    def is_live(self, now: float) -> bool:
        """Say whether it opens the service."""
        return self.revoked_at is None or self.revoked_at > now


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to whom, and when; never with a user's text."""

    number: int
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    created_at: float


def get_or_create_user(
    db: Connection, namespace: str, name: str, *, store: bool, learn: bool = False, now: float
) -> User:
    """Return the user of that name, or id; a new one has the consent of `store` and `learn`.

    *Raises*: InputError for what cannot be a new user's name.
    """
    found = find_user_called(db, namespace, name) if is_name(name) else None
    if found is not None and found.namespace == namespace:
        return found
    if (why := why_no_name(name)) is not None:
        raise InputError(why)
    user = User(
        id=new_id("user"),
        namespace=namespace,
        name=settled(name),
        store=store,
        learn=learn,
        share=False,
        holdback=0.0,
        created_at=now,
    )
    add_row(db, users, user)
    return user


def find_user(db: Connection, user_id: str) -> User | None:
    """Return the user of that id."""
    return find_row(db, User, users, users.c.id == user_id)


def find_user_by_name(db: Connection, namespace: str, name: str) -> User | None:
    """Return the user whom a namespace knows by that name, in any form of Unicode."""
    forms = forms_of(name)
    theirs = (users.c.namespace == namespace) & users.c.name.in_(set(forms))
    found = {user.name: user for user in all_rows(db, User, select_rows(User, users).where(theirs))}
    return next((found[form] for form in forms if form in found), None)


def find_user_called(db: Connection, namespace: str, identity: str) -> User | None:
    """Return the user of that id, else the one whom a namespace knows by that name.

    Both are asked for, so that another's id takes as long as nobody's.
    """
    named = find_user_by_name(db, namespace, identity)
    return find_user(db, identity) or named


def users_of(db: Connection, namespace: str | None) -> list[User]:
    """Return the users of a namespace, or of all where it is None, in order of their names."""
    query = select_rows(User, users).order_by(users.c.namespace, users.c.name)
    if namespace is not None:
        query = query.where(users.c.namespace == namespace)
    return all_rows(db, User, query)


def set_consent(
    db: Connection,
    user_id: str,
    *,
    store: bool | None = None,
    learn: bool | None = None,
    share: bool | None = None,
    holdback: float | None = None,
    arm: ArmChoice | None = None,
    upstream: bool | None = None,
    mask: Mask | None = None,
    include_past: bool = False,
    actor: str,
    now: float,
) -> User:
    """Change what is given and leave what is None.

    Where learning ends, what waits is withheld; where it is on, `include_past` lets what was
    withheld wait again. *Raises*: InputError where there is no such user.
    """
    before = find_user(db, user_id)
    if before is None:
        raise InputError(f"there is no user {user_id!r}; GET /v1/users lists those there are")
    asked: dict[str, Any] = {"store": store, "learn": learn, "share": share, "upstream": upstream}
    asked |= {"holdback": holdback, "arm": arm, "mask": mask}
    changes = {name: value for name, value in asked.items() if value is not None}
    if changes:
        db.execute(update(users).where(users.c.id == user_id).values(**changes))
    after = find_user(db, user_id)
    assert after is not None
    details: dict[str, Any] = {
        name: [getattr(before, name), value] for name, value in changes.items()
    }
    if before.learn and not after.learn:
        details["withheld"] = withhold_waiting(db, user_id)
    elif after.learn and include_past:
        details["released"] = release_withheld(db, user_id)
    audit(db, actor=actor, action="consent", subject=user_id, details=details, now=now)
    return after


def create_key(
    db: Connection,
    *,
    scope: KeyScope,
    namespace: str,
    label: str,
    user_id: str | None = None,
    secret: str | None = None,
    rate_per_minute: int | None = None,
    actor: str,
    now: float,
) -> tuple[Key, str]:
    """Make a new key; return it and its secret, which cannot be read again.

    *Raises*: ConfigError where a given secret belongs to a key already, revoked ones included.
    """
    secret = "corll-" + secrets.token_urlsafe(32) if secret is None else secret
    hashed = hash_secret(secret)
    taken = find_row(db, Key, keys, keys.c.secret_sha256 == hashed)
    if taken is not None:
        state = "revoked" if taken.revoked_at is not None else "in use"
        raise ConfigError(f"this secret is that of key {taken.id}, {state}; choose another")
    values = {"scope": scope, "namespace": namespace, "user_id": user_id, "label": label}
    key_id = new_id("key")
    db.execute(
        insert(keys).values(
            id=key_id,
            secret_sha256=hashed,
            rate_per_minute=rate_per_minute,
            created_at=now,
            revoked_at=None,
            **values,
        )
    )
    audit(db, actor=actor, action="key created", subject=key_id, details=values, now=now)
    key = find_row(db, Key, keys, keys.c.id == key_id)
    assert key is not None
    return key, secret


def find_key(db: Connection, secret: str, *, now: float) -> Key | None:
    """Return the key with that secret, unless it has ended."""
    return find_key_by_hash(db, hash_secret(secret), now=now)


def find_key_by_hash(db: Connection, hashed: str, *, now: float) -> Key | None:
    """Return the key whose secret has that hash, unless it has ended.

    The database compares hashes, so how long that takes says nothing of a secret.
    """
    return find_row(db, Key, keys, keys.c.secret_sha256 == hashed, _is_live(now))


def list_keys(db: Connection, namespace: str | None) -> list[Key]:
    """Return the keys of a namespace, or of all for None, oldest first; revoked ones too."""
    query = select_rows(Key, keys).order_by(keys.c.created_at, keys.c.id)
    if namespace is not None:
        query = query.where(keys.c.namespace == namespace)
    return all_rows(db, Key, query)


def revoke_key(db: Connection, key_id: str, *, actor: str, now: float) -> bool:
    """End a key; say whether there was one to end."""
    live = (keys.c.id == key_id) & _is_live(now)
    if db.execute(update(keys).where(live).values(revoked_at=now)).rowcount == 0:
        return False
    audit(db, actor=actor, action="key revoked", subject=key_id, details={}, now=now)
    return True


def rotate_key(
    db: Connection, key_id: str, *, overlap_s: float, actor: str, now: float
) -> tuple[Key, str] | None:
    """Make a key that may do what another may, which ends after `overlap_s`; return its secret too.

    None where there is no such key, or it has ended or is going to. *Units*: seconds.
    """
    live = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
    old = find_row(db, Key, keys, live)
    # Of two that found it at the same time, one takes its place.
    ended = update(keys).where(live).values(revoked_at=now + overlap_s)
    if old is None or db.execute(ended).rowcount == 0:
        return None
    new, secret = create_key(
        db,
        scope=old.scope,
        namespace=old.namespace,
        label=old.label,
        user_id=old.user_id,
        rate_per_minute=old.rate_per_minute,
        actor=actor,
        now=now,
    )
    details = {"by": new.id, "ends_at": now + overlap_s}
    audit(db, actor=actor, action="key rotated", subject=key_id, details=details, now=now)
    return new, secret


def _is_live(now: float) -> ColumnElement[bool]:
    return keys.c.revoked_at.is_(None) | (keys.c.revoked_at > now)


def audit(
    db: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    details: dict[str, Any],
    now: float,
) -> None:
    """Note who did what to whom."""
    row = {"actor": actor, "action": action, "subject": subject, "details": details}
    db.execute(insert(audit_log).values(created_at=now, **row))


def read_audit(
    db: Connection, *, subject: str | None = None, limit: int = 100, before: int | None = None
) -> list[AuditRow]:
    """Return entries, the latest first; of one subject, and before a number, where given."""
    query = select_rows(AuditRow, audit_log).order_by(audit_log.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_log.c.number < before)
    if subject is not None:
        query = query.where(audit_log.c.subject == subject)
    return all_rows(db, AuditRow, query)
