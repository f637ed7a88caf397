"""A small HTTP server in OpenAI's shape, on a free port, that does what a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from patience import PATIENCE_S

Behaviour: TypeAlias = "Callable[[Call], None]"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class Call:
    """A request as it came, and ways to answer it."""

    handler: BaseHTTPRequestHandler
    body: dict[str, Any]
    gone: threading.Event

    def send(
        self, content: bytes, kind: str = "application/json", status: int = 200, **headers: str
    ) -> None:
        """Answers in one piece."""
        self.begin(kind, status, **{"content-length": str(len(content)), **headers})
        self.handler.wfile.write(content)

    def begin(self, kind: str, status: int = 200, **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in {"content-type": kind, "connection": "close", **headers}.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def event(self, data: Any) -> None:
        """Sends an event of a stream, which ends where the connection does."""
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        self.handler.wfile.write(f"data: {text}\n\n".encode())
        self.handler.wfile.flush()

    def wait_until_gone(self) -> None:
        """Waits until whoever asks has hung up, and notes it."""
        self.handler.connection.settimeout(PATIENCE_S)
        if self.handler.connection.recv(1) == b"":
            self.gone.set()


@dataclass
class ScriptedUpstream:
    """Where it is, what it does, and what it was asked."""

    url: str
    does: Behaviour
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def will(self, does: Behaviour) -> None:
        """Does this from now on, and forgets what it was asked."""
        self.does = does
        self.asked.clear()
        self.headers.clear()
        self.gone.clear()


@contextmanager
def scripted_upstream() -> Iterator[ScriptedUpstream]:
    """Serves until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = json.loads(self.rfile.read(length))
            upstream.asked.append(body)
            upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
            try:
                if self.path != "/v1/chat/completions":
                    raise AssertionError(self.path)
                upstream.does(Call(self, body, upstream.gone))
            except (BrokenPipeError, ConnectionResetError):
                upstream.gone.set()
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    upstream = ScriptedUpstream(f"http://127.0.0.1:{server.server_port}/v1", answers("Hello."))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answers(*texts: str, reason: str = "stop", usage: Any = USAGE) -> Behaviour:
    """As many of these texts as it is asked for, as a stream where it is asked for one."""

    def behave(call: Call) -> None:
        count = call.body.get("n", 1)
        if call.body.get("stream"):
            streams(texts[0].split(" "), reason=reason)(call)
            return
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": reason,
            }
            for index, text in enumerate(texts[:count])
        ]
        call.send(json.dumps(whole(choices, usage=usage)).encode())

    return behave


def whole(choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "big"}
    return {**head, "choices": list(choices), **more}


def chunk(text: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}


def streams(words: Sequence[str], *, reason: str | None = "stop", done: bool = True) -> Behaviour:
    """These words as a stream; without an end where there is no reason and it is not done."""

    def behave(call: Call) -> None:
        call.begin("text/event-stream; charset=utf-8")
        call.event(chunk("", role="assistant"))
        for number, word in enumerate(words):
            call.event(chunk(word if number == 0 else f" {word}"))
        if reason is not None:
            call.event(chunk(reason=reason))
        if call.body.get("stream_options", {}).get("include_usage"):
            call.event({"choices": [], "usage": USAGE})
        if done:
            call.event("[DONE]")

    return behave


def hangs(*words: str) -> Behaviour:
    """These words as a stream, where there are any, and then nothing until the asker hangs up."""

    def behave(call: Call) -> None:
        if words:
            call.begin("text/event-stream")
            for word in words:
                call.event(chunk(word))
        call.wait_until_gone()

    return behave


def says(
    content: str, kind: str = "application/json", status: int = 200, **headers: str
) -> Behaviour:
    """This, whatever it is asked."""
    return lambda call: call.send(content.encode(), kind, status, **headers)


def breathes(call: Call) -> None:
    """Comments for ever, as proxies send them to keep a connection open."""
    call.begin("text/event-stream")
    while True:
        call.handler.wfile.write(b": still here\n\n")
        call.handler.wfile.flush()
        time.sleep(0.05)
