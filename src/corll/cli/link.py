"""`corll link`: a link that signs a browser in to the writing desk, once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field

from corll.cli.parsing import parse
from corll.cli.store import UserSettings, actor
from corll.client.calls import DEFAULT_BASE_URL
from corll.service.store import sign_ins


class LinkSettings(UserSettings):
    """Print a link that signs a browser in for a user. It works once, for a quarter of an hour."""

    url: str = Field(DEFAULT_BASE_URL, description="Where the service answers.")


def main(arguments: Sequence[str]) -> None:
    """Print the link, and nothing else."""
    settings = parse(LinkSettings, arguments, command="link")
    with settings.opened() as database:
        user = settings.found_in(database)
        token = database.write(
            lambda db: sign_ins.create_link(db, user.id, actor=actor(), now=time.time())
        )
    print(f"{settings.url.rstrip('/')}/sign-in?token={token}")
