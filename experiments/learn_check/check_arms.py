"""The arms of the check, and the settings that each of them depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from corll.cli.arguments import assignments, named
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import InputError
from corll.learners import learner_of
from corll.memory.choosing import MemoryChoice, MemorySettings
from corll.policy import Policy
from corll.service.settings import ServiceSettings
from corll.simulation.writers import Split

ARMS = {
    "base": "π_0, without a memory",
    "memory": "π_0, with past letters in its prompt",
    "weights": "the learned version, without a memory",
    "both": "the learned version, with past letters in its prompt",
    "auto": "what the service's coin chooses, with its guards and all else that it does",
}
"""The arms by name."""

LEARNING = ("weights", "both", "auto")
REMEMBERING = ("memory", "both", "auto")

DEFAULTS = "defaults"
"""The label of what is played with nothing set."""

LONGEST_DRAFT = 192
"""*Units*: tokens. A service draws up to 512; the writers' longest texts have half of these."""

_NOT_SET = {
    "seed": "give --first-seed and --seeds",
    "drafts_from": "choose the arm base or memory for drafts of π_0",
    "lora_seed": "it is the service's",
}
_DRAFTING = ("temperature", "top_k", "top_p", "num_candidates", "selection", "allow_unfinished",
             "max_prompt_length", "max_completion_length")  # fmt: skip


def named_arms(names: str) -> list[str]:
    """Return arms that are named, parted by commas. *Raises*: InputError for one that is none."""
    return named(names, ARMS, "arm")


@dataclass(frozen=True, slots=True)
class Check:
    """The settings of a run; `veto` is how many drafts examine a version, None: none is examined.

    `splits` are those of the requests that are learned from.

    By default all is as the service has it, but for drafts, which are no longer than
    `LONGEST_DRAFT` and which no guard redraws.
    """

    edits: int
    held_out: int
    config: CoactiveConfig
    lora: LoraConfig
    memory: MemorySettings
    veto: int | None
    label: str = DEFAULTS
    splits: tuple[Split, ...] = ("train",)

    @classmethod
    def as_served(cls, **others: Any) -> Check:
        """Return the service's defaults; `others` are fields of this class in their place."""
        served = ServiceSettings()
        config = CoactiveConfig(**served.coactive.model_dump())
        check = cls(
            edits=60,
            held_out=24,
            config=config.with_settings(max_completion_length=LONGEST_DRAFT),
            lora=served.lora,
            memory=MemorySettings(served.memory, served.memory_texts, served.memory_tokens),
            veto=served.veto_drafts,
        )
        return replace(check, **others)

    def with_settings(self, settings: Sequence[str]) -> Check:
        """Return the check with fields of the learner's or the adapter's configuration set.

        *Raises*: InputError for what cannot be set, ConfigError for a value that does not fit.
        """
        given = _read(settings)
        if given and self.label == DEFAULTS:
            raise InputError(
                "What is played with --set needs a name of its own: give --label NAME."
            )
        lora = {name: value for name, value in given.items() if name in LoraConfig.model_fields}
        rest = {name: value for name, value in given.items() if name not in lora}
        return replace(
            self, config=self.config.with_settings(**rest), lora=self.lora.with_settings(**lora)
        )

    def sampled_as(self, policy: Policy) -> Check:
        """Return the check with the model's own sampling where nothing else is set, as served."""
        own = policy.base.with_own_sampling(self.config, CoactiveConfig())
        return replace(self, config=own)

    @property
    def teaches_from_memory(self) -> bool:
        """Whether the learner needs to know what stood before a prompt, or could have."""
        return learner_of(self.config).needs_memory

    def memory_of(self, arm: str) -> MemorySettings:
        """Return what stands before the prompts of an arm while it is drafted for."""
        return self.memory if arm in REMEMBERING else MemorySettings("none")

    def memory_like(self, choice: MemoryChoice) -> MemorySettings:
        """Return the memory with its texts chosen in another way."""
        return replace(self.memory, choice=choice)

    def about(self, arm: str) -> dict[str, Any]:
        """Return all settings that an arm's lines depend on, as plain data."""
        fields = self.config.model_dump(mode="json", exclude={"seed", "drafts_from"})
        learns = arm in LEARNING
        if not learns:
            fields = {name: fields[name] for name in _DRAFTING}
        found: dict[str, Any] = {"edits": self.edits, "held_out": self.held_out, "config": fields}
        if self.splits != ("train",):
            found["splits"] = list(self.splits)
        if arm in REMEMBERING or (learns and self.teaches_from_memory):
            memory = self.memory
            found["memory"] = [memory.choice, memory.most, memory.budget_tokens]
        if learns:
            found |= {"lora": self.lora.model_dump(mode="json"), "veto": self.veto}
        return found


def _read(settings: Sequence[str]) -> Mapping[str, str]:
    known = [*CoactiveConfig.model_fields, *LoraConfig.model_fields]
    found: dict[str, str] = {}
    for name, value in assignments(settings):
        if name in _NOT_SET:
            raise InputError(f"{name} is not for --set; {_NOT_SET[name]}.")
        if name not in known:
            raise InputError(f"There is no setting {name!r}; there are {', '.join(sorted(known))}.")
        found[name] = value
    return found
