"""Statements that keep the audit log from being changed."""

from __future__ import annotations

from sqlalchemy import Connection, Table, event

AUDIT_GUARDS = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_log_no_{change.lower()} BEFORE {change} ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
        for change in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$",
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
    ),
}
"""For each kind of database, what keeps the audit log from being changed."""


def guard(audit_log: Table) -> None:
    """Let the table of the audit log be guarded wherever it is created."""

    def create_guards(_: Table, db: Connection, **__: object) -> None:
        for statement in AUDIT_GUARDS[db.dialect.name]:
            db.exec_driver_sql(statement)

    event.listen(audit_log, "after_create", create_guards)
