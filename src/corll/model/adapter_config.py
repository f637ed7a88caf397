"""What an adapter's `adapter_config.json` says, and which kinds of adapter are taken.

The files are PEFT's. What PEFT computes in the same layers is taken as it is; an adapter that would
load and give other numbers than in PEFT is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import peft
import torch
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field
from transformers.pytorch_utils import Conv1D

from corll.compute.lora import LoraLinear
from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.model import file_names
from corll.model.loading import LoadedModel
from corll.untrusted import read_object

_ON_SOME_LAYERS = ("layers_to_transform", "layers_pattern", "exclude_modules")
_OF_SOME_SHAPE = ("rank_pattern", "alpha_pattern", "target_parameters", "use_rslora")

_WITHOUT_EFFECT = {
    *("r", "lora_alpha", "lora_dropout", "target_modules", "init_lora_weights"),  # read by name
    *("task_type", "base_model_name_or_path", "revision", "auto_mapping", "peft_version"),
    *("inference_mode", "fan_in_fan_out", "megatron_core", "runtime_config", "qalora_group_size"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),  # of a first value
}
"""Fields that change no number of a saved adapter, beside those that are read."""

_FIRST_VALUES = (True, False, "gaussian", "orthogonal", "eva")
"""How an adapter may have begun; all others (PiSSA, OLoRA, CorDA, LoftQ, …) change the base too."""

_MAMBA_TYPES = {"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"}
"""Model types in which PEFT refuses `out_proj`, whose weight is read without the layer."""

_READ_WITHOUT_THE_LAYER = {"dt_proj"}
"""Names of linear layers of state-space models that are never called, so that an adapter on them
would do nothing: the model multiplies by their weights itself."""

_TAKEN_FOR_EXPERTS = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
"""Names that PEFT takes for a tensor of all experts, wherever a model has such tensors."""


_Names = str | list[str] | None


class _Further(BaseModel):
    """What PEFT takes as it stands, by what it has to be."""

    model_config = ConfigDict(strict=True, frozen=True)

    layers_to_transform: int | list[int] | None = None
    layers_pattern: _Names = None
    exclude_modules: _Names = None
    rank_pattern: dict[str, Annotated[int, Field(ge=1)]] | None = None
    alpha_pattern: dict[str, Annotated[float, Field(gt=0), AllowInfNan(False)]] | None = None
    target_parameters: list[str] | None = None
    use_rslora: bool | None = None


class AdapterShape(NamedTuple):
    """What an adapter is: its LoRA settings, and further fields of PEFT's as they were saved."""

    lora: LoraConfig
    further: Mapping[str, Any] = {}

    @property
    def is_uniform(self) -> bool:
        """Whether all its layers are linear, and have the same rank and scaling."""
        return not any(name in self.further for name in _OF_SOME_SHAPE)


def read_shape(folder: str | os.PathLike[str]) -> AdapterShape:
    """Return the shape of a saved adapter. *Raises*: AdapterError."""
    path = Path(folder) / file_names.ADAPTER_CONFIG
    try:
        fields = read_object(path)
        targets = fields["target_modules"]
        _check_kind(fields)
        _Further(**{name: fields.get(name) for name in _Further.model_fields})
        lora = LoraConfig(
            lora_r=fields["r"],
            lora_alpha=fields["lora_alpha"],
            lora_dropout=fields["lora_dropout"],
            lora_target_modules=targets if isinstance(targets, str) else tuple(targets),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(
            f"{folder} is not a LoRA adapter's folder: {file_names.ADAPTER_CONFIG} cannot be used "
            f"({error})."
        ) from error
    names = (*_ON_SOME_LAYERS, *_OF_SOME_SHAPE)
    # Empty ones mean nothing, but 0 is a layer.
    return AdapterShape(
        lora, {n: fields[n] for n in names if fields.get(n) or n in _numbers(fields)}
    )


def _numbers(fields: dict[str, Any]) -> set[str]:
    return {name for name, value in fields.items() if type(value) is int}


def to_peft(base: LoadedModel, shape: AdapterShape) -> Any:
    """Return PEFT's configuration of an adapter."""
    lora, targets = shape.lora, shape.lora.lora_target_modules
    if targets == "all-linear":
        targets = _all_linear(base.model)
    config = peft.LoraConfig(
        r=lora.lora_r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(base.folder) if Path(base.folder).is_dir() else base.name,
        **shape.further,
    )
    config._register_custom_module({torch.nn.Linear: LoraLinear})
    return config


def _all_linear(model: Any) -> str | tuple[str, ...]:
    """Return what stands for all linear layers: their names where PEFT would not take them all.

    Of a model for images and text, those of the text model: no text gives the others a gradient.

    Tensors of all experts are no linear layers. An adapter on them is added to the weights
    themselves, where bf16 rounds a small one away; and where a model has them, PEFT takes the names
    of a dense feed-forward for theirs.
    """
    output, kinds = model.get_output_embeddings(), (torch.nn.Linear, Conv1D)
    modules = {
        name: getattr(module, "base_layer", module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "base_layer", module), kinds) and module is not output
    }
    text = _text_model(model)
    beside = [name for name in modules if not name.startswith(text)]
    linear = {name.rsplit(".", 1)[-1]: it for name, it in modules.items() if name not in beside}
    names = linear.keys()
    # Routers of experts return more than a product, which PEFT does not know.
    left_out = {name for name, layer in linear.items() if "Router" in type(layer).__name__}
    left_out |= names & _READ_WITHOUT_THE_LAYER
    # What computes more than a product, such as several in groups (DeepSeek-V4).
    left_out |= {name for name, layer in linear.items() if not _is_plain_product(layer)}
    if model.config.model_type in _MAMBA_TYPES:
        left_out |= names & {"out_proj"}
    parameters = model.named_parameters()
    has_experts = any(name.endswith(".gate_up_proj") and p.dim() == 3 for name, p in parameters)
    if has_experts:
        left_out |= names & _TAKEN_FOR_EXPERTS
    targets = tuple(sorted(names - left_out))
    if beside:
        return rf"{re.escape(text)}.*\.({'|'.join(targets)})"
    return targets if left_out or has_experts else "all-linear"


def _text_model(model: Any) -> str:
    """Return how the names of a text model's modules begin, beside which images have their own."""
    if model.config.get_text_config() is model.config:
        return ""
    decoder = model.get_decoder()
    return next((f"{name}." for name, module in model.named_modules() if module is decoder), "")


def _is_plain_product(layer: torch.nn.Module) -> bool:
    """Say whether a layer computes what `LoraLinear` does in its place.

    A kind with a forward of its own is tried: Falcon's computes the same product.
    """
    if not isinstance(layer, torch.nn.Linear) or type(layer).forward is torch.nn.Linear.forward:
        return True
    given = layer.weight.new_ones(1, layer.in_features)
    expected = torch.nn.functional.linear(given, layer.weight, layer.bias)
    with torch.no_grad():
        try:
            found = layer(given)
        except RuntimeError:  # it takes another shape
            return False
    is_alike = isinstance(found, torch.Tensor) and found.shape == expected.shape
    return is_alike and torch.allclose(found, expected, rtol=0.01, atol=0.01)


def _check_kind(fields: dict[str, Any]) -> None:
    """Check that an adapter is of a kind that gives PEFT's numbers. *Raises*: ValueError."""
    began = fields.get("init_lora_weights", True)
    if began is not None and began not in _FIRST_VALUES:
        raise ValueError(
            f"init_lora_weights is {began!r}, and PEFT changes the base's weights for such an "
            "adapter as it loads; save it as plain LoRA, by PEFT's "
            "save_pretrained(…, path_initial_model_for_weight_conversion=…)"
        )
    plain = peft.LoraConfig().to_dict() | {"peft_type": "LORA", "bias": "none"}
    for name, value in fields.items():
        known = name in _WITHOUT_EFFECT or name in _ON_SOME_LAYERS or name in _OF_SOME_SHAPE
        if not known and value and value != plain.get(name):
            raise ValueError(f"{name} is {value!r}; only plain LoRA is supported")
