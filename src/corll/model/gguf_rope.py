"""How a GGUF file scales rotary embeddings, as a configuration of `transformers` says it.

*Source*: llama.cpp, which reads a type and a factor from the header and, for Llama 3.1 and its kin,
a tensor by which each frequency is divided. `transformers` reads neither.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corll.errors import ModelNotFoundError
from corll.model.gguf_header import GgufHeader

_FREQUENCIES = "rope_freqs.weight"
_NEUTRAL: Mapping[str, float] = {
    "attn_factor": 1.0,
    "yarn_attn_factor": 1.0,
    "yarn_ext_factor": 1.0,
}
"""Further settings, and the values by which they change nothing."""

_LOW, _HIGH = 1.0, 4.0
"""The bounds of every Llama: where others show in the numbers, no context gives these."""

_LIKELIEST_CONTEXT = 8192
_CLOSE = 1e-3


def set_rope_scaling(config: Any, header: GgufHeader, gguf: Path) -> None:
    """Set in a configuration how a file scales rotary embeddings.

    *Raises*: ModelNotFoundError for a scaling that is not known here.
    """
    if any(name.startswith("rope_factors_") for name in header.names):
        raise _not_read("factors for long and short texts (longrope)")
    if scaling := _scaling(header):
        _update(config, header, scaling)
    if _FREQUENCIES in header.names:
        divisors = _read_tensor(gguf, _FREQUENCIES)
        if scaling:
            raise _not_read(f"{_FREQUENCIES} beside another scaling")
        if not any(_close(shares, divisors) for shares in _all_shares(config)):
            config.rope_parameters = _llama3_parameters(config, divisors)


def _scaling(header: GgufHeader) -> dict[str, Any]:
    """Return the scaling that the fields of a header say; empty where there is none."""
    said = {
        name.removeprefix("scaling."): value
        for name, value in header.rope.items()
        if name.startswith("scaling.")
    }
    factor = said.pop("factor", None) or header.rope.get("scale_linear") or 1.0
    kind = said.pop("type", "linear")
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return {}
    said.pop("finetuned", None)
    original = said.pop("original_context_length", None)
    if not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise _not_read(f"a factor of {factor!r}")
    scaling: dict[str, Any] = {"rope_type": kind, "factor": float(factor)}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = original or header.context_length
        for name in ("beta_fast", "beta_slow"):
            if (value := said.pop(f"yarn_{name}", None)) is not None:
                scaling[name] = value
    elif kind != "linear":
        raise _not_read(f"a scaling of the type {kind!r}")
    for name, value in said.items():
        if value != _NEUTRAL.get(name):
            raise _not_read(f"rope.scaling.{name}={value!r}")
    return scaling


def _update(config: Any, header: GgufHeader, scaling: Mapping[str, Any]) -> None:
    parameters = getattr(config, "rope_parameters", None) or {}
    if "rope_theta" in parameters:
        config.rope_parameters = {**parameters, **scaling}
    elif header.architecture == "gemma3" and "full_attention" in parameters:
        # Its layers that see a window are not scaled.
        whole = {**parameters["full_attention"], **scaling}
        config.rope_parameters = {**parameters, "full_attention": whole}
    else:
        raise _not_read(f"a scaling of {header.architecture}")


def _llama3_parameters(config: Any, divisors: Tensor) -> dict[str, Any]:
    """Return the parameters by which `transformers` divides each frequency as a tensor says.

    *Raises*: ModelNotFoundError where no such parameters give the tensor's numbers.
    """
    own = getattr(config, "rope_parameters", None) or {}
    if "rope_theta" in own and bool((divisors >= 1).all()):
        for original in _contexts(float(own["rope_theta"]), divisors):
            found = {
                **own,
                "rope_type": "llama3",
                "low_freq_factor": _LOW,
                "high_freq_factor": _HIGH,
                "factor": float(divisors.max()),
                "original_max_position_embeddings": original,
            }
            tried = copy.deepcopy(config)
            tried.rope_parameters = found
            if _close(_shares(tried, None), divisors):
                return found
    raise _not_read(f"{_FREQUENCIES}, whose numbers are not those of Llama 3")


def _contexts(theta: float, divisors: Tensor) -> Iterator[int]:
    """Yield original contexts that may have given these divisors.

    Between its two bounds a divisor tells the context; beyond them it tells only on which side of
    it a wavelength lies.
    """
    yield _LIKELIEST_CONTEXT
    factor = float(divisors.max())
    count = len(divisors)
    for n, divisor in enumerate(divisors.tolist()):
        if 1 + _CLOSE < divisor < factor * (1 - _CLOSE):
            wavelength = 2 * math.pi * theta ** (n / count)
            smooth = (1 / divisor - 1 / factor) / (1 - 1 / factor)
            yield round(wavelength * ((_HIGH - _LOW) * smooth + _LOW))
    yield from (2**power for power in range(5, 21))


def _all_shares(config: Any) -> Iterator[Tensor]:
    """Yield the shares of each kind of layer that a configuration has."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [None] if "rope_theta" in parameters else list(parameters)
    for kind in kinds:
        yield _shares(config, kind)


def _shares(config: Any, kind: str | None) -> Tensor:
    """Return each frequency as a share of what it is without scaling."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    own = config.rope_parameters if kind is None else config.rope_parameters[kind]
    if own.get("rope_type", "default") == "default":
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return torch.ones(int(size * own.get("partial_rotary_factor", 1.0)) // 2)
    frequencies, _ = ROPE_INIT_FUNCTIONS[own["rope_type"]](config, "cpu", layer_type=kind)
    places = torch.arange(len(frequencies)) / len(frequencies)
    return torch.as_tensor(frequencies * own["rope_theta"] ** places)


def _close(shares: Tensor, divisors: Tensor) -> bool:
    return shares.shape == divisors.shape and torch.allclose(shares, 1 / divisors, atol=_CLOSE)


def _read_tensor(gguf: Path, name: str) -> Tensor:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    found = next(tensor for tensor in GGUFReader(gguf).tensors if tensor.name == name)
    return torch.tensor(dequantize(found.data, found.tensor_type)).float().flatten()


def _not_read(what: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"its rotary embeddings have {what}, which is not read here, so it would be another model; "
        "get the model as safetensors"
    )
