"""The person at the terminal: told of a download, asked for it, shown how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from corll.auto.dialogue import Dialogue
from corll.catalog.fetching import Progress as Told

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False}


def terminal_dialogue(*, yes: bool = False, say: Callable[[str], None] | None = None) -> Dialogue:
    """Return how a command talks: at a terminal it asks, with `yes` it goes on.

    What is said goes to standard error by default, so that a pipe gets the drafts alone.
    """
    dialogue = Dialogue(
        say=say or _to_stderr,
        agrees=ask,
        someone_is_there=sys.stdin.isatty() and sys.stderr.isatty(),
        shows=_progress_bar,
    )
    return dialogue.agreeing() if yes else dialogue


def ask(question: str) -> bool:
    """Ask until there is a yes or a no; the end of the input is a no."""
    while True:
        print(f"{question} [y/n] ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return False
        if (answer := _ANSWERS.get(line.strip().lower())) is not None:
            return answer


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _progress_bar(name: str) -> Iterator[Told]:
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda here, everything: bar.update(task, completed=here, total=everything)
