"""A trainer on a tiny model and a real database, and a user."""

from __future__ import annotations

from pathlib import Path

import pytest
from teaching import add_user

from corll.policy import Policy
from corll.service.learning.trainer import Trainer
from corll.service.store.accounts import User
from corll.service.store.database import Database
from running_service import settings_for


@pytest.fixture
def trainer(policy: Policy, database: Database, tiny_model_folder: Path, tmp_path: Path) -> Trainer:
    return Trainer(policy, database, settings_for(tiny_model_folder, tmp_path / "data"))


@pytest.fixture
def user(database: Database) -> User:
    return add_user(database, "ann")
