"""The LoRA adapters of a policy: the one that learns and, where π_0 is not the base, a frozen one.

They are PEFT's, in PEFT's file format. A file of our own beside it says which base the adapter
belongs to, so that it is not loaded onto another by mistake.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.lora import LoraLinear
from corll.models import LoadedModel
from corll.version import __version__

POLICY = "policy"
REFERENCE = "reference"

_CONFIG_FILE = "adapter_config.json"
_WEIGHTS_FILE = "adapter_model.safetensors"
_BASE_FILE = "corll_base.json"

# Read as plain LoRA, an adapter with other values than these would load and give other numbers.
_PLAIN_LORA: dict[str, Any] = {
    "peft_type": "LORA",
    "use_dora": False,
    "use_rslora": False,
    "lora_bias": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
}


class AdapterSet:
    """The adapters on one base model. Outside `reference_active`, the policy's is active."""

    def __init__(self, base: LoadedModel, model: Any, lora: LoraConfig) -> None:
        self.base, self.model, self.lora = base, model, lora
        self.reference_name = "base"

    @classmethod
    def create(
        cls,
        base: LoadedModel,
        *,
        lora: LoraConfig | None = None,
        adapter: str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
    ) -> AdapterSet:
        """Adds the policy's adapter (new, or from a folder) and the reference's, if named."""
        start = adapter if adapter is not None else reference
        if start is None:
            adapters = cls._add_new(base, lora or LoraConfig())
        else:
            adapters = cls._add_new(base, read_lora_config(start, base))
            adapters.load(POLICY, start)
        if reference is not None:
            adapters._add_reference(Path(reference))
        adapters._activate_policy()
        return adapters

    @classmethod
    def _add_new(cls, base: LoadedModel, lora: LoraConfig) -> AdapterSet:
        with torch.random.fork_rng(devices=[]), _without_peft_warnings():
            torch.manual_seed(lora.lora_seed)
            try:
                model = peft.get_peft_model(base.model, _to_peft(base, lora), adapter_name=POLICY)
            except ValueError as error:
                raise AdapterError(f"The adapter does not fit {base.name}: {error}") from error
        model.eval()
        return cls(base, model, lora)

    def _add_reference(self, folder: Path) -> None:
        lora = read_lora_config(folder, self.base)
        with _without_peft_warnings():
            self.model.add_adapter(REFERENCE, _to_peft(self.base, lora))
        self.load(REFERENCE, folder)
        self.model.eval()
        self.reference_name = fingerprint(self.parameters(REFERENCE))

    @contextmanager
    def reference_active(self) -> Iterator[None]:
        """Within the context the base runs as π_0: without an adapter, or with the frozen one."""
        if self.reference_name == "base":
            with self.model.disable_adapter():
                yield
            return
        self.model.base_model.set_adapter(REFERENCE, inference_mode=True)
        try:
            yield
        finally:
            self._activate_policy()

    def _activate_policy(self) -> None:
        self.model.base_model.set_adapter(POLICY)

    def parameters(self, adapter: str) -> dict[str, torch.nn.Parameter]:
        """The parameters of an adapter, under the names they have in its file."""
        marker = f".{adapter}."
        return {
            name.replace(marker, "."): parameter
            for name, parameter in self.model.named_parameters()
            if marker in name and "lora_" in name
        }

    def save(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        """Writes one adapter as a PEFT folder (`adapter_config.json` at its root)."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        config = self.model.peft_config[adapter].to_dict() | {"inference_mode": True}
        (target / _CONFIG_FILE).write_text(json.dumps(config, indent=2, default=_as_list) + "\n")
        weights = {n: p.detach().contiguous() for n, p in self.parameters(adapter).items()}
        save_file(weights, target / _WEIGHTS_FILE, metadata={"format": "pt"})
        base = {"name": self.base.name, "fingerprint": base_fingerprint(self.base)}
        about = {"base_model": base, "reference": self.reference_name, "corll": __version__}
        (target / _BASE_FILE).write_text(json.dumps(about, indent=2) + "\n")

    def load(self, adapter: str, folder: str | os.PathLike[str]) -> None:
        """Reads an adapter's weights from a PEFT folder, in place.

        *Raises*: AdapterError where the folder is incomplete or of another base.
        """
        path = Path(folder) / _WEIGHTS_FILE
        try:
            weights = load_file(path, device=str(self.base.device))
        except (OSError, SafetensorError) as error:
            raise AdapterError(
                f"The adapter's weights in {path} cannot be read: {error}"
            ) from error
        parameters = self.parameters(adapter)
        wanted = {name: tuple(p.shape) for name, p in parameters.items()}
        found = {name: tuple(w.shape) for name, w in weights.items()}
        if wanted != found:
            odd = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
            raise AdapterError(
                f"The adapter in {folder} does not fit {self.base.name}: {odd} has shape "
                f"{found.get(odd, 'none')}, not {wanted.get(odd, 'none')}. It belongs to another "
                "base model."
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Overwrites the policy's weights with a saved adapter of the same base and shape."""
        read_lora_config(folder, self.base)
        self.load(POLICY, folder)


def read_lora_config(folder: str | os.PathLike[str], base: LoadedModel) -> LoraConfig:
    """The shape of a saved adapter, after checking that it belongs to this base.

    *Raises*: AdapterError.
    """
    path = Path(folder) / _CONFIG_FILE
    try:
        fields = json.loads(path.read_text())
        targets = fields["target_modules"]
        _check_plain(fields)
        config = LoraConfig(
            lora_r=fields["r"],
            lora_alpha=fields["lora_alpha"],
            lora_dropout=fields["lora_dropout"],
            lora_target_modules=targets if isinstance(targets, str) else tuple(targets),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(
            f"{folder} is not a LoRA adapter's folder: {_CONFIG_FILE} cannot be used ({error})."
        ) from error
    _check_base(Path(folder), base)
    return config


def _check_plain(fields: dict[str, Any]) -> None:
    for name, plain in _PLAIN_LORA.items():
        if fields.get(name) not in (None, plain):
            raise ValueError(f"{name} is {fields[name]!r}; only plain LoRA is supported")


def fingerprint(parameters: dict[str, torch.nn.Parameter]) -> str:
    """A name for exactly these weights."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        digest.update(name.encode())
        digest.update(parameters[name].detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def base_fingerprint(base: LoadedModel) -> str:
    """A name for a base model: its architecture and a little of each of its weights.

    The weights are compared in bfloat16, so that a model is the same in whatever dtype it runs.
    """
    digest = hashlib.sha256(type(base.model).__name__.encode())
    for name, parameter in base.model.named_parameters():
        if "lora_" in name:
            continue
        digest.update(f"{name.replace('.base_layer', '')}{tuple(parameter.shape)}".encode())
        start = parameter.detach().reshape(-1)[:64].to(torch.bfloat16).float()
        digest.update(start.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_base(folder: Path, base: LoadedModel) -> None:
    try:
        about = json.loads((folder / _BASE_FILE).read_text())["base_model"]
    except (OSError, KeyError, ValueError):
        return  # written by another tool: the shapes of its weights are the only check
    if about["fingerprint"] != base_fingerprint(base):
        raise AdapterError(
            f"The adapter in {folder} was trained on {about['name']}, and {base.name} is not the "
            "same model. Load the base that it belongs to."
        )


def _to_peft(base: LoadedModel, lora: LoraConfig) -> Any:
    targets = lora.lora_target_modules
    config = peft.LoraConfig(
        r=lora.lora_r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(base.folder) if Path(base.folder).is_dir() else base.name,
    )
    config._register_custom_module({torch.nn.Linear: LoraLinear})
    return config


@contextmanager
def _without_peft_warnings() -> Iterator[None]:
    """Silences what PEFT says of its own doing, which a user can do nothing about."""
    with warnings.catch_warnings():
        for message in ("`is_gradient_checkpointing` is deprecated", "fan_in_fan_out is set to"):
            warnings.filterwarnings("ignore", message=message)
        yield


def _as_list(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{value!r} has no place in {_CONFIG_FILE}")
