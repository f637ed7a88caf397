"""What a loss must say of itself, and the preference losses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

from torch import Tensor

from corll.config import LOSS_TYPES, CoactiveConfig
from corll.errors import ConfigError
from corll.losses.pair_logprobs import PairLogprobs


class Loss(Protocol):
    """A loss of pairs, and what it needs.

    `shared_terms_cancel`: the tokens that chosen and rejected begin with drop out of its gradient,
    so that a step need not compute theirs. A loss that says so wrongly is given a wrong gradient.
    `needs_pair`: it has no meaning where both sides are the same text.
    """

    @property
    def shared_terms_cancel(self) -> bool: ...

    @property
    def needs_pair(self) -> bool: ...

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair, to be averaged. *Shapes*: B."""
        ...


class PreferenceLoss:
    """A loss that prefers one side to the other, with the reward scaled by `beta`.

    Subclasses are registered under the name that `CoactiveConfig.loss_type` gives them.
    `label_smoothing` is ε, the assumed share of pairs that point the wrong way.
    """

    shared_terms_cancel: ClassVar[bool] = True
    needs_pair: ClassVar[bool] = True

    def __init__(self, *, beta: float, label_smoothing: float = 0.0) -> None:
        self.beta, self.label_smoothing = beta, label_smoothing

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        raise NotImplementedError


PREFERENCE_LOSSES: dict[str, type[PreferenceLoss]] = {}

Kind = TypeVar("Kind", bound=type[PreferenceLoss])


def register(name: str, *, takes_label_smoothing: bool = False) -> Callable[[Kind], Kind]:
    """Make a class of losses known under a name, which `CoactiveConfig(loss_type=…)` then takes.

    *Raises*: ConfigError where another loss has the name.
    """

    def add(kind: Kind) -> Kind:
        if name in PREFERENCE_LOSSES:
            raise ConfigError(f"There is a loss {name!r} already; choose another name.")
        PREFERENCE_LOSSES[name] = kind
        LOSS_TYPES[name] = takes_label_smoothing
        return kind

    return add


def preference_loss(name: str, *, beta: float, label_smoothing: float = 0.0) -> PreferenceLoss:
    """Return the loss of a name. *Raises*: ConfigError for a name that is not registered."""
    if name not in PREFERENCE_LOSSES:
        known = ", ".join(LOSS_TYPES)
        raise ConfigError(f"No loss {name!r}; there are: {known}.")
    return PREFERENCE_LOSSES[name](beta=beta, label_smoothing=label_smoothing)


def preference_loss_of(config: CoactiveConfig) -> PreferenceLoss:
    """Return the preference loss that a configuration names."""
    return preference_loss(
        config.loss_type, beta=config.beta, label_smoothing=config.label_smoothing
    )
