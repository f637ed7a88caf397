"""The service's settings as the environment gives them: each has a variable CORLL_*."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, TypeVar, overload

from corll import durable_points
from corll.config import LoraConfig
from corll.configuring import settings_named, settings_unsettled
from corll.errors import ConfigError
from corll.service.settings import ServedConfig, ServiceSettings

_Settings = TypeVar("_Settings", bound=ServiceSettings)

_PREFIX = "CORLL_"
_NOT_OF_THE_SERVER = frozenset(
    {"CORLL_CACHE", "CORLL_CPU_KERNELS", "CORLL_API_KEY", "CORLL_BASE_URL", durable_points.VARIABLE}
)


@overload
def from_environment(
    environment: Mapping[str, str], *, settled: bool = True
) -> ServiceSettings: ...


@overload
def from_environment(
    environment: Mapping[str, str], kind: type[_Settings], *, settled: bool = True
) -> _Settings: ...


def from_environment(
    environment: Mapping[str, str],
    kind: type[ServiceSettings] = ServiceSettings,
    *,
    settled: bool = True,
) -> ServiceSettings:
    """Return the settings of the service: the defaults, as the variables CORLL_* change them.

    Where they are not `settled`, since flags may change them, it is not checked whether they fit
    together. *Raises*: ConfigError for a variable that names no setting, or a value that does not
    fit.
    """
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {"coactive": {}, "lora": {}}
    unknown = []
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX) or variable in _NOT_OF_THE_SERVER or not value:
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name in kind.model_fields and name not in nested:
            own[name] = value
        elif name in ServedConfig.model_fields:
            nested["coactive"][name] = value
        elif name in LoraConfig.model_fields:
            nested["lora"][name] = value
        else:
            unknown.append(variable)
    if unknown:
        raise ConfigError(
            f"{', '.join(sorted(unknown))}: no such setting. `corll serve --help` lists the "
            "flags; the variable of --data-dir is CORLL_DATA_DIR."
        )
    named = settings_named(lambda name, _: f"{_PREFIX}{name.upper()}")
    with named, nullcontext() if settled else settings_unsettled():
        return kind(**own, **_resolved(nested))


def _resolved(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    default = ServiceSettings.model_fields["coactive"].get_default(call_default_factory=True)
    changes: dict[str, Any] = {}
    if nested["coactive"]:
        changes["coactive"] = default.with_settings(**nested["coactive"])
    if nested["lora"]:
        changes["lora"] = LoraConfig(**nested["lora"])
    return changes
