"""The names that adapters and learners are saved under."""

from __future__ import annotations

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

BASE = "corll_base.json"
"""Which base and which π_0 the weights were trained on."""

OPTIMIZER = "corll_optimizer.safetensors"
LEARNER = "corll_learner.json"
"""What going on exactly needs besides weights and optimiser."""
