"""Full fine-tuning: whole copies of a model, of which one learns and one is frozen, π_0.

The paper's IMDB reads most naturally so (A.4). A copy offers a policy what an adapter
does, at the cost of all weights instead of a hundredth of them. There is one model, in whose layers
the parameters of one copy at a time are put: so both run through the very same operations.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from corll.config import LoraConfig
from corll.errors import AdapterError, ConfigError
from corll.model import file_names
from corll.model.adapter_files import check_base, write_base
from corll.model.adapters import POLICY
from corll.model.loading import LoadedModel, load_model, no_progress_bars
from corll.model.turns import Turns

_NO_ADAPTER = LoraConfig(lora_target_modules=())


class _Slot(NamedTuple):
    """Where a parameter is used; tied ones have several."""

    module: nn.Module
    key: str
    name: str


def holds_whole_copy(folder: str | os.PathLike[str]) -> bool:
    """Say whether a folder holds a whole model, not an adapter."""
    path = Path(folder)
    return (path / "config.json").is_file() and not (path / file_names.ADAPTER_CONFIG).is_file()


class WholeCopies(Turns):
    """Copies of a model's weights, one for each policy, beside π_0: those it was loaded with.

    It stands in for an `AdapterSet`, whose methods it has. π_0's own weights never change.
    """

    reference: None = None
    """π_0 is no copy, but what the model was loaded with."""
    reference_name = "base"

    def __init__(self, base: LoadedModel) -> None:
        super().__init__(None)
        self.base = base
        names = {id(parameter): name for name, parameter in base.model.named_parameters()}
        self._slots = [
            _Slot(module, key, names[id(parameter)])
            for module in base.model.modules()
            for key, parameter in module._parameters.items()
            if parameter is not None
        ]
        self._copies: dict[str | None, dict[str, nn.Parameter]] = {
            None: dict(base.model.named_parameters())
        }
        self._added = 0

    @classmethod
    def create(
        cls,
        base: LoadedModel,
        *,
        lora: LoraConfig | None = None,
        adapter: str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
    ) -> WholeCopies:
        """Make the first policy's copy, of π_0 or of a saved one.

        *Raises*: ConfigError where the model is not in float32, whose last bits are all that a step
        of Adam changes, or where an adapter is asked for; AdapterError.
        """
        if base.dtype != torch.float32:
            raise ConfigError(
                f"All weights learn in float32 only, not in {base.dtype}, which would round the "
                "steps of Adam away. Use dtype='float32', or an adapter."
            )
        if reference is not None:
            raise ConfigError(
                "A whole copy is held to the model that it was loaded from: load the model that "
                "shall be its reference, and give the copy to go on with as `adapter`."
            )
        _check_no_adapter(lora)
        _ = base.fingerprint  # of π_0: it is kept, and must be taken before a copy is in its place
        # π_0's are marked as learning too: its scores then come from the same kind of pass as the
        # policy's. They are only ever used without gradients, and no optimiser has them.
        base.model.requires_grad_(True)
        copies = cls(base)
        copies._insert(POLICY, adapter)
        copies.switch_to(POLICY)
        return copies

    def reference_of(self, copy: str) -> None:
        """Return None: π_0 of every copy is what the model was loaded with."""

    def reference_name_of(self, copy: str) -> str:
        """Return what π_0 is."""
        return self.reference_name

    def add_reference(self, folder: str | os.PathLike[str]) -> str:
        """Refuse another reference, since π_0 is what the model was loaded with."""
        raise AdapterError(
            f"{folder} cannot be the reference where all weights learn: load the model that shall "
            "be it."
        )

    def add(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        lora: LoraConfig | None = None,
        reference: str | None = None,
    ) -> str:
        """Add another policy's copy, of π_0 or of a saved one; return its name.

        *Raises*: AdapterError where it is of another base; ConfigError.
        """
        _check_no_adapter(lora)
        name = f"{POLICY}-{self._added + 1}"
        self._insert(name, folder)
        self._added += 1
        return name

    def remove(self, copy: str) -> None:
        """Free the memory of a copy that was added."""
        if copy == POLICY:
            raise AdapterError("The first copy of a model stays as long as the model does.")
        if self._active == copy:
            self.switch_to(POLICY)
        del self._copies[copy]

    def switch_to(self, copy: str | None) -> None:
        """Put a copy's parameters into the model; None puts π_0's there."""
        parameters = self._weights(copy)
        if copy == self._active:
            return
        for slot in self._slots:
            slot.module._parameters[slot.key] = parameters[slot.name]
        self._active = copy

    def mixes(self, copy: str | None) -> bool:
        """Return False: a pass runs with the weights of one copy."""
        return False

    def check_loaded(self, copies: Collection[str | None]) -> None:
        """Check that copies are still there. *Raises*: AdapterError."""
        for copy in copies:
            self._weights(copy)

    def lora(self, copy: str) -> LoraConfig:
        """Return the shape of an adapter on no layers, since there is none."""
        return _NO_ADAPTER

    def parameters(self, copy: str) -> dict[str, nn.Parameter]:
        """Return all parameters of a copy by their names in the model; tied ones once."""
        return dict(self._copies.get(copy, {}))

    def save(self, copy: str, folder: str | os.PathLike[str]) -> None:
        """Write a copy as a Hugging Face folder, which `transformers` and others load.

        *Raises*: AdapterError for the folder of the model itself, which holds π_0.
        """
        target = Path(folder)
        if target.resolve() == self.base.folder.resolve():
            raise AdapterError(f"{folder} holds the reference itself; save to another folder.")
        active = self._active
        self.switch_to(copy)
        try:
            with no_progress_bars():
                self.base.model.save_pretrained(target)
        finally:
            self.switch_to(active)
        self.base.tokenizer.save_pretrained(target)
        write_base(target, self.base, self.reference_name)

    def load(self, copy: str, folder: str | os.PathLike[str]) -> None:
        """Overwrite a copy's weights with those of a model's folder of the same shape.

        *Raises*: AdapterError where the folder holds no such model, or was trained on another base;
        ModelNotFoundError where it is incomplete.
        """
        parameters, weights = self._weights(copy), self._read(folder)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])

    def _weights(self, copy: str | None) -> dict[str, nn.Parameter]:
        if copy not in self._copies:
            raise AdapterError("This policy's copy was unloaded; make another by with_adapter.")
        return self._copies[copy]

    def _insert(self, copy: str, folder: str | os.PathLike[str] | None) -> None:
        weights = self._copies[None] if folder is None else self._read(folder)
        self._copies[copy] = {
            name: nn.Parameter(weight.detach().clone()) for name, weight in weights.items()
        }

    def _read(self, folder: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
        if not holds_whole_copy(folder):
            raise AdapterError(
                f"{folder} holds no whole model, which has a config.json. An adapter is loaded by "
                "Policy.load(…, trains='adapter')."
            )
        check_base(Path(folder), self.base)
        saved: Any = load_model(folder, dtype="float32", device=str(self.base.device)).model
        weights = dict(saved.named_parameters())
        found = {name: tuple(weight.shape) for name, weight in weights.items()}
        wanted = {name: tuple(weight.shape) for name, weight in self._copies[None].items()}
        if found != wanted:
            odd = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
            raise AdapterError(
                f"The model in {folder} is no copy of {self.base.name}: {odd} has shape "
                f"{found.get(odd, 'none')}, not {wanted.get(odd, 'none')}."
            )
        return weights


def _check_no_adapter(lora: LoraConfig | None) -> None:
    if lora not in (None, _NO_ADAPTER):
        raise ConfigError("`lora` shapes an adapter, but here all weights learn: leave it out.")
