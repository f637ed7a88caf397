"""Flags from typed configurations: no flag is written twice."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

import tyro
from pydantic.fields import FieldInfo

from corll.configuring import Config, settings_named
from corll.errors import ConfigError

Settings = TypeVar("Settings", bound=Config)


def parse(
    settings: type[Settings],
    arguments: Sequence[str],
    *,
    command: str,
    default: Settings | None = None,
) -> Settings:
    """Parse the settings that the arguments ask for; what they leave out comes from `default`.

    Flags of nested configurations carry no prefix. The process ends for --help and for flags that
    cannot be read, as argparse does. *Raises*: ConfigError for a flag that is given twice.
    """
    _check_given_once(arguments)
    with settings_named(_flag_of):
        return tyro.cli(
            settings,
            args=list(arguments),
            prog=f"corll {command}",
            default=tyro.MISSING if default is None else default,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )


def _flag_of(name: str, field: FieldInfo) -> str:
    """Return how a setting is given in a command; what has no flag keeps its name."""
    markers = " ".join(map(str, field.metadata))
    if "Suppress" in markers:
        return name
    own = next((one.name for one in field.metadata if getattr(one, "name", None)), name)
    return own.upper() if "Positional" in markers else f"--{own.replace('_', '-')}"


def _check_given_once(arguments: Sequence[str]) -> None:
    """Refuse a flag that is given twice: the parser would keep the last, and drop the other."""
    seen: set[str] = set()
    for argument in takewhile(lambda argument: argument != "--", arguments):
        flag = argument.partition("=")[0].replace("_", "-")
        if argument.startswith("--") and flag in seen:
            raise ConfigError(f"{flag} is given twice; give it once, its values one after another.")
        seen.add(flag)


def dispatch(
    name: str,
    about: str | None,
    commands: Mapping[str, Callable[[Sequence[str]], None]],
    arguments: Sequence[str],
) -> None:
    """Run the command of a group, such as `keys`; without one, print what `about` says of them.

    *Raises*: ConfigError for a command that is not there.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: corll {name} COMMAND [OPTIONS]\n\n{about}")
        print(f"corll {name} COMMAND --help explains a command.")
        return
    command, *rest = arguments
    if command not in commands:
        raise ConfigError(
            f"There is no `corll {name} {command}`. There are: {', '.join(commands)}."
        )
    commands[command](rest)


def peek(arguments: Sequence[str], flag: str) -> str | None:
    """Return the value of one flag, ahead of parsing: it decides the defaults of others."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(flag, dest="value")
    try:
        value: str | None = parser.parse_known_args(list(arguments))[0].value
    except argparse.ArgumentError:
        return None  # Without its value; the real parser says so.
    return value
