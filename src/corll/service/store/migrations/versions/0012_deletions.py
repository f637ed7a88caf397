"""What was deleted, the replays without it, and an audit log of which free text can be taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KINDS = "('edit', 'draft', 'import', 'texts', 'model', 'user')"
_NOT_REDACTED = (
    "NEW.number IS NOT OLD.number OR NEW.actor IS NOT OLD.actor OR NEW.action IS NOT OLD.action "
    "OR NEW.subject IS NOT OLD.subject OR NEW.created_at IS NOT OLD.created_at "
    "OR NEW.details NOT IN (SELECT '{\"redacted\": \"' || id || '\"}' FROM deletions)"
)
_AUDIT_GUARDS = {
    "sqlite": (
        "DROP TRIGGER audit_log_no_update",
        f"CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log WHEN {_NOT_REDACTED} "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
    ),
    "postgresql": (
        "DROP TRIGGER audit_log_append_only ON audit_log",
        "CREATE TRIGGER audit_log_append_only BEFORE DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
        "CREATE FUNCTION only_redact_audit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF (NEW.number, NEW.actor, NEW.action, NEW.subject, NEW.created_at) "
        "IS DISTINCT FROM (OLD.number, OLD.actor, OLD.action, OLD.subject, OLD.created_at) "
        "OR NEW.details::text NOT IN "
        "(SELECT '{\"redacted\": \"' || id || '\"}' FROM deletions) "
        "THEN RAISE EXCEPTION 'the audit log is only added to'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER audit_log_redacted_only BEFORE UPDATE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION only_redact_audit()",
    ),
}


def upgrade() -> None:
    """Adds columns and two tables; of versions of before it is not known how they were made."""
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    json = sa.JSON(none_as_null=True)
    op.add_column("versions", sa.Column("recipe", json))
    op.add_column("versions", sa.Column("erased_at", sa.Float()))
    op.add_column("model_references", sa.Column("erased_at", sa.Float()))
    op.create_table(
        "deletions",
        sa.Column("number", counter, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("receipt", json, nullable=False),
        sa.Column("folders", json, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("cleaned_at", sa.Float()),
        sa.CheckConstraint(f"kind IN {_KINDS}", name="ck_deletions_kind"),
        sa.PrimaryKeyConstraint("number", name="pk_deletions"),
        sa.UniqueConstraint("id", name="uq_deletions_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deletions_user_id", "deletions", ["user_id"])
    op.create_table(
        "replays",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("lineage_id", sa.String(), nullable=False),
        sa.Column("stands_in_id", sa.String()),
        sa.Column("latest_id", sa.String()),
        sa.Column("preferences", json, nullable=False),
        sa.Column("deletions", json, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_replays"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_replays_user_id"),
        sa.ForeignKeyConstraint(["lineage_id"], ["lineages.id"], name="fk_replays_lineage_id"),
        sa.ForeignKeyConstraint(["stands_in_id"], ["versions.id"], name="fk_replays_stands_in_id"),
        sa.ForeignKeyConstraint(["latest_id"], ["versions.id"], name="fk_replays_latest_id"),
    )
    for statement in _AUDIT_GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)
