"""From preferences to a serving version, on a tiny model and a real database."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from teaching import NOW, add_edit, add_user, drafted, states

from corll.errors import AdapterError, StaleParentError
from corll.learner import CoactiveLearner
from corll.model.tokens import TokenCodec
from corll.policy import Policy
from corll.records import Preference, Sample, StepResult
from corll.service.learning import checks
from corll.service.learning import trainer as trainer_module
from corll.service.learning.checks import Examined, reasons_against
from corll.service.learning.policies import VersionPolicies
from corll.service.learning.starting_points import first_lineage
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.schema import preferences as preference_table
from corll.service.versions import publishing
from corll.service.versions.references import import_reference
from corll.step import PreferenceOptimizer
from running_service import settings_for


def test_n_edits_make_a_version_that_serves(trainer: Trainer, user: User) -> None:
    add_edit(trainer, user, "Sorry about the parcel.", number=0)
    assert trainer.learn(user.id) is None  # N is 2
    add_edit(trainer, user, "It will arrive on Friday.", number=1)
    version = trainer.learn(user.id)
    assert version is not None
    assert (version.number, version.state, version.steps) == (1, "serving", 1)
    assert states(trainer, user) == ["learned", "learned"]
    assert trainer.learn(user.id) is None  # nothing is learned from twice
    assert version.folder is not None
    assert version.manifest_sha256 is not None
    assert version.folder == f"versions/{version.id}"
    folder = trainer.database.versions.at(version.folder)
    publishing.verify(folder, version.manifest_sha256)
    assert not any(b"parcel" in path.read_bytes() for path in folder.iterdir())


def test_what_was_loaded_to_learn_and_to_examine_is_freed(trainer: Trainer, user: User) -> None:
    def loaded() -> set[str]:
        names = [name for name, _ in trainer.base.base.model.named_parameters() if "lora_" in name]
        return {name.split(".")[-2] for name in names}

    before = loaded()
    add_edit(trainer, user, "Sorry about the parcel.")
    assert trainer.learn(user.id, all_that_waits=True) is not None
    assert loaded() == before


def test_all_that_waits_is_learned_where_it_is_asked_for(trainer: Trainer, user: User) -> None:
    add_edit(trainer, user, "Sorry about the parcel.")
    version = trainer.learn(user.id, all_that_waits=True)
    assert version is not None
    assert version.number == 1


@pytest.mark.parametrize("replayed", [0, 1, 3])
def test_steps_over_several_versions_are_those_of_one_learner(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    replayed: int,
) -> None:
    """Weights, Adam's moments, the schedule and what is replayed go on from version to version."""
    settings = settings_for(
        tiny_model_folder, tmp_path / "data", coactive={"replay_per_step": replayed}
    )
    trainer = Trainer(policy, database, settings)
    rows = []
    for number in range(6):
        add_edit(trainer, user, f"We are sorry, it is number {number}.", number=number)
        with trainer.database.read() as db:
            rows = preferences.preferences_of(db, user.id)
        if number in (1, 5):  # one step, then two in one version
            assert trainer.learn(user.id) is not None
    with trainer.database.read() as db:
        serving = lineages.serving_version(db, user.id)
    assert serving is not None
    assert (serving.number, serving.steps) == (2, 3)
    alone = Policy.load(tiny_model_folder, dtype="float32", lora=trainer.settings.lora)
    learner = CoactiveLearner(alone, trainer.settings.coactive)
    pairs = trainer.reader.to_preferences([replace(row, reference=None) for row in rows])
    for first in (0, 2, 4):
        learner.learn_batch(pairs[first : first + 2])
    with trainer.policies.of_version(serving) as served:
        found = served.trainable_parameters()
        for name, expected in alone.trainable_parameters().items():
            own = found[name.replace(alone.adapter, served.adapter)]
            assert own.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)


def test_a_step_reads_and_encodes_only_what_it_learns_from(
    policy: Policy,
    database: Database,
    user: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_for(tiny_model_folder, tmp_path / "data", coactive={"replay_per_step": 3})
    trainer = Trainer(policy, database, settings)
    for number in range(12):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    first = trainer.learn(user.id)
    assert first is not None
    assert first.steps == 6
    for number in range(12, 14):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    encode, encoded = TokenCodec.encode_edit, []

    def counted(codec: TokenCodec, draft: Sample, text: str) -> Sample:
        encoded.append(text)
        return encode(codec, draft, text)

    monkeypatch.setattr(TokenCodec, "encode_edit", counted)
    assert trainer.learn(user.id) is not None
    assert len(encoded) == 2 + 3
    assert encoded[:2] == ["Sorry, number 12.", "Sorry, number 13."]


def test_log_reference_of_what_was_learned_is_kept(trainer: Trainer, user: User) -> None:
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    with trainer.database.read() as db:
        assert [row.reference for row in preferences.preferences_of(db, user.id)] == [None, None]
    assert trainer.learn(user.id) is not None
    with trainer.database.read() as db:
        rows = preferences.preferences_of(db, user.id)
    for row, preference in zip(rows, trainer.reader.to_preferences(rows), strict=True):
        assert row.reference is not None
        assert isinstance(preference, Preference)
        assert preference.reference is not None
        sides = [preference.chosen, preference.rejected]
        expected = trainer.base.reference_logprobs([preference.prompt] * 2, sides).tolist()
        found = [preference.reference.chosen, preference.reference.rejected]
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_step_begins_while_edits_are_written(trainer: Trainer, user: User) -> None:
    """Until it has computed, a step keeps nobody from writing, and waits for nobody who does."""
    for number in range(4):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
        if number == 1:
            assert trainer.learn(user.id) is not None
    writing, computing = threading.Event(), threading.Event()

    def write_for_long(db: Connection) -> bool:
        accounts.audit(db, actor="a", action="note", subject="s", details={}, now=NOW)
        writing.set()
        return computing.wait(60)

    trainer.give_way = computing.set
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(trainer.database.write, write_for_long)
        assert writing.wait(60)
        version = trainer.learn(user.id)
        assert written.result() is True
    assert version is not None
    assert version.number == 2


def with_more_to_learn(trainer: Trainer, user: User) -> Version:
    """A version that serves, after which a step's edits wait."""
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    first = trainer.learn(user.id)
    assert first is not None
    for number in range(2, 4):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    return first


def test_a_step_from_what_no_longer_serves_is_not_registered(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_more_to_learn(trainer, user)

    def rolled_back_meanwhile(examined: Examined) -> list[str]:
        trainer.database.write(
            lambda db: lineages.rollback(db, user.id, to=0, requeue=False, actor="a", now=NOW)
        )
        return []

    monkeypatch.setattr(trainer_module, "reasons_against", rolled_back_meanwhile)
    assert trainer.learn(user.id) is None
    assert states(trainer, user) == ["set_aside", "set_aside", "waiting", "waiting"]
    assert [path.name for path in trainer.database.versions.at("versions").iterdir()] == [first.id]


def test_a_step_begins_again_where_what_it_started_from_was_erased_meanwhile(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_more_to_learn(trainer, user)

    def erase(version: Version) -> None:
        shutil.rmtree(trainer.database.versions.at(str(version.folder)))

    def erased_meanwhile(point: str) -> None:
        if point == "batch claimed" and trainer.database.versions.holds(str(first.folder)):
            trainer.database.write(
                lambda db: lineages.rollback(db, user.id, to=0, requeue=False, actor="a", now=NOW)
            )
            erase(first)

    monkeypatch.setattr(trainer_module, "reached", erased_meanwhile)
    assert trainer.learn(user.id) is None
    second = trainer.learn(user.id)
    assert second is not None
    assert (second.state, second.parent_id) == ("serving", None)
    erase(second)
    for number in range(4, 6):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    # Nobody took these weights away but some fault, which is to be heard of.
    with pytest.raises(StaleParentError, match=f"weights of version {second.number} are gone"):
        trainer.learn(user.id)


def test_a_version_that_fails_its_examination_never_serves(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    monkeypatch.setattr(checks, "CHECKS", (lambda _: "it is no good",))
    version = trainer.learn(user.id)
    assert version is not None
    assert (version.state, version.reasons) == ("rejected", ["it is no good"])
    with trainer.database.read() as db:
        assert lineages.serving_version(db, user.id) is None


def test_what_was_learned_in_vain_is_tried_again_with_half_the_step_and_then_set_aside(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = add_user(trainer.database, "other")
    for one in (user, other):
        for number in range(2):
            add_edit(trainer, one, f"Sorry, number {number}.", number=number)
    rates = []

    step = PreferenceOptimizer.step

    def noted(optimizer: PreferenceOptimizer, learned: Sequence[Preference]) -> StepResult:
        rates.append(optimizer.config.learning_rate)
        return step(optimizer, learned)

    monkeypatch.setattr(PreferenceOptimizer, "step", noted)
    monkeypatch.setattr(checks, "CHECKS", (lambda _: "it is no good",))
    trainer.learn(user.id)
    assert states(trainer, user) == ["waiting", "waiting"]
    trainer.learn(user.id)
    assert states(trainer, user) == ["set_aside", "set_aside"]
    with trainer.database.read() as db:
        found = [row.reason for row in preferences.preferences_of(db, user.id)]
    assert found == ["Version 2 was rejected, as one before it: it is no good."] * 2
    assert trainer.learn(user.id) is None
    trainer.learn(other.id)
    rate = trainer.settings.coactive.learning_rate
    assert rates == [rate, rate / 2, rate]


def test_what_was_learned_in_vain_may_serve_the_second_time(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "CHECKS", (lambda _: "it is no good",))
        trainer.learn(user.id)
    version = trainer.learn(user.id)
    assert version is not None
    assert (version.number, version.state, version.parent_id) == (2, "serving", None)
    assert states(trainer, user) == ["learned", "learned"]


def test_nothing_is_learned_without_consent(trainer: Trainer, user: User) -> None:
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    trainer.database.write(
        lambda db: accounts.set_consent(db, user.id, learn=False, actor="a", now=NOW)
    )
    assert trainer.learn(user.id, all_that_waits=True) is None
    with trainer.database.read() as db:
        assert lineages.current_lineage(db, user.id) is None


def test_nothing_is_learned_for_a_user_who_is_gone(trainer: Trainer) -> None:
    assert trainer.learn("user_gone", all_that_waits=True) is None


def test_two_learners_that_begin_at_once_begin_one_lineage(trainer: Trainer, user: User) -> None:
    first, second = (
        trainer.database.write(lambda db: first_lineage(db, trainer.base, user.id))
        for _ in range(2)
    )
    assert first == second


def test_steps_are_counted_on_where_the_optimizer_is_gone(trainer: Trainer, user: User) -> None:
    add_edit(trainer, user, "Sorry about the parcel.", number=0)
    first = trainer.learn(user.id, all_that_waits=True)
    assert first is not None
    trainer.database.write(lambda db: lineages.forget_optimizer(db, first.id))
    add_edit(trainer, user, "It will arrive on Friday.", number=1)
    second = trainer.learn(user.id, all_that_waits=True)
    assert second is not None
    assert (first.steps, second.steps) == (1, 2)


def test_an_edit_that_cannot_be_encoded_is_set_aside_and_the_rest_learned(
    trainer: Trainer, user: User
) -> None:
    add_edit(trainer, user, "word " * 600, number=0)  # over the context
    add_edit(trainer, user, "Sorry about the parcel.", number=1)
    version = trainer.learn(user.id)
    assert version is not None
    assert states(trainer, user) == ["set_aside", "learned"]
    with trainer.database.read() as db:
        too_long, learned = preferences.preferences_of(db, user.id)
        (entry,) = accounts.read_audit(db, subject=too_long.id)
        assert accounts.read_audit(db, subject=learned.id) == []
    assert "Shorten the response" in str(too_long.reason)
    assert learned.reason is None
    assert (entry.actor, entry.action) == ("learner", "set_aside")
    assert entry.details == {"reason": too_long.reason}


@pytest.mark.parametrize("cancelled", ["chosen", "rejected"])
def test_a_comparison_with_a_cancelled_draft_is_never_learned_from(
    trainer: Trainer, user: User, cancelled: str
) -> None:
    def compare(db: Connection) -> str:
        sides = {
            side: replace(
                drafted(trainer, user, number=number),
                prompt=[{"role": "user", "content": "The parcel is late."}],
                status="cancelled" if side == cancelled else "complete",
            )
            for number, side in enumerate(("chosen", "rejected"))
        }
        for draft in sides.values():
            drafts.add_draft(db, draft)
        return comparisons.record_comparison(
            db,
            **sides,
            chosen_choice=0,
            rejected_choice=0,
            will_learn=False,
            reason=None,
            idempotency_key=None,
            now=NOW,
        ).preference_id

    preference_id = trainer.database.write(compare)
    trainer.database.write(
        lambda db: accounts.set_consent(db, user.id, include_past=True, actor="a", now=NOW)
    )
    assert states(trainer, user) == ["withheld"]
    of_it = preference_table.c.id == preference_id
    trainer.database.write(
        lambda db: db.execute(update(preference_table).where(of_it).values(state="waiting"))
    )
    assert trainer.learn(user.id, all_that_waits=True) is None
    with trainer.database.read() as db:
        [row] = preferences.preferences_of(db, user.id)
    assert (row.state, "cancelled" in str(row.reason)) == ("set_aside", True)


def test_drafts_come_before_the_passes_of_an_examination(policy: Policy) -> None:
    asked = []
    learned = Preference("Hello", "Dear friend.", policy.sample(["Hello"], 1, 8, 0)[0][0])
    examined = Examined(policy.with_adapter(), [learned], 4.0, lambda: asked.append(1))
    reasons_against(examined)
    # π_0's own texts are drawn, scored under π_0 and under π; the edits are; refusals of π_0 are.
    # Of the 24 tokens of these texts 16 are drawn in a turn.
    assert len(asked) == 6
    examined.of_references.refusals["base"] = [1.0] * 8
    reasons_against(examined)
    assert len(asked) == 7  # only those of a reference that refuses are compared


def test_a_version_is_looked_at_beside_its_parent_and_what_was_sent_before(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = trainer.settings.with_settings(
        veto_drafts=3, coactive=trainer.settings.coactive.with_settings(replay_per_step=1)
    )
    looking = Trainer(trainer.base, trainer.database, settings)
    seen: list[tuple[list[str], bool, int]] = []

    def look(examined: Examined) -> list[str]:
        texts = [exchange.text for exchange in examined.sent]
        seen.append((texts, examined.parent is not None, len(examined.to_look_at)))
        return []

    monkeypatch.setattr(trainer_module, "reasons_against", look)
    for number in range(4):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
        if number % 2:
            assert looking.learn(user.id) is not None
    sent = [f"Sorry, number {number}." for number in range(4)]
    assert seen == [(sent[1::-1], False, 3), (sent[::-1], True, 3)]
    assert list(trainer.base.adapters._shapes) == ["policy"]


@pytest.mark.parametrize("replayed", [0, 2])
def test_what_a_version_is_held_to_and_weighed_by_is_loaded_and_read_once(
    trainer: Trainer, user: User, monkeypatch: pytest.MonkeyPatch, replayed: int
) -> None:
    """The texts of before are looked at too where no step replays any."""
    settings = trainer.settings.with_settings(
        veto_drafts=3,
        weigh_edits=True,
        coactive=trainer.settings.coactive.with_settings(replay_per_step=replayed),
    )
    looking = Trainer(trainer.base, trainer.database, settings)
    other = add_user(trainer.database, "bob")
    for number in range(2):
        add_edit(trainer, other, f"Bob's, number {number}.", number=number)
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    looked_at: list[list[str]] = []

    def look(examined: Examined) -> list[str]:
        looked_at.append([exchange.text for exchange in examined.sent])
        return []

    monkeypatch.setattr(trainer_module, "reasons_against", look)
    for one in (other, user):
        assert looking.learn(one.id) is not None
    looked_at.clear()
    for number in range(2, 4):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    loaded: list[int | None] = []
    encoded: list[str] = []
    load, encode = VersionPolicies.of_version, TokenCodec.encode_edit

    def counting(policies: VersionPolicies, version: Any, *rest: Any) -> Any:
        loaded.append(None if version is None else version.number)
        return load(policies, version, *rest)

    def counted(codec: TokenCodec, draft: Sample, text: str) -> Sample:
        encoded.append(text)
        return encode(codec, draft, text)

    monkeypatch.setattr(VersionPolicies, "of_version", counting)
    monkeypatch.setattr(TokenCodec, "encode_edit", counted)
    assert looking.learn(user.id) is not None
    sent = [f"Sorry, number {number}." for number in range(4)]
    assert looked_at == [sent[::-1]]
    assert loaded == [1, 1]  # to learn with, and to be held to
    assert encoded[:2] == sent[2:]
    assert sorted(encoded[2:]) == sorted(sent[:2] * (1 if replayed == 0 else 2))
    assert list(trainer.base.adapters._shapes) == ["policy"]


def test_two_users_have_two_sets_of_weights(trainer: Trainer, user: User) -> None:
    other = add_user(trainer.database, "bob")
    for number in range(2):
        add_edit(trainer, user, f"Dear friend, number {number}.", number=number)
        add_edit(trainer, other, f"No way, number {number}!", number=number)
    versions = [trainer.learn(person.id) for person in (user, other)]
    prompt = ["The parcel 0 is late."]
    scores = []
    for version in versions:
        assert version is not None
        with trainer.policies.of_version(version) as policy:
            scores.append(
                [
                    float(policy.implicit_rewards(prompt, [text]))
                    for text in ("Dear friend, number 0.", "No way, number 0!")
                ]
            )
    assert scores[0][0] > scores[0][1]
    assert scores[1][0] < scores[1][1]


def test_a_lineage_can_start_from_an_imported_adapter(
    trainer: Trainer, user: User, policy: Policy, tmp_path: Path
) -> None:
    shared = policy.with_adapter()
    for parameter in shared.trainable_parameters().values():
        parameter.data.normal_(std=0.1)
    shared.save(tmp_path / "shared")
    for number in range(2):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    assert trainer.learn(user.id) is not None
    reference = import_reference(
        trainer.database, tmp_path / "shared", name="shared", actor="a", now=NOW
    )
    assert reference.number == 2  # the base is the first
    trainer.database.write(
        lambda db: lineages.start_lineage(db, user_id=user.id, reference_id=reference.id, now=NOW)
    )
    assert states(trainer, user) == ["waiting", "waiting"]  # replayed in the new lineage
    prompt, text = ["The parcel is late."], ["We are sorry."]
    with trainer.policies.of_user(user.id) as start:
        assert float(start.logprobs(prompt, text)) == pytest.approx(
            float(shared.logprobs(prompt, text)), abs=1e-4
        )
    version = trainer.learn(user.id)
    assert version is not None
    assert version.reference_id == reference.id
    assert version.metrics["loss"] == pytest.approx(math.log(2), abs=1e-4)  # π = π_0 at its start
    with trainer.policies.of_user(user.id) as serving:
        assert serving.reference_name != "base"
        assert abs(float(serving.implicit_rewards(prompt, text))) > 1e-6


def test_what_is_no_adapter_or_of_another_base_is_no_reference(
    trainer: Trainer, user: User, policy: Policy, tmp_path: Path
) -> None:
    add_edit(trainer, user, "Sorry.")
    trainer.learn(user.id, all_that_waits=True)  # from then on the base is known
    policy.save(tmp_path / "other")
    about = {"base_model": {"name": "other", "fingerprint": "f" * 16}}
    (tmp_path / "other" / "corll_base.json").write_text(json.dumps(about))
    for folder, said in ((tmp_path, "no adapter"), (tmp_path / "other", "another base")):
        with pytest.raises(AdapterError, match=said):
            import_reference(trainer.database, folder, name="x", actor="a", now=NOW)
