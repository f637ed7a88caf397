"""`corll verify-deletion`: look whether what a receipt says still holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError
from tyro.conf import Positional

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.store import StoreSettings
from corll.errors import InputError
from corll.schemas.deletions import Receipt
from corll.service.store import deletions
from corll.service.store.database import Database
from corll.service.versions.verifying import Finding, verify_receipt

_SIGNS = {"holds": "ok  ", "broken": "NOT ", "open": "open"}


class VerifyDeletionSettings(StoreSettings):
    """Look whether a deletion's receipt still holds, and say so line by line.

    Rows, folders and checksums are looked at. Then the model is loaded, with the variables of
    `corll serve`, and what was learned again is computed anew and compared. A service may run
    meanwhile. Exit code 2 where something does not hold.
    """

    receipt: Positional[str] = Field(description="The receipt's file, or the deletion's id.")
    records_only: bool = Field(False, description="Load no model, and compute nothing anew.")


def main(arguments: Sequence[str]) -> None:
    settings = parse(VerifyDeletionSettings, arguments, command="verify-deletion")
    with settings.opened() as database:
        receipt = _receipt(settings.receipt, database)
        findings = verify_receipt(database, receipt)
        if not (settings.records_only or any(one.state == "broken" for one in findings)):
            findings.append(_weights(settings, database, receipt))
    for one in findings:
        print(f"{_SIGNS[one.state]} {one.text}")
    if any(one.state == "broken" for one in findings):
        raise InputError("The receipt does not hold.")


def _weights(settings: VerifyDeletionSettings, database: Database, receipt: Receipt) -> Finding:
    """Compute anew what was learned again since. *Raises*: ConfigError, ModelNotFoundError."""
    # The model is loaded with torch, and --help must not wait for it.
    from corll.service.base_choice import with_base_named
    from corll.service.base_model import load_base
    from corll.service.learning.recomputing import verify_weights
    from corll.service.learning.trainer import Trainer

    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
    assert row is not None
    named = with_base_named(settings.as_served(), database, terminal_dialogue())
    return verify_weights(Trainer(load_base(named), database, named), row.to_receipt())


def _receipt(given: str, database: Database) -> Receipt:
    """Return the receipt of a file, or of an id. *Raises*: InputError."""
    with database.read() as db:
        row = deletions.find_deletion(db, given)
    if row is not None:
        return row.to_receipt()
    try:
        return Receipt.model_validate_json(Path(given).read_bytes())
    except OSError as error:
        raise InputError(
            f"{given} is no deletion on record here, and no file that can be read ({error})."
        ) from error
    except ValidationError as error:
        raise InputError(f"{given} holds no receipt of a deletion.") from error
