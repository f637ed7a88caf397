"""The service under load, over HTTP: a flood by one key beside another, and 64 clients at once.

    python benchmarks/load.py [--quick] [--keep]

Flood: one key sends 32 drafts at once; a second later another key sends one, which is compared with
the same draft alone. Clients: 64, each with a key of its own, send a streamed draft each at once.
Who is refused comes again when it was told to, until it is let in. They are asked for alike, so
that drafts share a decoding, or each with a sampler of its own, so that none do. There is no peer.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from measuring import Case, new_parser, parse, write
from service import Service, p95, started

FLOOD, CLIENTS = 32, 64
TOKENS = 64
TEXT = "Tell a customer that the parcel is late, and that it comes on Friday. Number {number}."


@dataclass
class Answer:
    """What became of a client: seconds to the first token of the attempt that was let in, from the
    first attempt to the end, and what each refusal told.
    """

    first_token_s: float
    whole_s: float
    refusals: list[int]


def body(number: int, **more: Any) -> dict[str, Any]:
    """A draft of so many tokens; a word that never comes ends none before."""
    messages = [{"role": "user", "content": TEXT.format(number=number)}]
    return {"model": "base", "messages": messages, "max_tokens": TOKENS, "seed": number, **more}


def client_of(service: Service, user: str) -> httpx.AsyncClient:
    """A client with a key of its own."""
    key = service.ask("POST", "keys", json={"scope": "user", "user": user, "label": user})
    headers = {"authorization": f"Bearer {key['key']}"}
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=service.url, headers=headers, timeout=900, limits=limits)


async def whole(client: httpx.AsyncClient, number: int, **more: Any) -> float:
    """Seconds of a draft that is not refused."""
    start = time.perf_counter()
    answer = await client.post("/v1/chat/completions", json=body(number, **more))
    answer.raise_for_status()
    return time.perf_counter() - start


async def flooding_one(client: httpx.AsyncClient, number: int) -> bool:
    """Send a longer draft of a flood; say whether it was let in."""
    asked = body(number, max_tokens=256)
    answer = await client.post("/v1/chat/completions", json=asked)
    if answer.status_code not in (200, 429):
        raise SystemExit(f"{answer.status_code}: {answer.text}")
    return answer.status_code == 200


async def flood_ratio(
    flooding: httpx.AsyncClient, other: httpx.AsyncClient
) -> tuple[float, float, int]:
    """Seconds of a draft alone, and of the same draft beside a flood; how much of it was let in."""
    alone = await whole(other, 1)
    flood = [asyncio.create_task(flooding_one(flooding, 100 + n)) for n in range(FLOOD)]
    await asyncio.sleep(1)
    beside = await whole(other, 1)
    if all(task.done() for task in flood):
        raise SystemExit("the flood was over before the draft: nothing was measured")
    return alone, beside, sum(await asyncio.gather(*flood))


async def flood_case(service: Service, *, pairs: int) -> Case:
    flooding, other = client_of(service, "flooding"), client_of(service, "other")
    async with flooding, other:
        await whole(other, 0)
        found = [await flood_ratio(flooding, other) for _ in range(pairs)]
    beside = [one[1] for one in found]
    more = {
        "alone": statistics.median(one[0] for one in found),
        "over_alone": [one[1] / one[0] for one in found],
        "flood_let_in": [one[2] for one in found],
    }
    name = f"load: draft of {TOKENS} tokens beside {FLOOD} of another key"
    return Case(name, beside, target="≤ 3× alone", more=more)


async def let_in(client: httpx.AsyncClient, number: int, **more: Any) -> Answer:
    """Ask until it is let in, and read the draft."""
    begun, refusals = time.perf_counter(), list[int]()
    while True:
        asked, first = time.perf_counter(), 0.0
        streamed = body(number, stream=True, **more)
        async with client.stream("POST", "/v1/chat/completions", json=streamed) as answer:
            if answer.status_code == 200:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {") and '"error"' in line:
                        raise SystemExit(f"an error in a stream: {line}")
                    if not first and '"content":' in line and '"content":""' not in line:
                        first = time.perf_counter() - asked
                return Answer(first, time.perf_counter() - begun, refusals)
            if answer.status_code != 429:
                raise SystemExit(f"{answer.status_code}: {await answer.aread()!r}")
            refusals.append(int(answer.headers["retry-after"]))
        await asyncio.sleep(refusals[-1])


async def clients_case(service: Service, *, count: int, alike: bool) -> Case:
    clients = [client_of(service, f"client {n}") for n in range(count)]
    kinds = [{} if alike else {"temperature": 0.5 + n / 1000} for n in range(count)]
    found = await asyncio.gather(
        *(let_in(client, n, **kinds[n]) for n, client in enumerate(clients))
    )
    for client in clients:
        await client.aclose()
    refused = [one for one in found if one.refusals]
    more = {
        "p95": p95([one.first_token_s for one in found]),
        "p95_whole": p95([one.whole_s for one in found]),
        "refused": len(refused),
        "let_in_at_the_time_told": sum(len(one.refusals) == 1 for one in refused),
        "told_s": sorted(one.refusals[0] for one in refused),
        "longest_wait": 30,
    }
    name = f"load: first token, {count} clients, {'alike' if alike else 'each by itself'}"
    return Case(name, [one.first_token_s for one in found], target="p95 ≤ 30 s", more=more)


def cases(*, quick: bool) -> Iterator[Case]:
    with (
        tempfile.TemporaryDirectory() as scratch,
        started(Path(scratch), learns=False) as (service, _),
    ):
        yield asyncio.run(flood_case(service, pairs=1 if quick else 3))
        for alike in (True, False):
            count = 16 if quick else CLIENTS
            yield asyncio.run(clients_case(service, count=count, alike=alike))


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "load", keep=chosen.keep, latest=False)
