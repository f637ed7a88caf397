"""An audit log that is only added to, requests for a step, and why a preference is not learned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AUDIT_GUARDS = {
    "sqlite": (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$",
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
    ),
}


def upgrade() -> None:
    """Adds columns and a table, and guards the audit log."""
    op.add_column(
        "drafts", sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("imports", sa.Column("deleted_at", sa.Float()))
    op.add_column("preferences", sa.Column("reason", sa.Text()))
    op.create_table(
        "learn_requests",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_learn_requests"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_learn_requests_user_id"),
    )
    for statement in _AUDIT_GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)
