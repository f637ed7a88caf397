"""What a learner must say and do, and the learners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from corll.config import LEARNERS, CoactiveConfig
from corll.errors import ConfigError
from corll.gradient import BatchGradient
from corll.policy import PackedItem, Policy
from corll.records import Preference


class Item(Protocol):
    """A preference as a learner encoded it; `rows` are the longest that its passes compute."""

    @property
    def rows(self) -> PackedItem: ...


ItemKind = TypeVar("ItemKind", bound=Item)


class Learner(Protocol[ItemKind]):
    """What a step learns by.

    `needs_pair`: nothing is to be learned where both sides are the same text. `needs_memory`:
    nothing is to be learned from a preference without one. `passes` says what of each preference a
    step computes, for people: forward passes f, and one with its backward pass fb.
    """

    passes: ClassVar[str]

    def __init__(self, config: CoactiveConfig) -> None: ...

    @property
    def needs_pair(self) -> bool: ...

    @property
    def needs_memory(self) -> bool: ...

    def check(self, policy: Policy, preference: Preference) -> None:
        """Check a preference. *Raises*: InputError where it cannot be learned from."""
        ...

    def encode(
        self,
        policy: Policy,
        preferences: Sequence[Preference],
        *,
        seed: int,
        before: Callable[[], None] = lambda: None,
    ) -> list[ItemKind]:
        """Return preferences as ids. *Raises*: InputError for one that cannot be learned from.

        What is drawn at random is drawn by the seed, which is another one in each step; `before` is
        called ahead of whatever computes for long.
        """
        ...

    def accumulate(
        self,
        policy: Policy,
        items: Sequence[ItemKind],
        max_tokens: int,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> BatchGradient:
        """Leave the gradient of the mean loss on what learns; as `accumulate_gradient`."""
        ...


KINDS: dict[str, type[Learner[Any]]] = {}

Kind = TypeVar("Kind", bound=type[Learner[Any]])


def register(name: str, what: str) -> Callable[[Kind], Kind]:
    """Make a class of learners known under a name, which `CoactiveConfig(learner=…)` then takes.

    `what` says by what it learns. *Raises*: ConfigError where another learner has the name.
    """

    def add(kind: Kind) -> Kind:
        if name in KINDS:
            raise ConfigError(f"There is a learner {name!r} already; choose another name.")
        KINDS[name] = kind
        LEARNERS[name] = what
        return kind

    return add


def learner_of(config: CoactiveConfig) -> Learner[Any]:
    """Return the learner that a configuration names. *Raises*: ConfigError for an unknown name."""
    if config.learner not in KINDS:
        known = ", ".join(name for name in LEARNERS if name in KINDS)
        raise ConfigError(f"No learner {config.learner!r}; there are: {known}.")
    return KINDS[config.learner](config)
