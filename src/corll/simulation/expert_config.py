"""The settings by which the expert of a simulation is trained (`experts.py`)."""

from __future__ import annotations

import math

from pydantic import Field

from corll.config import Config


class ExpertConfig(Config):
    """The expert's learning, and the measurements between which it stops."""

    beta: float = Field(0.1, gt=0, description="β of its DPO loss, and of R*.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate.")
    preferences_per_step: int = Field(64, ge=1, description="Preferences in one Adam step.")
    max_steps: int = Field(200, ge=1, description="Steps after which the search is given up.")
    measure_every: int = Field(2, ge=1, description="Steps between two measurements.")
    measured_prompts: int = Field(128, ge=2, description="Prompts of a measurement.")
    least_reward: float = Field(
        0.15, description="Mean R* of its own samples, at least; π_0's is about its negative."
    )
    most_reward: float = Field(0.5, description="Mean R* of its own samples, at most.")
    least_base_reward: float = Field(-1.0, description="Mean R* of π_0's samples, at least.")
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
    seed: int = Field(0, ge=0, description="Seed of the order of preferences and of the samples.")

    def outside(self, *, reward: float, base_reward: float, wins: float) -> list[str]:
        """Say which measurements lie outside of what is asked for, in words."""
        window = (
            ("R* of its samples", reward, self.least_reward, self.most_reward),
            ("R* of π_0's samples", base_reward, self.least_base_reward, math.inf),
            ("share of wins", wins, self.least_wins, self.most_wins),
        )
        return [
            f"{name} is {value:.2f}, not {least:g} to {most:g}"
            for name, value, least, most in window
            if not least <= value <= most
        ]
