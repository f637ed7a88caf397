"""Implicit rewards of k candidates, against two plain passes over padded rows.

    python benchmarks/scoring.py [--quick] [--keep]

The peer is what one writes today with PEFT: a forward pass with the adapter and one without, over
each prompt joined with each candidate, padded on the right, and the log-softmax at the candidates'
tokens. The scores of both must agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import peft
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from corll import Policy, Sample
from corll.compute.decoding import Branch
from drafting import draft, make_prompts
from measuring import Case, Products, interleaved, new_parser, parse, taught_policy, write

PROMPTS, BETA = 4, 0.1
TOLERANCE = 0.5
"""Nats × β between scores that went through different bf16 roundings."""


def cases(*, quick: bool) -> Iterator[Case]:
    policy = taught_policy("bfloat16")
    peer = load_peer(policy)
    products = Products(policy)
    for K in (4,) if quick else (4, 16):
        prompts = make_prompts(policy, PROMPTS)
        branches = draft(policy, prompts, K)
        texts = [policy.codec.decode(ids) for ids in prompts for _ in range(K)]
        samples = as_samples(policy, branches)
        repeated = [ids for ids in prompts for _ in range(K)]
        responses = [sample.token_ids for sample in samples]
        ours = partial(policy.implicit_rewards, texts, samples, beta=BETA)
        theirs = partial(plain_rewards, peer, repeated, responses)
        our_times, peer_times = interleaved(ours, theirs, pairs=1 if quick else 3)
        apart = float((ours() - theirs()).abs().max())
        if apart > TOLERANCE:
            raise SystemExit(f"scoring: rewards differ by {apart}")
        scored = sum(map(len, responses))
        yield Case(
            f"scoring: {PROMPTS} prompts × {K} candidates",
            our_times,
            peer_times,
            "two plain passes",
            floor=2 * products.forward(sum(map(len, prompts)) + scored, scored),
            more={"largest_difference": apart},
        )


def as_samples(policy: Policy, rows: list[list[Branch]]) -> list[Sample]:
    return [
        Sample(policy.codec.decode(b.token_ids), b.token_ids, b.logprob, finished=False)
        for row in rows
        for b in row
    ]


def load_peer(policy: Policy) -> Any:
    """The same base and adapter as PEFT has them."""
    base = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype)
    with tempfile.TemporaryDirectory() as folder:
        policy.save(folder)
        model = peft.PeftModel.from_pretrained(base, folder, autocast_adapter_dtype=False)
    return model.to(policy.device).eval()


@torch.no_grad()
def plain_rewards(model: Any, prompts: list[Any], responses: list[Any]) -> Tensor:
    rows = [[*prompt, *response] for prompt, response in zip(prompts, responses, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.device)
    mask = torch.tensor(
        [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device
    )

    def scores() -> Tensor:
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        tokens = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        return torch.stack(
            [
                tokens[n, len(prompt) - 1 : len(prompt) - 1 + len(response)].sum()
                for n, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
            ]
        )

    policy = scores()
    with model.disable_adapter():
        return (BETA * (policy - scores())).cpu()


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "scoring", keep=chosen.keep)
