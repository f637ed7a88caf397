"""A service that knows ten thousand users with versions: start, memory, a cold user's draft.

    python benchmarks/many_users.py [--users 10000] [--store file|s3] [--quick] [--keep]

Users, lineages and versions are rows made through the store, and each version has a folder of its
own with a small adapter (rank 1 on one layer of each block), away from zero; nothing is learned.
The start is compared with that on a folder without users, in turns: what is left of the difference
is what users cost, since both load the base. A cold user's first draft, for which an adapter is
read, is compared with the same user's next one. With `--store` the versions lie in a version
store: a folder beside the data folder, or a bucket of a server of S3's kind (moto) in a process of
its own, on this machine. The cold user's adapter is then fetched into an empty cache.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import psutil
import torch
from sqlalchemy import Connection

from corll import LoraConfig, Policy
from corll.config import EMBEDDED_MODEL
from corll.service.store import accounts, lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.rows import new_id
from corll.service.version_store.opening import CACHE
from measuring import Case, new_parser, parse, write
from object_store import new_place
from service import Service, drafts, started

USERS = 10_000
_AT_ONCE = 250
"""Users of one transaction."""
_WRITERS = 8
"""Versions that are written at once."""
_SMALL = LoraConfig(lora_r=1, lora_alpha=2, lora_target_modules=("v_proj",))


def make_users(folder: Path, count: int, versions: str | None) -> list[str]:
    """A data folder with so many users, each with a version that serves; their names.

    No copy of what is in a store is left in the folder.
    """
    policy = Policy.load(EMBEDDED_MODEL, dtype="bfloat16", lora=_SMALL)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.005)
    database = Database.open(None, folder, versions)
    names = [f"user {number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(_WRITERS) as pool:
        policy.save(scratch)
        for start in range(0, count, _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            adapters = [Path(scratch)] * len(some)
            made = list(pool.map(partial(_published, database), adapters))
            database.write(partial(_add, names=some, made=made, policy=policy))
            shutil.rmtree(folder / CACHE, ignore_errors=True)
    database.close()
    return names


def _published(database: Database, adapter: Path) -> tuple[str, str, str]:
    """A version's id, its folder, and the checksum of its manifest."""
    version_id = new_id("version")

    def save(target: Path) -> None:
        shutil.copytree(adapter, target, dirs_exist_ok=True)

    return version_id, *database.versions.publish(version_id, save)


def _add(
    db: Connection, names: Sequence[str], made: Sequence[tuple[str, str, str]], policy: Policy
) -> None:
    now = time.time()
    reference = lineages.get_or_create_base_reference(
        db, base_model=policy.name, base_fingerprint=policy.base.fingerprint, now=now
    )
    for name, (version_id, place, digest) in zip(names, made, strict=True):
        user = accounts.get_or_create_user(
            db, accounts.LOCAL_NAMESPACE, name, store=True, learn=True, now=now
        )
        lineage = lineages.start_lineage(db, user_id=user.id, reference_id=reference.id, now=now)
        version = Version(
            id=version_id,
            user_id=user.id,
            lineage_id=lineage.id,
            number=1,
            parent_id=None,
            reference_id=reference.id,
            state="candidate",
            reasons=[],
            metrics={},
            folder=place,
            manifest_sha256=digest,
            has_optimizer=False,
            steps=1,
            created_at=now,
            served_at=None,
        )
        lineages.register_version(
            db, version, preference_ids=[], expected_parent=None, serve=True, now=now
        )


def memory_gb(service: Service) -> float:
    """Resident memory of the server, which runs without a learner."""
    return float(psutil.Process(service.process.pid).memory_info().rss / 2**30)


def cold_case(service: Service, names: list[str]) -> Case:
    """First drafts of users whose adapters are not in memory, against their second ones."""
    cold, warm = list[float](), list[float]()
    for name in names:
        cold += drafts(service, 1, user=name)
        warm += drafts(service, 1, user=name)
    reply = service.draft(names[-1], 1, tokens=1)
    if reply["corll"]["version"] != 1:
        raise SystemExit("a user's version did not draft: nothing was measured")
    added = [first - second for first, second in zip(cold, warm, strict=True)]
    return Case(
        "many users: first draft of a cold user",
        cold,
        warm,
        "the user's second draft",
        target="≤ 1 s more",
        more={"more_s": median(added), "most_more_s": max(added)},
    )


def cases(users: int, *, store: str | None, quick: bool) -> Iterator[Case]:
    """All cases; of a kind of store, their names say so."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        versions = None if store is None else stack.enter_context(new_place(store, scratch))
        start = partial(started, learns=False, versions=versions)
        for case in _cases(users, scratch, versions, start, quick=quick):
            case.name += "" if store is None else f", versions in a store ({store})"
            case.more["store"] = store
            yield case


def _cases(
    users: int,
    scratch: Path,
    versions: str | None,
    start: Callable[[Path], AbstractContextManager[tuple[Service, float]]],
    *,
    quick: bool,
) -> Iterator[Case]:
    pairs, cold = (1, 4) if quick else (3, 64)
    many, none, memory = list[float](), list[float](), {"many": [0.0], "none": [0.0]}
    with ExitStack() as last:
        full, empty = scratch / "full", scratch / "empty"
        began = time.perf_counter()
        names = make_users(full, users, versions)
        made_s = time.perf_counter() - began
        for number in range(pairs):
            with start(empty) as (service, seconds):
                none.append(seconds)
                memory["none"] = [memory_gb(service)]
            stack = last if number == pairs - 1 else ExitStack()
            service, seconds = stack.enter_context(start(full))
            many.append(seconds)
            memory["many"] = [memory_gb(service)]
            if stack is not last:
                stack.close()
        more = {"users": users, "users_cost_s": [a - b for a, b in zip(many, none, strict=True)]}
        more |= {"made_s": made_s}
        yield Case(
            f"many users: start with {users}",
            many,
            none,
            "no user",
            target="≤ 5 s without the base's load",
            more=more,
        )
        name = f"many users: memory with {users}"
        yield Case(name, memory["many"], memory["none"], "no user", unit="GiB", target="flat")
        drafts(service, 2, user="without a version")
        before = [memory_gb(service)]
        yield cold_case(service, names[:cold])
        after = "many users: memory after drafts of cold users"
        yield Case(after, [memory_gb(service)], before, "before", unit="GiB", target="flat")


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--users", type=int, default=USERS, help="how many there are")
    parser.add_argument("--store", choices=("file", "s3"), help="a version store; by default none")
    chosen = parse(parser)
    users = 100 if chosen.quick else chosen.users
    found = cases(users, store=chosen.store, quick=chosen.quick)
    write(found, "many_users", keep=chosen.keep, latest=False)
