"""What an error of the database says to whoever asked."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DataError, OperationalError, SQLAlchemyError

from corll.errors import InputError, StoreError, StoreUnavailableError
from corll.service.store.faults import explained

URL = "postgresql+psycopg://corll@db.example:5432/letters"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationalError("SELECT", {}, Exception("disk full")), StoreUnavailableError),
        (SQLAlchemyError("nonsense"), StoreError),
        (DataError("SELECT", {}, Exception("cannot contain NUL (0x00) bytes")), InputError),
    ],
)
def test_no_message_says_where_the_database_is(
    error: SQLAlchemyError, kind: type[Exception]
) -> None:
    found = explained(error, f"the database {URL}")
    assert type(found) is kind
    assert "db.example" not in str(found)


def test_a_value_that_cannot_be_kept_is_the_requests_fault() -> None:
    found = explained(DataError("INSERT", {}, Exception("a secret")), "the database")
    assert isinstance(found, InputError)
    assert "a secret" not in str(found)
    assert "NUL" in str(found)
