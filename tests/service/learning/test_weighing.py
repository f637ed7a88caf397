"""What edits say of the version before them: kept, proposed to the coin, and heeded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from teaching import NOW, add_edit, add_user

from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Preference
from corll.service.learning import checks
from corll.service.learning import trainer as trainer_module
from corll.service.learning.trainer import Trainer
from corll.service.learning.weighing import keep, weigh
from corll.service.store import coins, lineages
from corll.service.store.accounts import User
from corll.verdicts.arms import TRIED, Arm, Coin
from corll.verdicts.evidence import EditScores, Evidence

HARM: dict[Arm, EditScores] = {"weights": EditScores(4.0, None), "base": EditScores(3.0, None)}


@pytest.fixture
def weighing(trainer: Trainer) -> Trainer:
    trainer.settings = trainer.settings.with_settings(weigh_edits=True)
    return trainer


def preference(policy: Policy, **changes: Any) -> Preference:
    prompt = "The parcel is late."
    draft = policy.sample([prompt], 1, 8, 1)[0][0]
    edit = policy.codec.encode_edit(draft, f"Sorry. {draft.text}")
    return replace(Preference(prompt, edit, draft), **changes)


def kept(trainer: Trainer, user: User) -> Evidence:
    with trainer.database.read() as db:
        return coins.evidence_of(db, user.id)


def teach(trainer: Trainer, user: User, *, first: int) -> lineages.Version:
    for number in (first, first + 1):
        add_edit(trainer, user, f"Sorry, number {number}.", number=number)
    version = trainer.learn(user.id)
    assert version is not None
    return version


def tell(trainer: Trainer, user: User, found: list[dict[Arm, EditScores]]) -> None:
    trainer.database.write(lambda db: keep(db, user.id, trainer.settings, found))


def test_an_edit_is_weighed_behind_what_its_draft_was_drawn_behind(policy: Policy) -> None:
    (bare,) = weigh(policy, [preference(policy)], [])
    assert set(bare) == {"base", "weights"}
    past = (Exchange("Tea?", "Gladly. Ada"),)
    (with_letters,) = weigh(policy, [preference(policy, memory=past)], [])
    assert set(with_letters) == {"base", "memory", "weights", "both"}
    assert with_letters["base"] == bare["base"]
    assert with_letters["memory"] != with_letters["base"]


def test_what_the_context_has_no_room_for_says_nothing(policy: Policy) -> None:
    found = preference(policy)
    too_long = replace(found, prompt="late " * 3 * int(policy.codec.context_length or 0))
    assert len(weigh(policy, [too_long, found], [])) == 1


def test_edits_of_a_version_are_weighed_once_the_next_one_serves(
    weighing: Trainer, user: User
) -> None:
    other = add_user(weighing.database, "other")
    teach(weighing, user, first=0)
    assert kept(weighing, user).learned.count == 0  # no version was there to be weighed
    teach(weighing, user, first=2)
    evidence = kept(weighing, user)
    assert (evidence.learned.count, evidence.letters.count) == (2, 0)
    assert kept(weighing, other) == Evidence()


def test_nothing_is_weighed_where_that_is_switched_off(trainer: Trainer, user: User) -> None:
    teach(trainer, user, first=0)
    teach(trainer, user, first=2)
    assert kept(trainer, user) == Evidence()


def test_a_version_that_learns_where_learning_does_harm_is_half_as_strong(
    weighing: Trainer, user: User
) -> None:
    other = add_user(weighing.database, "other")
    for one in (user, other):
        teach(weighing, one, first=0)
    tell(weighing, user, [HARM] * 20)
    assert kept(weighing, user).learned.verdict == "worse"
    weak, strong = (teach(weighing, one, first=2) for one in (user, other))
    assert (weak.metrics["strength"], weak.has_optimizer) == (0.5, False)
    assert "strength" not in strong.metrics
    assert strong.has_optimizer
    with (
        weighing.policies.of_version(weak) as half,
        weighing.policies.of_version(strong) as whole,
    ):
        halved, full = half.trainable_parameters(), whole.trainable_parameters()
        assert any("lora_B" in name for name in full)
        for name, weight in full.items():
            expected = weight / 2 if "lora_B" in name else weight
            torch.testing.assert_close(halved[name], expected)
    # What was said before was of a stronger one; the two edits were of the one in between.
    assert kept(weighing, user).learned.count == 2
    assert "strength" not in teach(weighing, user, first=4).metrics


def test_a_rejected_version_is_no_answer_to_harm(
    weighing: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(weighing, user, first=0)
    tell(weighing, user, [HARM] * 20)
    monkeypatch.setattr(checks, "CHECKS", (lambda _: "it is no good",))
    assert teach(weighing, user, first=2).state == "rejected"
    assert kept(weighing, user).learned.verdict == "worse"


def test_edits_that_are_tried_again_are_weighed_once(
    weighing: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(weighing, user, first=0)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "CHECKS", (lambda _: "it is no good",))
        assert teach(weighing, user, first=2).state == "rejected"
    assert kept(weighing, user).learned.count == 2
    again = weighing.learn(user.id)
    assert again is not None
    assert again.state == "serving"
    assert kept(weighing, user).learned.count == 2


def test_nothing_is_kept_of_weights_that_a_user_has_left_meanwhile(
    weighing: Trainer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teach(weighing, user, first=0)

    def weigh_while_the_user_leaves(*args: Any, **others: Any) -> Any:
        weighing.database.write(
            lambda db: lineages.start_lineage(
                db, user_id=user.id, reference_id=first.reference_id, now=NOW
            )
        )
        return weigh(*args, **others)

    monkeypatch.setattr(trainer_module, "weigh", weigh_while_the_user_leaves)
    teach(weighing, user, first=2)
    assert kept(weighing, user) == Evidence()


def test_what_is_found_better_is_proposed_to_the_coin(trainer: Trainer, user: User) -> None:
    watching = Coin.between("weights", "memory").give_up()
    trainer.database.write(lambda db: coins.keep_coin(db, user.id, watching, now=NOW))
    tell(trainer, user, [HARM] * 20)
    with trainer.database.read() as db:
        coin = coins.coin_of(db, user.id)
    assert coin is not None
    assert (coin.serving, coin.challenger, coin.share) == ("weights", "base", TRIED)


def test_a_trial_under_way_goes_on_whatever_is_proposed(trainer: Trainer, user: User) -> None:
    trying = Coin.between("weights", "memory")
    trainer.database.write(lambda db: coins.keep_coin(db, user.id, trying, now=NOW))
    tell(trainer, user, [HARM] * 20)
    with trainer.database.read() as db:
        assert coins.coin_of(db, user.id) == trying
