"""Step 4 of Algorithm 1, first half: the gradient of a batch of preferences.

Pure mathematics of pairs: which ids they are, what their loss is made of, and what of π_0 is known.
Passes over the model, in micro-batches that fit into memory, are the policy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from corll.errors import InputError
from corll.losses import Objective, PairLogprobs, PairTokens
from corll.losses.token_comparison import TokenComparison, compare_tokens
from corll.policy import Loss, PackedItem, Policy, Share
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
        """What the edit changed and what it kept, by position, without what is masked."""
        changed, kept = compare_tokens(self.rejected_ids, self.chosen_ids)
        of_chosen, of_rejected = map(frozenset, self.preference.masked_tokens)
        return TokenComparison(
            [place for place in changed if place not in of_chosen],
            [place for place in kept if place not in of_rejected],
        )


def encode_pair(
    policy: Policy,
    preference: Preference,
    *,
    needs_pair: bool = True,
    remembering: bool = False,
) -> EncodedPair:
    """Return a preference as ids, after its prompt alone or, `remembering`, after its memory too.

    Of a memory the earliest exchanges are left out where the context has no room for them.
    *Raises*: InputError where the sides do not fit, or are the same though the loss needs a pair,
    or where a masked token is none of its side; PromptTooLongError.
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
    for ids, masked in zip((chosen, rejected), preference.masked_tokens, strict=True):
        codec.check_fits(prompt_ids, ids)
        if masked and not 0 <= min(masked) <= max(masked) < len(ids):
            raise InputError(
                f"masked_tokens names the places {min(masked)} to {max(masked)} of a response of "
                f"{len(ids)} tokens; they are counted from 0."
            )
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


@dataclass(frozen=True)
class Lesson:
    """What one policy learns in a step: pairs, by an objective."""

    policy: Policy
    pairs: Sequence[EncodedPair]
    objective: Objective


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
    lesson = Lesson(policy, pairs, objective)
    (found,) = accumulate_gradients([lesson], max_tokens, before=before)
    return found


def accumulate_gradients(
    lessons: Sequence[Lesson], max_tokens: int, *, before: Callable[[], None] = lambda: None
) -> list[BatchGradient]:
    """Leave on what each policy learns the gradient of its lesson, from passes that they share.

    Several policies are of one base and each `mixes`: the base is computed once for all rows. Each
    gradient is that of its lesson alone, up to rounding. As `accumulate_gradient`.
    """
    first, several = lessons[0].policy, len(lessons) > 1
    pairs = [pair for lesson in lessons for pair in lesson.pairs]
    policies = [lesson.policy for lesson in lessons for _ in lesson.pairs]
    shared_grad = not all(lesson.objective.shared_terms_cancel for lesson in lessons)
    own = first.names_in_a_pass(policies) if several else None
    rows = [pair.rows for pair in pairs]
    passes = first.passes(rows, max_tokens, before=before, in_order=several)
    labels = [_computed_with(*both) for both in zip(policies, pairs, strict=True)]
    known = {n: kept for n, pair in enumerate(pairs) if (kept := _kept_reference(pair, labels[n]))}
    missing = set(range(len(pairs))) - known.keys()
    # From the same rows as the policy's, so that at step 0 the log-ratios are exactly 0.
    if missing:
        of_references = first.names_in_a_pass(policies, as_reference=True) if several else None
        how: dict[str, Any] = {"shared_grad": shared_grad, "adapters": of_references}
        with first.as_reference():
            scored = passes.forward(only=missing, **how)
        for n, responses in scored.items():
            chosen, rejected = (tuple(response.tolist()) for response in responses)
            known[n] = ReferenceLogprobs(chosen, rejected, labels[n])
    shares, start = [], 0
    for lesson in lessons:
        numbers = range(start, start + len(lesson.pairs))
        parameters = list(lesson.policy.trainable_parameters().values())
        shares.append(Share(numbers, _loss_of(lesson.objective, pairs, known), parameters))
        start = numbers.stop
    with first.active(), first.dropout():
        metrics = passes.forward_backward_of(shares, own, shared_grad=shared_grad)
    return [
        BatchGradient(found, [known[n] for n in share.numbers])
        for found, share in zip(metrics, shares, strict=True)
    ]


def _loss_of(
    objective: Objective, pairs: Sequence[EncodedPair], known: Mapping[int, ReferenceLogprobs]
) -> Loss:
    """Return the loss of some of the pairs, of which that of π_0 is known."""

    def loss_of(
        numbers: Sequence[int], responses: Sequence[Sequence[Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        of_pairs = zip(numbers, responses, strict=True)
        tokens = [_pair_tokens(pairs[n], known[n], sides) for n, sides in of_pairs]
        return objective(PairLogprobs.of_tokens(tokens))

    return loss_of


def _pair_tokens(
    pair: EncodedPair, reference: ReferenceLogprobs, sides: Sequence[Tensor]
) -> PairTokens:
    chosen, rejected = sides
    of_chosen, of_rejected = pair.preference.masked_tokens
    base_chosen, base_rejected = (
        torch.tensor(reference.chosen_tokens, dtype=chosen.dtype, device=chosen.device),
        torch.tensor(reference.rejected_tokens, dtype=rejected.dtype, device=rejected.device),
    )
    return PairTokens(
        _without(chosen, of_chosen, base_chosen),
        _without(rejected, of_rejected, base_rejected),
        base_chosen,
        base_rejected,
        pair.comparison,
    )


def _without(logprobs: Tensor, masked: Sequence[int], reference: Tensor) -> Tensor:
    """Return log π with log π_0 at masked tokens: there nothing prefers, supervises or holds."""
    if not masked:
        return logprobs
    is_masked = torch.zeros(len(logprobs), dtype=torch.bool, device=logprobs.device)
    is_masked[list(masked)] = True
    return torch.where(is_masked, reference, logprobs)


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
