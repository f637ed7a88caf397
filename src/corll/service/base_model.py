"""The base model and the database, as every process of the service opens them."""

from __future__ import annotations

from collections.abc import Mapping

from corll.config import Int8Drafts
from corll.model.loading import no_progress_bars
from corll.policy import Policy
from corll.service.settings import ServedConfig, ServiceSettings
from corll.service.store.database import Database


def open_database(settings: ServiceSettings) -> Database:
    """Return the database and the versions that the settings name. *Raises*: as `Database.open`."""
    return Database.open(
        settings.database,
        settings.data_dir,
        settings.versions,
        cache_gb=settings.version_cache_gb,
    )


_INT8_DRAFTS: Mapping[str, Int8Drafts] = {"auto": None, "on": True, "off": False}
_INT8_LOOKS: Mapping[str, Int8Drafts] = {**_INT8_DRAFTS, "auto": "small"}


def load_base(settings: ServiceSettings, *, drafts: bool = False) -> Policy:
    """Return π_0 with all weights in a file of the data folder, which server and learner both map.

    They may be in int8 besides, as the settings say: for whoever `drafts`, and for the learner, who
    draws what it looks at as it would be drafted, by default if the model is small.
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
            int8_drafts=(_INT8_DRAFTS if drafts else _INT8_LOOKS)[settings.int8_drafts],
        )


def with_models_sampling(settings: ServiceSettings, base: Policy) -> ServiceSettings:
    """Return the settings with the model's own sampling wherever they are left at their defaults.

    *Raises*: ConfigError for a value that cannot be sampled with.
    """
    if not settings.model_sampling:
        return settings
    own = base.base.with_own_sampling(settings.coactive, ServedConfig())
    return settings.model_copy(update={"coactive": own})
