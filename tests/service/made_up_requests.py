"""Requests made up from the API's own description."""

from __future__ import annotations

from typing import Any

import schemathesis

from running_service import RunningService


def operations(service: RunningService) -> dict[str, Any]:
    """By method and path, but a stream of events, which has no end; test_browser reads it."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    found = [operation.ok() for operation in schema.get_all_operations()]
    named = {f"{one.method.upper()} {one.path}": one for one in found}
    del named["GET /v1/events"]
    return named


def with_real(made_up: Any, real: dict[str, Any]) -> Any:
    """What was made up, with the names of real things in their places."""
    if isinstance(made_up, dict):
        return {
            name: real[name] if name in real and value is not None else with_real(value, real)
            for name, value in made_up.items()
        }
    return made_up
