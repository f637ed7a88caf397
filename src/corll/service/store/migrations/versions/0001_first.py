"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Creates them in an order in which each finds those that it refers to."""
    _create_users()
    _create_keys()
    _create_audit_log()
    _create_model_references()
    _create_lineages()
    _create_versions()
    _create_aliases()
    _create_drafts()
    _create_imports()
    _create_import_items()
    _create_preferences()
    _create_version_preferences()
    _create_edits()
    _create_comparisons()


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("store", sa.Boolean(), nullable=False),
        sa.Column("learn", sa.Boolean(), nullable=False),
        sa.Column("share", sa.Boolean(), nullable=False),
        sa.Column("holdback", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("namespace", "name", name="uq_users_namespace_name"),
    )


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("user_id", sa.String()),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("rate_per_minute", sa.Integer()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.CheckConstraint("scope IN ('admin', 'backend', 'user')", name="ck_keys_scope"),
        sa.UniqueConstraint("secret_sha256", name="uq_keys_secret_sha256"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_keys_user_id"),
    )


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("details", _JSON, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_log"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"])


def _create_model_references() -> None:
    op.create_table(
        "model_references",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("folder", sa.String()),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("base_fingerprint", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_references"),
        sa.UniqueConstraint(
            "kind",
            "fingerprint",
            "base_fingerprint",
            name="uq_model_references_kind_fingerprint_base_fingerprint",
        ),
        sa.CheckConstraint("kind IN ('base', 'adapter')", name="ck_model_references_kind"),
        sa.UniqueConstraint("number", name="uq_model_references_number"),
    )


def _create_lineages() -> None:
    op.create_table(
        "lineages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("reference_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_lineages"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_lineages_user_id"),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["model_references.id"], name="fk_lineages_reference_id"
        ),
    )
    op.create_index("ix_lineages_user_id", "lineages", ["user_id"])


def _create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("lineage_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String()),
        sa.Column("reference_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reasons", _JSON, nullable=False),
        sa.Column("metrics", _JSON, nullable=False),
        sa.Column("folder", sa.String()),
        sa.Column("manifest_sha256", sa.String()),
        sa.Column("has_optimizer", sa.Boolean(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("served_at", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("user_id", "number", name="uq_versions_user_id_number"),
        sa.CheckConstraint(
            "state IN ('candidate', 'serving', 'retired', 'rejected')", name="ck_versions_state"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_versions_user_id"),
        sa.ForeignKeyConstraint(["lineage_id"], ["lineages.id"], name="fk_versions_lineage_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name="fk_versions_parent_id"),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["model_references.id"], name="fk_versions_reference_id"
        ),
    )


def _create_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String()),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_aliases"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_aliases_user_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_aliases_version_id"),
    )


def _create_drafts() -> None:
    op.create_table(
        "drafts",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String()),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("prompt", _JSON, nullable=False),
        sa.Column("version_id", sa.String()),
        sa.Column("candidates", _JSON, nullable=False),
        sa.Column("shown", _JSON, nullable=False),
        sa.Column("scores", _JSON),
        sa.Column("sampling", _JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("held_back", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_drafts"),
        sa.CheckConstraint("kind IN ('chat', 'text')", name="ck_drafts_kind"),
        sa.CheckConstraint("status IN ('complete', 'cancelled')", name="ck_drafts_status"),
        sa.CheckConstraint("source IN ('live', 'import')", name="ck_drafts_source"),
        sa.UniqueConstraint("id", name="uq_drafts_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_drafts_user_id"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_drafts_key_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_drafts_version_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_drafts_user_id_number", "drafts", ["user_id", "number"])


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("result", _JSON),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float()),
        sa.PrimaryKeyConstraint("number", name="pk_imports"),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed')", name="ck_imports_state"
        ),
        sa.UniqueConstraint("id", name="uq_imports_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_imports_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_imports_state", "imports", ["state"])
    op.create_index("ix_imports_user_id", "imports", ["user_id"])


def _create_import_items() -> None:
    op.create_table(
        "import_items",
        sa.Column("import_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("prompt", _JSON, nullable=False),
        sa.Column("draft", sa.Text()),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.Column("held_out", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("import_id", "number", name="pk_import_items"),
        sa.CheckConstraint("state IN ('waiting', 'used', 'skipped')", name="ck_import_items_state"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name="fk_import_items_import_id"),
    )


def _create_preferences() -> None:
    op.create_table(
        "preferences",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("draft_id", sa.String(), nullable=False),
        sa.Column("import_id", sa.String()),
        sa.Column("prompt", _JSON, nullable=False),
        sa.Column("chosen", _JSON, nullable=False),
        sa.Column("rejected", _JSON, nullable=False),
        sa.Column("reference", _JSON),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version_id", sa.String()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_preferences"),
        sa.CheckConstraint(
            "source IN ('edit', 'comparison', 'import')", name="ck_preferences_source"
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'learned', 'withheld', 'set_aside', 'replaced')",
            name="ck_preferences_state",
        ),
        sa.UniqueConstraint("id", name="uq_preferences_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_preferences_user_id"),
        sa.ForeignKeyConstraint(["draft_id"], ["drafts.id"], name="fk_preferences_draft_id"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name="fk_preferences_import_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_preferences_version_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_preferences_draft_id", "preferences", ["draft_id"])
    op.create_index("ix_preferences_import_id", "preferences", ["import_id"])
    op.create_index(
        "ix_preferences_user_id_state_number", "preferences", ["user_id", "state", "number"]
    )


def _create_version_preferences() -> None:
    op.create_table(
        "version_preferences",
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("preference_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "preference_id", name="pk_version_preferences"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_preferences_version_id"
        ),
        sa.ForeignKeyConstraint(
            ["preference_id"], ["preferences.id"], name="fk_version_preferences_preference_id"
        ),
    )
    op.create_index(
        "ix_version_preferences_preference_id", "version_preferences", ["preference_id"]
    )


def _create_edits() -> None:
    op.create_table(
        "edits",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("draft_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("preference_id", sa.String()),
        sa.Column("edit_cost", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_edits"),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_edits_user_id_idempotency_key"),
        sa.CheckConstraint("state IN ('accepted', 'recorded', 'replaced')", name="ck_edits_state"),
        sa.UniqueConstraint("id", name="uq_edits_id"),
        sa.ForeignKeyConstraint(["draft_id"], ["drafts.id"], name="fk_edits_draft_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_edits_user_id"),
        sa.ForeignKeyConstraint(
            ["preference_id"], ["preferences.id"], name="fk_edits_preference_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_edits_draft_id_choice", "edits", ["draft_id", "choice"])
    op.create_index("ix_edits_preference_id", "edits", ["preference_id"])
    op.create_index("ix_edits_user_id_number", "edits", ["user_id", "number"])


def _create_comparisons() -> None:
    op.create_table(
        "comparisons",
        sa.Column("number", _COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("chosen_draft_id", sa.String(), nullable=False),
        sa.Column("chosen_choice", sa.Integer(), nullable=False),
        sa.Column("rejected_draft_id", sa.String(), nullable=False),
        sa.Column("rejected_choice", sa.Integer(), nullable=False),
        sa.Column("preference_id", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String()),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_comparisons"),
        sa.UniqueConstraint(
            "user_id", "idempotency_key", name="uq_comparisons_user_id_idempotency_key"
        ),
        sa.UniqueConstraint(
            "chosen_draft_id",
            "chosen_choice",
            "rejected_draft_id",
            "rejected_choice",
            name="uq_comparisons_sides",
        ),
        sa.UniqueConstraint("id", name="uq_comparisons_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_comparisons_user_id"),
        sa.ForeignKeyConstraint(
            ["chosen_draft_id"], ["drafts.id"], name="fk_comparisons_chosen_draft_id"
        ),
        sa.ForeignKeyConstraint(
            ["rejected_draft_id"], ["drafts.id"], name="fk_comparisons_rejected_draft_id"
        ),
        sa.ForeignKeyConstraint(
            ["preference_id"], ["preferences.id"], name="fk_comparisons_preference_id"
        ),
        sqlite_autoincrement=True,
    )
