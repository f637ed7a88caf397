"""Lets vLLM draft by the versions of a corll service. vLLM calls `register` in each process."""

from __future__ import annotations


def register() -> None:
    """Register the resolver with vLLM, which asks it for each model that it does not know."""
    from corll_vllm.resolver import register_resolver

    register_resolver()
