"""`corll serve`, `corll gateway` and `corll learner`: the service, in one command or in parts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.errors import ConfigError
from corll.service.environment import from_environment
from corll.service.roles import GatewaySettings, LearnerSettings, check_role
from corll.service.settings import ServiceSettings

_PRINT_CONFIG = "--print-config"
_Settings = TypeVar("_Settings", bound=ServiceSettings)


def main(arguments: Sequence[str]) -> None:
    """Serve until the service is stopped; with --print-config, only print the settings."""
    _run(ServiceSettings, arguments)


def gateway(arguments: Sequence[str]) -> None:
    """Answer, and let others learn, until stopped; with --print-config, only print the settings."""
    _run(GatewaySettings, arguments)


def learner(arguments: Sequence[str]) -> None:
    """Learn until stopped; with --print-config, only print the settings."""
    _run(LearnerSettings, arguments)


def _run(kind: type[ServiceSettings], arguments: Sequence[str]) -> None:
    settings, wants_config = _parsed(kind, arguments)
    check_role(settings)
    work: Callable[..., None]
    try:
        if wants_config:
            print(json.dumps(settings.printable(), indent=2))
            return
        if isinstance(settings, LearnerSettings) and settings.ray is not None:
            from corll.service.learning.ray_fleet import learn_on_ray as work
        elif settings.role == "learner":
            from corll.service.learning.process import learn_until_stopped as work
        else:
            from corll.service.server import serve as work
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"corll {settings.role} needs the package {error.name}: pip install 'corll[serve]'"
        ) from error
    # A pipe would keep the first key to itself until the end.
    say = partial(print, flush=True)
    work(settings, say=say, dialogue=terminal_dialogue(say=say))


def _parsed(kind: type[_Settings], arguments: Sequence[str]) -> tuple[_Settings, bool]:
    """Return the settings, and whether they are only to be printed."""
    flags = [argument for argument in arguments if argument != _PRINT_CONFIG]
    default = from_environment(os.environ, kind, settled=not flags)
    command = ROLES[kind]
    return parse(kind, flags, command=command, default=default), len(flags) < len(arguments)


ROLES: dict[type[ServiceSettings], str] = {
    ServiceSettings: "serve",
    GatewaySettings: "gateway",
    LearnerSettings: "learner",
}
"""The command of each kind of settings."""
