"""Logs: their two forms, and that there is no text in them unless they may hold any."""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from planted import PLANTED, texts_planted_everywhere
from service_process import corll_serve, heard

from corll.errors import InputError, StoreError, TrainingError
from corll.service.logs import (
    JsonLines,
    Lines,
    TextLines,
    failing_threads_logged,
    request_id,
    set_up_logging,
)
from corll.service.settings import ServiceSettings
from patience import PATIENCE_S
from running_service import ADMIN_KEY, RunningService, settings_for


def record(message: str, *args: Any, error: BaseException | None = None, **extra: Any) -> Any:
    """A record as a logger makes it; its error was raised."""
    exc_info = None
    if error is not None:
        try:
            raise error
        except BaseException:
            exc_info = sys.exc_info()
    made = logging.makeLogRecord({"msg": message, "args": args, "name": "corll.a", **extra})
    made.levelname, made.exc_info, made.created, made.msecs = "WARNING", exc_info, 0.25, 250.0
    return made


def chained() -> ValueError:
    """An error that came of another, both of which quote a text."""
    try:
        try:
            raise KeyError(PLANTED)
        except KeyError as first:
            raise ValueError(f"no {PLANTED} here") from first
    except ValueError as second:
        return second


def test_a_json_line_holds_what_the_call_added_and_the_request() -> None:
    token = request_id.set("req_1")
    try:
        line = JsonLines(texts=False).format(record("%s of %d", "one", 2, seconds=0.5))
    finally:
        request_id.reset(token)
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "corll.a",
        "message": "one of 2",
        "request_id": "req_1",
        "seconds": 0.5,
    }


def test_a_plain_line_says_the_same_to_people() -> None:
    line = TextLines(texts=False).format(
        record("%s of %d", "one", 2, seconds=0.5, route="/v1/edits", empty="", said='a "b" c')
    )
    assert line == (
        "1970-01-01T00:00:00.250Z warning corll.a: one of 2 "
        'seconds=0.5 route=/v1/edits empty="" said="a \\"b\\" c"'
    )


def test_what_a_library_adds_to_every_record_is_not_told() -> None:
    line = JsonLines(texts=False).format(record("it came", _ray_timestamp_ns=1, seconds=0.5))
    assert list(json.loads(line)) == ["time", "level", "logger", "message", "seconds"]


def test_nothing_that_is_logged_begins_a_line_of_its_own() -> None:
    line = TextLines(texts=True).format(record("a\n1970 forged\x1b[2J", name="b\nc", more="d\ne"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_plain_traceback_is_indented() -> None:
    lines = TextLines(texts=False).format(record("it failed", error=StoreError("it is full")))
    first, *others = lines.splitlines()
    assert first.endswith("corll.a: it failed")
    assert all(line.startswith("    ") for line in others)
    assert others[-1].strip() == "StoreError: it is full"


@pytest.mark.parametrize("form", [JsonLines, TextLines])
class TestErrors:
    def test_what_may_quote_a_text_is_told_by_class_and_place(self, form: type[Lines]) -> None:
        error = ExceptionGroup(PLANTED, [chained(), InputError(f"{PLANTED} is no text")])
        told = form(texts=False).format(record("it failed: %s", chained(), error=error))
        assert PLANTED not in told
        assert "test_logs.py" in told
        assert "in chained" in told
        order = [told.index(name) for name in ("KeyError: (its", "ValueError: (its")]
        assert order == sorted(order)
        assert "InputError: (its message is left out; --log-texts shows it)" in told
        assert "it failed: ValueError (its message is left out" in told

    def test_where_texts_may_stand_there_they_do(self, form: type[Lines]) -> None:
        told = form(texts=True).format(record("it failed: %s", chained(), error=chained()))
        assert f"it failed: no {PLANTED} here" in told
        assert f"KeyError: '{PLANTED}'" in told
        assert f"ValueError: no {PLANTED} here" in told

    @pytest.mark.parametrize(
        "error", [StoreError("the disk is full"), OSError(28, "No space"), TrainingError("no loss")]
    )
    def test_what_quotes_no_text_says_what_to_do(self, form: type[Lines], error: Exception) -> None:
        told = form(texts=False).format(record("it failed: %s", error, error=error))
        assert told.count(str(error)) == 2


def test_a_thread_that_ends_by_an_error_says_so_in_the_log_alone(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError(PLANTED)

    before = threading.excepthook
    with failing_threads_logged():
        thread = threading.Thread(target=fail, name="drafting")
        thread.start()
        thread.join()
    assert threading.excepthook is before
    (told,) = caplog.records
    assert told.getMessage() == "the thread drafting has ended"
    line = JsonLines(texts=False).format(told)
    assert "ValueError" in line
    assert PLANTED not in line + capfd.readouterr().err


@pytest.mark.parametrize(("name", "form"), [("json", JsonLines), ("text", TextLines)])
def test_the_form_is_the_one_that_is_set(name: Any, form: type[Lines]) -> None:
    set_up_logging(ServiceSettings(log_format=name))
    (handler,) = logging.getLogger().handlers
    assert type(handler.formatter) is form


def test_the_log_of_a_server_holds_no_text_whatever_it_was_planted_in(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    with corll_serve(
        tiny_model_folder, data, log, log_level="debug", admin_key=ADMIN_KEY
    ) as process:
        url = heard(process, r"^corll serves .* at (http://127\.0\.0\.1:\d+)/v1 ")
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S) as http:
            settings = settings_for(tiny_model_folder, data)
            drafted = texts_planted_everywhere(RunningService(url, settings, http))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["message"] == "request" for line in lines) > 10
    assert PLANTED not in log.read_text().lower()
    assert not [text for text in drafted if text in log.read_text()]
