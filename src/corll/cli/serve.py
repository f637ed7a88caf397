"""`corll serve`: the service, in one command."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.errors import ConfigError
from corll.service.settings import ServiceSettings

_PRINT_CONFIG = "--print-config"


def main(arguments: Sequence[str]) -> None:
    """Serve until the service is stopped; with --print-config, only print the settings."""
    wants_config = _PRINT_CONFIG in arguments
    flags = [argument for argument in arguments if argument != _PRINT_CONFIG]
    default = ServiceSettings.from_environment(os.environ)
    settings = parse(ServiceSettings, flags, command="serve", default=default)
    try:
        if wants_config:
            print(json.dumps(settings.printable(), indent=2))
            return
        from corll.service.server import serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"corll serve needs the package {error.name}: pip install 'corll[serve]'"
        ) from error
    # A pipe would keep the first key to itself until the end.
    say = partial(print, flush=True)
    serve(settings, say=say, dialogue=terminal_dialogue(say=say))
