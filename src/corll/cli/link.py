"""`corll link`: a link that signs a browser in to the writing desk, once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from pydantic import Field

from corll.cli.parsing import parse
from corll.cli.settings import OptionalAddress
from corll.cli.store import UserSettings, actor
from corll.client import DEFAULT_BASE_URL
from corll.service.announcing import noted_address
from corll.service.store import sign_ins


class LinkSettings(UserSettings):
    """Print a link that signs a browser in for a user. It works once, for a quarter of an hour."""

    url: OptionalAddress = Field(
        None,
        description="Where the service answers; by default where the one of this data folder does.",
    )


def main(arguments: Sequence[str]) -> None:
    """Print the link, and nothing else."""
    settings = parse(LinkSettings, arguments, command="link")
    with settings.opened() as database:
        user = settings.found_in(database)
        token = database.write(
            lambda db: sign_ins.create_link(db, user.id, actor=actor(), now=time.time())
        )
    address = settings.url or noted_address(settings.data_dir)
    if address is None:
        address = DEFAULT_BASE_URL
        print(
            f"No service runs on {settings.data_dir}; the link works once one answers at "
            f"{address}. --url names another address.",
            file=sys.stderr,
        )
    print(f"{address.rstrip('/').removesuffix('/v1')}/sign-in?token={token}")
