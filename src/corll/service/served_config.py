"""How a service drafts and learns: the settings of Algorithm 1, with what a service fixes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Suppress

from corll.config import CoactiveConfig


class ServedConfig(CoactiveConfig):
    """Algorithm 1 as a service plays it."""

    drafts_from: Annotated[Literal["policy"], Suppress] = Field(
        "policy", description="A service drafts from what it learned; `base` and holdback do not."
    )
    max_completion_length: int = Field(
        512,
        ge=1,
        description="Longest response where a request does not say, in tokens; less where the "
        "context leaves less.",
    )
    memory_limit_gb: float = Field(
        1.0, gt=0, description="Working memory of drafts, and of steps, beside the weights."
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Of replay and dropout; a draft's seed comes with its request, or by chance.",
    )
