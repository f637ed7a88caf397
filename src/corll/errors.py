"""Every error that corll raises on purpose.

CorllError
├── ConfigError          (ValueError)         a setting is unknown, out of range or contradictory
├── InputError           (ValueError)         a prompt, an edit or a file that cannot be used
│   ├── PromptTooLongError                    the prompt leaves no room for a response
│   └── RecordError                           a line of a data file: file, line and field are named
├── ModelNotFoundError   (FileNotFoundError)  no weights under that name or in that folder
├── AdapterError         (ValueError)         an adapter that is incomplete or of another base model
├── RunFolderError       (OSError)            a run folder that cannot be written, read or resumed
├── StoreError           (OSError)            the database cannot be opened, read or written
│   └── StoreUnavailableError                 it is away, full or held by others; it may pass
├── IdempotencyError     (ValueError)         an idempotency key that came with another request
├── StaleParentError     (RuntimeError)       a step started from what no longer serves or waits
│   └── LeaseLostError                        another learner has taken the user over
├── TrainingError        (ArithmeticError)    a step gave no finite loss or gradient
└── DeviceMemoryError    (MemoryError)        a model, or a single preference, does not fit

A message says what was found and what to do about it.
"""

from __future__ import annotations

from corll_client.errors import ConfigError as ConfigError
from corll_client.errors import CorllError as CorllError


class InputError(CorllError, ValueError):
    """A prompt, an edit or a file cannot be used."""


class PromptTooLongError(InputError):
    """A prompt leaves no room for a response within the limit that applies."""


class RecordError(InputError):
    """A line of a data file does not have the form that is expected of it."""

    def __init__(self, path: object, line: int, problem: str, *, field: str | None = None) -> None:
        where = f"{path}, line {line}" + (f", field {field!r}" if field else "")
        super().__init__(f"{where}: {problem}")
        self.path, self.line, self.field = str(path), line, field


class ModelNotFoundError(CorllError, FileNotFoundError):
    """No usable weights were found for a model's name or path."""


class AdapterError(CorllError, ValueError):
    """An adapter folder is incomplete, or was trained on another base model."""


class RunFolderError(CorllError, OSError):
    """A run folder cannot be written, read, or resumed."""


class StoreError(CorllError, OSError):
    """The service's database cannot be opened, read, or written."""


class StoreUnavailableError(StoreError):
    """The database is away, full, or held by others: the same may work when it is tried again."""


class IdempotencyError(CorllError, ValueError):
    """An idempotency key came again, with another request than the first time."""


class StaleParentError(CorllError, RuntimeError):
    """A step's parent no longer serves, or its preferences no longer wait: nothing was changed."""


class LeaseLostError(StaleParentError):
    """A learner's lease on a user ended, or another took them over: nothing was changed."""


class TrainingError(CorllError, ArithmeticError):
    """A step gave a loss or a gradient that is not finite; the adapter was left as it was."""


class DeviceMemoryError(CorllError, MemoryError):
    """A model, or a single preference, does not fit into the memory that is free."""
