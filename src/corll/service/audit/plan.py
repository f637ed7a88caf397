"""The settings of an audit: how many secrets are planted, and how closely is looked."""

from __future__ import annotations

from pydantic import Field

from corll.configuring import Config


class AuditPlan(Config):
    """How many secrets are planted and looked for, and among how many like them."""

    canaries: int = Field(
        4,
        ge=0,
        description="Secrets that are planted in a copy of the lineage, which is learned again.",
    )
    repeats: int = Field(1, ge=1, description="Texts of the copy that hold each planted secret.")
    strings: int = Field(
        32, ge=0, description="Rare strings of the user's own that are looked for, the latest ones."
    )
    alternatives: int = Field(
        255, ge=15, description="Strings of the same shape that each secret is ranked among."
    )
    samples: int = Field(
        16, ge=1, description="Continuations that are drawn after the text before each secret."
    )
    audit_seed: int = Field(0, ge=0, description="By which secrets and alternatives are drawn.")

    @property
    def planted(self) -> int:
        """The number of texts that hold a planted secret."""
        return self.canaries * self.repeats
