"""Converts a GGUF file to a folder of safetensors, once."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from corll.catalog.here import has_weights
from corll.catalog.memory import bytes_to_convert, check_memory
from corll.errors import DeviceMemoryError, ModelNotFoundError
from corll.model.gguf_header import GgufHeader, read_header
from corll.model.gguf_rope import set_rope_scaling
from corll.model.pretrained import check_unread, load_whole, no_progress_bars
from corll.model.system_memory import available_bytes

log = logging.getLogger(__name__)

_CONVERSION = 2
"""Changes with what a conversion writes, so that no folder of another one is taken for it."""

_READ_OTHERWISE = ("rope_freqs.", "rope_factors_", "_exps.", "ssm_")
"""Parts of the names of tensors that are read into the configuration, or into other tensors."""


def conversion_key(path: Path) -> str:
    """Return a name for what a file is converted to, which is another for another file."""
    stat = path.stat()
    identity = f"{_CONVERSION}|{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    return f"{path.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def converted(gguf: Path, folder: Path) -> Path:
    """Return the folder that a file is converted to; a crash leaves no half-written folder.

    *Raises*: ModelNotFoundError where it cannot be converted, or would become another model;
    DeviceMemoryError.
    """
    if has_weights(folder):
        return folder
    try:
        header = read_header(gguf)
        needed = bytes_to_convert(header.parameters)
        check_memory(f"{gguf.name}, to be converted once,", needed, available_bytes())
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            written = Path(scratch) / folder.name
            _write_dequantized(gguf, header, written)
            if folder.exists():
                shutil.rmtree(folder)
            written.rename(folder)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"{gguf.name} could not be converted: {error}") from error
    except OSError as error:
        if has_weights(folder):
            return folder  # another process converted it meanwhile
        raise ModelNotFoundError(
            f"{gguf.name} could not be converted into {folder}: {error}. "
            "Make room there, or choose another folder by CORLL_CACHE."
        ) from error
    except DeviceMemoryError:
        raise
    # The file may be a stranger's, and what reads it may raise anything.
    except Exception as error:
        raise ModelNotFoundError(
            f"{gguf.name} could not be converted: it is damaged, or of an architecture that is "
            f"not supported ({error})."
        ) from error
    return folder


def _write_dequantized(gguf: Path, header: GgufHeader, folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    with no_progress_bars():
        config = AutoConfig.from_pretrained(**source, trust_remote_code=False)
        set_rope_scaling(config, header, gguf)
        dequantized = load_whole(
            gguf.parent, gguf_file=gguf.name, config=config, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    check_unread(dequantized, _unread(dequantized, header))
    # A de-quantised model refuses to be saved as long as its config says how it was quantised.
    config = dequantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):  # the weights are handed over, never there twice
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantized.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = dequantized.generation_config
    del dequantized
    with no_progress_bars():
        model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unread(model: Any, header: GgufHeader) -> set[str]:
    """Return the tensors of a file that a model has no place for, a bias by the model's name.

    Which tensor is read into which weight `transformers` says to itself alone: a release of it that
    says so in another way has none of them found.
    """
    try:
        names = _weights_by_tensor(model, header.architecture)
    except (ImportError, TypeError) as error:
        log.debug("the tensors of the file are not checked: %s", error)
        return set()
    unread = set()
    for name in header.names:
        if name in names or any(part in name for part in _READ_OTHERWISE):
            continue
        owner, _, part = name.rpartition(".")
        beside = names.get(f"{owner}.weight", "").rpartition(".")[0]
        unread.add(f"{beside or owner}.{part}")
    return unread


def _weights_by_tensor(model: Any, architecture: str) -> dict[str, str]:
    """Return the names of a model's weights by those of a GGUF file's tensors.

    *Raises*: ImportError, TypeError where `transformers` has no such function, or another one.
    """
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    make = TENSOR_PROCESSORS.get(architecture, TensorProcessor)
    names: dict[str, str] = get_gguf_hf_weights_map(model, make(config=model.config.to_dict()))
    return names
