"""Step 4 of Algorithm 1, first half: the gradient of a batch of preferences.

Pure mathematics of pairs: which ids they are, what their loss is made of, and what of π_0 is known.
Passes over the model, in micro-batches that fit into memory, are the policy's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from corll.errors import InputError
from corll.losses import Objective, PairLogprobs, PairTokens
from corll.losses.token_comparison import TokenComparison, compare_tokens
from corll.policy import PackedItem, Policy
from corll.records import Preference, ReferenceLogprobs


@dataclass(frozen=True)
class EncodedPair:
    """A preference as ids, laid out in one shared row or two plain ones."""

    preference: Preference
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    rows: PackedItem

    @cached_property
    def comparison(self) -> TokenComparison:
        """What the edit changed and what it kept, by position."""
        return compare_tokens(self.rejected_ids, self.chosen_ids)


def encode_pair(
    policy: Policy,
    preference: Preference,
    *,
    needs_pair: bool = True,
    remembering: bool = False,
) -> EncodedPair:
    """Return a preference as ids, after its prompt alone or, `remembering`, after its memory too.

    Of a memory the earliest exchanges are left out where the context has no room for them.
    *Raises*: InputError where the sides do not fit, or are the same though the loss needs a pair;
    PromptTooLongError.
    """
    codec, prompt = policy.codec, preference.prompt
    chosen = codec.encode_response(preference.chosen).token_ids
    rejected = codec.encode_response(preference.rejected).token_ids
    if needs_pair and chosen == rejected:
        raise InputError("Chosen and rejected are the same text: there is nothing to prefer.")
    if remembering:
        room = max(len(chosen), len(rejected))
        _, prompt_ids = codec.encode_behind(prompt, preference.memory, room=room)
    else:
        prompt_ids = codec.encode_prompt(prompt)
    for ids in (chosen, rejected):
        codec.check_fits(prompt_ids, ids)
    rows = policy.pack(prompt_ids, [chosen, rejected])
    return EncodedPair(preference, prompt_ids, chosen, rejected, rows)


@dataclass(frozen=True)
class BatchGradient:
    """What `accumulate_gradient` found beside the gradients that it left on the parameters.

    `metrics` are averages over the batch; `references` belong to its preferences, in order, or are
    none where the loss asks for none.
    """

    metrics: dict[str, Tensor]
    references: list[ReferenceLogprobs]


def accumulate_gradient(
    policy: Policy,
    pairs: Sequence[EncodedPair],
    objective: Objective,
    max_tokens: int,
    *,
    before: Callable[[], None] = lambda: None,
) -> BatchGradient:
    """Leave the gradient of the batch's loss on what learns, whatever the micro-batches were.

    The loss is an average over pairs, so it is the same as in one piece. At most `max_tokens` are
    worked at together. `before` is called ahead of each pass, in the thread that computes it.
    """
    shared_grad = not objective.shared_terms_cancel
    passes = policy.passes([pair.rows for pair in pairs], max_tokens, before=before)
    labels = [_computed_with(policy, pair) for pair in pairs]
    known = {n: kept for n, pair in enumerate(pairs) if (kept := _kept_reference(pair, labels[n]))}
    missing = set(range(len(pairs))) - known.keys()
    # From the same rows as the policy's, so that at step 0 the log-ratios are exactly 0.
    if missing:
        with policy.as_reference():
            scored = passes.forward(only=missing, shared_grad=shared_grad)
        for n, responses in scored.items():
            chosen, rejected = (tuple(response.tolist()) for response in responses)
            known[n] = ReferenceLogprobs(chosen, rejected, labels[n])

    def loss_of(
        numbers: Sequence[int], responses: Sequence[Sequence[Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        of_pairs = zip(numbers, responses, strict=True)
        tokens = [_pair_tokens(pairs[n], known[n], sides) for n, sides in of_pairs]
        return objective(PairLogprobs.of_tokens(tokens))

    parameters = list(policy.trainable_parameters().values())
    with policy.active(), policy.dropout():
        metrics = passes.forward_backward(loss_of, parameters, shared_grad=shared_grad)
    return BatchGradient(metrics, [known[n] for n in range(len(pairs))])


def _pair_tokens(
    pair: EncodedPair, reference: ReferenceLogprobs, sides: Sequence[Tensor]
) -> PairTokens:
    chosen, rejected = sides
    return PairTokens(
        chosen,
        rejected,
        torch.tensor(reference.chosen_tokens, dtype=chosen.dtype, device=chosen.device),
        torch.tensor(reference.rejected_tokens, dtype=rejected.dtype, device=rejected.device),
        pair.comparison,
    )


def _kept_reference(pair: EncodedPair, label: str) -> ReferenceLogprobs | None:
    """Return the numbers kept with a preference, if they were computed as they would be now."""
    kept = pair.preference.reference
    if kept is None or kept.computed_with != label:
        return None
    lengths = (len(kept.chosen_tokens), len(kept.rejected_tokens))
    return kept if lengths == (len(pair.chosen_ids), len(pair.rejected_ids)) else None


def _computed_with(policy: Policy, pair: EncodedPair) -> str:
    """Return what reference log-probabilities depend on, in words that are stored with them."""
    ids = repr((pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode()
    rows = "shared rows" if policy.shares_prefixes else "plain rows"
    return (
        f"{policy.name}, reference {policy.reference_name}, {policy.dtype}, {rows}, "
        f"ids {sha256(ids).hexdigest()[:16]}"
    )
