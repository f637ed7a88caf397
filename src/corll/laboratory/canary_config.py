"""The settings of the canary experiment (`canary.py`)."""

from __future__ import annotations

from pydantic import Field

from corll.configuring import Config


class CanaryConfig(Config):
    """The number of planted secrets, how often each is planted, and among how many preferences."""

    preferences: int = Field(1024, ge=1, description="Preferences that are learned from.")
    repetitions: tuple[int, ...] = Field(
        (1, 4, 16, 64), description="How often a secret is planted; one group of secrets for each."
    )
    secrets: int = Field(4, ge=1, description="Secrets in each group.")
    other_prompts: int = Field(
        4, ge=1, description="Held-out prompts after which each secret is looked for too."
    )

    @property
    def planted(self) -> int:
        """The number of edits that hold a secret."""
        return self.secrets * sum(self.repetitions)
