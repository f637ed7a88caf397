"""`corll keys`: a key is made, opens the store, is listed without its secret, and revoked."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from store_samples import ON_SQLITE

from corll.cli.keys import RotateKeySettings, main
from corll.errors import ConfigError
from corll.service.store.accounts import (
    find_key,
    find_user,
    find_user_called,
    read_audit,
    set_consent,
)
from corll.service.store.database import Database


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, database_of_commands: str | None) -> None:
    for name in ("CORLL_HOST", "CORLL_STORE_BY_DEFAULT"):
        monkeypatch.delenv(name, raising=False)


def create(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    main(["create", *flags])
    return capsys.readouterr().out.strip()


def test_a_key_of_a_backend(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = create(
        capsys, *"--scope backend --namespace shop --label desk --rate-per-minute 90".split()
    )
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        key = find_key(db, secret, now=time.time())
        assert key is not None
        assert (key.scope, key.namespace, key.label, key.user_id) == (
            "backend",
            "shop",
            "desk",
            None,
        )
        assert key.rate_per_minute == 90
        (entry,) = read_audit(db, subject=key.id)
        assert entry.actor.startswith("cli ")
    database.close()


@pytest.mark.parametrize("stored", [True, False])
def test_a_key_of_a_user(
    tmp_path: Path,
    database_url: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stored: bool,
) -> None:
    monkeypatch.setenv("CORLL_STORE_BY_DEFAULT", str(stored))
    main(["create", "--user", "anna"])
    first = capsys.readouterr()
    kept = "are kept" if stored else "are not kept"
    assert f"whose texts {kept}, and not learned from" in first.err
    second = create(capsys, "--user", "anna")
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        keys = [find_key(db, secret, now=time.time()) for secret in (first.out.strip(), second)]
        assert keys[0] is not None
        assert keys[1] is not None
        assert keys[0].user_id == keys[1].user_id is not None
        user = find_user(db, keys[0].user_id)
        assert user is not None
        assert (user.name, user.namespace, user.store) == ("anna", "local", stored)
    database.close()


def test_a_key_of_a_user_who_agreed_says_what_they_agreed_to(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    create(capsys, "--user", "anna")
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        user = find_user_called(db, "local", "anna")
    assert user is not None
    database.write(lambda db: set_consent(db, user.id, store=True, learn=True, actor="a", now=1.0))
    database.close()
    main(["create", "--user", "anna"])
    assert "whose texts are kept and learned from" in capsys.readouterr().err


def test_list_and_revoke(
    tmp_path: Path,
    database_url: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = create(capsys, "--user", "anna")
    create(capsys, "--scope", "backend", "--namespace", "shop")
    main(["list"])
    shown = capsys.readouterr().out
    assert "anna" in shown
    assert "shop" in shown
    assert secret not in shown
    main(["list", "--namespace", "shop"])
    assert "anna" not in capsys.readouterr().out
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        key = find_key(db, secret, now=time.time())
        assert key is not None
    monkeypatch.setenv("COLUMNS", "60")
    main(["list"])
    assert key.id in capsys.readouterr().out
    main(["revoke", key.id])
    with database.read() as db:
        assert find_key(db, secret, now=time.time()) is None
    database.close()
    with pytest.raises(ConfigError, match="no key"):
        main(["revoke", key.id])


def test_a_list_shows_whole_dates_and_a_rate_where_a_key_has_one(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    create(capsys, "--user", "anna", "--label", "of a desk in the long corridor " * 4)
    main(["list"])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == "id scope name space user label made ends".split()
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d +–\s*$", row)
    create(capsys, "--user", "ben", "--rate-per-minute", "7")
    main(["list"])
    assert "a minute" in capsys.readouterr().out.splitlines()[0]


@ON_SQLITE
def test_a_data_folder_may_begin_with_the_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORLL_DATA_DIR", "~/of-commands")
    create(capsys, "--user", "anna")
    assert (tmp_path / "of-commands" / "corll.db").exists()
    main(["list"])
    assert "anna" in capsys.readouterr().out
    main(["list", "--data-dir=~/of-commands"])
    assert "anna" in capsys.readouterr().out


def test_rotate(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    old = create(capsys, "--user", "anna")
    database = Database.open(database_url, tmp_path)
    with database.read() as db:
        key = find_key(db, old, now=time.time())
        assert key is not None
    main(["rotate", key.id, "--overlap", "2h"])
    shown = capsys.readouterr()
    assert f"{key.id} ends " in shown.err
    later = time.time() + 2 * 3600
    with database.read() as db:
        assert find_key(db, old, now=later - 60) is not None
        assert find_key(db, old, now=later + 60) is None
        new = find_key(db, shown.out.strip(), now=later + 60)
    assert new is not None
    assert (new.user_id, new.scope) == (key.user_id, "user")
    database.close()
    with pytest.raises(ConfigError, match="that goes on; see"):
        main(["rotate", key.id])


@ON_SQLITE
@pytest.mark.parametrize(
    ("overlap", "taken"), [("30d", True), ("0s", True), ("31d", False), ("1 day", False)]
)
def test_how_long_an_overlap_may_be(overlap: str, taken: bool) -> None:
    settings = {"key": "key_1", "overlap": overlap}
    if taken:
        assert RotateKeySettings(**settings).overlap_s in (0, 30 * 86_400)
    else:
        with pytest.raises(ConfigError, match="overlap"):
            RotateKeySettings(**settings)


@ON_SQLITE
@pytest.mark.parametrize(
    ("flags", "problem"),
    [(["--scope", "user"], "needs user"), (["--scope", "backend", "--user", "anna"], "take none")],
)
def test_a_scope_and_a_user_that_do_not_fit(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        main(["create", *flags])
    assert problem in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@ON_SQLITE
@pytest.mark.parametrize(
    ("flags", "problem"), [(["make"], "create, list, rotate, revoke"), (["list"], "no database")]
)
def test_what_cannot_be(flags: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        main(flags)


@ON_SQLITE
def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert "revoke" in capsys.readouterr().out
