"""A client of the service: `openai.OpenAI`, and the calls that teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corll.client.client import AsyncCorll, Corll

__all__ = ["AsyncCorll", "Corll"]


def __getattr__(name: str) -> Any:
    # The calls can be built where `openai` is not installed.
    if name not in __all__:
        raise AttributeError(f"module 'corll.client' has no attribute {name!r}")
    from corll.client import client

    return getattr(client, name)
