"""Kills one after the other on one data folder, which is examined once, at the end."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from threading import Timer

from crash import acts, processes
from crash.cases import Case
from crash.commands import kill_command
from crash.ledger import Ledger
from crash.play import is_settled, move_on, stopped
from crash.service import EndedError, Service
from running_service import until

_MOST_ROUNDS = 3
"""How often users do what leads to a point that was not reached."""
_LATEST_RANDOM_KILL_S = 2.0


def kill_again_and_again(service: Service, ledger: Ledger, cases: Iterable[Case]) -> list[str]:
    """Kill a service in every case, start it again, and examine it; return what does not hold."""
    found = []
    for case in cases:
        if case.is_of_command:
            service.start()
            service.wait_until_ready()
            died, problems = kill_command(service, case)
            found += [f"{case.point}: {problem}" for problem in problems]
        else:
            service.start(die_at=case.die_at)
            try:
                service.wait_until_ready(learner=True)
                died = _dies(service, ledger, case)
            except EndedError:  # a start that finishes what was interrupted passes points too
                died = case.die_at is not None
        if not died:
            found.append(f"{case.point}: nothing died there")
        service.kill()
        found += [f"{case.point}: an orphan: {one}" for one in service.orphans()]
    service.start()
    service.wait_until_ready()
    move_on(service, ledger)
    return found + stopped(service, ledger)


def _dies(service: Service, ledger: Ledger, case: Case) -> bool:
    """Have users act until something dies; say whether it does."""
    if case.kind == "random":
        random = Random(case.number)
        killer = Timer(
            random.uniform(0, _LATEST_RANDOM_KILL_S), processes.kill, [service.learner or 0]
        )
        killer.start()
        acts.perform(service, ledger, acts.leading_to("import", "deletion"))
        killer.join()
        return True
    for _ in range(_MOST_ROUNDS):
        acts.perform(service, ledger, acts.leading_to(case.point))
        until(lambda: service.died or is_settled(service))
        if service.died:
            return True
    return False
