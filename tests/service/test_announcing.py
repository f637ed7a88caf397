"""What is told whoever starts the server: keys once, an address that works, the link last."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corll.cli import link
from corll.errors import ConfigError
from corll.service.announcing import address_for_people, address_noted, announce, noted_address
from corll.service.folder_lock import only_server
from corll.service.logs import set_up_logging
from corll.service.settings import ServiceSettings
from corll.service.store import accounts
from corll.service.store.accounts import DEFAULT_USER
from corll.service.store.database import Database
from running_service import ADMIN_KEY

PROXY: dict[str, Any] = {"behind_proxy": True}
TLS: dict[str, Any] = {"tls_certificate": Path("c.pem"), "tls_key": Path("k.pem")}
NAMED: dict[str, Any] = {"public_hosts": ("write.example.org", "other.example.org")}


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "http://127.0.0.1:8377"),
        ({"host": "::1"}, "http://[::1]:8377"),
        ({"host": "localhost"}, "http://localhost:8377"),
        ({"host": "0.0.0.0", **TLS}, "https://127.0.0.1:8377"),
        ({"host": "::", **PROXY}, "http://[::1]:8377"),
        ({"host": "0.0.0.0", **TLS, **NAMED}, "https://write.example.org:8377"),
        ({"host": "0.0.0.0", **PROXY, **NAMED}, "https://write.example.org"),
        ({"host": "write.example.org", **TLS}, "https://write.example.org:8377"),
    ],
)
def test_the_address_that_is_shown_can_be_opened(changes: dict[str, Any], address: str) -> None:
    assert address_for_people(ServiceSettings(**changes), 8377) == address


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(None, tmp_path)
    yield opened
    opened.close()


def told(database: Database, tmp_path: Path, **changes: Any) -> list[str]:
    settings = ServiceSettings(data_dir=tmp_path, **changes)
    lines: list[str] = []
    about: Any = {"model": "m", "address": "http://127.0.0.1:8377", "log_file": None}
    announce(settings, database, lines.append, **about)
    return lines


def test_keys_are_made_once_and_the_link_comes_last_and_alone(
    database: Database, tmp_path: Path
) -> None:
    lines = told(database, tmp_path)
    assert lines[0] == "corll serves m at http://127.0.0.1:8377/v1 (stop with Ctrl-C)"
    own, admin = (line.partition("shown this once: ")[2] for line in lines[1:3])
    assert lines[-1].startswith("http://127.0.0.1:8377/sign-in?token=")
    assert " " not in lines[-1]
    with database.read() as db:
        found = [accounts.find_key(db, secret, now=1.0) for secret in (own, admin)]
        user = accounts.find_user_by_name(db, "local", DEFAULT_USER)
    assert user is not None
    assert [(key.scope, key.user_id) for key in found if key] == [
        ("user", user.id),
        ("admin", None),
    ]
    assert not any("shown this once" in line for line in told(database, tmp_path))


def test_whoever_chose_the_admin_key_makes_the_others(database: Database, tmp_path: Path) -> None:
    assert not any("shown" in line for line in told(database, tmp_path, admin_key=ADMIN_KEY))


def test_other_machines_are_told_what_they_need(database: Database, tmp_path: Path) -> None:
    lines = told(database, tmp_path, host="0.0.0.0", behind_proxy=True)
    assert any("--public-hosts" in line for line in lines)
    lines = told(database, tmp_path, host="0.0.0.0", behind_proxy=True, **NAMED)
    assert not any("--public-hosts" in line for line in lines)


def test_corll_link_knows_where_the_server_answers(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(database, tmp_path)
    flags = ["--data-dir", str(tmp_path)]
    with only_server(tmp_path), address_noted(tmp_path, "http://127.0.0.1:4711"):
        link.main(flags)
        assert capsys.readouterr().out.startswith("http://127.0.0.1:4711/sign-in?token=")
        with address_noted(tmp_path, "http://127.0.0.1:4712"):
            assert noted_address(tmp_path) == "http://127.0.0.1:4712"
    link.main([*flags, "--url", "https://write.example.org/v1"])
    assert capsys.readouterr().out.startswith("https://write.example.org/sign-in?token=")
    link.main(flags)
    shown = capsys.readouterr()
    assert shown.out.startswith("http://127.0.0.1:8377/sign-in?token=")
    assert "No service runs" in shown.err


def test_where_a_server_that_was_killed_answered_is_not_where_one_answers(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(database, tmp_path)
    (tmp_path / "server.url").write_text("http://127.0.0.1:4711\n")  # a killed one leaves it
    link.main(["--data-dir", str(tmp_path)])
    shown = capsys.readouterr()
    assert shown.out.startswith("http://127.0.0.1:8377/sign-in?token=")
    assert "No service runs" in shown.err


def test_where_a_person_watches_the_log_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings(data_dir=tmp_path / "data")
    assert set_up_logging(settings) is None
    logging.getLogger("corll").warning("to stderr")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    file = set_up_logging(settings)
    assert file == tmp_path / "data" / "server.log"
    logging.getLogger("corll").warning("to a file")
    shown = capsys.readouterr().err
    assert "to stderr" in shown
    assert "to a file" not in shown
    assert "to a file" in file.read_text()
    logging.getLogger().handlers[0].close()
    elsewhere = tmp_path / "log" / "corll.log"
    assert set_up_logging(settings.with_settings(log_file=elsewhere)) == elsewhere
    with pytest.raises(ConfigError, match="--log-file"):
        set_up_logging(settings.with_settings(log_file=tmp_path))


def test_a_large_log_of_an_earlier_start_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corll.service.logs._LARGEST_LOG", 10)
    file = tmp_path / "corll.log"
    file.write_text("more than ten bytes")
    set_up_logging(ServiceSettings(log_file=file))
    assert (file.read_text(), (tmp_path / "corll.log.1").read_text()) == ("", "more than ten bytes")
