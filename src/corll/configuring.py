"""The base of all configurations: frozen, validated, with errors that name each setting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from corll.errors import ConfigError

NameOf = Callable[[str, FieldInfo], str]

_name_of: ContextVar[NameOf | None] = ContextVar("name_of", default=None)
_MENTIONED = re.compile(
    r"\b(?P<name>[a-z]\w*)=(?P<value>'[^']*'|[\w.:/-]*\w)|\b(?P<word>[a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b"
)
"""A setting with a value, or the name of one that is no other word."""


@contextmanager
def settings_named(name_of: NameOf) -> Iterator[None]:
    """Make errors call settings meanwhile as whoever gives them does: by flags, or variables."""
    token = _name_of.set(name_of)
    try:
        yield
    finally:
        _name_of.reset(token)


_unsettled: ContextVar[bool] = ContextVar("unsettled", default=False)


@contextmanager
def settings_unsettled() -> Iterator[None]:
    """Leave unchecked meanwhile whether settings fit together, since more of them are to come."""
    token = _unsettled.set(True)
    try:
        yield
    finally:
        _unsettled.reset(token)


def checked_together(check: Callable[[Any], Any]) -> Any:
    """Make a check of settings that must fit together, which is left out while some are to come."""
    return model_validator(mode="after")(lambda self: self if _unsettled.get() else check(self))


class Config(BaseModel):
    """A frozen configuration. An unknown key is an error, and all problems are reported at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(_describe(type(self), error)) from error

    def with_settings(self, **settings: Any) -> Self:
        """Return a copy with some settings replaced, validated as a whole."""
        return type(self)(**{**self.model_dump(), **settings})


def _describe(config: type[Config], error: ValidationError) -> str:
    fields, name_of, lines, unknown = _fields_of(config), _name_of.get(), [], []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            unknown.append(repr(name))
            continue
        value = f" (got {problem['input']!r})" if name else ""
        message = problem["msg"].removeprefix("Value error, ")
        if name_of is not None:
            message = _renamed(message, fields, name_of)
            own = next((one for one in reversed(problem["loc"]) if one in fields), None)
            name = name if own is None else name_of(str(own), fields[str(own)])
        lines.append(f"{name}: {message}{value}" if name else message)
    if unknown:
        what = "unknown setting" if len(unknown) == 1 else "unknown settings"
        known = ", ".join(sorted(config.model_fields))
        lines.append(f"{what} {', '.join(unknown)}; there are: {known}")
    described = "; ".join(lines)
    return described if name_of is not None else f"{config.__name__}: {described}"


def _fields_of(config: type[Config]) -> dict[str, FieldInfo]:
    """Return the settings of a configuration, and of those in it, by name."""
    found = dict(config.model_fields)
    for field in config.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            found |= _fields_of(field.annotation)
    return found


def _renamed(message: str, fields: Mapping[str, FieldInfo], name_of: NameOf) -> str:
    """Return a message with the settings that it mentions called otherwise."""

    def renamed(found: re.Match[str]) -> str:
        name = found["name"] or found["word"]
        if name not in fields:
            return found[0]
        called = name_of(name, fields[name])
        if found["value"] is None:
            return called
        value = found["value"].strip("'")
        if not called.startswith("--"):
            return f"{called}={value}"
        if value in ("True", "False"):
            return called if value == "True" else f"--no-{called.removeprefix('--')}"
        return f"{called} {value}"

    return _MENTIONED.sub(renamed, message)
