"""Drafts by weights in int8 against the model's own: how quick they are, and how near.

    python benchmarks/int8_drafts.py [--model NAME] [--quick] [--errors] [--keep]

A draft of 150 tokens after a prompt of 300, alone and eight at a time, by corll in int8, by corll
in the model's own dtype, by `transformers.generate` and, where `llama-cpp-python` is installed, by
llama.cpp from the file that the model was converted from and from the same in Q8_0. The first token
of such a draft against theirs. Then the divergence KL(own ‖ int8) of the
next token, in nats, along drafts of 200 writing prompts: both are fed the same tokens. And what
drafts of both cost twelve simulated writers, in seconds to send. `--errors` measures these two
alone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM

import llama_cpp_peer
from corll import Policy
from corll.catalog.entries import find_model
from corll.catalog.here import file_here
from corll.config import SamplingConfig
from corll.evaluation import mean_interval
from corll.model.loading import EMBEDDED_MODEL
from corll.simulation.effort import seconds_to_send
from corll.simulation.writers import WRITERS, WritingRequest, writing_requests
from corll.simulation.writing_prompts import writing_prompts
from drafting import draft, generate
from edits import random_text, single_token_words
from measuring import LORA, Case, interleaved, new_parser, parse, write

PROMPT_LENGTH, NEW_TOKENS, AT_ONCE, DIVERGENCE_TOKENS = 300, 150, 8, 32
EDITED_TOKENS, EDITED_SAMPLING = 160, SamplingConfig(temperature=0.3, top_p=0.9, top_k=20)


def cases(model: str, *, quick: bool, only_errors: bool = False) -> Iterator[Case]:
    policy = Policy.load(model, lora=LORA, int8_drafts=True)
    dtype = str(policy.dtype).removeprefix("torch.")
    if only_errors:
        yield divergence(policy, model, dtype, prompts=16 if quick else 200)
        yield costs_of_editing(policy, model, dtype, requests=4 if quick else 32)
        return
    words = single_token_words(policy.tokenizer)
    prompt = policy.codec.encode_prompt(random_text(random.Random(0), words, PROMPT_LENGTH))
    for count in (1,) if quick else (1, AT_ONCE):
        works = [timed(policy, prompt, count, exactly=exactly) for exactly in (False, True)]
        ours, own = interleaved(*works, pairs=1 if quick else 3)
        yield Case(
            f"int8 drafts: {model}, 1 × {count} against {dtype}",
            ours,
            own,
            f"corll in {dtype}",
            dtype=dtype,
            more={"tokens_per_second": count * NEW_TOKENS / statistics.median(ours)},
        )
    yield divergence(policy, model, dtype, prompts=16 if quick else 200)
    if not quick:
        yield from against_llama_cpp(policy, prompt, model, dtype)
        yield from against_generate(policy, prompt, model, dtype)


def against_llama_cpp(
    policy: Policy, prompt: tuple[int, ...], model: str, dtype: str
) -> Iterator[Case]:
    """The same single draft by llama.cpp, and its first token."""
    known = find_model(model)
    gguf = None if known is None else file_here(known)
    if gguf is None:
        return
    for name in ("as fetched", "Q8_0"):
        file = llama_cpp_peer.in_eight_bits(gguf) if name == "Q8_0" else gguf
        peer = llama_cpp_peer.start(prompt, file)
        if peer is None:
            return
        for count, what in ((NEW_TOKENS, "1 × 1"), (1, "first token")):
            ours, theirs = interleaved(
                timed(policy, prompt, 1, new_tokens=count),
                partial(peer.generate, prompt, count),
                pairs=3,
            )
            target = "≥ 0.7×" if name == "Q8_0" and count > 1 else ""
            case = f"int8 drafts: {model}, {what}"
            yield Case(case, ours, theirs, f"llama.cpp, {name}", target=target, dtype=dtype)
        peer.close()


def against_generate(
    policy: Policy, prompt: tuple[int, ...], model: str, dtype: str
) -> Iterator[Case]:
    """The same single draft by transformers, of the base alone, and its first token."""
    peer = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype).eval()
    for count, what in ((NEW_TOKENS, "1 × 1"), (1, "first token")):
        ours, theirs = interleaved(
            timed(policy, prompt, 1, new_tokens=count),
            partial(generate, peer, [prompt], 1, new_tokens=count),
            pairs=2,
        )
        case = f"int8 drafts: {model}, {what}"
        target = "≥ 2×" if count > 1 else ""
        yield Case(case, ours, theirs, "generate", target=target, dtype=dtype)


def timed(
    policy: Policy,
    prompt: tuple[int, ...],
    count: int,
    *,
    exactly: bool = False,
    new_tokens: int = NEW_TOKENS,
) -> Callable[[], Any]:
    """The work that is timed: so many drafts of one prompt."""
    return partial(draft, policy, [prompt], count, new_tokens=new_tokens, exactly=exactly)


def divergence(policy: Policy, model: str, dtype: str, *, prompts: int) -> Case:
    """KL of the next token, on average over the tokens of drafts; its time is of no interest."""
    requested = [request.prompt for request in writing_requests("train")]
    texts = [*writing_prompts("train"), *writing_prompts("held_out"), *requested][:prompts]
    found: list[float] = []
    begun = time.perf_counter()
    for start in range(0, len(texts), AT_ONCE):
        found += divergences(policy, texts[start : start + AT_ONCE])
    took = time.perf_counter() - begun
    found.sort()
    return Case(
        f"int8 drafts: {model}, divergence on {len(texts)} prompts",
        [took],
        dtype=dtype,
        more={
            "kl_mean": statistics.mean(found),
            "kl_median": statistics.median(found),
            "kl_99th": found[int(0.99 * len(found))],
            "kl_tokens": len(found),
        },
    )


def divergences(policy: Policy, prompts: list[str]) -> list[float]:
    """KL(own ‖ int8) at each token of drafts that the model's own weights draw."""
    seeds = list(range(len(prompts)))
    own, int8 = (
        policy.start(prompts, 1, DIVERGENCE_TOKENS, seeds, exactly=exactly)
        for exactly in (True, False)
    )
    found = []
    while own.going:
        policy.advance(own)
        policy.advance(int8)
        if len(own.rows) != len(int8.rows):
            break  # one has dropped rows that ended
        p, q = (decoding.logits.float().log_softmax(-1) for decoding in (own, int8))
        found += (p.exp() * (p - q)).sum(-1)[own._going[own.rows]].tolist()
        int8._drawn, int8._going = own._drawn, own._going.clone()
    return found


def costs_of_editing(policy: Policy, model: str, dtype: str, *, requests: int) -> Case:
    """What drafts cost writers who never saw the model learn: `ours` of int8, `peer` of its own."""
    asked = writing_requests("held_out")[:requests]
    int8, own = (
        [
            statistics.mean(
                seconds_to_send(text, writer().sent(request, text)) for writer in WRITERS.values()
            )
            for request, text in zip(asked, texts, strict=True)
        ]
        for texts in (drafts_of(policy, asked, exactly=exactly) for exactly in (False, True))
    )
    change = mean_interval(np.array(int8) - np.array(own), seed=0)
    return Case(
        f"int8 drafts: {model}, seconds to send {len(asked)} drafts",
        [statistics.mean(int8)],
        [statistics.mean(own)],
        f"corll in {dtype}",
        dtype=dtype,
        more={
            "difference": change.mean,
            "difference_low": change.low,
            "difference_high": change.high,
        },
    )


def drafts_of(policy: Policy, asked: list[WritingRequest], *, exactly: bool) -> list[str]:
    """A draft of each request, drawn with the same random numbers whatever the weights."""
    prompts, texts = [request.prompt for request in asked], []
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        seeds = list(range(start, start + len(some)))
        drawn = policy.start(
            some, 1, EDITED_TOKENS, seeds, sampling=EDITED_SAMPLING, exactly=exactly
        )
        while policy.advance(drawn):
            pass
        texts += [policy.codec.decode(branch.token_ids) for branch in drawn.branches()]
    return texts


if __name__ == "__main__":
    parser: argparse.ArgumentParser = new_parser(__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--errors", action="store_true", help="divergence and cost of edits alone")
    chosen = parse(parser)
    found = cases(chosen.model, quick=chosen.quick, only_errors=chosen.errors)
    write(found, "int8_drafts", keep=chosen.keep, latest=False)
