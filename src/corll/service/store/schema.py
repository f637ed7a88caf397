"""The tables. Times are Unix seconds in UTC; what has a `number` is ordered by it.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
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
    StartState,
    VersionState,
)
from corll.service.store.audit_guards import guard
from corll.service.store.columns import Json, metadata, number, one_of, state_of_each_user
from corll.service.store.deletion_tables import deletions as deletions
from corll.service.store.deletion_tables import replays as replays
from corll.service.store.fleet_tables import learners as learners
from corll.service.store.fleet_tables import news as news
from corll.service.store.fleet_tables import schema_compatibility as schema_compatibility
from corll.service.store.lease_tables import learning_leases as learning_leases
from corll.service.store.sign_in_tables import sessions as sessions
from corll.service.store.sign_in_tables import sign_in_links as sign_in_links
from corll.verdicts.arms import Arm

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
    # Which arm is to draft, in place of the setting; whether letters may go to an upstream.
    Column("arm", String),
    Column("upstream", Boolean, nullable=False, server_default=false()),
    # What is masked before it is learned from, in place of the setting.
    Column("mask", String),
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
    one_of("scope", KeyScope),
)

audit_log = Table(
    "audit_log",
    metadata,
    number(),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False, index=True),
    Column("details", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

guard(audit_log)

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
    # Erased, since they were made of weights that saw a deleted text.
    Column("erased_at", Float),
    UniqueConstraint("kind", "fingerprint", "base_fingerprint"),
    one_of("kind", ReferenceKind),
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

# Which references users are to start from, and whether those were examined before.
starts = Table(
    "starts",
    metadata,
    number(),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("reference_id", String, ForeignKey("model_references.id"), nullable=False),
    Column("state", String, nullable=False),
    Column("reasons", Json, nullable=False),
    Column("actor", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("decided_at", Float),
    one_of("state", StartState),
    sqlite_autoincrement=True,
)

# The base models that were served, one after the other; the last one is.
served_bases = Table(
    "served_bases",
    metadata,
    number(),
    Column("name", String, nullable=False),
    Column("reference_id", String, ForeignKey("model_references.id"), nullable=False),
    Column("reason", String, nullable=False),
    Column("created_at", Float, nullable=False),
    one_of("reason", BaseReason),
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
    Column("reasons", Json, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("folder", String),
    Column("manifest_sha256", String),
    Column("has_optimizer", Boolean, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("served_at", Float),
    # Of its own steps: batches, memory, time, and what computed them.
    Column("recipe", Json),
    # Erased, since it saw a deleted text.
    Column("erased_at", Float),
    UniqueConstraint("user_id", "number"),
    one_of("state", VersionState),
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
    number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("key_id", String, ForeignKey("keys.id")),
    Column("kind", String, nullable=False),
    Column("model", String, nullable=False),
    Column("prompt", Json, nullable=False),
    Column("version_id", String, ForeignKey("versions.id")),
    Column("candidates", Json, nullable=False),
    Column("shown", Json, nullable=False),
    Column("scores", Json),
    Column("sampling", Json, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("held_back", Boolean, nullable=False),
    Column("source", String, nullable=False),
    Column("created_at", Float, nullable=False),
    # Drawn while the blind holdback was on.
    Column("blind", Boolean, nullable=False, server_default=false()),
    # Of the base model whose token ids the candidates hold; those of an `upstream` hold none.
    Column("base_fingerprint", String),
    # What the user wrote of a framed prompt: frame, message, hint, name, template.
    Column("asked", Json),
    # Ids of the exchanges that stood before the prompt.
    Column("memory", Json, nullable=False, server_default=text("'[]'")),
    # Which arm drafted; where a coin decided on it, in which trial, and the challenger's share.
    Column("arm", String),
    Column("trial", Integer),
    Column("share", Float),
    Column("upstream", String),
    # The client's own reference of it; of a response, what it follows and was asked for with.
    Column("ref", String),
    Column("response", Json),
    one_of("kind", DraftKind),
    one_of("status", DraftStatus),
    one_of("source", DraftSource),
    Index(None, "user_id", "number"),
    # Which have grown too old to be kept.
    Index(None, "created_at"),
    Index(None, "user_id", "ref"),
    sqlite_autoincrement=True,
)

imports = Table(
    "imports",
    metadata,
    number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("total", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("result", Json),
    Column("error", Text),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    # A deleted import keeps its row, by which what was learned from it is found.
    Column("deleted_at", Float),
    one_of("state", ImportState),
    sqlite_autoincrement=True,
)

import_items = Table(
    "import_items",
    metadata,
    Column("import_id", String, ForeignKey("imports.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("prompt", Json, nullable=False),
    Column("draft", Text),
    Column("sent", Text, nullable=False),
    Column("held_out", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    # As of drafts.
    Column("asked", Json),
    one_of("state", ImportItemState),
)

preferences = Table(
    "preferences",
    metadata,
    number(),
    Column("id", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("source", String, nullable=False),
    Column("draft_id", String, ForeignKey("drafts.id"), nullable=False, index=True),
    Column("import_id", String, ForeignKey("imports.id"), index=True),
    Column("prompt", Json, nullable=False),
    Column("chosen", Json, nullable=False),
    Column("rejected", Json, nullable=False),
    Column("reference", Json),
    Column("state", String, nullable=False),
    Column("version_id", String, ForeignKey("versions.id")),
    Column("created_at", Float, nullable=False),
    # Why it is withheld or set aside.
    Column("reason", Text),
    one_of("source", PreferenceSource),
    one_of("state", PreferenceState),
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
    one_of("mark", MemoryMark),
)

# Users whose earlier texts are to stand before nothing.
memories_cleared = Table(
    "memories_cleared",
    metadata,
    Column("user_id", String, ForeignKey("users.id"), primary_key=True),
    Column("cleared_at", Float, nullable=False),
)

# The coin by which it is found out which arm saves a user most; and what their edits say of what
# was learned, and of past letters (`Evidence`).
coins, free_evidence = map(state_of_each_user, ("coins", "free_evidence"))

# Trials between two arms that were decided.
trials = Table(
    "trials",
    metadata,
    number(),
    Column("user_id", String, ForeignKey("users.id"), nullable=False, index=True),
    Column("winner", String, nullable=False),
    Column("loser", String, nullable=False),
    Column("drafts", Integer, nullable=False),
    Column("decided_at", Float, nullable=False),
    Column("upstream", String),
    one_of("winner", Arm),
    one_of("loser", Arm),
    sqlite_autoincrement=True,
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
    number(),
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
    one_of("state", EditState),
    Index(None, "draft_id", "choice"),
    Index(None, "user_id", "number"),
    sqlite_autoincrement=True,
)

comparisons = Table(
    "comparisons",
    metadata,
    number(),
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
