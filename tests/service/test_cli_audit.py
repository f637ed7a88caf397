"""`corll audit`: a page and JSON of a data folder, and what is refused before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from teaching import add_edit

from corll.cli.audit import main
from corll.errors import ConfigError, InputError
from corll.policy import Policy
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts
from corll.service.store.accounts import User
from corll.service.store.database import Database
from running_service import settings_for

OF_ANNA = ["--user", "anna"]
FEW = ["--canaries", "1", "--alternatives", "31", "--samples", "2"]


@pytest.fixture
def database(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    variables = {
        "DATA_DIR": tmp_path,
        "MODEL": tiny_model_folder,
        "DTYPE": "float32",
        "REPLAY_PER_STEP": 0,
        "LEARNING_RATE": 3e-3,
        "WARMUP_STEPS": 0,
        "MEMORY_LIMIT_GB": 0.5,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"CORLL_{name}", str(value))
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    database = Database.open(None, tmp_path)
    yield database
    database.close()


@pytest.fixture
def anna(database: Database) -> User:
    return database.write(
        lambda db: accounts.get_or_create_user(db, "local", "anna", store=True, learn=True, now=0.0)
    )


def learned(database: Database, user: User, model: Path, folder: Path) -> list[str]:
    """The ids of two edits that a version learned from."""
    policy = Policy.load(model, dtype="float32")
    trainer = Trainer(policy, database, settings_for(model, folder))
    texts = ["Hello, it is 482913.", "Sorry."]
    ids = [add_edit(trainer, user, text, number=n).id for n, text in enumerate(texts)]
    assert trainer.learn(user.id) is not None
    return ids


def test_a_page_and_json_of_the_same_audit(
    database: Database,
    anna: User,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = learned(database, anna, tiny_model_folder, tmp_path)
    main([*OF_ANNA, *FEW])
    page = capsys.readouterr()
    assert "anna, version 1 on" in page.out
    assert "2 texts, learned in 1 steps" in page.out
    assert "1 secrets of six digits" in page.out
    assert "1 rare strings of the user's own were looked for" in page.out
    main([*OF_ANNA, *FEW, "--json"])
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["user"], found["texts"], found["steps"]) == ("anna", 2, 1)
    [string] = found["strings"]
    assert (string["text_id"], string["words"]) == (ids[0], "482913")
    assert len(found["canaries"]) == 1
    # What goes elsewhere than to standard output tells no secret.
    for err in (page.err, told.err):
        assert "482913" not in err
        assert found["canaries"][0]["secret"] not in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--user", "nobody"], "has no user 'nobody'"),
        (OF_ANNA, "anna has no version yet"),
        ([*OF_ANNA, "--data-dir", "/nowhere"], "no database in /nowhere"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    database: Database,
    anna: User,
    arguments: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORLL_MODEL", "/no/model")  # which is not loaded for that
    with pytest.raises(ConfigError, match=problem):
        main(arguments)


def test_who_does_not_let_anything_be_learned_is_not_audited(
    database: Database, anna: User
) -> None:
    database.write(lambda db: accounts.set_consent(db, anna.id, learn=False, actor="a", now=0.0))
    with pytest.raises(ConfigError, match="anna has not agreed"):
        main(OF_ANNA)


def test_more_canaries_than_edits_are_refused(
    database: Database, anna: User, tiny_model_folder: Path, tmp_path: Path
) -> None:
    learned(database, anna, tiny_model_folder, tmp_path)
    with pytest.raises(InputError, match="--canaries"):
        main([*OF_ANNA, "--canaries", "3"])
