"""Evaluation lines that are worked by hand."""

from __future__ import annotations

from typing import Any


def line(
    arm: str, seed: int, preferences: int, *, size: str = "tiny", **metrics: Any
) -> dict[str, Any]:
    cell = {"task": "imdb", "size": size, "arm": arm, "seed": seed}
    return {**cell, "preferences": preferences, **metrics}


def rising(arm: str, rewards: list[float], **where: Any) -> list[dict[str, Any]]:
    """A cell a reward: from 0 to it over 100 preferences, so that its area is half of it."""
    return [
        line(arm, seed, preferences, reward=reward * (preferences > 0), **where)
        for seed, reward in enumerate(rewards)
        for preferences in (0, 100)
    ]
