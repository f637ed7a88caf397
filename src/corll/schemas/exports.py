"""A line of what is kept of a user."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from corll.schemas.bodies import Answer


class ExportLine(Answer):
    """A line of an export: a record of the store, with its own fields beside `record`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    record: Literal[
        "user",
        "draft",
        "edit",
        "comparison",
        "preference",
        "import",
        "import_item",
        "coin",
        "trial",
        "start",
        "lineage",
        "version",
        "deletion",
        "audit",
    ] = Field(description="What kind of record it is.")
