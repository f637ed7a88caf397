"""Batches of preferences of every kind, and the gradients that they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from corll.config import CoactiveConfig
from corll.gradient import BatchGradient, EncodedPair, accumulate_gradient, encode_pair
from corll.losses import Objective, dpo_loss
from corll.policy import Policy
from corll.records import Preference, Sample

ALL_AT_ONCE = 10**9
PLAIN_DPO = CoactiveConfig(sft_weight=0.0, keep_weight=0.0)


def text_preferences(policy: Policy) -> list[Preference]:
    """Plain strings that share nothing, a little, nearly all, and all of one side."""
    invitation: Any = "Write to Ms Lopez about the parcel."
    if policy.codec.chat:
        invitation = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": invitation},
        ]
    return [
        Preference(invitation, " Dear Ms Lopez, we are sorry.", " Hello! The parcel is late."),
        Preference("The kettle.", " We'll send another one on Friday.", " We'll not."),
        Preference("The kettle.", " Thank you for the note.", " Thank you for the note!"),
        Preference("A hotel near the station?", " It was clean.", " It was clean. But slow."),
        Preference("Tuesday.", " Could we move it to Thursday? Kind regards, Anna.", " No."),
    ]


def mixed_preferences(policy: Policy) -> list[Preference]:
    """Also samples with ids of their own: cut at the limit, one side the beginning of the other."""
    ids = policy.codec.encode_response(" Dear Anna, the street was noisy").token_ids[:-1]
    other = policy.codec.encode_response(" Dear Anna, hello").token_ids
    longer = Sample("", ids, -1.0, finished=False)
    begun = Sample("", ids[:4], None, finished=False)
    single_bytes = tuple(policy.tokenizer.convert_tokens_to_ids(list("Dear")))
    return [
        *text_preferences(policy),
        Preference("Breakfast.", begun, longer),
        Preference("Breakfast.", longer, begun),
        Preference("Breakfast.", Sample("", other, None, finished=True), longer),
        Preference("Breakfast.", " Dear", Sample("Dear", single_bytes, -9.0, finished=False)),
    ]


def encode(policy: Policy, preferences: Sequence[Preference]) -> list[EncodedPair]:
    return [encode_pair(policy, preference) for preference in preferences]


def gradients(policy: Policy) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in policy.trainable_parameters().items()}
    return {name: grad.cpu().clone() for name, grad in found.items() if grad is not None}


def accumulated(
    policy: Policy,
    preferences: Sequence[Preference],
    config: CoactiveConfig = PLAIN_DPO,
    *,
    max_tokens: int = ALL_AT_ONCE,
) -> tuple[BatchGradient, dict[str, Tensor]]:
    found = accumulate_gradient(
        policy, encode(policy, preferences), Objective.of(config), max_tokens
    )
    return found, gradients(policy)


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """||g − g'|| / ||g'|| over all parameters."""
    assert found.keys() == expected.keys()
    names = sorted(expected)
    flat = torch.cat([expected[name].reshape(-1).double() for name in names])
    difference = torch.cat([found[name].reshape(-1).double() for name in names]) - flat
    assert flat.norm() > 0
    return float(difference.norm() / flat.norm())


def plain_gradient(
    policy: Policy, pairs: Sequence[EncodedPair], config: CoactiveConfig
) -> tuple[float, dict[str, Tensor]]:
    """One row a response, no padding, logits and log-softmax as transformers and torch do."""

    def logprobs(prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> Tensor:
        row = torch.tensor([[*prompt_ids, *ids]], device=policy.device)
        logits = policy.base.model(input_ids=row).logits[0]
        predicted = logits.float().log_softmax(-1)[len(prompt_ids) - 1 : -1]
        return predicted.gather(-1, row[0, len(prompt_ids) :, None]).squeeze(-1)

    def lengths(sides: Sequence[Sized]) -> Tensor:
        return torch.tensor([float(len(side)) for side in sides], device=policy.device)

    prompts = [policy.codec.encode_prompt(pair.preference.prompt) for pair in pairs]
    both = list(zip(prompts, pairs, strict=True))

    def sides() -> tuple[Tensor, Tensor]:
        return (
            torch.stack([logprobs(prompt, pair.chosen_ids).sum() for prompt, pair in both]),
            torch.stack([logprobs(prompt, pair.rejected_ids).sum() for prompt, pair in both]),
        )

    def kept() -> list[Tensor]:
        sides = [
            (logprobs(p, pair.chosen_ids), range(len(pair.chosen_ids))) for p, pair in both
        ] + [(logprobs(p, pair.rejected_ids), pair.comparison.kept) for p, pair in both]
        return [values[places] for values, places in sides]

    for parameter in policy.trainable_parameters().values():
        parameter.grad = None
    with torch.no_grad(), policy.adapters.model.disable_adapter():
        reference, reference_kept = sides(), kept()
    preference, _ = dpo_loss(
        *sides(),
        *reference,
        beta=config.beta,
        loss_type=config.loss_type,
        label_smoothing=config.label_smoothing,
        chosen_lengths=lengths([pair.chosen_ids for pair in pairs]),
        rejected_lengths=lengths([pair.rejected_ids for pair in pairs]),
    )
    loss = config.preference_weight * preference
    if config.sft_weight:
        edits = [(logprobs(prompt, pair.chosen_ids), pair) for prompt, pair in both]
        if config.sft_tokens == "changed":
            edits = [(values[pair.comparison.changed], pair) for values, pair in edits]
        means = [-values.sum() / max(len(values), 1) for values, _ in edits]
        loss = loss + config.sft_weight * torch.stack(means).mean()
    if config.keep_weight:
        pieces = zip(kept(), reference_kept, strict=True)
        falls = [((r - o).clamp(min=0) ** 2).sum() / (2 * max(len(o), 1)) for o, r in pieces]
        loss = loss + config.keep_weight * torch.stack(falls).mean()
    loss.backward()
    return loss.item(), gradients(policy)


def loss_name(config: CoactiveConfig) -> str:
    names = "loss_type label_smoothing preference_weight sft_weight sft_tokens keep_weight".split()
    return "-".join(str(getattr(config, name)) for name in names)


@contextmanager
def recorded_passes(policy: Policy) -> Iterator[list[int]]:
    """The padded tokens of each forward pass."""
    sizes: list[int] = []
    hook = policy.base.model.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].numel())
    )
    try:
        yield sizes
    finally:
        hook.remove()
