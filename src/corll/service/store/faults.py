"""What went wrong in the database, said so that somebody can act on it, without a user's text."""

from __future__ import annotations

from sqlalchemy.exc import (
    DataError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from corll.errors import InputError, StoreError, StoreUnavailableError
from corll.service.store import engines

_NO_VALUE = (
    "A value of this request cannot be kept or looked for: it holds a NUL character, or is a "
    "number that is too large. Nothing of this request was stored."
)


def explained(error: BaseException, database: str) -> BaseException:
    """Return what to raise for an error of a database: it says what to do.

    What may work when it is tried again is a StoreUnavailableError. A value that no database can
    keep is at fault itself: that is an InputError. Clients read these words, so where the database
    is stands in a note alone, which a traceback shows.
    """
    if not isinstance(error, SQLAlchemyError):
        return error
    if isinstance(error, DataError):
        return InputError(_NO_VALUE).with_traceback(error.__traceback__)
    said = str(error.orig) if isinstance(error, StatementError) else str(error)
    said = said.strip().partition("\n")[0]
    kind = StoreUnavailableError if _may_pass(error) else StoreError
    found = kind(f"the database: {said}; {_advice(said)}").with_traceback(error.__traceback__)
    found.add_note(f"It is {database}.")
    return found


def _may_pass(error: SQLAlchemyError) -> bool:
    """Say whether the database was away, full or held by others; not at fault is the request."""
    if isinstance(error, InternalError):
        return engines.only_reads(error.orig)
    return isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)


def _advice(said: str) -> str:
    if "locked" in said or "lock timeout" in said:
        return f"another process has been writing for {engines.PATIENCE_S} s; try again"
    if "full" in said or "No space" in said:
        return "free some space on that disk"
    if "read-only transaction" in said:
        return "it only lets one read now; try again once it takes changes"
    if "readonly" in said or "read-only" in said or "unable to open" in said:
        return "see that this process may write the file and its folder"
    if "I/O error" in said:
        return "see that its disk works, and that this process may write there"
    return "nothing of this request was stored"
