"""The rows of a table as JSON lines, in a form that no kind of database has for itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, insert, select, text

from corll.errors import RecordError

_AT_ONCE = 500


def read_rows(db: Connection, table: Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as JSON can hold them; parents come before what names them."""
    order = [table.c.number] if "number" in table.c else list(table.primary_key)
    found = db.execute(select(table).order_by(*order), execution_options={"yield_per": _AT_ONCE})
    yield from map(dict, found.mappings())


def write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows into a new file, a line each; return how many there were."""
    count = 0
    with path.open("x", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            count += 1
    return count


def insert_rows(db: Connection, table: Table, path: Path) -> int:
    """Insert the rows of a file; return how many there were. *Raises*: RecordError."""
    count = 0
    with path.open(encoding="utf-8") as file:
        rows = _parsed(path, file)
        while batch := list(islice(rows, _AT_ONCE)):
            db.execute(insert(table), batch)
            count += len(batch)
    return count


def read_counters(db: Connection, tables: MetaData) -> dict[str, int]:
    """Return the number that each table gave last, which may be that of a row that is gone."""
    if db.dialect.name == "sqlite":
        rows = db.execute(text("SELECT name, seq FROM sqlite_sequence"))
        given = {row.name: row.seq for row in rows}
        return {table.name: int(given.get(table.name, 0)) for table in _counting(tables)}
    return {
        table.name: db.execute(
            text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'number'))"),
            {"name": table.name},
        ).scalar()
        or 0
        for table in _counting(tables)
    }


def set_counters(db: Connection, counters: Mapping[str, int]) -> None:
    """Let each table go on after the number that it gave last."""
    for name, given in counters.items():
        if db.dialect.name != "sqlite":
            after = text("SELECT setval(pg_get_serial_sequence(:name, 'number'), :next, false)")
            db.execute(after, {"name": name, "next": given + 1})
            continue
        db.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        db.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :given)"),
            {"name": name, "given": given},
        )


def _counting(tables: MetaData) -> list[Table]:
    """Return the tables that count their rows up."""
    return [
        table
        for table in tables.sorted_tables
        if [column.name for column in table.primary_key] == ["number"]
    ]


def _parsed(path: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise RecordError(path, number, f"not a JSON object ({error})") from error
