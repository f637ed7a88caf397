"""What tables are made of: names of constraints, numbers that count up, JSON, and checks."""

from __future__ import annotations

from typing import get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
)

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
Counter = BigInteger().with_variant(Integer, "sqlite")
Json = JSON(none_as_null=True)


def number() -> Column[int]:
    """Return a column that counts its rows up, by which they are ordered."""
    return Column("number", Counter, primary_key=True, autoincrement=True)


def one_of(column: str, allowed: object) -> CheckConstraint:
    """Return the check that a column holds one of the values of a `Literal`."""
    listed = ", ".join(f"'{value}'" for value in get_args(allowed))
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def state_of_each_user(name: str) -> Table:
    """Return a table that holds a state for each user, as JSON."""
    return Table(
        name,
        metadata,
        Column("user_id", String, ForeignKey("users.id"), primary_key=True),
        Column("state", Json, nullable=False),
        Column("updated_at", Float, nullable=False),
    )
