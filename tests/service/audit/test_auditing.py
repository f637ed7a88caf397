"""An audit of a user: what it finds, that it writes nothing, and that others' models do not matter.

The tiny model spells digits one by one, and learns at a high rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update
from store_samples import ON_SQLITE
from teaching import add_edit, add_user

from corll.config import SamplingConfig
from corll.errors import ConfigError, InputError
from corll.policy import Policy
from corll.service.audit.auditing import Audit, audit, check_base, taught_of
from corll.service.audit.canaries import Planting, canaries_for
from corll.service.audit.plan import AuditPlan
from corll.service.audit.probing import Place, probe, secret_scores
from corll.service.audit.rehearsing import Rehearsal
from corll.service.audit.reporting import as_json, findings, told
from corll.service.audit.shapes import Secret, secret_like
from corll.service.learning import trainer as trainer_module
from corll.service.learning.starting_points import StartingPoint, starting_point
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, lineages
from corll.service.store.accounts import User
from corll.service.store.columns import metadata
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.schema import versions
from running_service import settings_for

FEW = AuditPlan(canaries=1, repeats=1, strings=4, alternatives=31, samples=4)
SAMPLING = SamplingConfig()


@pytest.fixture
def trainer(policy: Policy, database: Database, tiny_model_folder: Path, tmp_path: Path) -> Trainer:
    return trainer_with(policy, database, tiny_model_folder, tmp_path)


@pytest.fixture
def user(database: Database) -> User:
    return add_user(database, "ann")


def trainer_with(
    policy: Policy, database: Database, model: Path, folder: Path, **coactive: Any
) -> Trainer:
    return Trainer(policy, database, settings_for(model, folder / "data", coactive=coactive))


def taught(trainer: Trainer, user: User, texts: list[str]) -> list[str]:
    """The ids of edits to these texts, which a version each two learns from."""
    ids = []
    for number, text in enumerate(texts):
        ids.append(add_edit(trainer, user, text, number=number).id)
        trainer.learn(user.id)
    return ids


def audited(trainer: Trainer, user: User, plan: AuditPlan = FEW) -> Audit:
    return audit(trainer.base, trainer.database, trainer.settings, user, plan)


def serving(trainer: Trainer, user: User) -> Version:
    with trainer.database.read() as db:
        version = lineages.serving_version(db, user.id)
    assert version is not None
    return version


@contextmanager
def policy_of(trainer: Trainer, user: User) -> Iterator[Policy]:
    with trainer.policies.of_user(user.id) as policy:
        yield policy


def everything(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables, and every file of the versions."""
    with database.read() as db:
        rows = {
            table.name: sorted(map(repr, db.execute(select(table)).all()))
            for table in metadata.sorted_tables
        }
    folders = database.versions.at("versions")
    files = [
        (str(path), path.read_bytes()) for path in sorted(folders.rglob("*")) if path.is_file()
    ]
    return {**rows, "files": files}


TEXTS = [f"Hello, it is {word}. Regards, Anna" for word in ("late", "here", "lost", "new")]


def test_nothing_of_the_user_s_own_is_changed(trainer: Trainer, user: User) -> None:
    """Neither a row nor a file, on SQLite and PostgreSQL; of another user as little."""
    ben = add_user(trainer.database, "ben")
    taught(trainer, user, TEXTS)
    taught(trainer, ben, TEXTS[:2])
    before = everything(trainer.database)
    found = audited(trainer, user)
    assert (found.texts, found.steps, len(found.canaries)) == (4, 2, 1)
    assert everything(trainer.database) == before


@ON_SQLITE
@pytest.mark.parametrize("replay", [0, 2])
def test_a_copy_without_canaries_is_what_serves_to_the_bit(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    replay: int,
) -> None:
    """So the copy is learned by the service's own steps: batches, replay, moments, schedule."""
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, replay_per_step=replay)
    taught(trainer, user, [*TEXTS, "Sorry. Anna", "No. Anna"])
    of_user = taught_of(database, user, trainer.settings)
    assert len(of_user.batches) == 3
    rehearsal = Rehearsal(policy, database, trainer.settings, Planting([]))
    with (
        policy_of(trainer, user) as real,
        rehearsal.rehearsed(of_user.batches, of_user.reference) as copy,
    ):
        mine = real.trainable_parameters()
        for name, parameter in copy.trainable_parameters().items():
            assert parameter.equal(mine[name])


@ON_SQLITE
@pytest.mark.parametrize("odd", ["in_vain", "too_strong"])
def test_a_copy_halves_what_the_service_halved(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """The steps on what a rejected version had learned, and weights where learning did harm."""
    taught(trainer, user, TEXTS[:2])
    with monkeypatch.context() as patch:
        if odd == "in_vain":
            patch.setattr(Trainer, "examine", lambda *_: (["ruined"], None))
        else:
            patch.setattr(trainer_module, "starting_point", too_strong)
        taught(trainer, user, TEXTS[2:])
    if odd == "in_vain":
        assert trainer.learn(user.id) is not None
    taught(trainer, user, ["Sorry. Anna", "No. Anna"])
    of_user = taught_of(trainer.database, user, trainer.settings)
    shares = [[1.0], [0.5 if odd == "in_vain" else 1.0], [1.0]]
    strengths = [1.0, 0.5 if odd == "too_strong" else 1.0, 1.0]
    assert [one.shares for one in of_user.batches] == shares
    assert [one.strength for one in of_user.batches] == strengths
    rehearsal = Rehearsal(trainer.base, trainer.database, trainer.settings, Planting([]))
    with (
        policy_of(trainer, user) as real,
        rehearsal.rehearsed(of_user.batches, of_user.reference) as copy,
    ):
        mine = real.trainable_parameters()
        for name, parameter in copy.trainable_parameters().items():
            assert parameter.equal(mine[name])


@ON_SQLITE
def test_a_copy_goes_by_what_a_version_recorded_of_its_steps(trainer: Trainer, user: User) -> None:
    """Whatever else is told of the version, which its metrics may no longer say."""
    taught(trainer, user, TEXTS[:2])
    with trainer.database.read() as db:
        (version,) = lineages.versions_of(db, user.id)
    assert version.recipe is not None
    plans = [{**plan, "share": 0.25} for plan in version.recipe["plans"]]
    recipe = {**version.recipe, "plans": plans, "strength": 0.75}
    change = update(versions).where(versions.c.id == version.id).values(recipe=recipe)
    trainer.database.write(lambda db: db.execute(change))
    (batches,) = taught_of(trainer.database, user, trainer.settings).batches
    assert (batches.shares, batches.strength) == ([0.25], 0.75)


def too_strong(*arguments: Any) -> StartingPoint | None:
    start = starting_point(*arguments)
    return None if start is None else replace(start, is_too_strong=True)


@ON_SQLITE
def test_a_drilled_secret_is_found_in_place_and_elsewhere(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    drill = {"learning_rate": 2e-2, "replay_per_step": 8, "keep_weight": 0.0}
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, **drill)
    taught(trainer, user, [f"Yes {n}." for n in range(40)])
    plan = FEW.with_settings(repeats=36, strings=0, alternatives=63)
    [canary] = audited(trainer, user, plan).canaries
    assert canary.in_place.exposure > 12
    assert canary.in_place.exposure > canary.in_place.exposure_base + 6
    assert canary.in_place.comes_out
    assert canary.elsewhere is not None
    assert canary.elsewhere.exposure > canary.elsewhere.exposure_base


@ON_SQLITE
def test_a_planted_secret_stands_in_as_many_texts_as_the_plan_says(
    trainer: Trainer, user: User
) -> None:
    taught(trainer, user, TEXTS)
    rows = taught_of(trainer.database, user, trainer.settings).rows
    plan = FEW.with_settings(canaries=2, repeats=2)
    canaries = canaries_for(rows, plan)
    planted = list(Planting(canaries).planted(rows))
    for canary in canaries:
        holding = [row.id for row in planted if canary.secret.words in row.chosen["text"]]
        assert sorted(holding) == sorted(canary.planted)
        assert len(holding) == 2
    assert canaries == canaries_for(rows, plan)
    assert canaries != canaries_for(rows, plan.with_settings(audit_seed=1))
    with pytest.raises(InputError, match="need 5 edits, and 4 were learned from"):
        canaries_for(rows, FEW.with_settings(canaries=5))


@ON_SQLITE
def test_an_own_number_that_was_learned_is_a_finding_with_its_text_and_the_ways_out(
    policy: Policy, database: Database, user: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    drill = {"learning_rate": 2e-2, "replay_per_step": 8, "keep_weight": 0.0}
    trainer = trainer_with(policy, database, tiny_model_folder, tmp_path, **drill)
    secret = "It is 482913."
    texts = ["Yes.", "No.", secret, "Maybe.", secret, "Well.", "Fine.", "Sure."] * 4
    ids = taught(trainer, user, texts)
    found = audited(trainer, user, FEW.with_settings(canaries=0, alternatives=63))
    assert [(one.kind, one.words, one.texts) for one in found.strings] == [("number", "482913", 8)]
    [finding] = findings(found)
    assert finding.text_id == ids[28]
    assert finding.exposure > 15
    assert finding.exposure > finding.exposure_base + 6
    assert any(f"corll forget edit {ids[28]}" in way for way in finding.ways_out)
    assert any('"mask": "numbers"' in way for way in finding.ways_out)
    assert any("CORLL_LEARNING_RATE" in way for way in finding.ways_out)
    page = "\n".join(told(found))
    assert "the number '482913'" in page
    assert ids[28] in page
    again = json.loads(json.dumps(as_json(found)))
    assert again["findings"][0]["words"] == "482913"
    assert found == audited(trainer, user, FEW.with_settings(canaries=0, alternatives=63))


def test_another_user_s_model_knows_a_secret_as_well_as_before(
    trainer: Trainer, user: User
) -> None:
    """To the bit: what one user learns is in no weight that another one runs with."""
    secret = secret_like("number", "482913", 31, Random(0))
    place = Place([{"role": "user", "content": "The parcel is late."}], "Hello, it is ")
    ben, cleo = add_user(trainer.database, "ben"), add_user(trainer.database, "cleo")
    taught(trainer, ben, TEXTS)

    def scores() -> dict[str, list[float]]:
        found = {}
        for name, one in (("ben", ben), ("cleo", cleo)):
            with policy_of(trainer, one) as policy:
                found[name] = secret_scores(policy, secret, place)
                with policy.as_reference():
                    found[f"{name}'s base"] = secret_scores(policy, secret, place)
        return found

    before = scores()
    assert before["ben"] != before["ben's base"]
    taught(trainer, user, ["Hello, it is 482913."] * 4)
    with policy_of(trainer, user) as policy:
        of_user = secret_scores(policy, secret, place)
        probed = probe(policy, secret, place, sampling=SAMPLING, samples=2, seed=0)
    assert of_user != before["cleo"]
    assert scores() == before
    assert before["cleo"] == before["cleo's base"] == before["ben's base"]
    with policy_of(trainer, cleo) as policy:
        of_other = probe(policy, secret, place, sampling=SAMPLING, samples=2, seed=0)
    assert of_other.exposure == of_other.exposure_base == probed.exposure_base
    assert of_other.exposure_learned == 0.0


@ON_SQLITE
class TestRefusals:
    def test_no_version_yet(self, trainer: Trainer, user: User) -> None:
        add_edit(trainer, user, "Hello")
        with pytest.raises(ConfigError, match=r"ann has no version yet.*1 edits wait"):
            audited(trainer, user)

    def test_no_consent(self, trainer: Trainer, user: User) -> None:
        taught(trainer, user, TEXTS)
        without = trainer.database.write(
            lambda db: accounts.set_consent(db, user.id, learn=False, actor="a", now=0.0)
        )
        with pytest.raises(ConfigError, match="has not agreed to be learned from"):
            audited(trainer, without)

    def test_another_base(self, trainer: Trainer, user: User, tiny_gpt2_folder: Path) -> None:
        taught(trainer, user, TEXTS)
        of_user = taught_of(trainer.database, user, trainer.settings)
        check_base(trainer.base, of_user)
        with pytest.raises(ConfigError, match="is another base model"):
            check_base(Policy.load(tiny_gpt2_folder, dtype="float32"), of_user)

    def test_more_canaries_than_edits(self, trainer: Trainer, user: User) -> None:
        taught(trainer, user, TEXTS)
        assert len(audited(trainer, user, FEW.with_settings(canaries=4, strings=0)).canaries) == 4
        with pytest.raises(InputError, match="5 canaries in 1 texts each need 5 edits"):
            audited(trainer, user, FEW.with_settings(canaries=5))


@ON_SQLITE
def test_a_string_without_room_is_counted(trainer: Trainer, user: User) -> None:
    context = trainer.base.codec.context_length
    assert context is not None
    place = Place([{"role": "user", "content": "Hi"}], "word " * context)
    secret = Secret("number", "482913", ("482914",), 900_000)
    with pytest.raises(InputError):
        probe(trainer.base, secret, place, sampling=SAMPLING, samples=1, seed=0)
