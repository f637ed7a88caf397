"""Step 4 of Algorithm 1, first half: the gradient of a batch of preferences.

The batch is cut into micro-batches that fit the memory limit; the gradient is the same as in one
piece, since the loss is an average over pairs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from os.path import commonprefix
from typing import NamedTuple

import torch
from torch import Tensor

from corll.config import CoactiveConfig
from corll.errors import DeviceMemoryError, InputError
from corll.lora import set_dropout
from corll.losses import dpo_loss, shared_terms_cancel, shortfall
from corll.packing import Ids, Tree, batches_by_length
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs
from corll.scoring import token_logprobs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedPair:
    """A preference as ids, laid out in one shared row or two plain ones."""

    preference: Preference
    chosen_ids: Ids
    rejected_ids: Ids
    trees: tuple[Tree, ...]

    @cached_property
    def comparison(self) -> TokenComparison:
        """What the edit changed and what it kept, by position."""
        return compare_tokens(self.rejected_ids, self.chosen_ids)

    @property
    def padded_tokens(self) -> tuple[int, int]:
        """Its rows, and the tokens of the longest of them."""
        return len(self.trees), max(map(len, self.trees))


def encode_pair(policy: Policy, preference: Preference) -> EncodedPair:
    """*Raises*: InputError where the sides are the same or do not fit; PromptTooLongError."""
    codec = policy.codec
    prompt_ids = codec.encode_prompt(preference.prompt)
    chosen = codec.encode_response(preference.chosen).token_ids
    rejected = codec.encode_response(preference.rejected).token_ids
    if chosen == rejected:
        raise InputError("Chosen and rejected are the same text: there is nothing to prefer.")
    for ids in (chosen, rejected):
        codec.check_fits(prompt_ids, ids)
    share = policy.shares_prefixes
    trees = policy.network.trees(prompt_ids, [chosen, rejected], share=share)
    return EncodedPair(preference, chosen, rejected, tuple(trees))


class TokenComparison(NamedTuple):
    """Positions of tokens: what the edit `changed`, and what of the draft it `kept`.

    A token is kept where the other side has it too, and after the same token: there the user let
    the model's choice stand. `changed` is the rest of the edit: what was inserted, and the token
    after each insertion or cut, where the edit comes back to the draft; above all the end token
    after a new last line. Its like in the draft is not kept: there the user put something in, or
    took something out.
    """

    changed: list[int]
    kept: list[int]


def compare_tokens(draft: Ids, edit: Ids) -> TokenComparison:
    """Aligns an edit with its draft, their common beginning first."""
    prefix = len(commonprefix([draft, edit]))
    unchanged, kept = set(range(prefix)), list(range(prefix))
    matcher = SequenceMatcher(None, draft[prefix:], edit[prefix:], autojunk=False)
    for in_draft, in_edit, size in matcher.get_matching_blocks():
        unchanged.update(range(prefix + in_edit + 1, prefix + in_edit + size))
        kept.extend(range(prefix + in_draft + 1, prefix + in_draft + size))
    return TokenComparison([n for n in range(len(edit)) if n not in unchanged], kept)


@dataclass(frozen=True)
class BatchGradient:
    """What `accumulate_gradient` found beside the gradients that it left on the parameters.

    `metrics` are averages over the batch; `references` belong to its preferences, in order.
    """

    metrics: dict[str, Tensor]
    references: list[ReferenceLogprobs]


def accumulate_gradient(
    policy: Policy,
    pairs: Sequence[EncodedPair],
    config: CoactiveConfig,
    max_tokens: int,
    *,
    before: Callable[[], None] = lambda: None,
) -> BatchGradient:
    """Leaves the gradient of the batch's loss on the adapter, whatever the micro-batches were.

    `before` is called ahead of each micro-batch.
    """
    for parameter in policy.trainable_parameters().values():
        parameter.grad = None
    totals: dict[str, Tensor] = {}
    references: dict[int, ReferenceLogprobs] = {}
    for numbers in batches_by_length([pair.padded_tokens for pair in pairs], max_tokens):
        before()
        batch = [pairs[n] for n in numbers]
        share = len(batch) / len(pairs)
        loss, metrics, computed = _micro_batch_loss(policy, batch, config)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        for name, value in metrics.items():
            totals[name] = totals.get(name, torch.zeros_like(value)) + share * value
        references.update(zip(numbers, computed, strict=True))
    return BatchGradient(totals, [references[n] for n in range(len(pairs))])


def with_less_memory(error: Exception, max_tokens: int, pairs: Sequence[EncodedPair]) -> int:
    """Half the tokens a micro-batch, after the device ran out of memory.

    *Raises*: the error itself if it is another one; DeviceMemoryError if the micro-batches are
    single preferences already.
    """
    if not _is_out_of_memory(error):
        raise error
    largest = max(rows * tokens for rows, tokens in (pair.padded_tokens for pair in pairs))
    if max_tokens <= largest:
        raise DeviceMemoryError(
            f"A single preference of {largest} tokens does not fit into memory. Use shorter "
            "prompts or responses, a smaller model, or dtype='bfloat16'."
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    total = sum(rows * tokens for rows, tokens in (pair.padded_tokens for pair in pairs))
    halved = max(largest, min(max_tokens, total) // 2)
    log.warning("Out of memory: micro-batches are now of %d tokens at most.", halved)
    return halved


def _micro_batch_loss(
    policy: Policy, batch: Sequence[EncodedPair], config: CoactiveConfig
) -> tuple[Tensor, dict[str, Tensor], list[ReferenceLogprobs]]:
    trees = [tree for pair in batch for tree in pair.trees]
    shared_grad = not shared_terms_cancel(config)
    references = _references(policy, batch, shared_grad=shared_grad)
    with _dropout(policy):
        tokens = token_logprobs(policy.network, trees, shared_grad=shared_grad)
    as_tensor = tokens[0].new_tensor
    reference_tokens = [
        as_tensor(side)
        for kept in references
        for side in (kept.chosen_tokens, kept.rejected_tokens)
    ]
    supervised: dict[str, Tensor] = {}
    if config.sft_weight and config.sft_tokens == "changed":
        changed = [pair.comparison.changed for pair in batch]
        sums = [t[places].sum() for t, places in zip(tokens[0::2], changed, strict=True)]
        supervised["supervised_logprobs"] = torch.stack(sums)
        supervised["supervised_lengths"] = as_tensor([len(places) for places in changed])
    loss, metrics = dpo_loss(
        torch.stack([response.sum() for response in tokens[0::2]]),
        torch.stack([response.sum() for response in tokens[1::2]]),
        torch.stack([response.sum() for response in reference_tokens[0::2]]),
        torch.stack([response.sum() for response in reference_tokens[1::2]]),
        beta=config.beta,
        loss_type=config.loss_type,
        label_smoothing=config.label_smoothing,
        preference_weight=config.preference_weight,
        sft_weight=config.sft_weight,
        chosen_lengths=as_tensor([len(pair.chosen_ids) for pair in batch]),
        rejected_lengths=as_tensor([len(pair.rejected_ids) for pair in batch]),
        **supervised,
    )
    if config.keep_weight:
        kept = _kept_shortfall(batch, tokens, reference_tokens)
        loss = loss + config.keep_weight * kept
        metrics |= {"loss/total": loss.detach(), "shortfall/kept": kept.detach()}
    return loss, metrics, references


def _kept_shortfall(
    batch: Sequence[EncodedPair], tokens: Sequence[Tensor], reference_tokens: Sequence[Tensor]
) -> Tensor:
    """How far the edit, and what it left of the draft, fell below π_0; over pairs and sides."""
    both = list(zip(tokens, reference_tokens, strict=True))
    terms = []
    for pair, edit, draft in zip(batch, both[0::2], both[1::2], strict=True):
        terms.append(shortfall(*edit))
        terms.append(shortfall(*(side[pair.comparison.kept] for side in draft)))
    return torch.stack(terms).mean()


def _references(
    policy: Policy, batch: Sequence[EncodedPair], *, shared_grad: bool
) -> list[ReferenceLogprobs]:
    """log π_0 of each edit and draft: as kept with the preference, else computed.

    Those of a batch of new preferences come from the same rows as the policy's, so that at step 0
    the log-ratios are exactly 0.
    """
    label = _computed_with(policy)
    known = {n: kept for n, pair in enumerate(batch) if (kept := _kept_reference(pair, label))}
    missing = [n for n in range(len(batch)) if n not in known]
    if missing:
        trees = [tree for n in missing for tree in batch[n].trees]
        with policy.as_reference():
            tokens = token_logprobs(policy.network, trees, shared_grad=shared_grad)
        sides = [tuple(response.tolist()) for response in tokens]
        for number, chosen, rejected in zip(missing, sides[0::2], sides[1::2], strict=True):
            known[number] = ReferenceLogprobs(chosen, rejected, label)
    return [known[n] for n in range(len(batch))]


def _kept_reference(pair: EncodedPair, label: str) -> ReferenceLogprobs | None:
    """The numbers kept with a preference, if they were computed as they would be now."""
    kept = pair.preference.reference
    if kept is None or kept.computed_with != label:
        return None
    lengths = (len(kept.chosen_tokens), len(kept.rejected_tokens))
    return kept if lengths == (len(pair.chosen_ids), len(pair.rejected_ids)) else None


def _computed_with(policy: Policy) -> str:
    """What a reference log-probability hangs on: base, reference, dtype, prompts, kind of rows."""
    rows = "shared rows" if policy.shares_prefixes else "plain rows"
    prompts = "chat prompts" if policy.codec.chat else "plain prompts"
    return f"{policy.name}, reference {policy.reference_name}, {policy.dtype}, {prompts}, {rows}"


@contextmanager
def _dropout(policy: Policy) -> Iterator[None]:
    """Within the context the adapter's dropout is on, if it has any."""
    if policy.lora.lora_dropout == 0:
        yield
        return
    set_dropout(policy.base.model, active=True)
    try:
        yield
    finally:
        set_dropout(policy.base.model, active=False)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )
