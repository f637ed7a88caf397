"""A replay takes steps as they were taken: with their threads, at their rate and strength."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import torch
from sqlalchemy import update
from store_samples import ON_SQLITE
from teaching import add_edit, add_user, bytes_of, deleted, opened, replayed, serving

from corll.compute.free_processors import GivingThreads
from corll.policy import Policy
from corll.service.learning import replaying
from corll.service.learning import trainer as trainer_module
from corll.service.learning.plans import Before, StepPlan, differences, plans_of
from corll.service.learning.recomputing import verify_weights
from corll.service.learning.trainer import Trainer
from corll.service.store import deletions, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.schema import versions
from running_service import settings_for


class Machine(GivingThreads):
    """A machine of which a test says how many threads are free."""

    def __init__(self) -> None:
        super().__init__(2, read=lambda: None)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def trainer(
    policy: Policy, database: Database, machine: Machine, tiny_model_folder: Path, tmp_path: Path
) -> Trainer:
    """Whoever gives way is given the threads that are free, as in the learner's process."""
    coactive = {"preferences_per_step": 2, "replay_per_step": 1}
    settings = settings_for(tiny_model_folder, tmp_path / "data", coactive=coactive)
    return Trainer(policy, database, settings, give_way=machine.settle, threads=machine)


def taught(
    trainer: Trainer, machine: Machine, user: User, numbers: list[int], free: dict[int, int]
) -> list[str]:
    """The ids of edits, learned from once two wait, with so many threads from a number on."""
    made = []
    for number in numbers:
        machine.threads = free.get(number, machine.threads)
        text = f"Sorry, it is number {number}." + " It comes soon." * (number % 3)
        made.append(add_edit(trainer, user, text, number=number))
        trainer.learn(user.id)
    return made  # type: ignore[return-value]


def recipes(trainer: Trainer, user: User) -> list[dict[str, Any]]:
    with trainer.database.read() as db:
        rows = lineages.versions_of(db, user.id)
    return [row.recipe for row in rows if row.recipe is not None]


@ON_SQLITE
def test_a_replay_has_the_threads_of_each_step_whatever_is_free_meanwhile(
    trainer: Trainer, machine: Machine, database: Database, user: User
) -> None:
    others = [add_user(database, name) for name in ("ben", "cara")]
    edits: Any = taught(trainer, machine, user, [0, 1, 2, 3, 4, 5, 6], {0: 2, 2: 1, 4: 2})
    plans = [plans_of(recipe) for recipe in recipes(trainer, user)]
    assert [[plan.threads for plan in some] for some in plans] == [[2], [1], [2]]
    # 3 had been learned by one thread, and 5 by two.
    taught(trainer, machine, others[0], [0, 1, 3, 4, 5, 6], {0: 2, 3: 1, 5: 2})
    taught(trainer, machine, others[1], [0, 1, 3, 4, 5, 6], {0: 2})
    deleted(trainer, edits[2])
    machine.threads = 2
    seen: list[int] = []
    machine_settle = machine.settle
    trainer.give_way = lambda: seen.append(machine_settle())
    replayed(trainer, user)
    trainer.learn(user.id)  # 5 and 6
    again, of_ben, of_cara = [bytes_of(trainer, serving(trainer, one)) for one in (user, *others)]
    assert again == of_ben
    assert again != of_cara  # so it mattered
    assert {1, 2} == set(seen)
    kept = [plan.threads for recipe in recipes(trainer, user) for plan in plans_of(recipe)]
    assert kept == [2, 1, 2]


@ON_SQLITE
def test_micro_batches_are_those_of_before_too(
    trainer: Trainer, machine: Machine, database: Database, user: User
) -> None:
    """A step that once ran out of memory had smaller ones; a replay has memory enough."""
    ben, machine.threads = add_user(database, "ben"), 1

    def small(one: User, numbers: list[int]) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "optimizer", within(trainer.optimizer, 40))
            return taught(trainer, machine, one, numbers, {})

    edits = small(user, [0, 1, 2, 3, 4, 5])
    small(ben, [0, 1, 3, 4, 5])
    [first, *_] = [plans_of(recipe) for recipe in recipes(trainer, user)]
    assert first == [StepPlan(threads=1, max_tokens=40)]
    other = add_user(database, "cara")
    taught(trainer, machine, other, [0, 1, 3, 4, 5], {})
    deleted(trainer, edits[2])
    replayed(trainer, user)
    again, of_ben, of_cara = [
        bytes_of(trainer, serving(trainer, one)) for one in (user, ben, other)
    ]
    assert again == of_ben
    assert again != of_cara  # so it mattered


def within(make: Any, tokens: int) -> Any:
    def optimizer(*about: Any) -> Any:
        made = make(*about)
        made.max_tokens = tokens
        return made

    return optimizer


@ON_SQLITE
def test_steps_of_half_the_rate_and_versions_of_half_the_strength_are_replayed_so(
    trainer: Trainer,
    machine: Machine,
    database: Database,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0 goes; 2 and 3 were rejected once; what 4 and 5 had taught was too strong."""
    monkeypatch.setattr(replaying, "_BATCHES_AT_ONCE", 8)
    ben, machine.threads = add_user(database, "ben"), 1
    starting_point, examine = trainer_module.starting_point, trainer.examine

    def teach(one: User, numbers: list[int]) -> Any:
        made = []
        for number in numbers:
            made.append(add_edit(trainer, one, f"Sorry, it is number {number}.", number=number))
            with monkeypatch.context() as patch:
                if number == 3:
                    patch.setattr(trainer, "examine", lambda *_: (["it loops"], None))
                    trainer.learn(one.id)
                    patch.setattr(trainer, "examine", examine)
                if number == 5:
                    patch.setattr(trainer_module, "starting_point", too_strong)
                trainer.learn(one.id)
        return made

    def too_strong(*about: Any) -> Any:
        start = starting_point(*about)
        assert start is not None
        return replace(start, is_too_strong=True)

    edits = teach(user, [-2, -1, 2, 3, 4, 5, 6, 7])
    teach(ben, [2, 3, 4, 5, 6, 7])
    of_ben = [one for one in recipes(trainer, ben) if one["plans"][0]["share"] == 0.5]
    assert len(of_ben) == 1
    assert [one["strength"] for one in recipes(trainer, ben)][-2:] == [0.5, 1.0]
    for edit in edits[:2]:
        deleted(trainer, edit)
    replayed(trainer, user)
    assert bytes_of(trainer, serving(trainer, user)) == bytes_of(trainer, serving(trainer, ben))
    assert [one["strength"] for one in recipes(trainer, user)][-2:] == [0.5, 1.0]
    # A version of half the strength has no optimiser, and a replay goes on from it all the same.
    deleted(trainer, edits[-1])
    row = opened(trainer, user)
    assert row is not None
    with database.read() as db:
        latest = lineages.find_version(db, str(row.latest_id))
    assert latest is not None
    assert not latest.has_optimizer


@ON_SQLITE
def test_what_was_learned_again_is_computed_anew_and_compared(
    trainer: Trainer, machine: Machine, database: Database, user: User
) -> None:
    ben = add_user(database, "ben")
    edits: Any = taught(trainer, machine, user, [0, 1, 2, 3, 4, 5, 6, 7], {0: 2, 2: 1, 4: 2})
    taught(trainer, machine, ben, [0, 1], {})
    receipt = deleted(trainer, edits[2])
    assert verify_weights(trainer, receipt).state == "open"  # not learned again yet
    replayed(trainer, user)
    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
    assert row is not None
    told = row.to_receipt()
    for machine.threads in (1, 2):
        found = verify_weights(trainer, told)
        assert (found.state, "2 steps from version 1" in found.text) == ("holds", True), found
    version = serving(trainer, user)
    assert version is not None
    assert version.recipe is not None

    def change(**recipe: Any) -> None:
        changed = update(versions).where(versions.c.id == version.id)
        value = {**version.recipe, **recipe}  # type: ignore[dict-item]
        database.write(lambda db: db.execute(changed.values(recipe=value)))

    change(plans=[{**plan, "share": 0.5} for plan in version.recipe["plans"]])
    assert verify_weights(trainer, told).state == "broken"
    change(computed_by={**version.recipe["computed_by"], "products": "an abacus"})
    found = verify_weights(trainer, told)
    assert (found.state, "products: an abacus" in found.text) == ("open", True)
    change(batches=[["gone"]], plans=version.recipe["plans"][:1])
    assert "what it was taught is gone (gone)" in verify_weights(trainer, told).text
    assert list(Path(gettempdir()).glob("corll-verify-*")) == []


def test_the_plan_of_a_step_is_that_of_its_first_preference_at_the_smallest_share() -> None:
    plans = [StepPlan(2, 100).to_dict(), StepPlan(1, 50, 0.5).to_dict()]
    recipe = {"batches": [["a", "b"], ["c", "d"]], "plans": plans, "strength": 0.5}
    before = Before([recipe], {"a", "b", "c", "e"})
    assert before.plan_for(["b", "c"]) == StepPlan(2, 100, 0.5)
    assert before.plan_for(["c", "e"]) == StepPlan(1, 50, 0.5)
    assert before.plan_for(["e"]) == StepPlan()
    # d is gone, so the weights are folded after c.
    assert [before.strength_after([one]) for one in "abce"] == [1.0, 1.0, 0.5, 1.0]
    assert plans_of({"batches": [["a"]], "threads": 3}) == [StepPlan(3)]


def test_paths_that_differ_are_named() -> None:
    assert differences({"products": "torch"}, {"products": "torch"}) == []
    told = differences({"products": "torch"}, {"products": "tiles"})
    assert told == ["products: torch, and here tiles"]
