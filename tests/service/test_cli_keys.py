"""`corll keys`: a key is made, opens the store, is listed without its secret, and revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from corll.cli.keys import main
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
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CORLL_DATABASE", "CORLL_HOST", "CORLL_STORE_BY_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORLL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def create(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    main(["create", *flags])
    return capsys.readouterr().out.strip()


def test_a_key_of_a_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = create(
        capsys, *"--scope backend --namespace shop --label desk --rate-per-minute 90".split()
    )
    database = Database.open(None, tmp_path)
    with database.read() as db:
        key = find_key(db, secret)
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
    database = Database.open(None, tmp_path)
    with database.read() as db:
        keys = [find_key(db, secret) for secret in (first.out.strip(), second)]
        assert keys[0] is not None
        assert keys[1] is not None
        assert keys[0].user_id == keys[1].user_id is not None
        user = find_user(db, keys[0].user_id)
        assert user is not None
        assert (user.name, user.namespace, user.store) == ("anna", "local", stored)
    database.close()


def test_a_key_of_a_user_who_agreed_says_what_they_agreed_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(capsys, "--user", "anna")
    database = Database.open(None, tmp_path)
    with database.read() as db:
        user = find_user_called(db, "local", "anna")
    assert user is not None
    database.write(lambda db: set_consent(db, user.id, store=True, learn=True, actor="a", now=1.0))
    database.close()
    main(["create", "--user", "anna"])
    assert "whose texts are kept and learned from" in capsys.readouterr().err


def test_list_and_revoke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    database = Database.open(None, tmp_path)
    with database.read() as db:
        key = find_key(db, secret)
        assert key is not None
    monkeypatch.setenv("COLUMNS", "60")
    main(["list"])
    assert key.id in capsys.readouterr().out
    main(["revoke", key.id])
    with database.read() as db:
        assert find_key(db, secret) is None
    database.close()
    with pytest.raises(ConfigError, match="no key"):
        main(["revoke", key.id])


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


@pytest.mark.parametrize(
    ("flags", "problem"), [(["make"], "create, list, revoke"), (["list"], "no database")]
)
def test_what_cannot_be(flags: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        main(flags)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert "revoke" in capsys.readouterr().out
