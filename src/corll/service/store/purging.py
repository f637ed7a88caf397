"""Writing a database's files anew, so that none holds what was deleted."""

from __future__ import annotations

from sqlalchemy import Engine, inspect


def purge_sqlite(writer: Engine, *, patience_s: float) -> bool:
    """Write the file anew and empty its journal; say whether others left the journal to be emptied.

    *Units*: `patience_s`, how long it waits for others, in seconds.
    """
    pooled = writer.raw_connection()
    try:
        run = pooled.cursor().execute
        run(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")
        run("PRAGMA wal_checkpoint(TRUNCATE)")
        run("VACUUM")
        busy, *_ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    finally:
        pooled.close()


def purge_postgresql(writer: Engine, *, patience_s: float) -> bool:
    """Write each table anew, waiting `patience_s` seconds for others at most; always true.

    *Raises*: SQLAlchemyError where others held a table for longer.
    """
    with writer.connect() as db:
        alone = db.execution_options(isolation_level="AUTOCOMMIT")
        alone.exec_driver_sql(f"SET lock_timeout = '{patience_s}s'")
        try:
            for table in inspect(db).get_table_names():
                alone.exec_driver_sql(f'VACUUM (FULL) "{table}"')
        finally:
            alone.exec_driver_sql("RESET lock_timeout")
    return True
