"""The paper's tasks by name."""

from __future__ import annotations

from corll.errors import ConfigError
from corll.laboratory.tasks.helpful import Helpful
from corll.laboratory.tasks.imdb import Imdb, Review
from corll.laboratory.tasks.task import Comparison, Corpus, Demonstration, Lengths, Task, TaskData
from corll.laboratory.tasks.tldr import Tldr

__all__ = [
    "TASKS",
    "Comparison",
    "Corpus",
    "Demonstration",
    "Imdb",
    "Lengths",
    "Review",
    "Task",
    "TaskData",
    "get_task",
]

TASKS: dict[str, Task] = {task.name: task for task in (Imdb(), Tldr(), Helpful())}


def get_task(name: str) -> Task:
    """Return the task of a name. *Raises*: ConfigError, listing the names that there are."""
    if name not in TASKS:
        raise ConfigError(f"No task {name!r}; there are: {', '.join(TASKS)}.")
    return TASKS[name]
