"""Writing tasks for the simulated users: short texts that must mention concrete facts.

The prompts to learn from come with their writer's own words, a sentence or two: what a person would
write where a draft says nothing.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Literal

from corll.errors import ConfigError

WRITING_KINDS = ("email", "complaint_reply", "review")
"""The kinds of text that are asked for, in turns."""


def writing_prompts(split: Literal["train", "held_out"], kind: str | None = None) -> list[str]:
    """Return the prompts of a split; those of all kinds take turns, so that any prefix is balanced.

    *Raises*: ConfigError for an unknown split or kind.
    """
    if split not in ("train", "held_out"):
        raise ConfigError(f"No split {split!r} of the writing prompts; take 'train' or 'held_out'.")
    if kind is not None and kind not in WRITING_KINDS:
        raise ConfigError(f"No kind {kind!r} of writing prompts; there are {WRITING_KINDS}.")
    return [
        record["prompt"]
        for record in _records()
        if record["split"] == split and kind in (None, record["kind"])
    ]


def own_words() -> dict[str, str]:
    """Return what the writer would say in their own words, by prompt; none if held out."""
    return {record["prompt"]: record["own_words"] for record in _records() if "own_words" in record}


@cache
def _records() -> list[dict[str, str]]:
    lines = resources.files("corll.simulation").joinpath("writing_prompts.jsonl")
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
