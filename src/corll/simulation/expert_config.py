"""The settings by which the expert of a simulation is trained (`experts.py`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from corll.configuring import Config

GATES = frozenset(
    (
        "most_base_reward",
        "least_correlation",
        "lower_temperatures",
        "most_by_temperature",
        "most_same_phrase",
        "refuse",
    )
)
"""The settings that refuse an expert once it is made. No cell depends on them."""


class ExpertConfig(Config):
    """The expert's learning, and the measurements between which it stops."""

    beta: float = Field(0.1, gt=0, description="β of its DPO loss, and of R*.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate.")
    warmup_steps: int = Field(
        0, ge=0, description="Steps over which the learning rate rises from 0, in a line."
    )
    preferences_per_step: int = Field(64, ge=1, description="Preferences in one Adam step.")
    max_steps: int = Field(200, ge=1, description="Steps after which the search is given up.")
    measure_every: int = Field(2, ge=1, description="Steps between two measurements.")
    measured_prompts: int = Field(128, ge=2, description="Prompts of a measurement.")
    least_reward: float = Field(
        0.15, description="Mean R* of its own samples, at least; π_0's is about its negative."
    )
    most_reward: float = Field(0.5, description="Mean R* of its own samples, at most.")
    least_base_reward: float = Field(-1.0, description="Mean R* of π_0's samples, at least.")
    most_base_reward: float = Field(
        0.0,
        description="Mean R* of π_0's samples, at most; above 0 its sampler alone has what the "
        "expert would teach.",
    )
    least_wins: float = Field(
        0.7, ge=0, le=1, description="P(R* of its sample > R* of π_0's), at least."
    )
    most_wins: float = Field(
        0.95,
        ge=0,
        le=1,
        description="P(R* of its sample > R* of π_0's), at most; about 0.89 where R* is normal "
        "with mean 0.15 at β = 0.1.",
    )
    least_correlation: float = Field(
        0.85,
        ge=-1,
        le=1,
        description="Correlation of the score that ranks its pairs with the sentiment, at least.",
    )
    lower_temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.3, 0.5, 0.7), description="Temperatures at which π_0 is measured with nothing learned."
    )
    most_by_temperature: float = Field(
        0.5, description="Share of the expert's R* that no lower temperature of π_0 may reach."
    )
    most_same_phrase: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of its samples that hold the same five words in a row, at most.",
    )
    refuse: bool = Field(
        True,
        description="Whether an expert that is not as asked is refused, or only described.",
    )
    seed: int = Field(0, ge=0, description="Seed of the order of preferences and of the samples.")

    def outside(self, *, reward: float, base_reward: float, wins: float) -> list[str]:
        """Say which measurements lie outside of what is asked for, in words."""
        window = (
            ("R* of its samples", reward, self.least_reward, self.most_reward),
            ("R* of π_0's samples", base_reward, self.least_base_reward, self.most_base_reward),
            ("share of wins", wins, self.least_wins, self.most_wins),
        )
        return [
            f"{name} is {value:.2f}, not {least:g} to {most:g}"
            for name, value, least, most in window
            if not least <= value <= most
        ]
