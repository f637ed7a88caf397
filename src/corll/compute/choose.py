"""Chooses the backend of a model, and finds out by trying what the model's architecture allows."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os.path import commonprefix
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from corll.compute.backend import Backend
from corll.compute.context import context_length
from corll.compute.cpu.backend import CpuBackend
from corll.compute.cpu.kept_products import keep_few_products
from corll.compute.cpu.layer_operations import CpuLayerOperations
from corll.compute.cpu.packed_linear import DraftPrecision, PackedLinear
from corll.compute.cpu.quantized_weight import int8_is_quicker, quantized_bytes
from corll.compute.fused_layers import LayerOperations
from corll.compute.growing_rows import growing_rows
from corll.compute.network import Drafting, Network
from corll.compute.packing import Ids, Tree
from corll.compute.plain import PlainBackend
from corll.compute.rope_lengths import turn_rows_by_length
from corll.compute.scoring import token_logprobs
from corll.errors import ConfigError

log = logging.getLogger(__name__)

VARIABLE = "CORLL_BACKEND"
BACKENDS: dict[str, Callable[[Any], Backend]] = {"plain": PlainBackend, "cpu": CpuBackend}
"""By name; each is made of the model that it computes."""

_LEAST_ALLOWED, _ALLOWED_ROUNDINGS = (1e-3, 1e-4), (24, 8)
"""By how much a shortcut's log-probability of a token may differ from the plain one, at most and
on average: so many nats, or so many roundings in the model's dtype of how far the plain ones
spread. A right shortcut makes up to 12 roundings and 4 on average (SmolLM2 in bfloat16), a wrong
one 33 and more at most.
"""

_HEAD_ROUNDINGS = (6, 1)
"""The same for logits from the same hidden states. An output layer with a bias makes up to 2 and a
quarter, all others none; logits that are capped softly (Gemma 2) 6 and more, or 1.3 on average.
"""

_PROMPT, _SHARED, _BRANCH = 24, 6, 20
"""Tokens that a model is tried on: a prompt, what its responses share, and each response's rest."""

_DRAWN = 4
"""Tokens of a response that drafting is tried on, one after another."""

_WINDOWS = ("window", "window_size", "window_len", "attention_chunk_size", "local_attention")
"""How the names of settings end that say how many tokens attention sees."""

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that keep keys and values."""

_KNOWN = ("LlamaForCausalLM", "Qwen2ForCausalLM", "MistralForCausalLM")
"""Causal models whose logits are the output layer's product with the last hidden states alone."""

_FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError)
"""What a model raises that cannot take its inputs."""


def backend_for(model: Any, name: str | None = None) -> Backend:
    """Return the backend of a name, by default what CORLL_BACKEND names, else the device's own.

    Besides `plain` and `cpu` a name may be `package.module:attribute`, of a class or function that
    makes a backend of a model. *Raises*: ConfigError.
    """
    name = name or os.environ.get(VARIABLE) or "auto"
    if name == "auto":
        name = "cpu" if model.device.type == "cpu" else "plain"
    if name == "cpu" and model.device.type != "cpu":
        raise ConfigError(f"The backend 'cpu' does not compute on {model.device}; use 'plain'.")
    make = BACKENDS.get(name) or _found_by_path(name)
    return make(model)


def layer_operations(device: torch.device) -> LayerOperations:
    """Return what layers are made of on a device, for a model that is not loaded but built here."""
    if device.type != "cpu":
        return LayerOperations()
    keep_few_products()
    return CpuLayerOperations(prepacks=False)


def drafting_product(weight: Tensor, *, copied: bool) -> Callable[[Tensor], Tensor]:
    """Return the product with a frozen weight, as drafts compute it by default on its device.

    `copied` allows a copy of the weight in the order that products read, made at the first use.
    """
    if weight.device.type != "cpu":
        return partial(linear, weight=weight)
    keep_few_products()
    in_int8 = int8_is_quicker(weight)
    drafts = DraftPrecision(may_be_int8=in_int8, in_int8=in_int8)
    return partial(PackedLinear(weight, None, prepacks=copied, drafts=drafts), decoding=True)


def draft_copy_bytes(device: torch.device, dtype: torch.dtype) -> float:
    """Return the bytes of a weight in the copy that drafts are drawn by; 0 where there is none."""
    weight = torch.empty(128, 128, dtype=dtype, device=device)
    return quantized_bytes(weight) / weight.numel() if int8_is_quicker(weight) else 0.0


def examine(model: Any, backend: Backend) -> Network:
    """Find out what a model's architecture allows, by trying it on rows of some length.

    What a shortcut gives is compared token by token with what plain rows give, as closely as the
    dtype allows. In 16 bits nothing is tried of a model that is known and whose layers are fused. A
    model that declares a window of attention shorter than its context, carries a state from token
    to token, or scales by places in a row, gets plain rows without a trial: rows of trees know none
    of these. One whose rope scaling depends on the length turns each row by its own from here on.
    *Raises*: ConfigError for a model that cannot be scored at all.
    """
    lengths = turn_rows_by_length(model)
    plain = Network(model, backend, takes_trees=False, head_is_linear=False, lengths=lengths)
    prompt, responses = _texts(model, None if lengths is None else lengths.border)
    known, expected = _is_known(plain), torch.empty(0)
    if not known:
        expected = _plain_logprobs(plain, prompt, responses)
        _check_causal(plain, responses, expected)
    linear = replace(plain, head_is_linear=True)
    head_is_linear = known or _agrees(
        linear, expected, lambda: _logprobs(linear, prompt, responses), _HEAD_ROUNDINGS
    )
    network = replace(plain, head_is_linear=head_is_linear)
    packed = replace(network, takes_trees=True)
    kind, window = type(model).__name__, short_window(model.config)
    if window is not None:
        said = f"{kind} attends within a window of {window} tokens"
    elif carries_state(model):
        said = f"{kind} carries a state from token to token"
    elif scales_by_row(model.config):
        said = f"{kind} scales attention by a token's place in its row"
    elif known or _agrees(packed, expected, lambda: _logprobs(packed, prompt, responses)):
        network, said = packed, ""
    else:
        said = f"{kind} does not take a tree-shaped attention mask"
    if said:
        log.warning("%s; each response gets a plain row.", said)
    return replace(network, drafting=_drafting(network, prompt, responses))


def carries_state(model: Any) -> bool:
    """Say whether what a model knows of earlier tokens is a state, not their keys and values."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    return bool(getattr(model, "_is_stateful", False)) or not kinds <= _ATTENTION


def scales_by_row(config: Any) -> bool:
    """Say whether attention is scaled by a token's place in its row, whatever its position.

    Llama 4 does so in layers without rotation, from some place on (8192) that no trial reaches.
    """
    text = config.get_text_config()
    rotated = getattr(text, "no_rope_layers", None) or ()
    return bool(getattr(text, "attn_temperature_tuning", None)) and 0 in rotated


def short_window(config: Any) -> int | None:
    """Return the window that a configuration declares, if it is shorter than the context."""
    longest = context_length(config)
    declared = [
        value
        for name, value in config.get_text_config().to_dict().items()
        if name.endswith(_WINDOWS) and isinstance(value, int) and value > 0
    ]
    short = [value for value in declared if longest is None or value < longest]
    return min(short, default=None)


def _found_by_path(name: str) -> Callable[[Any], Backend]:
    module, colon, attribute = name.partition(":")
    try:
        if not colon:
            raise AttributeError(f"there are {', '.join(BACKENDS)}, or package.module:attribute")
        found: Callable[[Any], Backend] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"No backend {name!r}: {error}.") from error
    return found


def _texts(model: Any, longest: int | None) -> tuple[Ids, list[Ids]]:
    """Return a prompt and three responses that share a beginning, of ids from all the vocabulary.

    None is longer than the context, or than `longest` tokens where that is given. Of the first ids
    alone, often special ones, bf16 makes mostly noise.
    """
    size = model.config.get_text_config().vocab_size
    room = context_length(model.config) or 1 << 20
    room = min(room, longest or room)
    scale = min(1.0, room / (_PROMPT + _SHARED + _BRANCH))
    lengths = [max(1, int(scale * length)) for length in (_PROMPT, _SHARED, _BRANCH)]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, size, (lengths[0] + lengths[1] + 3 * lengths[2],), generator=generator)
    prompt, shared, *rests = torch.split(ids, [lengths[0], lengths[1], *[lengths[2]] * 3])
    rests[1] = rests[1][: max(1, lengths[2] // 2)]
    return _ids(prompt), [_ids(torch.cat([shared, rest])) for rest in rests]


def _ids(part: Tensor) -> Ids:
    return tuple(part.tolist())


@torch.no_grad()
def _logprobs(network: Network, prompt: Ids, responses: list[Ids]) -> Tensor:
    """Return log π of the responses' tokens, one after another."""
    trees: list[Tree] = network.trees(prompt, responses)
    return torch.cat(token_logprobs(network, trees))


def _plain_logprobs(plain: Network, prompt: Ids, responses: list[Ids]) -> Tensor:
    try:
        return _logprobs(plain, prompt, responses)
    except _FAILURES as error:
        raise ConfigError(
            f"{type(plain.model).__name__} is of a kind that corll does not support: it gives no "
            f"logits for a plain row of tokens ({type(error).__name__}: {error}). Use a causal "
            "language model of `transformers`."
        ) from error


def _check_causal(plain: Network, responses: list[Ids], expected: Tensor) -> None:
    """Check that what responses share is as likely in one as in another. *Raises*: ConfigError."""
    shared = len(commonprefix(responses))
    beginnings = [row[:shared] for row in torch.split(expected, [len(ids) for ids in responses])]
    for other in beginnings[1:]:
        if not _close(other, beginnings[0], expected, plain.model.dtype):
            raise ConfigError(
                f"{type(plain.model).__name__} is of a kind that corll does not support: its "
                "tokens see those after them. Use a causal language model; of one that may be "
                "both, set is_decoder in its config.json."
            )


def _is_fused(network: Network) -> bool:
    return getattr(network.backend, "not_fused", "no fused layers") is None


def _is_known(network: Network) -> bool:
    """Say whether a model is causal, has a linear head and takes trees by its construction.

    Fused layers were held to the model's own, and attend by mask and position alone; what is around
    them is known of these models. A trial is a pass through the model, which takes seconds where it
    is large, and in 16 bits tells little: two right orders of operations may differ by more than
    the limits, where layers have large biases (Qwen2).
    """
    in_16_bits = network.model.dtype.itemsize < 4
    by_name = type(network.model).__name__ in _KNOWN and network.lengths is None
    return in_16_bits and by_name and _is_fused(network)


def _drafting(network: Network, prompt: Ids, responses: list[Ids]) -> Drafting:
    """Return the quickest way to draft that gives what plain rows give.

    Layers that were fused are known to allow a batch; others are tried.
    """
    if network.takes_trees and _is_fused(network):
        return "batch"
    prompts = [prompt, prompt[len(prompt) // 3 :]]
    drawn = [ids[:_DRAWN] for ids in responses[1:]]
    plain = replace(network, takes_trees=False, head_is_linear=False)
    expected = torch.cat([_logprobs(plain, own, drawn) for own in prompts])
    ways: tuple[Drafting, ...] = ("batch", "prompt", "row")
    alone = carries_state(network.model) or scales_by_row(network.model.config)
    for way in ways[1:] if alone else ways:
        # The output layer was tried already, and is not to be laid out for a trial.
        tried = replace(network, head_is_linear=False, drafting=way)
        if _agrees(tried, expected, partial(_drawn_logprobs, tried, prompts, drawn)):
            return way
    log.warning(
        "%s gives other numbers with its cache than without, or takes none, so drafts compute "
        "each text anew for each token, which is slow.",
        type(network.model).__name__,
    )
    return "recomputed"


@torch.no_grad()
def _drawn_logprobs(network: Network, prompts: list[Ids], drawn: list[Ids]) -> Tensor:
    """Return log π of responses to each prompt, from the logits that they would be drawn from."""
    growing = growing_rows(network, prompts, len(drawn), _DRAWN)
    ids = torch.tensor(drawn, device=growing.logits.device).repeat(len(prompts), 1)
    found: list[Tensor] = []
    for column in ids.unbind(-1):
        if found:
            growing.feed(ids[:, len(found) - 1])
        logprobs = growing.logits.float().log_softmax(-1)
        found.append(logprobs.gather(-1, column[:, None]).squeeze(-1))
    return torch.stack(found, dim=-1).flatten()


def _agrees(
    network: Network,
    expected: Tensor,
    compute: Callable[[], Tensor],
    roundings: tuple[int, int] = _ALLOWED_ROUNDINGS,
) -> bool:
    """Say whether a shortcut gives what plain rows give, up to the dtype's rounding."""
    try:
        found = compute()
    except _FAILURES as error:
        log.debug("%s cannot take this shortcut: %s", type(network.model).__name__, error)
        return False
    return _close(found, expected, expected, network.model.dtype, roundings)


def _close(
    found: Tensor,
    expected: Tensor,
    spread: Tensor,
    dtype: torch.dtype,
    roundings: tuple[int, int] = _ALLOWED_ROUNDINGS,
) -> bool:
    """Say whether two are the same up to a dtype's rounding of what spreads as `spread` does."""
    differences = found.sub(expected).abs()
    rounding = torch.finfo(dtype).eps * float(spread.std())
    limits = zip(_LEAST_ALLOWED, roundings, strict=True)
    most, on_average = (max(least, count * rounding) for least, count in limits)
    return bool(differences.max() <= most) and bool(differences.mean() <= on_average)
