"""Imports as the learner goes through them, on a tiny model and a real database."""

from __future__ import annotations

from pathlib import Path

from test_learning import NOW, add_user

from corll.policy import Policy
from corll.service import history
from corll.service.learning import Trainer
from corll.service.store import imports
from corll.service.store.database import Database
from running_service import settings_for


def test_prompts_that_are_too_long_are_skipped_and_the_rest_is_learned(
    policy: Policy, database: Database, tiny_model_folder: Path, tmp_path: Path
) -> None:
    short = "The parcel is late."
    limit = len(policy.codec.encode_prompt([{"role": "user", "content": short}]))
    settings = settings_for(
        tiny_model_folder, tmp_path / "data", coactive={"max_prompt_length": limit}
    )
    trainer = Trainer(policy, database, settings)
    user = add_user(database, "ann")
    held_out = min(imports.held_out_numbers(12))
    long = {held_out, min({1, 2} - {held_out})}
    items = [
        ([{"role": "user", "content": short * (8 if number in long else 1)}], None, f"No. {number}")
        for number in range(1, 13)
    ]
    row = database.write(lambda db: imports.add_import(db, user_id=user.id, items=items, now=NOW))
    while row.state in ("waiting", "running"):
        history.go_on(trainer, row)
        with database.read() as db:
            found = imports.find_import(db, row.id)
        assert found is not None
        row = found
    with database.read() as db:
        skipped = {
            item.number: item.reason
            for item in imports.items_of(db, row.id)
            if item.state == "skipped"
        }
    assert row.state == "done"
    assert set(skipped) == long
    assert all("max_prompt_length" in str(reason) for reason in skipped.values())
    assert row.result is not None
    assert row.result["held_out"] == len(imports.held_out_numbers(12)) - 1
