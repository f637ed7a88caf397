"""Logits that a request changes before a token is drawn: biases, and penalties on repetition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from corll.compute.packing import Ids
from corll.config import AdjustedSampling
from corll.errors import InputError


class AdjustedLogits:
    """What the rows of a decoding hold already, and how that changes what is drawn next.

    Each prompt is drawn for in `num_samples` rows. So many last tokens of it as `drawn` says were
    drawn before, and count as such. *Raises*: InputError for a bias on a token that is not there.
    *Shapes*: N rows, P · K of them; a vocabulary of V.
    """

    def __init__(
        self,
        sampling: AdjustedSampling,
        prompts: Sequence[Ids],
        num_samples: int,
        *,
        drawn: Sequence[int],
        like: Tensor,
    ) -> None:
        self._sampling = sampling
        V, device = like.shape[-1], like.device
        N = len(prompts) * num_samples
        self._bias = _biases(sampling, V).to(device) if sampling.logit_bias else None
        counts = sampling.presence_penalty or sampling.frequency_penalty
        self._counts = torch.zeros(N, V, device=device) if counts else None
        repeats = sampling.repetition_penalty != 1
        self._held = torch.zeros(N, V, dtype=torch.bool, device=device) if repeats else None
        for number, prompt in enumerate(prompts):
            rows = range(number * num_samples, (number + 1) * num_samples)
            before = len(prompt) - (drawn[number] if drawn else 0)
            self._note(rows, prompt[:before], counted=False)
            self._note(rows, prompt[before:], counted=True)

    def of(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of some rows as they are drawn from, in float32. *Shapes*: M × V."""
        changed = logits.float() if self._bias is None else logits.float() + self._bias
        if self._held is not None:
            penalty = self._sampling.repetition_penalty
            weaker = torch.where(changed < 0, changed * penalty, changed / penalty)
            changed = torch.where(self._held[rows], weaker, changed)
        if self._counts is not None:
            counts = self._counts[rows]
            changed = changed - self._sampling.frequency_penalty * counts
            changed = changed - self._sampling.presence_penalty * (counts > 0)
        return changed

    def drew(self, rows: Tensor, token_ids: Tensor) -> None:
        """Take in what was drawn of some rows. *Shapes*: M, M."""
        if self._held is not None:
            self._held[rows, token_ids] = True
        if self._counts is not None:
            self._counts[rows, token_ids] += 1

    def _note(self, rows: Sequence[int], ids: Ids, *, counted: bool) -> None:
        """Take in what all of some rows hold."""
        of_rows = list(rows)
        if self._held is not None:
            self._held[of_rows] |= self._histogram(ids, self._held) > 0
        if self._counts is not None and counted:
            self._counts[of_rows] += self._histogram(ids, self._counts)

    @staticmethod
    def _histogram(ids: Ids, like: Tensor) -> Tensor:
        size = like.shape[-1]
        # A prompt may hold ids that the output layer cannot draw.
        found = torch.tensor([one for one in ids if one < size], dtype=torch.long)
        return found.bincount(minlength=size).to(like.device)


def _biases(sampling: AdjustedSampling, size: int) -> Tensor:
    unknown = [token_id for token_id in sampling.logit_bias if token_id >= size]
    if unknown:
        raise InputError(
            f"logit_bias names the token {min(unknown)}, but this model's tokens go from 0 to "
            f"{size - 1}."
        )
    biases = torch.zeros(size)
    biases[list(sampling.logit_bias)] = torch.tensor(list(sampling.logit_bias.values()))
    return biases
