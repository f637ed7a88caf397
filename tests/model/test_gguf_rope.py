"""Rotary embeddings that a GGUF file scales, against transformers' model of the same settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter, RopeScalingType
from transformers import LlamaForCausalLM

from corll.errors import ModelNotFoundError
from corll.model.loading import load_model
from tiny_gguf import write_tiny_gguf

THETA, SIZE, CONTEXT = 10_000.0, 8, 128
ROW = torch.randint(0, 400, (1, 100), generator=torch.Generator().manual_seed(0))
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
Also = Callable[[GGUFWriter], None]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))


def scaled(kind: RopeScalingType, factor: float, original: int | None = None) -> Also:
    def also(writer: GGUFWriter) -> None:
        writer.add_rope_scaling_type(kind)
        writer.add_rope_scaling_factor(factor)
        if original is not None:
            writer.add_rope_scaling_orig_ctx_len(original)

    return also


def divided(divisors: list[float], name: str = "rope_freqs.weight") -> Also:
    return lambda writer: writer.add_tensor(name, np.array(divisors, dtype=np.float32))


def of_llama3(original: int, factor: float = 8.0, low: float = 1.0, high: float = 4.0) -> Also:
    """What llama.cpp's converter writes for Llama 3.1."""
    divisors = []
    for place in range(SIZE // 2):
        wavelength = 2 * math.pi * THETA ** (2 * place / SIZE)
        smooth = (original / wavelength - low) / (high - low)
        smooth = min(1.0, max(0.0, smooth))
        divisors.append(1 / ((1 - smooth) / factor + smooth))
    return divided(divisors)


def both(first: Also, second: Also) -> Also:
    def also(writer: GGUFWriter) -> None:
        first(writer)
        second(writer)

    return also


def old_name(writer: GGUFWriter) -> None:
    writer.add_float32("llama.rope.scale_linear", 4.0)


@pytest.mark.parametrize(
    ("also", "rope"),
    [
        (scaled(RopeScalingType.NONE, 4.0), {}),
        (divided([1.0] * 4), {}),
        (scaled(RopeScalingType.LINEAR, 4.0), {"rope_type": "linear", "factor": 4.0}),
        (old_name, {"rope_type": "linear", "factor": 4.0}),
        (scaled(RopeScalingType.YARN, 4.0, 32), YARN),
        (
            scaled(RopeScalingType.YARN, 4.0),
            {**YARN, "original_max_position_embeddings": CONTEXT},
        ),
        (of_llama3(64), LLAMA3),
        (of_llama3(8192), {**LLAMA3, "original_max_position_embeddings": 8192}),
        (
            of_llama3(48, low=2.0, high=6.0),
            {
                **LLAMA3,
                "original_max_position_embeddings": 48,
                "low_freq_factor": 2.0,
                "high_freq_factor": 6.0,
            },
        ),
    ],
    ids=["none", "ones", "linear", "older", "yarn", "yarn of all", "llama3", "3.1", "other bounds"],
)
def test_a_file_is_scaled_as_it_says(tmp_path: Path, also: Also, rope: dict[str, Any]) -> None:
    loaded = load_model(write_tiny_gguf(tmp_path / "tiny.gguf", also=also), dtype="float32")
    config = loaded.model.config.__class__(**loaded.model.config.to_dict())
    config.rope_parameters = {"rope_type": "default", "rope_theta": THETA, **rope}
    expected = LlamaForCausalLM(config).eval()
    expected.load_state_dict(loaded.model.state_dict())
    with torch.no_grad():
        found, right = loaded.model(ROW).logits, expected(ROW).logits
    torch.testing.assert_close(found, right)


@pytest.mark.parametrize(
    "also",
    [
        scaled(RopeScalingType.LONGROPE, 4.0),
        scaled(RopeScalingType.LINEAR, math.nan),
        scaled(RopeScalingType.LINEAR, -2.0),
        divided([1.0, 5.0, 2.0, 8.0]),
        divided([1.0, math.nan, 2.0, 8.0]),
        divided([1.0, 8.0]),
        divided([1.0] * 4, "rope_factors_long.weight"),
        both(scaled(RopeScalingType.YARN, 4.0), lambda w: w.add_rope_scaling_attn_factors(2.0)),
        both(scaled(RopeScalingType.LINEAR, 4.0), of_llama3(64)),
    ],
)
def test_a_scaling_that_is_not_known_is_refused(tmp_path: Path, also: Also) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf", also=also)
    with pytest.raises(ModelNotFoundError, match=r"tiny.gguf could not be converted: its rotary"):
        load_model(file)
