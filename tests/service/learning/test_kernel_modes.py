"""Steps are taken again by the instructions that took them, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from sqlalchemy import update
from teach_in_a_mode import LEFT_OUT, trainer_on
from teaching import add_user, bytes_of, deleted, opened, replayed, serving

from corll.service.learning import other_modes
from corll.service.learning.in_another_mode import Parent
from corll.service.learning.kernel_modes import environment_of, own_mode
from corll.service.learning.other_modes import ModeError, Task
from corll.service.learning.recomputing import verify_weights
from corll.service.learning.trainer import Trainer
from corll.service.store import deletions
from corll.service.store.accounts import User
from corll.service.store.drafts import edits_of
from corll.service.store.replays import ReplayRow, open_replay
from corll.service.store.schema import versions
from running_service import settings_for

TEACHER = Path(__file__).parents[1] / "teach_in_a_mode.py"
LOWEST = "default"
"""torch's own code without instructions of a later processor: every machine has it."""

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability().lower() == LOWEST,
    reason="this processor has one mode alone",
)


@pytest.fixture(scope="module")
def taught(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of what a process in the lowest mode taught."""
    data = tmp_path_factory.mktemp("taught") / "data"
    environment = environment_of({"ATEN_CPU_CAPABILITY": LOWEST}, os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(TEACHER), str(tiny_model_folder), str(data)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == [LOWEST], done.stderr
    return data


@pytest.fixture
def trainer(taught: Path, tiny_model_folder: Path, tmp_path: Path) -> Iterator[Trainer]:
    """A trainer in this process's mode, on a copy of that folder."""
    made = trainer_on(tiny_model_folder, Path(copytree(taught, tmp_path / "data")))
    yield made
    made.database.close()


def without_one(trainer: Trainer) -> tuple[User, User, str]:
    """Delete one of ann's texts; ann, ben, who never had it, and the deletion's id."""
    ann, ben = add_user(trainer.database, "ann"), add_user(trainer.database, "ben")
    with trainer.database.read() as db:
        latest_first = edits_of(db, ann.id, limit=10)
    receipt = deleted(trainer, latest_first[-1 - LEFT_OUT])
    return ann, ben, receipt.id


def test_a_replay_takes_steps_by_the_instructions_that_took_them(trainer: Trainer) -> None:
    """To the bit; and so does who verifies the receipt."""
    ann, ben, deletion = without_one(trainer)
    [version] = replayed(trainer, ann)
    assert version.recipe is not None
    assert version.recipe["kernel_mode"]["ATEN_CPU_CAPABILITY"] == LOWEST
    assert bytes_of(trainer, serving(trainer, ann)) == bytes_of(trainer, serving(trainer, ben))
    told = receipt_of(trainer, deletion)
    assert told.replay.differs == []
    found = verify_weights(trainer, told)
    assert (found.state, "to the bit" in found.text) == ("holds", True), found


def test_where_this_machine_has_not_got_the_instructions_receipt_and_verification_say_so(
    trainer: Trainer,
) -> None:
    """The rest is learned again all the same, by what is here: other weights, in the last bits."""
    ann, ben, deletion = without_one(trainer)
    elsewhere = {"ATEN_CPU_CAPABILITY": "an abacus"}
    row = opened(trainer, ann)
    assert row is not None
    recipes = [{**one, "kernel_mode": elsewhere} for one in row.recipes]
    open_again(trainer, replace(row, recipes=recipes))
    replayed(trainer, ann)
    assert bytes_of(trainer, serving(trainer, ann)) != bytes_of(trainer, serving(trainer, ben))
    told = receipt_of(trainer, deletion)
    assert told.replay.state == "done"
    [line] = told.replay.differs
    assert "an abacus" in line
    assert not deletions.unsealed(told)
    change_mode(trainer, ann, elsewhere)
    found = verify_weights(trainer, told)
    assert (found.state, "cannot compute with" in found.text) == ("open", True), found


def test_a_task_goes_to_the_other_process_as_it_is_without_secrets(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    settings = settings_for(tiny_model_folder, tmp_path)
    line = Task(settings, own_mode(), user_id="u").to_json()
    assert "an-admin-key" not in line
    again = Task.of_json(line)
    assert again.settings.model_copy(update={"admin_key": settings.admin_key}) == settings
    with pytest.raises(ModeError, match="an abacus"):
        other_modes.run(Task(settings, {"ATEN_CPU_CAPABILITY": "an abacus"}))
    with pytest.raises(SystemExit):
        other_modes.run(Task(settings, own_mode(), user_id="u"), is_stopping=lambda: True)


def test_the_other_process_is_told_when_drafts_are_drawn(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_modes, "_PROGRAM", "says_what_it_hears")
    task = Task(settings_for(tiny_model_folder, tmp_path), own_mode(), user_id="u")
    drafting = iter([False, True, True])
    heard = other_modes.run(task, is_drafting=lambda: next(drafting, False))
    assert heard == [other_modes.WAIT, other_modes.GO_ON]


def test_the_other_process_heeds_it_and_ends_with_whoever_tells_it() -> None:
    parent, ended = Parent(), list[int]()
    seen = []

    def said() -> Iterator[str]:
        for line in (other_modes.WAIT, other_modes.GO_ON, other_modes.WAIT):
            yield line
            seen.append(parent.value)

    parent.listen(said(), ended.append)
    assert (seen, ended) == ([1, 0, 1], [1])


def receipt_of(trainer: Trainer, deletion: str) -> Any:
    with trainer.database.read() as db:
        row = deletions.find_deletion(db, deletion)
    assert row is not None
    return row.to_receipt()


def open_again(trainer: Trainer, row: ReplayRow) -> None:
    trainer.database.write(lambda db: open_replay(db, row))


def change_mode(trainer: Trainer, user: User, mode: dict[str, str]) -> None:
    """Note another mode in the recipe of the version that serves."""
    version = serving(trainer, user)
    assert version is not None
    recipe = {**(version.recipe or {}), "kernel_mode": mode}
    changed = update(versions).where(versions.c.id == version.id).values(recipe=recipe)
    trainer.database.write(lambda db: db.execute(changed))
