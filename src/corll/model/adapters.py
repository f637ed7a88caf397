"""The LoRA adapters of policies: those that learn and, where π_0 is not the base, frozen ones.

They are PEFT's, in PEFT's file format. A file of our own beside it says which base the adapter
belongs to, so that it is not loaded onto another by mistake.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.lora import layer as peft_lora
from safetensors.torch import save_file

from corll.compute.lora import Factors, LoraLinear, activate, insert_adapter
from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.model import file_names
from corll.model.adapter_config import AdapterShape, read_shape, to_peft
from corll.model.adapter_files import (
    OF_THE_BASE,
    Shapes,
    check_base,
    check_ranks,
    check_shapes,
    read_shapes,
    read_weights,
    write_base,
)
from corll.model.loading import LoadedModel
from corll.model.name_patterns import check_patterns
from corll.model.turns import Turns

POLICY = "policy"
REFERENCE = "reference"


_UNLOADED = "This policy's adapter was unloaded; make another by with_adapter."


class AdapterSet(Turns):
    """The adapters on one base model: one for each policy, and the frozen references."""

    def __init__(self, base: LoadedModel, model: Any, shapes: dict[str, AdapterShape]) -> None:
        super().__init__(POLICY)
        self.base, self.model, self._shapes = base, model, shapes
        self.reference: str | None = None
        """The frozen adapter that is π_0 of the first policy; None where that is the base."""
        self._frozen: dict[str, str] = {}
        self._frozen_from: dict[str, str] = {}
        self._reference_of: dict[str, str] = {}
        self._layers: dict[str, peft_lora.LoraLayer] = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, peft_lora.LoraLayer)
        }
        self._added = self._references_added = 0

    @classmethod
    def create(
        cls,
        base: LoadedModel,
        *,
        lora: LoraConfig | None = None,
        adapter: str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
    ) -> AdapterSet:
        """Add the first policy's adapter (new, or from a folder) and the reference's, if named."""
        start = adapter if adapter is not None else reference
        shape = AdapterShape(lora or LoraConfig()) if start is None else _read_shape(start, base)
        with _added_by_peft(base, shape):
            model = peft.get_peft_model(base.model, to_peft(base, shape), adapter_name=POLICY)
        shapes = {POLICY: shape}
        if reference is not None:
            # By PEFT, since it may be on layers that the policy's adapter is not on.
            shapes[REFERENCE] = _read_shape(reference, base)
            with _added_by_peft(base, shape):
                model.add_adapter(REFERENCE, to_peft(base, shapes[REFERENCE]))
        adapters = cls(base, model, shapes)
        if start is not None:
            adapters._overwrite(POLICY, start)
        if reference is not None:
            adapters._overwrite(REFERENCE, reference)
            adapters.reference = REFERENCE
            adapters._freeze(REFERENCE)
        adapters._settle()
        return adapters

    @property
    def reference_name(self) -> str:
        """What π_0 of the first policy is: `base`, or the fingerprint of the frozen adapter."""
        return self.reference_name_of(POLICY)

    def reference_of(self, adapter: str) -> str | None:
        """Return the frozen adapter that is an adapter's π_0; None where that is the base."""
        return self._reference_of.get(adapter, self.reference)

    def reference_name_of(self, adapter: str) -> str:
        """Return what π_0 is by its fingerprint; `base` for the base."""
        reference = self.reference_of(adapter)
        return "base" if reference is None else self._frozen[reference]

    def add_reference(self, folder: str | os.PathLike[str]) -> str:
        """Add a frozen adapter, once for each folder; return its name. *Raises*: AdapterError."""
        path = str(Path(folder).absolute())
        if path not in self._frozen_from:
            self._references_added += 1
            name = f"{REFERENCE}-{self._references_added}"
            self._insert(name, folder)
            self._freeze(name)
            self._settle()
            self._frozen_from[path] = name
        return self._frozen_from[path]

    def add(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        lora: LoraConfig | None = None,
        reference: str | None = None,
    ) -> str:
        """Add another policy's adapter, new or from a folder; return its name.

        `reference` is the frozen adapter that is its π_0, by default the first policy's; it goes
        where the other cannot be added and none is held to it.
        *Raises*: AdapterError where it is of another base, or on layers that the first is not on.
        """
        name = f"{POLICY}-{self._added + 1}"
        if folder is not None:
            try:
                self._insert(name, folder)
            except AdapterError:
                if reference is not None:
                    self._release(reference)
                raise
        else:
            self._draw(name, self._on_layers_of_the_first(lora or self.lora(POLICY)))
            self._settle()
        if reference is not None:
            self._reference_of[name] = reference
        self._added += 1
        return name

    def remove(self, adapter: str) -> None:
        """Free an adapter that was added, and its π_0 once no other is held to it."""
        if adapter == POLICY or adapter in self._frozen:
            raise AdapterError("The first adapter of a base model stays as long as the model does.")
        if self._active == adapter:
            self.switch_to(POLICY)
        self._delete(adapter)
        reference = self._reference_of.pop(adapter, None)
        if reference is not None:
            self._release(reference)

    def _release(self, reference: str) -> None:
        """Free a frozen adapter that was added, unless a policy is held to it."""
        if reference not in self._reference_of.values():
            self._delete(reference)
            del self._frozen[reference]
            self._frozen_from = {f: n for f, n in self._frozen_from.items() if n != reference}

    def _delete(self, adapter: str) -> None:
        for layer in self._layers.values():
            layer.delete_adapter(adapter)
        del self.model.peft_config[adapter], self._shapes[adapter]

    def switch_to(self, adapter: str | None) -> None:
        """Make an adapter the one that the model runs with; None switches all off."""
        self.check_loaded([adapter])
        if adapter != self._active:
            activate(self._layers.values(), adapter)
            self._active = adapter

    def mixes(self, adapter: str | None) -> bool:
        """Say whether rows of a pass may have this adapter while others have another.

        That is where it is on joined layers alone, and adds there the product of its factors.
        """
        if adapter is None:
            return True
        layers = [layer for layer in self._layers.values() if _has(layer, adapter)]
        return all(
            isinstance(la, LoraLinear) and la.joined and la.is_plain(adapter) for la in layers
        )

    def check_loaded(self, adapters: Collection[str | None]) -> None:
        """Check that adapters are still there. *Raises*: AdapterError."""
        if not set(adapters) <= {None, *self._shapes}:
            raise AdapterError(_UNLOADED)

    def lora(self, adapter: str) -> LoraConfig:
        """Return the shape of an adapter."""
        return self._shapes[adapter].lora

    def parameters(self, adapter: str) -> dict[str, torch.nn.Parameter]:
        """Return the parameters of an adapter, under the names they have in its file."""
        found: dict[str, torch.nn.Parameter] = {}
        for prefix, layer in self._layers.items():
            for kind in layer.adapter_layer_names:
                part = getattr(layer, kind)
                if adapter not in part or "lora_" not in kind:
                    continue
                if isinstance(weight := part[adapter], torch.nn.Parameter):
                    found[f"{prefix}.{kind}"] = weight
                else:
                    for name, parameter in weight.named_parameters():
                        found[f"{prefix}.{kind}.{name}"] = parameter
        return found

    def save(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        """Write one adapter as a PEFT folder (`adapter_config.json` at its root)."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        config = self.model.peft_config[adapter].to_dict() | {"inference_mode": True}
        (target / file_names.ADAPTER_CONFIG).write_text(
            json.dumps(config, indent=2, default=_as_list) + "\n"
        )
        weights = {n: p.detach().contiguous() for n, p in self.parameters(adapter).items()}
        save_file(weights, target / file_names.ADAPTER_WEIGHTS, metadata={"format": "pt"})
        write_base(target, self.base, self.reference_name_of(adapter))

    def load(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        """Overwrite an adapter's weights with those of a PEFT folder of the same base and shape.

        *Raises*: AdapterError where the folder is incomplete or of another base.
        """
        _read_shape(folder, self.base)
        self._overwrite(adapter, folder)

    def _overwrite(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        parameters = self.parameters(adapter)
        wanted = {name: tuple(p.shape) for name, p in parameters.items()}
        weights = read_weights(folder, self.base, wanted)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])

    def _insert(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        """Add a saved adapter without drawing initial weights for it first."""
        shape = _read_shape(folder, self.base)
        found = read_shapes(folder)
        if not shape.is_uniform:
            self._insert_by_peft(adapter, folder, shape, found)
            return
        lora = shape.lora
        wanted: dict[str, tuple[int, ...]] = {}
        layers = [n for n in self._layers if f"{n}.lora_A.weight" in found]
        for prefix in layers:
            layer = self._layers[prefix]
            wanted[f"{prefix}.lora_A.weight"] = (lora.lora_r, layer.in_features)
            wanted[f"{prefix}.lora_B.weight"] = (layer.out_features, lora.lora_r)
        weights = read_weights(folder, self.base, wanted)
        for prefix in layers:
            A, B = (weights[f"{prefix}.{kind}.weight"] for kind in ("lora_A", "lora_B"))
            factors = Factors(A, B, lora.lora_alpha / lora.lora_r)
            insert_adapter(self._layers[prefix], adapter, lora, factors)
        self.model.peft_config[adapter] = to_peft(self.base, shape)
        self._shapes[adapter] = shape

    def _insert_by_peft(
        self,
        adapter: str,
        folder: str | os.PathLike[str],
        shape: AdapterShape,
        found: Shapes,
    ) -> None:
        """Add a saved adapter whose layers differ in rank, scaling or kind, as PEFT makes it."""
        for name, sizes in found.items():
            if name.partition(".lora_")[0] not in self._layers and not name.endswith(OF_THE_BASE):
                check_shapes(folder, self.base, {}, {name: sizes})
        self._draw(adapter, shape)
        try:
            self._overwrite(adapter, folder)
        except AdapterError:
            self._delete(adapter)
            raise

    def _draw(self, adapter: str, shape: AdapterShape) -> None:
        """Add an adapter with initial weights."""
        with _added_by_peft(self.base, shape):
            self.model.add_adapter(adapter, to_peft(self.base, shape))
        self._shapes[adapter] = shape

    def _on_layers_of_the_first(self, lora: LoraConfig) -> AdapterShape:
        first_shape = self._shapes[POLICY]
        targets, first = lora.lora_target_modules, first_shape.lora.lora_target_modules
        if targets not in (first, LoraConfig().lora_target_modules):
            raise AdapterError(
                f"A further adapter must be on the layers of the first ({first}), not {targets}; "
                "load the base a second time for other layers."
            )
        on_the_same = lora.model_copy(update={"lora_target_modules": first})
        return AdapterShape(on_the_same, first_shape.further)

    def _freeze(self, adapter: str) -> None:
        self._frozen[adapter] = fingerprint(self.parameters(adapter))

    def _settle(self) -> None:
        """Set what PEFT switched while it added an adapter: which one runs, and which learn."""
        self.model.eval()
        for adapter in self._shapes:
            for parameter in self.parameters(adapter).values():
                parameter.requires_grad_(adapter not in self._frozen)
        activate(self._layers.values(), self._active)


def _read_shape(folder: str | os.PathLike[str], base: LoadedModel) -> AdapterShape:
    """Return the shape of a saved adapter, after checking that it belongs to this base.

    *Raises*: AdapterError, also for names of layers that would take too long to look for, and for
    ranks that would take more memory than its weights.
    """
    shape = read_shape(folder)
    check_base(Path(folder), base)
    check_ranks(folder, shape, read_shapes(folder))
    names = [name for name, _ in base.model.named_modules()]
    check_patterns({**shape.further, "target_modules": shape.lora.lora_target_modules}, names)
    return shape


def _has(layer: peft_lora.LoraLayer, adapter: str) -> bool:
    return any(adapter in getattr(layer, kind) for kind in layer.adapter_layer_names)


def fingerprint(parameters: dict[str, torch.nn.Parameter]) -> str:
    """Return a name for exactly these weights."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        digest.update(name.encode())
        digest.update(parameters[name].detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _added_by_peft(base: LoadedModel, shape: AdapterShape) -> Iterator[None]:
    """Let PEFT draw initial weights from a stream of their own, quietly, within the context.

    *Raises*: AdapterError for what PEFT does not put on this model.
    """
    with torch.random.fork_rng(devices=[]), _without_peft_warnings():
        torch.manual_seed(shape.lora.lora_seed)
        try:
            yield
        except ValueError as error:
            raise AdapterError(f"The adapter does not fit {base.name}: {error}") from error


@contextmanager
def _without_peft_warnings() -> Iterator[None]:
    """Silence what PEFT says of its own doing, which a user can do nothing about."""
    with warnings.catch_warnings():
        for message in (
            "`is_gradient_checkpointing` is deprecated",
            "fan_in_fan_out is set to",
            "The following (rank|alpha)_pattern keys",  # it looks for tensors among modules
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


def _as_list(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{value!r} has no place in {file_names.ADAPTER_CONFIG}")
