"""The root of all errors of corll's own, and the one that its client raises.

The library's errors, in `corll.errors`, are of the same tree. What the service refuses comes as
openai's errors.
"""

from __future__ import annotations


class CorllError(Exception):
    """The root of the errors that corll raises on purpose."""


class ConfigError(CorllError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""
