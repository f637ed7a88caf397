"""The service's client, which is the distribution `corll-client`: `corll_client` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import corll_client
from corll_client import DEFAULT_BASE_URL, as_item

if TYPE_CHECKING:
    from corll_client import AsyncCorll, Corll

__all__ = ["DEFAULT_BASE_URL", "AsyncCorll", "Corll", "as_item"]


def __getattr__(name: str) -> Any:
    # The client is loaded when it is used, since it needs `openai`.
    if name not in __all__:
        raise AttributeError(f"module 'corll.client' has no attribute {name!r}")
    return getattr(corll_client, name)
