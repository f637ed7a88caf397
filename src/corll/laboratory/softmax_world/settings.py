"""The settings of a softmax world, and of how it is learned in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from corll.configuring import Config


class WorldSettings(Config):
    """A world's size, and how far its expert is; the expert's distance is that of `imdb-mini`."""

    prompts: int = Field(16, ge=1, description="Prompts of a world.")
    positions: int = Field(8, ge=1, description="Tokens of a text.")
    tokens: int = Field(32, ge=2, description="Tokens that may stand at a position.")
    dimensions: int = Field(32, ge=2, description="Parameters of a policy.")
    reference_spread: float = Field(
        1.5, ge=0, description="Standard deviation of π_0's scores of tokens, in nats."
    )
    expert_kl: float = Field(4.4, gt=0, description="KL(π*‖π_0), in nats a text.")
    fluency: float = Field(
        0.0, ge=0, le=1, description="Correlation of what the expert wants with log π_0."
    )
    rarity: float | None = Field(
        None,
        gt=0,
        description="Shape of a gamma distribution that a text's R* has under π_0, the rarer the "
        "good texts the smaller; none: normal.",
    )
    beta: float = Field(0.1, gt=0, description="β of R*, of J and of DPO.")
    top_k: int = Field(16, ge=0, description="Likeliest tokens that are sampled; 0: all.")

    @model_validator(mode="after")
    def _samples_tokens_that_there_are(self) -> Self:
        if self.top_k > self.tokens:
            raise ValueError(f"top_k ({self.top_k}) is more than there are tokens ({self.tokens})")
        return self


class PlaySettings(Config):
    """A play's length and batches; candidates and samples are those of `imdb-mini`."""

    preferences: int = Field(1024, ge=1, description="Preferences that are learned from.")
    preferences_per_step: int = Field(64, ge=1, description="N: preferences of an Adam step.")
    num_candidates: int = Field(
        3, ge=1, description="k: samples of the policy, where an arm does not say."
    )
    num_expert_samples: int = Field(5, ge=1, description="l: samples of the expert for an edit.")
    spare_prompts: float = Field(
        0.5, ge=0, description="Share of more prompts than N, in place of those without a pair."
    )
    bradley_terry: float | None = Field(
        None,
        gt=0,
        description="Scale of R* in the users' labels (eq. 7: 1); none: labels without noise.",
    )

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if self.preferences % self.preferences_per_step:
            raise ValueError(
                f"preferences ({self.preferences}) must be a multiple of preferences_per_step "
                f"({self.preferences_per_step})"
            )
        return self

    @property
    def steps(self) -> int:
        """The number of Adam steps."""
        return self.preferences // self.preferences_per_step
