"""How many learners a queue asks for, and whose work is in it."""

from __future__ import annotations

from typing import Any

import pytest
from teaching import NOW, add_edit, add_user, begun

from corll.errors import ConfigError
from corll.service.learning.ray_fleet import learners_wanted, users_in_queue
from corll.service.learning.trainer import Trainer
from corll.service.roles import LearnerSettings
from corll.service.store import preferences
from corll.service.store.accounts import User


def settings_of(**given: Any) -> LearnerSettings:
    return LearnerSettings(most_learners=3, users_per_learner=2, **given)


@pytest.mark.parametrize(
    ("users", "learners"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (100, 3)]
)
def test_how_many_learners_a_queue_asks_for(users: int, learners: int) -> None:
    assert learners_wanted(users, settings_of()) == learners


def test_none_where_none_are_needed() -> None:
    assert [learners_wanted(users, settings_of(fewest_learners=0)) for users in (0, 1)] == [0, 1]


def test_bounds_that_cross_are_refused() -> None:
    assert settings_of(fewest_learners=3).fewest_learners == 3
    with pytest.raises(ConfigError, match="fewest_learners is 4, more than most_learners"):
        settings_of(fewest_learners=4)


def test_a_user_is_in_the_queue_who_has_a_step_asked_or_texts_to_import(
    trainer: Trainer, user: User
) -> None:
    database, bob = trainer.database, add_user(trainer.database, "bob")
    assert users_in_queue(database, 2) == 0
    add_edit(trainer, user, "One.")
    assert users_in_queue(database, 2) == 0
    assert users_in_queue(database, 1) == 1
    database.write(lambda db: preferences.ask_to_learn(db, user.id, now=NOW))
    assert users_in_queue(database, 2) == 1
    add_edit(trainer, user, "Two.", number=1)
    assert users_in_queue(database, 2) == 1
    begun(trainer, bob, 3)
    assert users_in_queue(database, 2) == 2
