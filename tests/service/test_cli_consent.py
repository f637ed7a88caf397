"""`corll consent`: the switches are shown, given and withdrawn, as the API has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from store_samples import NOW, draft_of

from corll.cli.consent import main
from corll.errors import ConfigError
from corll.service.store import accounts
from corll.service.store.accounts import find_user_called, read_audit
from corll.service.store.database import Database
from corll.service.store.drafts import add_draft
from corll.service.store.preferences import NewPreference, add_preference, count_waiting


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, database_of_commands: str | None) -> None:
    for name in ("CORLL_HOST", "CORLL_STORE_BY_DEFAULT"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(arguments)
    return capsys.readouterr().out


def _ben_with_an_edit_that_is_withheld(db: Connection) -> str:
    user = accounts.get_or_create_user(db, "local", "ben", store=True, now=NOW)
    sides: dict[str, Any] = {"chosen": {"text": "Hello."}, "rejected": {"text": "Ho"}}
    draft = draft_of(user)
    add_draft(db, draft)
    about = NewPreference(user.id, "edit", draft.id, "Hi", **sides)
    add_preference(db, about, will_learn=False, now=NOW)
    return user.id


def test_consent_is_given_before_the_first_draft_and_withdrawn(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = said(capsys, "give", "store", "learn", "--user", "anna")
    assert "anna (user_" in given
    assert [line.split()[:2] for line in given.splitlines()[1:]] == [
        ["store", "yes"],
        ["learn", "yes"],
        ["share", "no"],
    ]
    assert said(capsys, "show", "--user", "anna") == given
    assert "learn  no" in said(capsys, "withdraw", "learn", "share", "--user", "anna")
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        user = find_user_called(db, "local", "anna")
        assert user is not None
        assert (user.store, user.learn, user.share) == (True, False, False)
        entries = read_audit(db, subject=user.id)
    database.close()
    assert [entry.action for entry in entries] == ["consent", "consent"]
    assert all(entry.actor.startswith("cli ") for entry in entries)


def test_what_came_before_is_learned_from_only_where_that_is_said(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database.open(database_url, tmp_path)

    user_id = database.write(_ben_with_an_edit_that_is_withheld)
    hint = "1 edit was made while the user did not agree"
    assert hint in said(capsys, "show", "--user", "ben")
    assert hint in said(capsys, "give", "learn", "--user", "ben")
    with database.read() as db:
        assert count_waiting(db, user_id) == 0
    assert hint not in said(capsys, "give", "learn", "--include-past", "--user", "ben")
    with database.read() as db:
        assert count_waiting(db, user_id) == 1
    database.close()


def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "give", "store")
    with pytest.raises(ConfigError, match="has no user 'nobody'"):
        main(["show", "--user", "nobody"])
    with pytest.raises(ConfigError, match="give learn with it"):
        main(["give", "store", "--include-past"])
    for arguments in (["give"], ["withdraw", "upstream"]):
        with pytest.raises(SystemExit):
            main(arguments)
    with pytest.raises(ConfigError, match="no `corll consent set`"):
        main(["set"])


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_nobody_is_made_of_a_name_that_cannot_be_one(
    name: str, tmp_path: Path, database_url: str | None
) -> None:
    with pytest.raises(SystemExit):
        main(["give", "learn", "--user", name])
    main(["give", "learn", "--user", "a" * 64])
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        assert [user.name for user in accounts.users_of(db, None)] == ["a" * 64]
    database.close()
