"""Kinds of settings that the service and the commands share, and what their values may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, SecretStr
from tyro.conf import arg

DType = Literal["float32", "bfloat16", "float16"]
LogFormat = Literal["json", "text"]
Role = Literal["serve", "gateway", "learner"]

# The descriptions of these flags say what holds without them, so that help need not say "None".
OptionalFile = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
OptionalText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
OptionalNumber = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
OptionalSlack = Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="")]
OptionalDType = Annotated[
    DType | None, arg(metavar="{float32,bfloat16,float16}", help_behavior_hint="")
]

PRIVATE_NETWORKS = (
    *("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
)

_SHORTEST_KEY, _LONGEST_KEY = 20, 200


def default_data_dir() -> Path:
    """Return where the service keeps everything, by the XDG convention."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "corll"


def check_key(key: SecretStr | None) -> SecretStr | None:
    """Return a key that a header can carry. *Raises*: ValueError for another."""
    if key is None:
        return None
    secret = key.get_secret_value()
    in_range = _SHORTEST_KEY <= len(secret) <= _LONGEST_KEY
    sendable = secret.isascii() and secret.isprintable() and secret == secret.strip()
    if not (in_range and sendable):
        raise ValueError(
            f"CORLL_ADMIN_KEY must be {_SHORTEST_KEY} to {_LONGEST_KEY} printable characters that "
            "a header can carry: ASCII, no space at either end"
        )
    return key


def _check_name(name: str | None) -> str | None:
    # Not at the top, since settings are read where no database is.
    from corll.service.store.user_names import why_no_name

    if name is not None and (why := why_no_name(name)) is not None:
        raise ValueError(why)
    return name


OptionalUser = Annotated[
    str | None, AfterValidator(_check_name), arg(metavar="NAME", help_behavior_hint="")
]
"""The name of a user."""
