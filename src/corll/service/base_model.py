"""The base model as every process of the service loads it."""

from __future__ import annotations

from corll.model.loading import no_progress_bars
from corll.policy import Policy
from corll.service.settings import ServiceSettings


def load_base(settings: ServiceSettings) -> Policy:
    """Return π_0 with all weights in a file of the data folder, which server and learner both map.

    *Raises*: ModelNotFoundError, ConfigError.
    """
    with no_progress_bars():
        return Policy.load(
            settings.model,
            dtype=settings.dtype,
            device=settings.device,
            backend=settings.backend,
            lora=settings.lora,
            enable_thinking=settings.enable_thinking,
            memory_limit_gb=settings.coactive.memory_limit_gb,
            shared_weights=settings.data_dir / "base",
        )
