"""`corll export FOLDER`: the preferences of a run, in the form of another trainer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from corll.cli.parsing import parse
from corll.cli.settings import OptionalFile
from corll.configuring import Config
from corll.errors import RunFolderError
from corll.files import durable
from corll.files.formats import to_openai, to_trl
from corll.files.run_folder import preferences_of, read_config, read_journal


class ExportSettings(Config):
    """Write the preferences of a run: each edit, preferred to the draft that it was made of.

    The run may still be going on.
    """

    folder: Positional[Path] = Field(description="The run's folder.")
    format: Literal["trl", "openai"] = Field(
        "trl", description="TRL's preference form, or OpenAI's form for DPO."
    )
    output: OptionalFile = Field(None, description="A file to write; by default standard output.")


def main(arguments: Sequence[str]) -> None:
    settings = parse(ExportSettings, arguments, command="export")
    read_config(settings.folder)
    convert = {"trl": to_trl, "openai": to_openai}[settings.format]
    rows = [convert(preference) for preference in preferences_of(read_journal(settings.folder))]
    if settings.output is None:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        print(f"{len(rows)} preferences", file=sys.stderr)
        return
    try:
        durable.write_lines(settings.output, rows)
    except OSError as error:
        raise RunFolderError(f"{settings.output} cannot be written: {error.strerror}.") from error
    print(f"{len(rows)} preferences written to {settings.output}", file=sys.stderr)
