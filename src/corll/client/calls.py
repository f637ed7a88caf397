"""The calls that OpenAI's client does not know, which are those of `corll_client.calls`."""

from __future__ import annotations

from typing import Any

from corll.moved import from_elsewhere
from corll_client.calls import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return from_elsewhere(__name__, name)
