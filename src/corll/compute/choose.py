"""Chooses the backend of a model, and finds out by trying what the model's architecture allows."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from corll.compute.backend import Backend
from corll.compute.cpu.backend import CpuBackend
from corll.compute.cpu.layer_operations import CpuLayerOperations
from corll.compute.cpu.packed_linear import PackedLinear
from corll.compute.fused_layers import LayerOperations
from corll.compute.network import Network
from corll.compute.packing import Ids, Tree
from corll.compute.plain import PlainBackend
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

_PROMPT, _SHARED, _BRANCH = 24, 6, 20
"""Tokens that a model is tried on: a prompt, what its responses share, and each response's rest."""


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
    return CpuLayerOperations(prepacks=False) if device.type == "cpu" else LayerOperations()


def drafting_product(weight: Tensor, *, copied: bool) -> Callable[[Tensor], Tensor]:
    """Return the product with a frozen weight, as drafts compute it on the weight's device.

    `copied` allows a copy of the weight in the order that products read, made at the first use.
    """
    if weight.device.type != "cpu":
        return partial(linear, weight=weight)
    return partial(PackedLinear(weight, None, prepacks=copied), decoding=True)


def examine(model: Any, backend: Backend) -> Network:
    """Find out what a model's architecture allows, by trying it on rows of some length.

    What a shortcut gives is compared token by token with what plain rows give, as closely as the
    dtype allows. A model that declares a window of attention shorter than its context gets plain
    rows without a trial, since rows of trees know no windows.
    """
    plain = Network(model, backend, takes_trees=False, head_is_linear=False)
    prompt, responses = _texts(model)
    expected = _logprobs(plain, prompt, responses)
    linear = Network(model, backend, takes_trees=False, head_is_linear=True)
    head_is_linear = _agrees(linear, prompt, responses, expected)
    packed = Network(model, backend, takes_trees=True, head_is_linear=head_is_linear)
    window = short_window(model.config)
    if window is not None:
        log.warning(
            "%s attends within a window of %d tokens, so each response gets a plain row.",
            type(model).__name__,
            window,
        )
    elif _agrees(packed, prompt, responses, expected):
        return packed
    else:
        log.warning(
            "%s does not take a tree-shaped attention mask; each response gets a plain row.",
            type(model).__name__,
        )
    return Network(model, backend, takes_trees=False, head_is_linear=head_is_linear)


def short_window(config: Any) -> int | None:
    """Return the window that a configuration declares, if it is shorter than the context."""
    text = config.get_text_config()
    longest = getattr(text, "max_position_embeddings", None)
    declared = [
        value
        for name, value in text.to_dict().items()
        if name.endswith(("window", "window_size")) and isinstance(value, int) and value > 0
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


def _texts(model: Any) -> tuple[Ids, list[Ids]]:
    """Return a prompt and three responses that share a beginning, of ids from all the vocabulary.

    Of the first ids alone, often special ones, bf16 makes mostly noise.
    """
    size = model.config.get_text_config().vocab_size
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
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
def _logprobs(network: Network, prompt: Ids, responses: list[Ids]) -> list[Tensor]:
    trees: list[Tree] = network.trees(prompt, responses)
    return token_logprobs(network, trees)


def _agrees(network: Network, prompt: Ids, responses: list[Ids], expected: list[Tensor]) -> bool:
    """Say whether a shortcut gives what plain rows give, up to the dtype's rounding."""
    try:
        found = _logprobs(network, prompt, responses)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        log.debug("%s cannot take this shortcut: %s", type(network.model).__name__, error)
        return False
    plain = torch.cat(expected)
    differences = torch.cat(found).sub(plain).abs()
    rounding = torch.finfo(network.model.dtype).eps * float(plain.std())
    limits = zip(_LEAST_ALLOWED, _ALLOWED_ROUNDINGS, strict=True)
    most, on_average = (max(least, count * rounding) for least, count in limits)
    return bool(differences.max() <= most) and bool(differences.mean() <= on_average)
