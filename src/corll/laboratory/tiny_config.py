"""The settings of the size `tiny`'s model: how it is built and pre-trained (`tiny_model.py`)."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator
from transformers import LlamaConfig

from corll.configuring import Config


class TinyConfig(Config):
    """The architecture of the tiny model, and how it is pre-trained."""

    vocab_size: int = Field(4096, ge=257, le=2**15, description="Entries of the vocabulary.")
    hidden_size: int = Field(256, ge=8, description="Width of the residual stream.")
    num_layers: int = Field(6, ge=1, description="Decoder layers.")
    num_heads: int = Field(4, ge=1, description="Query heads.")
    num_key_value_heads: int = Field(
        2, ge=1, description="Heads of keys and values; a divisor of the query heads."
    )
    head_dim: int = Field(64, ge=2, multiple_of=2, description="Width of a head.")
    intermediate_size: int = Field(512, ge=8, description="Width of the feed-forward layers.")
    context_length: int = Field(256, ge=2, description="Longest row in tokens, and the windows'.")
    steps: int = Field(750, ge=1, description="Steps of the optimizers.")
    batch_tokens: int = Field(4096, ge=2, description="Tokens in a step, in whole windows.")
    learning_rate: float = Field(
        0.01,
        gt=0,
        description="Rate of the first step after the warm-up; it falls to 0 as a cosine.",
    )
    warmup_steps: int = Field(50, ge=0, description="Steps over which the learning rate rises.")
    weight_decay: float = Field(
        0.1, ge=0, description="Share of a matrix that a step takes away, times the learning rate."
    )
    held_out_share: float = Field(
        0.01, gt=0, lt=0.5, description="Share of the documents that the loss is measured on."
    )
    evaluate_every: int = Field(100, ge=1, description="Steps between measurements of that loss.")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of the weights, the split and the order."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_heads % self.num_key_value_heads:
            raise ValueError("num_key_value_heads must be a divisor of num_heads")
        return self

    def learning_rate_at(self, step: int) -> float:
        """Return the rate of a step, counted from 1: linear warm-up, then half a cosine."""
        if step <= self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        done = (step - self.warmup_steps - 1) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


def llama_config(config: TinyConfig, vocab_size: int) -> LlamaConfig:
    """Return the configuration for `transformers`, with as many entries as the tokenizer has."""
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.context_length,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        architectures=["LlamaForCausalLM"],
    )
