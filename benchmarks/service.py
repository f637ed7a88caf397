"""The service, in a process of its own, over HTTP: how quick it starts, drafts, records and learns.

    python benchmarks/service.py [--quick] [--keep]

Start-up: from the command to the first 200 of /readyz. Drafts: one client, 32 tokens each, with
nothing else to do and then while the learner works without a break. Edits: `CLIENTS` clients at
once, each answer after a durable commit. Serving: from a version's commit until a reply drafted by
it has come; and from an edit of a letter until the version that learned it serves, examined, with
past letters before each prompt. There is no peer: nobody else does this (docs name those who come
near).
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from corll.config import EMBEDDED_MODEL
from corll.simulation.writers import FormalWriter, writing_requests
from measuring import Case, new_parser, parse, write

KEY = "the-key-of-the-benchmark"
CLIENTS = 16
TOKENS = 32
READING_S = 10
"""A draft is read for so long before it is edited."""
MESSAGES = [{"role": "user", "content": "Tell a customer that the parcel is late."}]


class Service:
    """A running `corll serve` and a client of it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process
        headers = {"authorization": f"Bearer {KEY}"}
        limits = httpx.Limits(max_connections=2 * CLIENTS)
        self.http = httpx.Client(base_url=url, headers=headers, timeout=600, limits=limits)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        response = self.http.request(method, f"/v1/{path}", **more)
        response.raise_for_status()
        return response.json()

    def draft(
        self,
        user: str,
        seed: int,
        *,
        tokens: int = TOKENS,
        model: str = "corll",
        text: str | None = None,
    ) -> Any:
        body = {
            "model": model,
            "messages": MESSAGES if text is None else [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "seed": seed,
            "safety_identifier": user,
        }
        return self.ask("POST", "chat/completions", json=body)

    def first_token(self, text: str, **more: Any) -> float:
        """Seconds until the first token of a draft that answers a text is told."""
        messages = [{"role": "user", "content": text}]
        body = {"model": "corll", "messages": messages, "max_tokens": TOKENS, "stream": True}
        body |= more
        start = time.perf_counter()
        with self.http.stream("POST", "/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                chunk = line.removeprefix("data: ")
                if not chunk.startswith("{"):
                    continue
                if any(c["delta"].get("content") for c in json.loads(chunk)["choices"]):
                    return time.perf_counter() - start
        raise SystemExit("a draft ended without a token")

    def edit(self, draft: Any, text: str) -> Any:
        return self.ask("POST", "edits", json={"draft_id": draft["id"], "text": text})

    def learner(self) -> str:
        return str(self.http.get("/readyz").json()["learner"])

    def until_learner_is_ready(self) -> None:
        until(lambda: self.learner() in ("ready", "off"))


@contextmanager
def started(
    folder: Path,
    *,
    learns: bool = True,
    model: str = EMBEDDED_MODEL,
    settled: bool = True,
    database: str | None = None,
    versions: str | None = None,
) -> Iterator[tuple[Service, float]]:
    """A service on an empty data folder, and the seconds until it was ready to draft.

    It is `settled` once its learner is ready too.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "CORLL_ADMIN_KEY": KEY,
        "CORLL_LOG_LEVEL": "error",
        "CORLL_REQUESTS_PER_MINUTE": "1000000",
        "CORLL_LEARN": str(learns).lower(),
    }
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    flags = ["--port", str(port), "--data-dir", str(folder), "--model", model]
    flags += [] if database is None else ["--database", database]
    flags += [] if versions is None else ["--versions", versions]
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, *flags], env=environment, stdout=quiet) as process:
        service = Service(f"http://127.0.0.1:{port}", process)
        until(lambda: _is_ready(service))
        ready = time.perf_counter() - start
        if settled:
            service.until_learner_is_ready()
        try:
            yield service, ready
        finally:
            service.http.close()
            process.terminate()


def _is_ready(service: Service) -> bool:
    try:
        return service.http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], Any], *, within: float = 600, every: float = 0.005) -> Any:
    """What the condition finds once it holds; it is asked `every` so many seconds."""
    end = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"the service did not come so far within {within} s")
        time.sleep(every)
    return found


def drafts(service: Service, count: int, *, user: str) -> list[float]:
    """Seconds of drafts, one after the other."""
    times = []
    for seed in range(count):
        start = time.perf_counter()
        service.draft(user, seed)
        times.append(time.perf_counter() - start)
    return times


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def latency_cases(service: Service, *, count: int) -> Iterator[Case]:
    """Idle, then while the learner has more to learn than it can finish."""
    drafts(service, 2, user="idle")
    idle = drafts(service, count, user="idle")
    yield Case(f"service: draft of {TOKENS} tokens, idle", idle, more={"p95": p95(idle)})
    agree(service, "busy")
    for seed in range(64):
        draft = service.draft("busy", 1000 + seed, tokens=24, model="base")
        service.edit(draft, f"Dear customer, we are sorry. It is number {seed}. Regards, Anna")
    busy = drafts(service, count, user="idle")
    if not service.ask("GET", "users/busy")["waiting"]:
        raise SystemExit("the learner was done before the drafts: nothing was measured")
    more = {"p95": p95(busy), "p95_over_idle": p95(busy) / p95(idle)}
    name = f"service: draft of {TOKENS} tokens, while learning"
    yield Case(name, busy, target="p95 ≤ 2× idle", more=more)
    until(lambda: service.ask("GET", "users/busy")["waiting"] < 2)


def agree(service: Service, user: str) -> None:
    service.draft(user, 0, tokens=1, model="base")
    service.ask("PUT", f"users/{user}/consent", json={"learn": True})


def edit_case(service: Service, *, count: int, agreed: bool) -> Case:
    """Edits a second, while nothing is learned: of a user who did not agree, or without a learner.

    Of one who agreed, each edit is encoded too, to say whether it can be learned from.
    """
    user = "agreed" if agreed else "edits"
    if agreed:
        agree(service, user)
    rate = edits_a_second(service, user, count)
    name = f"service: edits{' to be learned from' if agreed else ''}, {CLIENTS} clients"
    return Case(name, [rate], unit="edits/s", target="≥ 150 edits/s")


def edits_a_second(service: Service, user: str, count: int) -> float:
    """How many edits of a user's drafts are answered a second, sent by all clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        drawn = partial(service.draft, user, tokens=1, model="base")
        found = list(pool.map(drawn, range(count)))
    barrier = threading.Barrier(CLIENTS + 1)

    def send(own: list[Any]) -> None:
        barrier.wait()
        for number, draft in enumerate(own):
            service.edit(draft, f"Dear customer, we are sorry for the delay, number {number}.")

    with ThreadPoolExecutor(CLIENTS) as pool:
        jobs = [pool.submit(send, found[client::CLIENTS]) for client in range(CLIENTS)]
        barrier.wait()
        start = time.perf_counter()
        for job in jobs:
            job.result()
        return count / (time.perf_counter() - start)


def serving_case(service: Service, *, count: int) -> Case:
    """From a version's commit until a reply that it drafted is there."""
    times: list[float] = []
    adapters = "users/quick/adapters"
    agree(service, "quick")

    def is_made() -> bool:
        return len(service.ask("GET", adapters)["data"]) > len(times)

    for number in range(1, count + 1):
        for seed in range(2):
            draft = service.draft("quick", seed, tokens=8, model="base")
            service.edit(draft, f"Dear customer, it is number {number}, {seed}.")
        # Not by drafts: the learner would wait for each of them.
        until(is_made)
        while service.draft("quick", 1, tokens=1)["corll"]["version"] != number:
            pass
        answered = time.time()
        times.append(answered - service.ask("GET", f"{adapters}/{number}")["served_at"])
    return Case("service: registered to serving", times, target="≤ 1 s")


def edit_to_serving_case(service: Service, *, count: int) -> Case:
    """From an edit that completes a step until the version that learned it serves.

    A simulated writer answers a draft of a letter each time, after reading it; versions are
    examined, and what edits say is weighed. Nothing else is asked of the service meanwhile.
    """
    times: list[float] = []
    writer, requests = FormalWriter(), writing_requests("train")
    agree(service, "writer")

    def served_since(edited: float) -> float | None:
        versions = service.ask("GET", "users/writer/adapters")["data"]
        return next(
            (one["served_at"] for one in versions if (one["served_at"] or 0) > edited), None
        )

    for number, request in enumerate(requests[: 2 * count], start=1):
        draft = service.draft("writer", number, tokens=128, text=request.prompt)
        drafted = draft["choices"][0]["message"]["content"]
        time.sleep(READING_S)
        edited = time.time()
        service.edit(draft, writer.sent(request, drafted, number))
        if number % 2 == 0:
            times.append(until(partial(served_since, edited), every=0.5) - edited)
    more = {"p95": p95(times), "first": times[0], "last": times[-1]}
    return Case("service: edit to serving", times, target="p95 ≤ 5 s with bf16", more=more)


def cases(*, quick: bool) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        with started(Path(scratch) / "first") as (_, first):
            pass
        with started(Path(scratch) / "second") as (service, second):
            yield Case("service: start to ready", [first, second])
            yield serving_case(service, count=2 if quick else 8)
            yield edit_to_serving_case(service, count=2 if quick else 12)
            yield edit_case(service, count=160 if quick else 1600, agreed=False)
            yield from latency_cases(service, count=10 if quick else 40)
        with started(Path(scratch) / "third", learns=False) as (service, _):
            yield edit_case(service, count=160 if quick else 1600, agreed=True)


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "service", keep=chosen.keep)
