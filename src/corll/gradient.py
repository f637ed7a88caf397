"""Step 4 of Algorithm 1, first half: the gradient of a batch of preferences.

The batch is cut into micro-batches that fit the memory limit; the gradient is the same as in one
piece, since the loss is an average over pairs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import chain
from os.path import commonprefix
from typing import NamedTuple, cast

import torch
from torch import Tensor

from corll.compute.cpu.side_by_side import side_by_side
from corll.compute.lora import set_dropout
from corll.compute.packing import Ids, Tree, padded_tokens
from corll.compute.scoring import Network, token_logprobs
from corll.config import CoactiveConfig
from corll.errors import DeviceMemoryError, InputError
from corll.losses import dpo_loss, shared_terms_cancel, shortfall
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs

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

    `before` is called ahead of each pass over one, in the thread that computes it.
    """
    parameters = list(policy.trainable_parameters().values())
    for parameter in parameters:
        parameter.grad = None
    batches, sides = _micro_batches(policy, pairs, max_tokens)
    parts = [[pairs[n] for n in numbers] for numbers in batches]
    references = _references(policy, parts, config, sides=sides, before=before)
    network = policy.network

    def learn(number: int) -> tuple[dict[str, Tensor], Sequence[Tensor | None]]:
        before()
        loss, metrics = _micro_batch_loss(network, parts[number], references[number], config)
        share = len(parts[number]) / len(pairs)
        gradients = torch.autograd.grad(loss * share, parameters, allow_unused=True)
        return {name: share * value for name, value in metrics.items()}, gradients

    totals: dict[str, Tensor] = {}
    with _dropout(policy):
        for metrics, gradients in side_by_side(learn, range(len(parts)), sides=sides):
            _add_gradients(parameters, gradients)
            for name, value in metrics.items():
                totals[name] = totals.get(name, torch.zeros_like(value)) + value
    order = [number for numbers in batches for number in numbers]
    found = dict(zip(order, chain.from_iterable(references), strict=True))
    return BatchGradient(totals, [found[n] for n in range(len(pairs))])


def _micro_batches(
    policy: Policy, pairs: Sequence[EncodedPair], max_tokens: int
) -> tuple[list[list[int]], int]:
    """Indices of the pairs of each micro-batch, and how many of these go side by side."""
    most = 1 if policy.lora.lora_dropout else None  # its masks come from one stream
    return policy.network.batches([pair.trees for pair in pairs], max_tokens, most_sides=most)


def _add_gradients(
    parameters: Sequence[torch.nn.Parameter], gradients: Sequence[Tensor | None]
) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
        elif gradient is not None:
            parameter.grad += gradient


def with_less_memory(error: Exception, max_tokens: int, pairs: Sequence[EncodedPair]) -> int:
    """Half the tokens a micro-batch, after the device ran out of memory.

    *Raises*: the error itself if it is another one; DeviceMemoryError if the micro-batches are
    single preferences already.
    """
    if not _is_out_of_memory(error):
        raise error
    sizes = [padded_tokens(pair.trees) for pair in pairs]
    largest = max(sizes)
    if max_tokens <= largest:
        raise DeviceMemoryError(
            f"A single preference of {largest} tokens does not fit into memory. Use shorter "
            "prompts or responses, a smaller model, or dtype='bfloat16'."
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    halved = max(largest, min(max_tokens, sum(sizes)) // 2)
    log.warning("Out of memory: micro-batches are now of %d tokens at most.", halved)
    return halved


def _micro_batch_loss(
    network: Network,
    batch: Sequence[EncodedPair],
    references: Sequence[ReferenceLogprobs],
    config: CoactiveConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    tokens = token_logprobs(network, _trees(batch), shared_grad=not shared_terms_cancel(config))
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
    return loss, metrics


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
    policy: Policy,
    batches: Sequence[Sequence[EncodedPair]],
    config: CoactiveConfig,
    *,
    sides: int,
    before: Callable[[], None],
) -> list[list[ReferenceLogprobs]]:
    """log π_0 of each edit and draft of each batch: as kept with the preference, else computed.

    Those of a batch of new preferences come from the same rows as the policy's, so that at step 0
    the log-ratios are exactly 0.
    """
    label = _computed_with(policy)
    shared_grad = not shared_terms_cancel(config)
    kept = [[_kept_reference(pair, label) for pair in batch] for batch in batches]
    if all(map(all, kept)):
        return cast(list[list[ReferenceLogprobs]], kept)
    with policy.as_reference():
        network = policy.network

        def complete(number: int) -> list[ReferenceLogprobs]:
            known = kept[number]
            missing = [pair for pair, own in zip(batches[number], known, strict=True) if not own]
            if not missing:
                return cast(list[ReferenceLogprobs], known)
            before()
            tokens = token_logprobs(network, _trees(missing), shared_grad=shared_grad)
            responses = [tuple(response.tolist()) for response in tokens]
            pairs = zip(responses[0::2], responses[1::2], strict=True)
            computed = (ReferenceLogprobs(*pair, label) for pair in pairs)
            return [own or next(computed) for own in known]

        return list(side_by_side(complete, range(len(batches)), sides=sides))


def _trees(pairs: Iterable[EncodedPair]) -> list[Tree]:
    return [tree for pair in pairs for tree in pair.trees]


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
