"""Three learners at work: when edits came, how long claims took, and when their versions drafted.

    python benchmarks/small_end.py [--out runs/small-end.json] [--minutes 15] [--edits-a-minute 8]
        [--users 12] [--model smollm2-135m] [--quick]

It writes what `corll simulate-fleet --measured` plays again and compares. A gateway and three
learners run on this machine, as `corll gateway` and `corll learner` on a PostgreSQL and a store of
versions that are their own. Drafts are drawn before the clock starts, edits of users drawn at
random come at random moments. A claim goes from a learner's lease, by the database's clock, to its
version's row; a version serves once a draft by it was answered. `--quick`: a tiny random model, one
minute.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from corll.fleet.measured import MeasuredRun
from corll.service.store import leases
from corll.service.store.accounts import users_of
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.rows import all_rows, select_rows
from corll.service.store.schema import learning_leases, version_preferences, versions
from corll.service.store.schema import preferences as preferences_table
from corll.simulation.writers import FormalWriter, writing_requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crash.databases import databases
from crash.invariants import is_settled
from crash.service import SETTINGS, store_in
from fleets import Fleet
from running_service import RunningService, until
from tiny_models import save_tiny_llama

LEARNERS = 3
OF_A_REAL_MODEL = {"requests_per_minute": 1_000_000, "serving": "both"}
_LOOKS_EVERY_S = 0.05
_AT_ONCE = 16
_DRAINS_WITHIN_S = 1800.0


@dataclass(frozen=True)
class Planned:
    """An edit that is to come: when, whose, of which draft, and what it says."""

    at_s: float
    user: str
    draft_id: str
    text: str


@dataclass
class Seen:
    """What was seen while learners worked; times are those of the clock.

    `leases` are those on a user: when each was taken, by its fence. `rows` says when a version was
    registered, `drafted` when it first drafted, and `edited` when the edit of a draft was.
    """

    leases: dict[str, dict[int, float]] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    drafted: dict[str, float] = field(default_factory=dict)
    edited: dict[str, float] = field(default_factory=dict)


def measure(fleet: Fleet, plan: list[Planned]) -> MeasuredRun:
    """Send the edits when they are due, and watch until nothing is left to be done."""
    seen, ended = Seen(), threading.Event()
    service = fleet.service("gateway")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        watching = pool.submit(_watch, fleet.opened, service, pool, seen, ended)
        began = time.time()
        try:
            sent = [pool.submit(_send, service, one, seen) for one in _in_time(plan, began)]
            for one in sent:
                one.result()
            until(lambda: is_settled(fleet.opened, at_most=1), within=_DRAINS_WITHIN_S, every=0.5)
            ends_s = time.time() - began
        finally:
            ended.set()
        watching.result()
    with fleet.opened.read() as db:
        return _told(db, plan, seen, began, ends_s)


def _in_time(plan: list[Planned], began: float) -> Iterator[Planned]:
    for one in plan:
        time.sleep(max(0.0, began + one.at_s - time.time()))
        yield one


def _send(service: RunningService, edit: Planned, seen: Seen) -> None:
    service.post("edits", {"draft_id": edit.draft_id, "text": edit.text})
    seen.edited[edit.draft_id] = time.time()


def _watch(
    opened: Database,
    service: RunningService,
    pool: ThreadPoolExecutor,
    seen: Seen,
    ended: threading.Event,
) -> None:
    """Note leases and versions as they come; have a version draft at once."""
    probes = []
    while not ended.wait(_LOOKS_EVERY_S):
        with opened.read() as db:
            held = list(db.execute(select(learning_leases)))
            made = all_rows(db, Version, select_rows(Version, versions))
        now = time.time()
        for row in held:
            if row.expires_at > 0:
                taken_at = row.expires_at - leases.LONGEST_S
                seen.leases.setdefault(row.user_id, {}).setdefault(row.fence, taken_at)
        for version in made:
            if version.id not in seen.rows:
                seen.rows[version.id] = version.served_at or now
                if version.served_at is not None:
                    probes.append(pool.submit(_probe, opened, service, version, seen))
    for one in probes:
        one.result()


def _probe(opened: Database, service: RunningService, version: Version, seen: Seen) -> None:
    with opened.read() as db:
        name = _names(db)[version.user_id]
    while (service.draft(user=name, max_tokens=1)["corll"]["version"] or 0) < version.number:
        pass
    seen.drafted[version.id] = time.time()


def _names(db: Connection) -> Mapping[str, str]:
    return {user.id: user.name for user in users_of(db, None)}


def _told(
    db: Connection, plan: list[Planned], seen: Seen, began: float, ends_s: float
) -> MeasuredRun:
    """Return the run in the simulator's form; times from the beginning on."""
    learned: dict[str, list[str]] = {}
    rows = version_preferences.join(preferences_table)
    query = select(version_preferences.c.version_id, preferences_table.c.draft_id)
    for row in db.execute(query.select_from(rows)):
        learned.setdefault(row.version_id, []).append(row.draft_id)
    owner = {one.id: one.user_id for one in all_rows(db, Version, select_rows(Version, versions))}
    claims, waits, serve_s = [], [], []
    for version_id, at in seen.rows.items():
        drafts = learned.get(version_id, [])
        taken = [one for one in seen.leases[owner[version_id]].values() if one < at]
        if drafts and taken:
            claims.append((len(drafts), at - max(taken)))
        if version_id in seen.drafted:
            serve_s.append(seen.drafted[version_id] - at)
            waits += [seen.drafted[version_id] - seen.edited[one] for one in drafts]
    if not waits:
        raise SystemExit("no version served: nothing was measured")
    return MeasuredRun(
        learners=LEARNERS,
        edits=tuple((seen.edited[one.draft_id] - began, one.user) for one in plan),
        claims=tuple(claims),
        serve_s=median(serve_s),
        ends_s=ends_s,
        edit_to_serving_s=tuple(waits),
    )


@contextmanager
def fleet_of(model: str | None) -> Iterator[Fleet]:
    """Run a gateway and learners; the model is a tiny random one unless it is named."""
    with (
        databases("postgres") as made,
        made.new() as url,
        tempfile.TemporaryDirectory() as scratch,
        ExitStack() as stack,
    ):
        assert url is not None
        folder = Path(scratch)
        opened = Database.open(url, folder / "looking", store_in(folder))
        stack.callback(opened.close)
        chosen: Path | str = save_tiny_llama(folder / "model") if model is None else model
        settings = SETTINGS if model is None else OF_A_REAL_MODEL
        fleet = Fleet(chosen, folder, url, opened, stack, settings=settings)
        names = ["gateway", *(f"learner-{number}" for number in range(1, LEARNERS + 1))]
        for name in names:
            fleet.start(name, name.partition("-")[0])
        for name in names:
            until(partial(fleet.is_ready, name))
        yield fleet


Letter = Callable[[int, str | None], str]
"""The prompt of an edit by its number or, told what was drafted, the edit."""


def of_a_writer() -> Letter:
    """Letters that a simulated writer asks for, and rewrites."""
    writer, requests = FormalWriter(), writing_requests("train")

    def letter(number: int, drafted: str | None) -> str:
        request = requests[number % len(requests)]
        return request.prompt if drafted is None else writer.sent(request, drafted, number)

    return letter


def short(number: int, drafted: str | None) -> str:
    """Letters that have room in the context of a tiny model."""
    return f"Parcel {number} is late." if drafted is None else f"Sorry about number {number}."


def planned(
    service: RunningService, letter: Letter, *, users: int, edits: int, seconds: float, tokens: int
) -> list[Planned]:
    """Draw drafts, and say when their edits come; the same in each run, but for the drafts."""
    numbers = random.Random(0)
    names = [f"user-{number}" for number in range(users)]
    for name in names:
        service.draft(user=name, max_tokens=1)
        service.put(f"users/{name}/consent", {"learn": True})
    plan = []
    for number, at_s in enumerate(sorted(numbers.uniform(0, seconds) for _ in range(edits))):
        name = numbers.choice(names)
        draft = service.draft(letter(number, None), user=name, max_tokens=tokens, seed=number)
        drafted = draft["choices"][0]["message"]["content"]
        plan.append(Planned(at_s, name, draft["id"], letter(number, drafted)))
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/small-end.json"))
    parser.add_argument("--minutes", type=float, default=15.0, help="for which edits come")
    parser.add_argument("--edits-a-minute", type=float, default=8.0, help="on average")
    parser.add_argument("--users", type=int, default=12)
    parser.add_argument("--model", default="smollm2-135m", help="a name of `corll models`")
    parser.add_argument("--quick", action="store_true", help="a tiny model, a minute, 60 edits")
    chosen = parser.parse_args()
    minutes, rate = (1.0, 60.0) if chosen.quick else (chosen.minutes, chosen.edits_a_minute)
    letter = short if chosen.quick else of_a_writer()
    with fleet_of(None if chosen.quick else chosen.model) as fleet:
        plan = planned(
            fleet.service("gateway"),
            letter,
            users=chosen.users,
            edits=round(minutes * rate),
            seconds=60 * minutes,
            tokens=8 if chosen.quick else 64,
        )
        run = measure(fleet, plan)
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(run.model_dump(), indent=1) + "\n", encoding="utf-8")
        print(_summary(run), file=sys.stderr, flush=True)


def _summary(run: MeasuredRun) -> str:
    seconds = [seconds for _, seconds in run.claims]
    busy = sum(seconds) / (run.learners * (run.ends_s or 1))
    told: dict[str, Any] = {
        "edits": len(run.edits),
        "of which serve": len(run.edit_to_serving_s),
        "versions": len(run.claims),
        "versions a minute": round(60 * len(run.claims) / (run.ends_s or 1), 2),
        "seconds of a claim": round(median(seconds), 2),
        "share of the time that learners worked": round(busy, 2),
        "row to draft": round(run.serve_s, 2),
        "edit to serving": round(median(run.edit_to_serving_s), 2),
    }
    return "; ".join(f"{name}: {value}" for name, value in told.items())


if __name__ == "__main__":
    main()
