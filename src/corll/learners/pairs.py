"""What the learners have in common that learn from both sides of a preference by an objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from corll.config import CoactiveConfig
from corll.gradient import (
    BatchGradient,
    EncodedPair,
    Lesson,
    accumulate_gradient,
    encode_pair,
)
from corll.losses import Objective
from corll.policy import Policy
from corll.records import Preference


class PairLearner:
    """Learns by an `Objective`; a subclass says by which.

    Draft and edit are scored in one row where rows may be shared, with their memory before them
    where the configuration learns with it. All are scored under π_0 too, once for each preference.
    """

    needs_memory: ClassVar[bool] = False
    passes: ClassVar[str] = "draft and edit: f under π_0 (once, then kept), fb under π"

    def __init__(self, config: CoactiveConfig) -> None:
        self.objective = self.objective_of(config)
        self._remembering = config.learn_with_memory

    @staticmethod
    def objective_of(config: CoactiveConfig) -> Objective:
        """Return what is minimised."""
        raise NotImplementedError

    @property
    def needs_pair(self) -> bool:
        """Whether its objective does."""
        return self.objective.needs_pair

    def check(self, policy: Policy, preference: Preference) -> None:
        """Check a preference. *Raises*: InputError where it cannot be learned from."""
        self._encoded(policy, preference)

    def encode(
        self,
        policy: Policy,
        preferences: Sequence[Preference],
        *,
        seed: int,
        before: Callable[[], None] = lambda: None,
    ) -> list[EncodedPair]:
        """Return preferences as ids. *Raises*: InputError for one that cannot be learned from."""
        return [self._encoded(policy, preference) for preference in preferences]

    def accumulate(
        self,
        policy: Policy,
        items: Sequence[EncodedPair],
        max_tokens: int,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> BatchGradient:
        """Leave the gradient of the mean loss on what learns; as `accumulate_gradient`."""
        return accumulate_gradient(policy, items, self.objective, max_tokens, before=before)

    def lesson(self, policy: Policy, items: Sequence[EncodedPair]) -> Lesson | None:
        """Return what is to be learned in passes that several policies share.

        None where a subclass has a gradient of its own.
        """
        if type(self).accumulate is not PairLearner.accumulate:
            return None
        return Lesson(policy, items, self.objective)

    def _encoded(self, policy: Policy, preference: Preference) -> EncodedPair:
        return encode_pair(
            policy, preference, needs_pair=self.needs_pair, remembering=self._remembering
        )
