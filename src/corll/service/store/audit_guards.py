"""Statements that keep the audit log from being changed, save that a deletion takes free text."""

from __future__ import annotations

from sqlalchemy import Connection, Table, event

_KEPT = ("number", "actor", "action", "subject", "created_at")
_REDACTED = "(SELECT '{\"redacted\": \"' || id || '\"}' FROM deletions)"
"""The details that an entry may get: the id of a deletion that is on record, and nothing else."""

_CHANGED = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _KEPT)
_NEW, _OLD = (", ".join(f"{row}.{name}" for name in _KEPT) for row in ("NEW", "OLD"))

AUDIT_GUARDS = {
    "sqlite": (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log "
        f"WHEN {_CHANGED} OR NEW.details NOT IN {_REDACTED} "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$",
        "CREATE TRIGGER audit_log_append_only BEFORE DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
        "CREATE FUNCTION only_redact_audit() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF ({_NEW}) IS DISTINCT FROM ({_OLD}) "
        f"OR NEW.details::text NOT IN {_REDACTED} "
        "THEN RAISE EXCEPTION 'the audit log is only added to'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER audit_log_redacted_only BEFORE UPDATE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION only_redact_audit()",
    ),
}
"""For each kind of database, what keeps the audit log from being changed."""


def guard(audit_log: Table) -> None:
    """Let the table of the audit log be guarded wherever it is created."""

    def create_guards(_: Table, db: Connection, **__: object) -> None:
        for statement in AUDIT_GUARDS[db.dialect.name]:
            db.exec_driver_sql(statement)

    event.listen(audit_log, "after_create", create_guards)
