"""Models and machines by their numbers, for estimates without either (`dry_run`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from transformers import PreTrainedConfig

from corll.catalog.shapes import adapted_widths
from corll.config import EMBEDDED_MODEL
from corll.errors import ConfigError

_DTYPES = {2: torch.bfloat16, 4: torch.float32}


@dataclass(frozen=True)
class ModelShape:
    """A causal language model by the numbers of its configuration.

    `inner` is the feed-forward size, `kv_heads` the heads of keys and values. `family` says how the
    linear layers of a block are cut: Llama has q, k, v, o, gate, up and down; GPT-2 has q, k and v
    in one, o, up and down. `context` is the longest row in tokens, None where that is not known.
    """

    name: str
    parameters: int
    layers: int
    hidden: int
    inner: int
    kv_heads: int
    head_dim: int
    vocab: int
    bytes_per_parameter: int
    family: Literal["llama", "gpt2"] = "llama"
    context: int | None = None

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration: with `dtype`, all that `corll.model.memory` reads of a model."""
        return PreTrainedConfig(
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            vocab_size=self.vocab,
        )

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.bytes_per_parameter]

    def adapter_parameters(self, rank: int) -> int:
        """Count LoRA's parameters on all linear layers: rank · (inputs + outputs)."""
        hidden, keys = self.hidden, self.kv_heads * self.head_dim
        if self.family == "gpt2":
            widths = (hidden + 3 * hidden) + 2 * hidden + 2 * (hidden + self.inner)
        else:
            widths = adapted_widths(hidden, hidden, keys, self.inner)
        return rank * widths * self.layers


LLAMA_2_7B = ModelShape(
    "Llama-2-7b-hf", 6_738_415_616, 32, 4096, 11008, 32, 128, 32_000, 2, context=4096
)
LLAMA_2_13B = ModelShape(
    "Llama-2-13b-hf", 13_015_864_320, 40, 5120, 13824, 40, 128, 32_000, 2, context=4096
)
GPT2 = ModelShape("gpt2", 124_439_808, 12, 768, 3072, 12, 64, 50_257, 4, "gpt2", 1024)
GPT2_LARGE = ModelShape("gpt2-large", 774_030_080, 36, 1280, 5120, 20, 64, 50_257, 4, "gpt2", 1024)
SMOLLM2 = ModelShape(EMBEDDED_MODEL, 134_515_008, 30, 576, 1536, 3, 64, 49_152, 2, context=8192)
TINY = ModelShape("tiny", 4_590_848, 6, 256, 512, 2, 64, 4096, 2, context=256)

MODELS = {shape.name: shape for shape in (LLAMA_2_7B, LLAMA_2_13B, GPT2, GPT2_LARGE, SMOLLM2, TINY)}
"""By name without organisation. *Source*: `config.json` of each on the hub; of `tiny`, ours."""


def get_shape(model: str, dtype: str | None = None) -> ModelShape:
    """Return the shape of a model, in a dtype. *Raises*: ConfigError, listing what there is."""
    shape = MODELS.get(model.rpartition("/")[2])
    if shape is None:
        raise ConfigError(
            f"The shape of {model!r} is not known. Known are: {', '.join(MODELS)}; describe any "
            "other by a ModelShape."
        )
    if dtype is None:
        return shape
    return replace(shape, bytes_per_parameter=4 if dtype == "float32" else 2)


@dataclass(frozen=True)
class Machine:
    """A machine. *Units*: operations a second in 16 bits and in float32, GiB, GB a second.

    `utilisation` is the share of these speeds that real work reaches. `layer_seconds` is the time
    to start the operations of one layer for a token, however few they are.
    """

    name: str
    flops: float
    flops_float32: float
    memory_gb: float
    bandwidth: float
    utilisation: float
    layer_seconds: float

    def speed(self, shape: ModelShape) -> float:
        """Return the operations a second that the machine reaches with a model."""
        peak = self.flops_float32 if shape.bytes_per_parameter == 4 else self.flops
        return peak * self.utilisation


LAPTOP = Machine("laptop CPU, 2 cores", 4e11, 1.9e11, 16, 40, 0.5, 1.2e-3)
"""Measured: products and memory copies, of which steps and drafts reach half, and the rest of a
draft's time by layers (benchmarks/LOG.md and results/drafting.jsonl)."""
A100 = Machine("A100-80GB", 312e12, 19.5e12, 78, 2039, 0.4, 3e-4)
H100 = Machine("H100-80GB", 989e12, 67e12, 78, 3350, 0.4, 3e-4)
"""Peaks from NVIDIA's data sheets (SXM, dense; float32 without TF32, as torch computes). The rest
is assumed, not measured: large models reach 0.3 to 0.46 of a peak in training (Chowdhery et al.
2022, table 3), and a layer is some 30 kernels of about 10 µs to start."""
MACHINES = (LAPTOP, A100, H100)
