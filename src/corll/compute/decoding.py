"""The sampling loop: each prompt is computed once, then k branches go on over its cache.

Every branch draws from a random stream of its own, keyed by (seed, prompt, candidate), so that what
it draws does not hang on which other prompts and candidates share its batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from corll.compute.adjusted_logits import AdjustedLogits
from corll.compute.backend import Backend
from corll.compute.growing_rows import growing_rows
from corll.compute.kept_prefixes import KeptPrefixes
from corll.compute.network import Network
from corll.compute.packing import Ids
from corll.config import AdjustedSampling, SamplingConfig

TOKENS_A_TURN = 16
"""So many tokens are drawn before other work may go first again."""

_COLDEST = 1e-6
"""A temperature at which all weight is on the likeliest token; by a lower one logits overflow."""

_FARTHEST = 1e30
"""The largest logit that is drawn from, either way: divided by the coldest it is still finite."""


@dataclass(frozen=True)
class Branch:
    """One sampled response. *Units*: `logprob` in nats, of the full distribution.

    `logprob` is None where the text was not drawn by the weights that score it, or where it grew
    to a length at which all of its tokens score otherwise.
    """

    token_ids: Ids
    logprob: float | None
    finished: bool


def sample_branches(
    network: Network,
    prompts: Sequence[Ids],
    *,
    seeds: Sequence[int],
    num_samples: int,
    max_new_tokens: int,
    sampling: SamplingConfig,
    end_ids: Sequence[int],
    exactly: bool = False,
    before: Callable[[], None] = lambda: None,
) -> list[list[Branch]]:
    """Draw `num_samples` responses to each prompt. *Shapes*: prompts P → P lists of K branches.

    `before` is called ahead of the prompts' pass, and of each 16 further tokens.
    """
    before()
    decoding = Decoding(
        network,
        prompts,
        seeds=seeds,
        num_samples=num_samples,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        end_ids=end_ids,
        exactly=exactly,
    )
    while decoding.advance():
        if decoding.steps % TOKENS_A_TURN == 0:
            before()
    rows = decoding.branches()
    return [rows[start : start + num_samples] for start in range(0, len(rows), num_samples)]


class Mixed(NamedTuple):
    """Prompts with adapters of their own. *Shapes*: `adapters` P, where None is the base alone.

    `running` lets the network run with one of them while a context lasts.
    """

    adapters: Sequence[str | None]
    running: Callable[[str | None], AbstractContextManager[None]]


class Decoding:
    """Responses under way: `advance` draws a token for each, as long as any goes on.

    Several of them may take turns on one network. The adapter that the network runs with must be
    the same at each call: keys and values of the tokens before were computed with it.
    `begun_with` is its name; where prompts are `mixed` each has an adapter of its own, whichever is
    active. `kept` has what the first tokens of prompts come to, so many of each
    as `prefixes` says; a prompt is computed whole where its network cannot go on from there.
    `drawn_before` says how many last tokens of each prompt were drawn, as penalties count.
    `exactly`: the weights that score draw, whatever is quicker; by others
    log-probabilities are near, and the branches have none.
    *Shapes*: `token_ids`, `logprobs` N × T, where N is P · K and T the longest response; `lengths`
    and `finished` N. *Units*: `logprobs` in nats, one a token, of the full distribution.
    """

    def __init__(
        self,
        network: Network,
        prompts: Sequence[Ids],
        *,
        seeds: Sequence[int],
        num_samples: int,
        max_new_tokens: int,
        sampling: SamplingConfig,
        end_ids: Sequence[int],
        begun_with: str | None = None,
        mixed: Mixed | None = None,
        exactly: bool = False,
        kept: KeptPrefixes | None = None,
        prefixes: Sequence[int] = (),
        drawn_before: Sequence[int] = (),
    ) -> None:
        self.begun_with, self.mixed = begun_with, mixed
        names = [begun_with] * len(prompts) if mixed is None else mixed.adapters
        self._adapters = [name for name in names for _ in range(num_samples)]
        self.exactly = exactly or network.backend.drafts_exactly
        streams = _uniforms(prompts, seeds, num_samples, max_new_tokens)
        with torch.no_grad(), network.backend.drafting(exactly=self.exactly):
            begun = None
            if kept is not None:
                how: dict[str, Any] = {"weights": [(name, self.exactly) for name in names]}
                if mixed is not None:
                    how["running"] = lambda number: mixed.running(names[number])
                begun = kept.of_prompts(network, prompts, prefixes, max_new_tokens, **how)
            size = num_samples, max_new_tokens
            own = None if mixed is None else mixed.adapters
            self._growing = growing_rows(network, prompts, *size, prefixes=begun, adapters=own)
        device = self._growing.logits.device
        self.network, self.sampling = network, sampling
        self._adjusted: AdjustedLogits | None = None
        if isinstance(sampling, AdjustedSampling) and sampling.changes_logits:
            self._adjusted = AdjustedLogits(
                sampling, prompts, num_samples, drawn=drawn_before, like=self._growing.logits
            )
        self._begun = [len(prompt) for prompt in prompts for _ in range(num_samples)]
        self._uniforms = streams.to(device)
        self._ends = torch.tensor(tuple(end_ids), device=device)
        self._drawn: Tensor | None = None
        N, T = streams.shape
        self.token_ids = torch.zeros(N, T, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(N, T, dtype=torch.float32, device=device)
        self.lengths = torch.zeros(N, dtype=torch.long, device=device)
        self.finished = torch.zeros(N, dtype=torch.bool, device=device)
        self._going = torch.ones(N, dtype=torch.bool, device=device)
        self.steps = 0

    @torch.no_grad()
    def advance(self) -> bool:
        """Draw the next token of each response that goes on; say whether any still does."""
        if not self.going:
            return False
        if self._drawn is not None:
            with self.network.backend.drafting(exactly=self.exactly):
                self._feed(self._drawn)
        rows, step = self._growing.rows, self.steps
        uniforms, backend = self._uniforms[rows, step], self.network.backend
        logits, adjusted = self._growing.logits, None
        if self._adjusted is not None:
            adjusted = self._adjusted.of(logits, rows)
        drawn, logprobs = draw(logits, uniforms, self.sampling, backend, adjusted=adjusted)
        going = self._going[rows]
        if self._adjusted is not None:
            self._adjusted.drew(rows[going], drawn[going])
        self.token_ids[rows, step] = torch.where(going, drawn, 0)
        self.logprobs[rows, step] = torch.where(going, logprobs, 0.0)
        self.lengths[rows[going]] = step + 1
        ended = rows[going & torch.isin(drawn, self._ends)]
        self.finished[ended] = True
        self._going[ended] = False
        self._drawn = drawn
        self.steps += 1
        return self.going

    @property
    def going(self) -> bool:
        """Whether any response goes on."""
        return self.steps < self.token_ids.shape[1] and bool(self._going.any())

    @property
    def logits(self) -> Tensor:
        """Those that the latest tokens were drawn from, until more are. *Shapes*: `rows` × V."""
        return self._growing.logits

    @property
    def rows(self) -> Tensor:
        """Which responses the logits belong to; some of them may have ended."""
        return self._growing.rows

    def stop(self, rows: Sequence[int]) -> None:
        """End responses that nobody waits for any more; they stay unfinished."""
        self._going[torch.tensor(rows, dtype=torch.long, device=self._going.device)] = False

    def drop(self, rows: Sequence[int]) -> None:
        """End responses, and let go at once of the keys, values and adapters that are theirs."""
        self.stop(rows)
        keep = (~torch.isin(self.rows, torch.tensor(rows, device=self.rows.device))).nonzero()
        keep = keep.squeeze(-1)
        if not len(keep):
            return
        logits = self._growing.logits[keep]
        self._growing.keep(keep)
        self._growing.logits = logits
        self._growing.forget()
        self._drawn = None if self._drawn is None else self._drawn[keep]

    @property
    def adapters(self) -> set[str | None]:
        """The adapters of the responses that are still computed; None is the base without one."""
        return {self._adapters[row] for row in self.rows.tolist()}

    def branches(self) -> list[Branch]:
        """Return the responses as far as they are, N in order."""
        totals = self.logprobs.sum(-1)
        columns = (self.token_ids, self.lengths, totals, self.finished)
        return [
            Branch(tuple(ids[:length]), total if self._scores(begun, length) else None, end)
            for begun, ids, length, total, end in zip(
                self._begun, *(c.tolist() for c in columns), strict=True
            )
        ]

    def _scores(self, begun: int, length: int) -> bool:
        """Say whether a response is scored by the numbers that drew it."""
        return self.exactly and self.network.turns_alike((begun, begun + length))

    def _feed(self, drawn: Tensor) -> None:
        """Feed the tokens just drawn; drop the rows that ended once these are half of all."""
        alive = self._going[self._growing.rows]
        if int(alive.sum()) <= len(alive) // 2:
            keep = alive.nonzero().squeeze(-1)
            self._growing.keep(keep)
            drawn = drawn[keep]
        self._growing.feed(drawn)


def draw(
    logits: Tensor,
    uniforms: Tensor,
    sampling: SamplingConfig,
    backend: Backend,
    *,
    adjusted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the distribution function at `uniforms`.

    `adjusted` are logits to draw from in place of the model's own. The log-probability returned is
    of the model's full distribution at temperature 1, whatever the sampler.

    *Shapes*: `logits`, `adjusted` N × V, `uniforms` N → tokens N, log-probabilities N.
    """
    chosen_from = logits if adjusted is None else adjusted.clamp(-_FARTHEST, _FARTHEST)
    top, ids, log_z, weights = drawable(chosen_from, sampling, backend)
    cumulative = weights.cumsum(-1)
    wanted = uniforms[:, None] * cumulative[:, -1:]
    # Rounding may lift `wanted` to the very end of the scale: stay on the last token with weight.
    last = (weights > 0).sum(-1, keepdim=True) - 1
    choice = torch.searchsorted(cumulative, wanted, right=True).minimum(last)
    drawn = ids.gather(-1, choice)
    if adjusted is not None:
        top, choice, log_z = logits.float(), drawn, backend.log_normalizers(logits)
    return drawn.squeeze(-1), top.gather(-1, choice).squeeze(-1) - log_z


class Drawable(NamedTuple):
    """The tokens that may be drawn at each of N places, the likeliest first.

    `weights` are proportional to what each is drawn with, and 0 beyond top-p; `log_z` is log Σ exp
    of all logits of a place. *Shapes*: `logits`, `token_ids`, `weights` N × C; `log_z` N.
    """

    logits: Tensor
    token_ids: Tensor
    log_z: Tensor
    weights: Tensor


def drawable(logits: Tensor, sampling: SamplingConfig, backend: Backend) -> Drawable:
    """Return the sampler's distribution: temperature, then top-k, top-p and min-p, in the order of
    `transformers`.

    *Shapes*: `logits` N × V.
    """
    count = sampling.top_k if 0 < sampling.top_k < logits.shape[-1] else logits.shape[-1]
    top, ids, log_z = backend.likeliest(logits, count)
    weights = (top / max(sampling.temperature, _COLDEST)).softmax(-1)
    if sampling.top_p < 1:
        before = weights.cumsum(-1) - weights
        # The likeliest stays, also where top-p is too small for these numbers.
        weights = weights.masked_fill((before > 0) & (before >= sampling.top_p), 0.0)
    if isinstance(sampling, AdjustedSampling) and sampling.min_p:
        weights = weights.masked_fill(weights < sampling.min_p * weights[:, :1], 0.0)
    return Drawable(top, ids, log_z, weights)


def _uniforms(
    prompts: Sequence[Ids], seeds: Sequence[int], num_samples: int, length: int
) -> Tensor:
    """Return the random numbers of each response. *Shapes*: (P · K) × T, in [0, 1)."""
    streams = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        for candidate in range(num_samples):
            identity = np.array([seed, candidate, *prompt], dtype=np.int64).tobytes()
            key = int.from_bytes(hashlib.blake2b(identity, digest_size=16).digest(), "little")
            generator = np.random.Generator(np.random.Philox(key=key))
            streams.append(generator.random(length, dtype=np.float32))
    return torch.from_numpy(np.stack(streams))
