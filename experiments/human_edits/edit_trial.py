"""The arms of the trial, its sizes for each data set, and the settings that an arm depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from corll.cli.arguments import assignments, named
from corll.config import CoactiveConfig
from corll.errors import InputError
from corll.files.cell_lines import Line
from corll.memory.choosing import MemoryChoice, MemorySettings
from corll.policy import Policy
from corll.replay.prequential import USUAL_MEMORY

ARMS = {
    "base": "π_0 alone",
    "memory": "π_0 behind past edits as turns before its prompt",
    "sft": "learned by supervision on the whole edit",
    "dpo": "learned by the preference loss of whole texts",
    "coactive": "learned by preference, supervision and shortfall",
    "distil": "learned to say without past edits in the prompt what it says with them",
}
"""The arms by name; those that learn have the name of their learner."""

LEARNING = ("sft", "dpo", "coactive", "distil")
DEFAULTS = "defaults"
"""The label of what is played with nothing set."""

_DRAFTING = ("temperature", "top_k", "top_p", "max_completion_length")
_NOT_SET = ("seed", "learner", "drafts_from", "learn_with_memory", "num_candidates")


class Sizes(NamedTuple):
    """How much of a data set is used.

    `edits` are learned from, `held_out` are scored, and for the first `drafts` of these texts are
    drawn. *Units*: `longest` is of an original and of an edit, in tokens.
    """

    edits: int
    held_out: int
    drafts: int
    longest: int


SIZES = {
    "paradetox": Sizes(edits=320, held_out=100, drafts=32, longest=32),
    "cad": Sizes(edits=64, held_out=40, drafts=8, longest=128),
}
"""The sizes by data set, chosen for about an hour of one core for all arms of the 135M model."""

QUICK = {
    "paradetox": Sizes(edits=16, held_out=8, drafts=4, longest=32),
    "cad": Sizes(edits=16, held_out=8, drafts=2, longest=96),
}

PARTS = 4
"""Arms are measured after a quarter, a half and all of the edits; before the first all are π_0."""


class CellKey(NamedTuple):
    """The name of a cell."""

    seed: int
    data: str
    arm: str
    label: str

    @classmethod
    def of(cls, line: Line) -> CellKey:
        """Return the cell of a line."""
        return cls(line["seed"], line["data"], line["arm"], line["label"])


def named_arms(names: str) -> list[str]:
    """Return arms that are named, parted by commas. *Raises*: InputError for one that is none."""
    return named(names, ARMS, "arm")


@dataclass(frozen=True, slots=True)
class Trial:
    """The settings of a run. `keeps_texts`: whether lines hold the texts of drafts."""

    data: str
    sizes: Sizes
    config: CoactiveConfig
    memory: MemorySettings
    label: str = DEFAULTS
    keeps_texts: bool = False

    @classmethod
    def of(
        cls,
        data: str,
        sizes: Sizes,
        *,
        settings: Sequence[str] = (),
        memory: MemoryChoice = "last",
        label: str = DEFAULTS,
        keeps_texts: bool = False,
    ) -> Trial:
        """Return a trial with the library's defaults, but for what `settings` set.

        A step learns from eight new edits and none again (two and six by default), so that each
        edit is learned from once. Drafts are a third longer than the longest text at most.
        *Raises*: InputError for what cannot be set, ConfigError for a value that does not fit.
        """
        given = _read(settings)
        if (given or memory != USUAL_MEMORY.choice) and label == DEFAULTS:
            raise InputError(
                "What is played with --set or --memory needs a name of its own: give --label NAME."
            )
        once = {"preferences_per_step": 8, "replay_per_step": 0}
        room = {"max_completion_length": sizes.longest * 4 // 3}
        return cls(
            data=data,
            sizes=sizes,
            config=CoactiveConfig(**{**once, **room, **given}),
            memory=replace(USUAL_MEMORY, choice=memory),
            label=label,
            keeps_texts=keeps_texts,
        )

    def sampled_as(self, policy: Policy) -> Trial:
        """Return the trial with the model's own sampling where nothing else is set."""
        return replace(self, config=policy.base.with_own_sampling(self.config, CoactiveConfig()))

    def config_of(self, key: CellKey) -> CoactiveConfig:
        """Return how a cell drafts and learns."""
        if key.arm not in LEARNING:
            return self.config.with_settings(drafts_from="reference", seed=key.seed)
        return self.config.with_settings(learner=key.arm, seed=key.seed)

    def marks_of(self, arm: str) -> list[int]:
        """Return after how many edits an arm is measured; π_0 is measured once, before the first.

        Learning takes place in whole steps, so that a mark may come before an edit's own step.
        """
        if arm == "base":
            return [0]
        edits = self.sizes.edits
        return sorted({edits // PARTS, edits // 2, edits} - {0})

    def lines_of(self, arm: str) -> int:
        """Return how many lines of measurements an arm's cell has."""
        return len(self.marks_of(arm)) * self.sizes.held_out

    def about(self, arm: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that an arm's lines depend on, as plain data; `data` says what was read."""
        fields = self.config.model_dump(mode="json", exclude={"seed", *_NOT_SET})
        if arm not in LEARNING:
            fields = {name: fields[name] for name in _DRAFTING}
        found = {
            **self.sizes._asdict(),
            "lines": self.lines_of(arm),
            "config": fields,
            "data": dict(data),
        }
        if arm in ("memory", "distil"):
            memory = self.memory
            found["memory"] = [memory.choice, memory.most, memory.budget_tokens]
        return found


def _read(settings: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in assignments(settings):
        if name in _NOT_SET:
            raise InputError(f"{name} is not for --set: the arms and --first-seed say it.")
        found[name] = value
    return found
