"""The packages that the laboratory needs and the library does not: the extra `lab`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from corll.errors import InputError


@contextmanager
def needed_for(purpose: str, *, otherwise: str = "") -> Iterator[None]:
    """Turn a failed import of a package into an error that says how to install it.

    *Raises*: InputError, which begins with the purpose, such as "A contrast", and ends with what
    can be done without the package, if anything.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise InputError(
            f"{purpose} needs the package {package}, which is not installed: "
            f"pip install 'corll[lab]'. {otherwise}".strip()
        ) from error
