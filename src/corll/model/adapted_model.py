"""A base model with an adapter of its own: it draws and scores ids, and knows its reference π_0.

`Policy` is this in texts. Models that share a base take turns: whichever is used runs with its own
adapter meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from corll.compute.decoding import Branch, Decoding, Mixed, sample_branches
from corll.compute.kept_prefixes import KeptPrefixes, can_begin
from corll.compute.lora import set_dropout
from corll.compute.network import Network
from corll.compute.packing import Ids, Tree
from corll.compute.passes import Passes, Rows, TokenBudget
from corll.compute.scoring import token_alternatives
from corll.config import LoraConfig, SamplingConfig
from corll.errors import AdapterError
from corll.model.adapters import POLICY, AdapterSet
from corll.model.loading import LoadedModel
from corll.model.memory import WorkingSet, branches_within, tokens_within, working_set
from corll.model.tokens import TokenCodec
from corll.model.whole_copies import WholeCopies

PackedItem: TypeAlias = Rows
"""A prompt and its responses as rows that passes take."""

DEFAULT_SAMPLING = SamplingConfig()
_SCORED_TOKENS = 4096
"""Tokens of padded rows that are scored in one pass at most; more make it no quicker."""

_DRAFTS = {
    "batch": "in one batch",
    "prompt": "prompt by prompt",
    "row": "one after another",
    "recomputed": "computed anew for each token",
}
"""How responses are drawn, for people."""


class AdaptedModel:
    """A base model that runs with an adapter, or with none as its reference π_0.

    It is a `Sampler` and a `Scorer`. `name`, `folder` (local config, safetensors and tokenizer),
    `tokenizer`, `device` and `dtype` are those of its base. `memory_limit_gb` bounds what it works
    with at once beside its weights, never what comes out beyond rounding.
    """

    def __init__(
        self,
        base: LoadedModel,
        adapters: AdapterSet | WholeCopies,
        codec: TokenCodec,
        network: Network,
        *,
        memory_limit_gb: float,
        adapter: str = POLICY,
    ) -> None:
        self.base, self.adapters, self.codec, self.adapter = base, adapters, codec, adapter
        self.memory_limit_gb = memory_limit_gb
        self._network = network
        self._is_reference = False

    @contextmanager
    def active(self) -> Iterator[Network]:
        """Let the model run with this policy's adapter, or as π_0 within `as_reference`.

        Policies that share a base take turns: when the context ends within another's, that one's
        adapter runs again.
        """
        with self.adapters.held(self._running):
            yield self._network

    @property
    def _running(self) -> str | None:
        return self.adapters.reference_of(self.adapter) if self._is_reference else self.adapter

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Let the model be π_0 within the context, without gradients."""
        with self.active():
            before, self._is_reference = self._is_reference, True
            try:
                with self.active(), torch.no_grad():
                    yield
            finally:
                self._is_reference = before

    @contextmanager
    def dropout(self) -> Iterator[None]:
        """Switch the adapter's dropout on within the context, if it has any."""
        drops = self.lora.lora_dropout > 0
        if drops:
            set_dropout(self.base.model, active=True)
        try:
            yield
        finally:
            if drops:
                set_dropout(self.base.model, active=False)

    def pack(self, prompt: Ids, responses: Sequence[Ids]) -> PackedItem:
        """Lay a prompt and its responses out as rows: one that they share, where they may."""
        return tuple(self._network.trees(prompt, responses, share=self.shares_prefixes))

    def passes(
        self,
        items: Sequence[PackedItem],
        max_tokens: int,
        *,
        before: Callable[[], None] = lambda: None,
        in_order: bool = False,
    ) -> Passes:
        """Return passes over items, to be made while this policy is active or the reference is.

        `in_order`: those of a policy are next to each other, for passes that several share.
        """
        most = 1 if self.lora.lora_dropout else None  # its masks come from one stream
        how: Any = {"most_sides": most, "before": before, "in_order": in_order}
        return Passes(self._network, items, max_tokens, **how)

    def token_budget(self) -> TokenBudget:
        """Return how many tokens a step may work at together."""
        return TokenBudget(tokens_within(self.memory_limit_gb, self.base.model))

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def folder(self) -> Path:
        return self.base.folder

    @property
    def tokenizer(self) -> Any:
        return self.base.tokenizer

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    @property
    def lora(self) -> LoraConfig:
        return self.adapters.lora(self.adapter)

    @property
    def reference_name(self) -> str:
        """What π_0 is: `base`, or the fingerprint of the frozen adapter."""
        return self.adapters.reference_name_of(self.adapter)

    def trainable_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters by name that learning changes: the adapter's, or all."""
        return self.adapters.parameters(self.adapter)

    def describe(self) -> dict[str, str]:
        """Return which path each part of the model takes, by the part's name, for people."""
        network = self._network
        rows = "shared between responses" if self.shares_prefixes else "one for each response"
        head = "only where needed" if network.head_is_linear else "as the model computes them"
        drafts = _DRAFTS[network.drafting]
        return {**network.backend.describe(), "rows": rows, "logits": head, "drafts": drafts}

    def working_set(self) -> WorkingSet:
        """Return what this policy keeps in memory and at most works with, before it is taken."""
        parameters = self.trainable_parameters().values()
        copied = self._network.backend.copied_bytes
        return working_set(self.base, parameters, self.memory_limit_gb, copied=copied)

    @property
    def shares_prefixes(self) -> bool:
        """Whether responses may share rows: not with dropout, which would differ between rows."""
        return self._network.takes_trees and self.lora.lora_dropout == 0

    def continuations(
        self,
        beginnings: Sequence[Ids],
        num_samples: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        *,
        sampling: SamplingConfig = DEFAULT_SAMPLING,
        before: Callable[[], None] = lambda: None,
    ) -> list[list[Branch]]:
        """Draw what may follow on each row of ids, a list of `num_samples` for each.

        What was drawn by weights in int8 is scored by the model's own. `before` is called ahead of
        whatever computes for long.
        """
        if not beginnings:
            return []
        longest = max(map(len, beginnings)) + max_new_tokens
        size = max(1, self.branches_at_once(longest) // num_samples)
        with self.active() as network:
            rows = [
                row
                for start in range(0, len(beginnings), size)
                for row in sample_branches(
                    network,
                    beginnings[start : start + size],
                    seeds=seeds[start : start + size],
                    num_samples=num_samples,
                    max_new_tokens=max_new_tokens,
                    sampling=sampling,
                    end_ids=self.codec.end_ids,
                    before=before,
                )
            ]
        if network.backend.drafts_exactly:
            return rows
        before()
        return self._scored(beginnings, rows)

    def _scored(
        self, beginnings: Sequence[Ids], rows: Sequence[Sequence[Branch]]
    ) -> list[list[Branch]]:
        """Return branches with their log-probabilities."""
        prompts = [prompt for prompt, row in zip(beginnings, rows, strict=True) for _ in row]
        responses = [branch.token_ids for row in rows for branch in row]
        found = iter(self.score(prompts, responses).tolist())
        return [[replace(branch, logprob=next(found)) for branch in row] for row in rows]

    def branches_at_once(self, length: int) -> int:
        """Return how many responses of `length` tokens, prompt included, fit the memory limit."""
        return branches_within(self.memory_limit_gb, self.base.model, length)

    def begin(
        self,
        beginnings: Sequence[Ids],
        num_samples: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        *,
        sampling: SamplingConfig = DEFAULT_SAMPLING,
        exactly: bool = False,
        kept: KeptPrefixes | None = None,
        prefixes: Sequence[int] = (),
        drawers: Sequence[AdaptedModel | None] | None = None,
        drawn_before: Sequence[int] = (),
    ) -> Decoding:
        """Begin what `continuations` would draw, for a caller who wants it by the token.

        `exactly`: by the weights that score, whatever else is quicker. `kept` has what the first
        tokens of beginnings come to, so many of each as `prefixes` says; it is for policies that
        do not learn meanwhile. `drawers` are policies on the same base, each of which `mixes`: one
        for each beginning, which draws there in place of this one; None stands for π_0. They share
        the base's products, and each draws what it would alone, up to rounding. Those of a policy
        had better be next to each other.
        *Raises*: AdapterError for drawers that cannot share a pass.
        do not learn meanwhile. Of each beginning so many last tokens as `drawn_before` says were
        drawn already: penalties count them.
        """
        mixed = None if drawers is None else self._mixed(drawers)
        with self.adapters.held(self._running if mixed is None else None):
            return Decoding(
                self._network,
                beginnings,
                seeds=seeds,
                num_samples=num_samples,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                end_ids=self.codec.end_ids,
                begun_with=self._running,
                mixed=mixed,
                exactly=exactly,
                kept=kept,
                prefixes=prefixes,
                drawn_before=drawn_before,
            )

    @property
    def mixes(self) -> bool:
        """Whether it may draw, and learn, in one pass with other policies on its base.

        That is where the layers are fused, and its adapter, and that of π_0 if there is one, add
        the product of their factors to some of them and nothing else.
        """
        both = self.adapter, self.adapters.reference_of(self.adapter)
        return self._network.mixes_adapters and all(map(self.adapters.mixes, both))

    def names_in_a_pass(
        self, policies: Sequence[AdaptedModel | None], *, as_reference: bool = False
    ) -> list[str | None]:
        """Return which adapter each policy has in a pass that all share, or its π_0 has there.

        None stands for π_0 of this one. *Raises*: AdapterError for those that cannot share it.
        """
        names: dict[AdaptedModel | None, str | None] = {}
        for policy in dict.fromkeys(policies):
            own = self if policy is None else policy
            is_reference = policy is None or as_reference
            name = own.adapters.reference_of(own.adapter) if is_reference else own.adapter
            of_this = own.adapters is self.adapters and self._network.mixes_adapters
            if not (of_this and self.adapters.mixes(name)):
                raise AdapterError(
                    "These policies cannot share a pass; let each work by itself. Those that can "
                    "are of one base (`with_adapter`), and `mixes` is true of each."
                )
            names[policy] = name
        self.adapters.check_loaded(names.values())
        return [names[policy] for policy in policies]

    def _mixed(self, drawers: Sequence[AdaptedModel | None]) -> Mixed:
        return Mixed(self.names_in_a_pass(drawers), self.adapters.held)

    def prepare(self, kept: KeptPrefixes, ids: Ids) -> bool:
        """Compute some of what the first tokens of rows come to; say whether any is missing.

        Once none is, a decoding that begins with these tokens begins at once.
        """
        with self.active() as network:
            exactly = network.backend.drafts_exactly
            if not can_begin(network) or not network.turns_alike((1, len(ids))):
                return False
            with network.backend.drafting(exactly=exactly):
                return kept.prepare(network, ids, weights=(self._running, exactly))

    def advance(self, decoding: Decoding) -> bool:
        """Draw the next token of responses that this policy began; say whether any goes on.

        *Raises*: AdapterError for responses that another policy began, whose keys and values are of
        its adapter, or of which a drawer was unloaded.
        """
        if decoding.mixed is not None:
            self.adapters.check_loaded(decoding.adapters)
            with self.adapters.held(None):
                return decoding.advance()
        if decoding.begun_with != self._running:
            raise AdapterError("These responses were begun by another policy; let it go on.")
        with self.active():
            return decoding.advance()

    def score(self, prompts: Sequence[Ids], responses: Sequence[Ids]) -> Tensor:
        """Return log π(y|x) of ids, one a pair of prompt and response; as `logprobs`."""
        trees, order = self._scoring_trees(prompts, responses)
        return self._score(trees)[order]

    def _scoring_trees(
        self, prompts: Sequence[Ids], responses: Sequence[Ids]
    ) -> tuple[list[Tree], Tensor]:
        """Return trees over equal prompts, and where each response stands among their responses."""
        groups: dict[Ids, list[int]] = {}
        for number, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            self.codec.check_fits(prompt, response)
            groups.setdefault(prompt, []).append(number)
        trees: list[Tree] = []
        for prompt, numbers in groups.items():
            trees += self._network.trees(prompt, [responses[n] for n in numbers])
        found_at = torch.empty(len(prompts), dtype=torch.long)
        found_at[[n for numbers in groups.values() for n in numbers]] = torch.arange(len(prompts))
        return trees, found_at

    def _score(self, trees: Sequence[Tree]) -> Tensor:
        """Return log π of all responses of the trees, in their order, in passes of bounded size."""
        at_once = min(_SCORED_TOKENS, tokens_within(self.memory_limit_gb, self.base.model))
        with self.active():
            scored = Passes(self._network, [[tree] for tree in trees], at_once).forward()
        sums = [response.sum() for n in range(len(trees)) for response in scored[n]]
        return torch.stack(sums).cpu() if sums else torch.empty(0)

    def read(self, token_ids: Ids, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return log π of each id but the first after those before it, and the `count` likeliest.

        *Shapes*: T + 1 ids → T, T × count and the ids T × count. *Units*: nats.
        """
        trees = self._network.trees(token_ids[:1], [token_ids[1:]])
        with self.active() as network:
            ((own, top, top_ids),) = token_alternatives(network, trees, count)
        return own.cpu(), top.cpu(), top_ids.cpu()
