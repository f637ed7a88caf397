"""The tables. Times are Unix seconds in UTC; what has a `number` is ordered by it.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from typing import get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
    text,
)

from corll.schemas.states import (
    BaseReason,
    DraftKind,
    DraftSource,
    DraftStatus,
    EditState,
    ImportItemState,
    ImportState,
    KeyScope,
    MemoryMark,
    PreferenceSource,
    PreferenceState,
    ReferenceKind,
    VersionState,
)
from corll.service.store.audit_guards import AUDIT_GUARDS

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite counts up integers of its own kind only.
_Counter = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True)


def _number() -> Column[int]:
    return Column("number", _Counter, primary_key=True, autoincrement=True)


def _one_of(column: str, allowed: object) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in get_args(allowed))
    return CheckConstraint(f"{column} IN ({listed})", name=column)


users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("store", Boolean, nullable=False),
    Column("learn", Boolean, nullable=False),
    Column("share", Boolean, nullable=False),
    Column("holdback", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("namespace", "name"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("secret_sha256", String, nullable=False, unique=True),
    Column("scope", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("user_id", String, ForeignKey("users.id")),
    Column("label", String, nullable=False),
    Column("rate_per_minute", Integer),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    _one_of("scope", KeyScope),
)

# Links that sign a browser in, once; and the browsers that are signed in. Secrets are hashes.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_sha256", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

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

audit_log = Table(
    "audit_log",
    metadata,
    _number(),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False, index=True),
    Column("details", _Json, nullable=False),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)


@event.listens_for(audit_log, "after_create")
def _guard_audit_log(_: Table, db: Connection, **__: object) -> None:
    for statement in AUDIT_GUARDS[db.dialect.name]:
        db.exec_driver_sql(statement)


# REFERENCES is a word of SQL.
references = Table(
    "model_references",
    metadata,
    Column("id", String, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("folder", String),
    Column("base_model", String, nullable=False),
    Column("base_fingerprint", String, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("kind", "fingerprint", "base_fingerprint"),
    _one_of("kind", ReferenceKind),
)

lineages = Table(
    "lineages",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("reference_id", String, ForeignKey("model_references.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    # The version that served when it ended; none where the reference did.
    Column("ended_with", String),
)

# The base models that were served, one after the other; the last one is.
served_bases = Table(
    "served_bases",
    metadata,
    _number(),
    Column("name", String, nullable=False),
    Column("reference_id", String, ForeignKey("model_references.id"), nullable=False),
    Column("reason", String, nullable=False),
    Column("created_at", Float, nullable=False),
    _one_of("reason", BaseReason),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("lineage_id", String, ForeignKey("lineages.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("parent_id", String, ForeignKey("versions.id")),
    Column("reference_id", String, ForeignKey("model_references.id"), nullable=False),
    Column("state", String, nullable=False),
    Column("reasons", _Json, nullable=False),
    Column("metrics", _Json, nullable=False),
    Column("folder", String),
    Column("manifest_sha256", String),
    Column("has_optimizer", Boolean, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("served_at", Float),
    UniqueConstraint("user_id", "number"),
    _one_of("state", VersionState),
)

# Which version of a user's serves; no row, or no version: the reference itself.
aliases = Table(
    "aliases",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("version_id", String, ForeignKey("versions.id")),
    Column("updated_at", Float, nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    _number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("key_id", String, ForeignKey("keys.id")),
    Column("kind", String, nullable=False),
    Column("model", String, nullable=False),
    Column("prompt", _Json, nullable=False),
    Column("version_id", String, ForeignKey("versions.id")),
    Column("candidates", _Json, nullable=False),
    Column("shown", _Json, nullable=False),
    Column("scores", _Json),
    Column("sampling", _Json, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("held_back", Boolean, nullable=False),
    Column("source", String, nullable=False),
    Column("created_at", Float, nullable=False),
    # Drawn while the blind holdback was on.
    Column("blind", Boolean, nullable=False, server_default=false()),
    # Of the base model whose token ids the candidates hold.
    Column("base_fingerprint", String),
    # What the user wrote of a framed prompt: frame, message, hint, name, template.
    Column("asked", _Json),
    # Ids of the exchanges that stood before the prompt.
    Column("memory", _Json, nullable=False, server_default=text("'[]'")),
    _one_of("kind", DraftKind),
    _one_of("status", DraftStatus),
    _one_of("source", DraftSource),
    Index(None, "user_id", "number"),
    sqlite_autoincrement=True,
)

imports = Table(
    "imports",
    metadata,
    _number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("total", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("result", _Json),
    Column("error", Text),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    # A deleted import keeps its row, by which what was learned from it is found.
    Column("deleted_at", Float),
    _one_of("state", ImportState),
    sqlite_autoincrement=True,
)

import_items = Table(
    "import_items",
    metadata,
    Column("import_id", String, ForeignKey("imports.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("prompt", _Json, nullable=False),
    Column("draft", Text),
    Column("sent", Text, nullable=False),
    Column("held_out", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    # As of drafts.
    Column("asked", _Json),
    _one_of("state", ImportItemState),
)

preferences = Table(
    "preferences",
    metadata,
    _number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("source", String, nullable=False),
    Column("draft_id", String, ForeignKey("drafts.id"), nullable=False, index=True),
    Column("import_id", String, ForeignKey("imports.id"), index=True),
    Column("prompt", _Json, nullable=False),
    Column("chosen", _Json, nullable=False),
    Column("rejected", _Json, nullable=False),
    Column("reference", _Json),
    Column("state", String, nullable=False),
    Column("version_id", String, ForeignKey("versions.id")),
    Column("created_at", Float, nullable=False),
    # Why it is withheld or set aside.
    Column("reason", Text),
    _one_of("source", PreferenceSource),
    _one_of("state", PreferenceState),
    Index(None, "user_id", "state", "number"),
    sqlite_autoincrement=True,
)

# What users said of exchanges that may stand before a request, by the ids of edits and items.
memory_marks = Table(
    "memory_marks",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("exchange_id", String, primary_key=True),
    Column("mark", String, nullable=False),
    _one_of("mark", MemoryMark),
)

# Users whose earlier texts are to stand before nothing.
memories_cleared = Table(
    "memories_cleared",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("cleared_at", Float, nullable=False),
)

# Users for whom a step was asked on all that waits, until nothing does.
learn_requests = Table(
    "learn_requests",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("asked_at", Float, nullable=False),
)

# What each version was taught, whether or not it came to serve.
version_preferences = Table(
    "version_preferences",
    metadata,
    Column("version_id", String, ForeignKey("versions.id"), primary_key=True),
    Column("preference_id", String, ForeignKey("preferences.id"), primary_key=True, index=True),
)

edits = Table(
    "edits",
    metadata,
    _number(),
    Column("id", String, nullable=False, unique=True),
    Column("draft_id", String, ForeignKey("drafts.id"), nullable=False),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("choice", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("idempotency_key", String),
    Column("state", String, nullable=False),
    Column("preference_id", String, ForeignKey("preferences.id"), index=True),
    Column("edit_cost", Float, nullable=False),
    Column("reason", Text),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("user_id", "idempotency_key"),
    _one_of("state", EditState),
    Index(None, "draft_id", "choice"),
    Index(None, "user_id", "number"),
    sqlite_autoincrement=True,
)

comparisons = Table(
    "comparisons",
    metadata,
    _number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("chosen_draft_id", String, ForeignKey("drafts.id"), nullable=False),
    Column("chosen_choice", Integer, nullable=False),
    Column("rejected_draft_id", String, ForeignKey("drafts.id"), nullable=False),
    Column("rejected_choice", Integer, nullable=False),
    Column("preference_id", String, ForeignKey("preferences.id"), nullable=False),
    Column("idempotency_key", String),
    Column("reason", Text),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("user_id", "idempotency_key"),
    UniqueConstraint(
        "chosen_draft_id",
        "chosen_choice",
        "rejected_draft_id",
        "rejected_choice",
        name="uq_comparisons_sides",
    ),
    sqlite_autoincrement=True,
)
