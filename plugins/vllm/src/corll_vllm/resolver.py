"""The resolver that vLLM asks for a model that it does not know."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os

from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

from corll_vllm.pinned_versions import PinnedVersions, Settings

log = logging.getLogger(__name__)

NAME = "corll"


class CorllResolver(LoRAResolver):  # type: ignore[misc]
    """Finds versions by the service's database, and hands out the engine's own copies."""

    def __init__(self, versions: PinnedVersions) -> None:
        self._versions = versions

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """Return what vLLM loads a version by; None for whatever is none, which it answers 404."""
        try:
            folder = await asyncio.to_thread(self._versions.folder_of, lora_name)
        except Exception as error:
            log.error("%s cannot be looked up: %s", lora_name, type(error).__name__)
            return None
        if folder is None:
            return None
        return LoRARequest(
            lora_name=lora_name, lora_path=str(folder), lora_int_id=number_of(lora_name)
        )


def number_of(name: str) -> int:
    """Return a number for a name, the same in all processes; vLLM wants one above 0."""
    digest = hashlib.blake2b(name.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") + 1


def register_resolver() -> None:
    """Register the resolver, once a process, where the environment names a database."""
    if NAME in LoRAResolverRegistry.get_supported_resolvers():
        return
    settings = Settings.of(os.environ)
    if settings is None:
        log.warning("corll-vllm does nothing: set CORLL_DATABASE and CORLL_VERSIONS")
        return
    versions = PinnedVersions(settings)
    versions.watch()
    LoRAResolverRegistry.register_resolver(NAME, CorllResolver(versions))
