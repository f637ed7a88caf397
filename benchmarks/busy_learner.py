"""How long a draft takes while the learner learns, and while it replays a deletion.

    python benchmarks/busy_learner.py [--model NAME] [--quick] [--keep]

One client asks for drafts of one user, one after the other: while nothing else is to be done, while
the learner has more edits of another user to learn from than it can finish, each version examined,
and while it learns again what it had learned, without an edit that was deleted. `--model` is a name
of `corll models`, such as qwen2.5-coder-0.5b-instruct; by default the embedded SmolLM2-135M. What
is compared is the 95th percentile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from corll.config import EMBEDDED_MODEL
from measuring import Case, new_parser, parse, write
from service import TOKENS, Service, agree, drafts, p95, started, until

EDITS = 64
LEARNED = 32
"""Edits that are learned before the first of them is deleted."""


def send_edits(service: Service, user: str, count: int) -> list[str]:
    """Edits of a user's drafts that are to be learned from; their ids."""
    agree(service, user)
    found = []
    for seed in range(count):
        draft = service.draft(user, 1000 + seed, tokens=24, model="base")
        text = f"Dear customer, we are sorry. It is number {seed}. Regards, Anna"
        found.append(str(service.edit(draft, text)["id"]))
    return found


def while_busy(service: Service, what: str, idle: list[float], model: str, *, count: int) -> Case:
    """Drafts while the learner works, which the caller has seen to."""
    busy = drafts(service, count, user="idle")
    more = {"model": model, "p95": p95(busy), "p95_over_idle": p95(busy) / p95(idle)}
    name = f"busy learner: draft of {TOKENS} tokens, {what}"
    return Case(name, busy, target="p95 ≤ 1.3× idle", more=more)


def learning_case(service: Service, idle: list[float], model: str, *, count: int) -> Case:
    send_edits(service, "busy", EDITS)
    case = while_busy(service, "while learning", idle, model, count=count)
    if not service.ask("GET", "users/busy")["waiting"]:
        raise SystemExit("the learner was done before the drafts: nothing was measured")
    return case


def replaying_case(
    service: Service, idle: list[float], model: str, *, learned: int, count: int
) -> Case:
    first, *_ = send_edits(service, "deleting", learned)
    until(lambda: service.ask("GET", "users/deleting")["waiting"] < 2, within=3600, every=1)
    until(lambda: service.ask("GET", "users/deleting/adapters")["data"], within=3600, every=1)
    receipt = service.ask("DELETE", f"edits/{first}")["receipt"]["id"]

    def state() -> str:
        return str(service.ask("GET", f"deletions/{receipt}")["replay"]["state"])

    if state() != "waiting":
        raise SystemExit(f"the replay is {state()}: nothing is to be measured")
    time.sleep(1)
    case = while_busy(service, "while replaying a deletion", idle, model, count=count)
    case.more["was_open_at_the_end"] = state() == "waiting"
    if not case.more["was_open_at_the_end"]:
        raise SystemExit("the replay was done before the drafts: nothing was measured")
    return case


def cases(model: str, *, quick: bool) -> Iterator[Case]:
    count = 8 if quick else 40
    with tempfile.TemporaryDirectory() as scratch:
        # A folder each, so that one work is done when the other begins.
        with started(Path(scratch) / "replaying", model=model) as (service, _):
            drafts(service, 2, user="idle")
            idle = drafts(service, count, user="idle")
            more = {"model": model, "p95": p95(idle)}
            yield Case(f"busy learner: draft of {TOKENS} tokens, idle", idle, more=more)
            learned = 8 if quick else LEARNED
            yield replaying_case(service, idle, model, learned=learned, count=count)
        with started(Path(scratch) / "learning", model=model) as (service, _):
            drafts(service, 2, user="idle")
            idle = drafts(service, count, user="idle")
            yield learning_case(service, idle, model, count=count)


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="a name of `corll models`")
    chosen = parse(parser)
    write(cases(chosen.model, quick=chosen.quick), "busy_learner", keep=chosen.keep, latest=False)
