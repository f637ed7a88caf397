"""Structured logs: a line for each event, with the request's id, and no texts unless they are let.

Without `--log-texts` an exception is told by its class and its traceback. Its message is left out,
since it may quote what failed, unless it is of a class whose messages hold no user's text.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from corll.errors import (
    AdapterError,
    ConfigError,
    PromptTooLongError,
    StaleParentError,
    TrainingError,
)
from corll.service.settings import ServiceSettings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""

_PLAIN = frozenset(vars(logging.makeLogRecord({})))
_QUOTE_NO_TEXT = (
    OSError,  # StoreError is one, and quotes no row
    MemoryError,
    AdapterError,
    ConfigError,
    PromptTooLongError,
    StaleParentError,
    TrainingError,
)
_LOG = "server.log"
_LARGEST_LOG = 16 * 2**20
"""Bytes; a larger file of an earlier start makes room, and the one before it is gone."""

_LEFT_OUT = "(its message is left out; --log-texts shows it)"

log = logging.getLogger(__name__)
_texts = logging.getLogger("corll.texts")


class Lines(logging.Formatter):
    """time, level, logger, message, request_id, what a call adds by `extra`, and a traceback.

    A name that begins with "_" is a library's own, as Ray's on every record, and is not told.
    `texts` says whether messages of exceptions may stand there that may quote a text.
    """

    def __init__(self, *, texts: bool) -> None:
        super().__init__()
        self._texts = texts

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what a line holds, in order."""
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        if (identity := request_id.get()) is not None:
            fields["request_id"] = identity
        fields |= {
            name: value
            for name, value in vars(record).items()
            if name not in _PLAIN and name != "color_message" and not name.startswith("_")
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = "\n".join(self._traceback(record.exc_info[1]))
        return fields

    def _message(self, record: logging.LogRecord) -> str:
        """Return the message with what it is given, exceptions as far as they may be told."""
        if self._texts or not isinstance(record.args, tuple):
            return record.getMessage()
        told = [self._said(one) if isinstance(one, BaseException) else one for one in record.args]
        return str(record.msg) % tuple(told) if told else str(record.msg)

    def _said(self, error: BaseException) -> str:
        """Return what an exception says, or only its class."""
        if self._texts or isinstance(error, _QUOTE_NO_TEXT):
            return str(error)
        return f"{type(error).__qualname__} {_LEFT_OUT}"

    def _traceback(self, error: BaseException) -> Iterator[str]:
        """Yield the lines of an exception after those of what caused it."""
        if self._texts:
            yield "".join(traceback.format_exception(error)).rstrip("\n")
            return
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if before is not None:
            yield from self._traceback(before)
            yield "from which came:"
        yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
        told = isinstance(error, _QUOTE_NO_TEXT)
        yield f"{type(error).__qualname__}: {error if told else _LEFT_OUT}"
        if isinstance(error, BaseExceptionGroup):
            for number, one in enumerate(error.exceptions, start=1):
                yield f"{number} of {len(error.exceptions)}:"
                yield from self._traceback(one)


class JsonLines(Lines):
    """A JSON object a line, for programs."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record), ensure_ascii=False, default=str)


class TextLines(Lines):
    """A plain line, for people; what a traceback has follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields(record)
        trace = fields.pop("traceback", "")
        begun = " ".join(_one_line(fields.pop(name)) for name in ("time", "level", "logger"))
        message = _one_line(fields.pop("message"))
        added = "".join(f" {name}={_value(value)}" for name, value in fields.items())
        return "\n    ".join([f"{begun}: {message}{added}", *trace.splitlines()])


def _one_line(text: str) -> str:
    """Return a text in which nothing begins a line or moves a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _value(value: Any) -> str:
    """Return a value as it is where it is one word, else as JSON."""
    is_word = (
        isinstance(value, str) and value.isprintable() and " " not in value and '"' not in value
    )
    return value if is_word and value else json.dumps(value, ensure_ascii=False, default=str)


def log_texts(settings: ServiceSettings, message: str, **texts: Any) -> None:
    """Write texts into the log, where the settings let it hold any."""
    if settings.log_texts:
        _texts.info(message, extra=texts)


@contextmanager
def failing_threads_logged() -> Iterator[None]:
    """Report in the log what ends a thread meanwhile; Python would print it with its message."""

    def report(ended: threading.ExceptHookArgs) -> None:
        error = ended.exc_value
        if isinstance(error, SystemExit):
            return
        name = "a thread" if ended.thread is None else f"the thread {ended.thread.name}"
        log.error("%s has ended", name, exc_info=error)

    before = threading.excepthook
    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = before


def set_up_logging(settings: ServiceSettings) -> Path | None:
    """Send the log of this process where the settings say; return the file, where it is one.

    A person at a terminal reads what the server says there, so the log is no part of it.
    *Raises*: ConfigError where the file cannot be written.
    """
    file = settings.log_file
    if file is None and sys.stderr.isatty():
        file = settings.data_dir / _LOG
    handler: logging.Handler = logging.StreamHandler(sys.stderr) if file is None else _opened(file)
    form = JsonLines if settings.log_format == "json" else TextLines
    handler.setFormatter(form(texts=settings.log_texts))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("alembic", "uvicorn", "httpx"):  # what they say at info is no news here
        logging.getLogger(name).setLevel(logging.WARNING)
    return file


def _opened(file: Path) -> logging.Handler:
    """Return what writes at a file's end; server and learner share it, and so may logrotate."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file() and not file.is_symlink() and file.stat().st_size > _LARGEST_LOG:
            file.replace(file.with_name(file.name + ".1"))
        return WatchedFileHandler(file, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The log cannot be written to {file} ({error.strerror or error}); choose another "
            "--log-file."
        ) from error
