"""The learner `distil`: on-policy self-distillation of what a memory in the prompt brings.

    teacher  q_n = π_θ(· | memory, x, y_<n), without a gradient
    student  p_n = π_θ(· | x, y_<n)
    loss     1/|y| Σ_n KL(p_n ‖ q_n), over the whole vocabulary

along a text y that the student drew. *Source*: SDFT (Shenfeld et al. 2026, arXiv 2601.19897) and
SDPO (Hübotter et al. 2026, arXiv 2601.20802), which state the reverse KL at each token of the
student's own text too. It is the one that fits such a text: an expectation over what the student
says, so that it is pulled off its own mistakes, and need not cover what only the teacher would say.
We differ in three points. The teacher is π_θ as it stands before the step, or π_0, where theirs is
a moving average of π_θ, which would be a second adapter. The vocabulary is whole, where SDPO keeps
the top 100 and a rest: the teacher's hidden states are kept and not its logits. The memory is of
other requests, as it stands before a draft, and not of this request's own answer.

Its ceiling is its teacher: where a memory misleads the policy, the policy learns to be misled. A
teacher that learns with its student need not stay what it was: both may meet elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from corll.config import LEARNERS, CoactiveConfig
from corll.errors import InputError
from corll.gradient import BatchGradient
from corll.learners.registry import register
from corll.policy import PackedItem, Policy
from corll.records import Preference

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Distillation:
    """The same texts behind a prompt alone and behind its memory too, as rows."""

    student: PackedItem
    teacher: PackedItem

    @property
    def rows(self) -> PackedItem:
        """The teacher's, which are longer by the memory."""
        return self.teacher


@register("distil", LEARNERS["distil"])
class Distil:
    """Teaches the policy to say without a memory what it says with one."""

    needs_pair: ClassVar[bool] = False
    needs_memory: ClassVar[bool] = True
    passes: ClassVar[str] = "each text: f with its memory, fb without; drawn first where `sampled`"

    def __init__(self, config: CoactiveConfig) -> None:
        self._config = config

    def check(self, policy: Policy, preference: Preference) -> None:
        """Check a preference. *Raises*: InputError where it cannot be learned from.

        It has no memory, or its texts do not fit; where they are drawn, the longest must. Or some
        of it is masked: the teacher would write the placeholders that its memory has.
        """
        if any(preference.masked_tokens):
            raise InputError("The learner distil cannot leave masked tokens out; mask nothing.")
        if self._config.distil_texts != "sampled":
            self._item(policy, preference, self._given(policy, preference))
            return
        room = self._config.max_completion_length
        policy.codec.check_room([policy.codec.encode_prompt(preference.prompt)], room)
        _teachers_prompt(policy, preference, room)

    def encode(
        self,
        policy: Policy,
        preferences: Sequence[Preference],
        *,
        seed: int,
        before: Callable[[], None] = lambda: None,
    ) -> list[Distillation]:
        """Return preferences as ids, with the texts drawn that the student says by itself.

        *Raises*: InputError for a preference that cannot be learned from.
        """
        for preference in preferences:
            self.check(policy, preference)
        if self._config.distil_texts == "sampled":
            texts = self._drawn(policy, preferences, seed, before)
        else:
            texts = [self._given(policy, preference) for preference in preferences]
        return [
            self._item(policy, preference, responses)
            for preference, responses in zip(preferences, texts, strict=True)
        ]

    def accumulate(
        self,
        policy: Policy,
        items: Sequence[Distillation],
        max_tokens: int,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> BatchGradient:
        """Leave the gradient of the mean divergence on what learns; `loss` is that divergence.

        An item with several texts counts as one: its loss is their mean. *Units*: nats a token.
        """
        teacher = policy.passes([item.teacher for item in items], max_tokens, before=before)
        student = policy.passes([item.student for item in items], max_tokens, before=before)
        stays = self._config.distil_teacher == "reference"
        with policy.as_reference() if stays else policy.active():
            towards = teacher.prediction_states()

        def loss_of(
            _: Sequence[int], divergences: Sequence[Sequence[Tensor]]
        ) -> tuple[Tensor, dict[str, Tensor]]:
            rows = [torch.stack([text.mean() for text in texts]).mean() for texts in divergences]
            loss = torch.stack(rows).mean()
            return loss, {"loss": loss.detach(), "loss/total": loss.detach()}

        parameters = list(policy.trainable_parameters().values())
        with policy.active(), policy.dropout():
            metrics = student.forward_backward(loss_of, parameters, towards=towards)
        return BatchGradient(metrics, [])

    def _given(self, policy: Policy, preference: Preference) -> list[Ids]:
        sides = {"draft": preference.rejected, "edit": preference.chosen}
        wanted = self._config.distil_texts
        texts = list(sides.values()) if wanted == "both" else [sides[wanted]]
        return [policy.codec.encode_response(text).token_ids for text in texts]

    def _drawn(
        self,
        policy: Policy,
        preferences: Sequence[Preference],
        seed: int,
        before: Callable[[], None],
    ) -> list[list[Ids]]:
        rows = policy.sample(
            [preference.prompt for preference in preferences],
            max_new_tokens=self._config.max_completion_length,
            seed=[seed + number for number in range(len(preferences))],
            sampling=self._config.sampling,
            before=before,
        )
        return [[sample.token_ids for sample in row] for row in rows]

    def _item(
        self, policy: Policy, preference: Preference, responses: Sequence[Ids]
    ) -> Distillation:
        prompt = policy.codec.encode_prompt(preference.prompt)
        remembering = _teachers_prompt(policy, preference, max(map(len, responses)))
        return Distillation(policy.pack(prompt, responses), policy.pack(remembering, responses))


def _teachers_prompt(policy: Policy, preference: Preference, room: int) -> Ids:
    """Return the prompt behind as much of its memory as fits. *Raises*: InputError for none."""
    if not preference.memory:
        raise InputError(
            "The learner distil teaches what a memory in the prompt brings, and this preference "
            "has none: draft with a memory, or choose another learner."
        )
    codec = policy.codec
    held = codec.memory_within(preference.prompt, preference.memory, room=room)
    if not held:
        raise InputError(
            f"The context of {codec.context_length} tokens has no room for any exchange of the "
            "memory beside prompt and text: use shorter texts, or choose another learner."
        )
    return codec.encode_prompt(codec.behind(preference.prompt, held))
