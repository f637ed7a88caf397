"""How whoever started a command is told of a download, asked for it, and shown how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from corll.catalog.fetching import Progress


@contextmanager
def unseen(_name: str) -> Iterator[Progress]:
    """Show nothing of a download."""
    yield lambda _here, _all: None


@dataclass(frozen=True)
class Dialogue:
    """By default nothing is said, and nobody is there who could agree to a download.

    `agrees` answers a question by yes or no. `someone_is_there` says whether it is a person who
    answers, or a flag that was given. `shows` opens the display of one download, by its name.
    """

    say: Callable[[str], None] = lambda _: None
    agrees: Callable[[str], bool] = lambda _: False
    someone_is_there: bool = False
    shows: Callable[[str], AbstractContextManager[Progress]] = unseen

    def agreeing(self) -> Dialogue:
        """Return the same, where whoever started the command has agreed beforehand."""
        return replace(self, agrees=lambda _: True, someone_is_there=True)


NOBODY = Dialogue()
"""Nobody can be asked, and nothing is fetched."""
