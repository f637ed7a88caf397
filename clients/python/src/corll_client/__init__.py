"""A client of corll's service: `openai.OpenAI`, and the calls that teach.

It needs `openai` and `pydantic`, and nothing that computes a model. `corll.client` is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corll_client.calls import DEFAULT_BASE_URL, as_item
from corll_client.errors import ConfigError, CorllError
from corll_client.version import __version__

if TYPE_CHECKING:
    from corll_client.client import AsyncCorll, Corll

__all__ = [
    "DEFAULT_BASE_URL",
    "AsyncCorll",
    "ConfigError",
    "Corll",
    "CorllError",
    "__version__",
    "as_item",
]


def __getattr__(name: str) -> Any:
    # The calls can be built where `openai` is not installed.
    if name not in ("AsyncCorll", "Corll"):
        raise AttributeError(f"module 'corll_client' has no attribute {name!r}")
    from corll_client import client

    return getattr(client, name)
