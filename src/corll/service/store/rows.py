"""Between tables and dataclasses: each row type names the columns of its table."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Select, Table, insert, select

Row = TypeVar("Row")

_LETTERS = string.digits + string.ascii_letters
_LENGTH = 24
_IDS_AT_ONCE = 500


def new_id(prefix: str) -> str:
    """Return `prefix_` and 24 random letters and digits; after "-" there is no underscore."""
    separator = "" if prefix.endswith("-") else "_"
    number = secrets.randbelow(len(_LETTERS) ** _LENGTH)
    letters = []
    for _ in range(_LENGTH):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return prefix + separator + "".join(letters)


def is_id(prefix: str, text: str) -> bool:
    """Say whether a text looks like what `new_id` makes with that prefix."""
    letters = text.removeprefix(f"{prefix}_")
    return len(letters) == _LENGTH < len(text) and set(letters) <= set(_LETTERS)


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret, which is so random that a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def in_chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids in order, as many at a time as a statement takes in any database."""
    listed = sorted(ids)
    for start in range(0, len(listed), _IDS_AT_ONCE):
        yield listed[start : start + _IDS_AT_ONCE]


def add_row(db: Connection, table: Table, row: object) -> None:
    """Insert a row as it is."""
    names = _columns(cast(Any, type(row)))
    db.execute(insert(table), {name: getattr(row, name) for name in names})


def select_rows(row_type: type[Row], table: Table) -> Select[Any]:
    """Return a query for the columns that the row type names."""
    return _selected(cast(Any, row_type), table)


@cache  # To build a query of so many columns takes longer than most take to be answered.
def _selected(row_type: Any, table: Table) -> Select[Any]:
    return select(*(table.c[name] for name in _columns(row_type)))


def find_row(
    db: Connection, row_type: type[Row], table: Table, *where: ColumnElement[bool]
) -> Row | None:
    """Return the row that fulfils the conditions, or None."""
    return first_row(db, row_type, select_rows(row_type, table).where(*where))


def first_row(db: Connection, row_type: type[Row], query: Select[Any]) -> Row | None:
    """Return the first row of a query of `select_rows`, or None."""
    found = db.execute(query.limit(1)).mappings().first()
    return None if found is None else row_type(**found)


def all_rows(db: Connection, row_type: type[Row], query: Select[Any]) -> list[Row]:
    """Return every row of a query of `select_rows`."""
    return [row_type(**row) for row in db.execute(query).mappings()]


def page_of(
    db: Connection,
    row_type: type[Row],
    table: Table,
    where: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    before: str | None,
) -> list[Row]:
    """Return the newest rows first; with `before`, those older than the row of that id."""
    query = select_rows(row_type, table).where(*where)
    if before is not None:
        number = select(table.c.number).where(table.c.id == before).scalar_subquery()
        query = query.where(table.c.number < number)
    return all_rows(db, row_type, query.order_by(table.c.number.desc()).limit(limit))


@cache
def _columns(row_type: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row_type))
