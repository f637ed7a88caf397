"""Sampling k candidates for each of P prompts, against `transformers.generate`.

    python benchmarks/drafting.py [--quick] [--keep]

Both draw 64 tokens to each prompt of about 64, at temperature 1 from the 50 likeliest, and no
branch ends early, so that the work is the same. corll drafts with an adapter that is not merged, as
its log-probabilities need it; `generate` runs the base alone, which is what a merged adapter costs.

Where `llama-cpp-python` is installed, one branch is compared with it too: with the file of 4-bit
weights that the embedded model is converted from, so it reads a quarter of the bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import llama_cpp_peer
from corll import Policy
from corll.compute.decoding import sample_branches
from corll.config import SamplingConfig
from edits import random_text, single_token_words
from measuring import Case, Products, interleaved, new_parser, parse, taught_policy, write

PROMPT_LENGTH, NEW_TOKENS = 64, 64
TARGETS = {
    (1, 1): "≥ 1.2×",
    (1, 8): "≥ 1.6×",
    (4, 8): "≥ 2.6×, ≥ 65 % of the floor",
    (16, 8): "≥ 2.6×, ≥ 65 % of the floor",
}


def cases(*, quick: bool) -> Iterator[Case]:
    policy = taught_policy("bfloat16")
    peer = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype)
    peer.to(policy.device).eval()
    products, own = Products(policy), Products(policy, own=True)
    for P, K in TARGETS:
        if quick and (P, K) != (1, 8):
            continue
        prompts = make_prompts(policy, P)
        ours, theirs = interleaved(
            partial(draft, policy, prompts, K),
            partial(generate, peer, prompts, K),
            pairs=1 if quick else 3,
        )
        steps = NEW_TOKENS - 1
        floor, by_own = (
            by.forward(P * PROMPT_LENGTH, P) + steps * by.forward(P * K, P * K)
            for by in (products, own)
        )
        yield Case(
            f"drafting: {P} × {K}",
            ours,
            theirs,
            "generate",
            floor=floor,
            target=TARGETS[P, K],
            more={
                "tokens_per_second": P * K * NEW_TOKENS / sorted(ours)[len(ours) // 2],
                "floor_by_own_products": by_own,
            },
        )
    prompt = make_prompts(policy, 1)[0]
    if not quick and (llama := llama_cpp_peer.start(prompt)) is not None:
        ours, theirs = interleaved(
            partial(draft, policy, [prompt], 1),
            partial(llama.generate, prompt, NEW_TOKENS),
            pairs=3,
        )
        llama.close()
        yield Case(
            "drafting: 1 × 1 against 4-bit weights",
            ours,
            theirs,
            "llama.cpp",
            more={"tokens_per_second": NEW_TOKENS / sorted(ours)[len(ours) // 2]},
        )


def make_prompts(policy: Policy, count: int) -> list[tuple[int, ...]]:
    generator = random.Random(0)
    words = single_token_words(policy.tokenizer)
    texts = [random_text(generator, words, PROMPT_LENGTH) for _ in range(count)]
    return [policy.codec.encode_prompt(text) for text in texts]


def draft(
    policy: Policy,
    prompts: list[tuple[int, ...]],
    num_samples: int,
    *,
    new_tokens: int = NEW_TOKENS,
    exactly: bool = False,
) -> Any:
    with policy.active() as network:
        return sample_branches(
            network,
            prompts,
            seeds=[0] * len(prompts),
            num_samples=num_samples,
            max_new_tokens=new_tokens,
            sampling=SamplingConfig(),
            end_ids=(),
            exactly=exactly,
        )


@torch.no_grad()
def generate(
    model: Any,
    prompts: list[tuple[int, ...]],
    num_samples: int,
    *,
    new_tokens: int = NEW_TOKENS,
) -> Any:
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=model.device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        num_return_sequences=num_samples,
        pad_token_id=0,
    )


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "drafting", keep=chosen.keep)
