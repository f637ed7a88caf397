"""Writing tasks for the simulated users: short texts that must mention concrete facts."""

from __future__ import annotations

import json
from importlib import resources
from typing import Literal

from corll.errors import ConfigError

WRITING_KINDS = ("email", "complaint_reply", "review")
"""The kinds of text that are asked for; in the file they take turns."""


def writing_prompts(split: Literal["train", "held_out"], kind: str | None = None) -> list[str]:
    """The prompts of a split; those of all kinds take turns, so that any prefix is balanced.

    *Raises*: ConfigError for an unknown split or kind.
    """
    if split not in ("train", "held_out"):
        raise ConfigError(f"No split {split!r} of the writing prompts; take 'train' or 'held_out'.")
    if kind is not None and kind not in WRITING_KINDS:
        raise ConfigError(f"No kind {kind!r} of writing prompts; there are {WRITING_KINDS}.")
    lines = resources.files("corll.simulation").joinpath("writing_prompts.jsonl")
    records = map(json.loads, lines.read_text(encoding="utf-8").splitlines())
    return [
        record["prompt"]
        for record in records
        if record["split"] == split and kind in (None, record["kind"])
    ]
