"""Structured logs: one JSON object a line, with the request's id, and no texts."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar

from corll.service.settings import ServiceSettings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""

_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """time, level, logger, message, request_id, what a call adds by `extra`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (identity := request_id.get()) is not None:
            line["request_id"] = identity
        line |= {k: v for k, v in vars(record).items() if k not in _PLAIN and k != "color_message"}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging(settings: ServiceSettings) -> None:
    """Send the log of this process to stderr, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("alembic", "uvicorn", "httpx"):  # what they say at info is no news here
        logging.getLogger(name).setLevel(logging.WARNING)
