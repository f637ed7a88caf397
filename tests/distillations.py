"""Preferences with a memory, and the divergence of plain passes, to compare distillation with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from batches import ALL_AT_ONCE, gradients
from corll.config import CoactiveConfig, DistilTeacher, DistilTexts
from corll.learners.distil import Distil
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Preference, Prompt
from learners import PREFERENCES

TEA = Exchange("Tea or coffee?", "Tea, thank you. Kind regards, Anna", "edit-1")
PARCEL = Exchange(
    [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Write to Ms Lopez about the parcel."},
    ],
    "Dear Ms Lopez, we are sorry that the parcel is late. Kind regards, Anna",
    "edit-2",
)
REMEMBERED = [
    replace(PREFERENCES[0], memory=(TEA, PARCEL)),
    replace(PREFERENCES[1], memory=(PARCEL,)),
    replace(PREFERENCES[2], memory=(TEA,)),
    Preference(
        [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Friday?"}],
        " Could we move it to Thursday? Kind regards, Anna",
        " Could we move it to Thursday? No.",
        memory=(TEA,),
    ),
]


def distil(texts: DistilTexts = "both", teacher: DistilTeacher = "policy") -> CoactiveConfig:
    return CoactiveConfig(
        learner="distil",
        distil_texts=texts,
        distil_teacher=teacher,
        learning_rate=1e-2,
        warmup_steps=0,
        max_completion_length=12,
    )


def texts_of(preference: Preference, texts: DistilTexts) -> list[str]:
    sides = {"draft": [preference.rejected], "edit": [preference.chosen]}
    found = sides.get(texts, [preference.rejected, preference.chosen])
    return [side for side in found if isinstance(side, str)]


def plain_logits(policy: Policy, prompt: Prompt, text: str) -> Tensor:
    """What transformers gives at each token of a text after a prompt. *Shapes*: T × V."""
    prompt_ids = policy.codec.encode_prompt(prompt)
    row = [*prompt_ids, *policy.codec.encode_response(text).token_ids]
    logits: Tensor = policy.base.model(input_ids=torch.tensor([row], device=policy.device)).logits
    return logits[0, len(prompt_ids) - 1 : -1].float()


def plain_divergence(
    policy: Policy, preference: Preference, text: str, teacher: Tensor | None = None
) -> Tensor:
    """The mean of KL(student ‖ teacher) over a text's tokens, by one plain row each."""
    with policy.active():
        student = plain_logits(policy, preference.prompt, text).log_softmax(-1)
        if teacher is None:
            teacher = teacher_of(policy, preference, text)
    return (student.exp() * (student - teacher)).sum(-1).mean()


@torch.no_grad()
def teacher_of(policy: Policy, preference: Preference, text: str) -> Tensor:
    remembering = with_memory(preference.prompt, preference.memory)
    with policy.active():
        return plain_logits(policy, remembering, text).log_softmax(-1)


def plain_distillation(
    policy: Policy,
    preferences: Sequence[Preference],
    texts: DistilTexts,
    teacher: DistilTeacher = "policy",
) -> tuple[float, dict[str, Tensor]]:
    """The mean divergence over a batch, and its gradient by autograd."""
    for parameter in policy.trainable_parameters().values():
        parameter.grad = None

    def divergence(one: Preference, text: str) -> Tensor:
        if teacher == "policy":
            return plain_divergence(policy, one, text)
        with policy.as_reference():
            fixed = teacher_of(policy, one, text)
        return plain_divergence(policy, one, text, fixed)

    means = [
        torch.stack([divergence(one, text) for text in texts_of(one, texts)]).mean()
        for one in preferences
    ]
    loss = torch.stack(means).mean()
    loss.backward()
    return loss.item(), gradients(policy)


def distilled(
    policy: Policy,
    preferences: Sequence[Preference],
    texts: DistilTexts,
    *,
    teacher: DistilTeacher = "policy",
    max_tokens: int = ALL_AT_ONCE,
) -> tuple[float, dict[str, Tensor]]:
    """The same by the learner's own passes."""
    learner = Distil(distil(texts, teacher))
    items = learner.encode(policy, preferences, seed=0)
    found = learner.accumulate(policy, items, max_tokens)
    return float(found.metrics["loss"]), gradients(policy)


@contextmanager
def recorded_rows(policy: Policy) -> Iterator[list[Sequence[object]]]:
    """The rows of each item that is packed."""
    packed: list[Sequence[object]] = []
    pack = policy.pack

    def noting(*args: object, **kwargs: object) -> object:
        rows = pack(*args, **kwargs)  # type: ignore[arg-type]
        packed.append(rows)
        return rows

    policy.pack = noting  # type: ignore[method-assign,assignment]
    try:
        yield packed
    finally:
        policy.pack = pack  # type: ignore[method-assign]
