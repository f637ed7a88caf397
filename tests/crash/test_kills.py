"""The short form of the crash tests: `make crash-test` is the long one."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from corll.durable_points import POINTS
from corll.files.durable import append_line, read_lines
from crash import __main__ as command
from crash.cases import OF_STORES, Case, named_cases, points_of, random_cases
from crash.chain import kill_again_and_again
from crash.databases import databases
from crash.ledger import Ledger
from crash.play import Outcome, Template, make_template, play
from crash.report import summary
from crash.service import Service, WarmParent
from postgres_server import why_not


def test_a_service_that_dies_at_each_durable_point_loses_nothing(
    service: Service, ledger: Ledger
) -> None:
    """One after the other, then at random moments."""
    cases = [*named_cases(1, points_of(has_store=False)), *random_cases(2)]
    assert {case.point for case in cases if case.kind == "named"} == set(POINTS) - set(OF_STORES)
    assert kill_again_and_again(service, ledger, cases) == []


def test_a_service_that_dies_within_an_upload_to_a_store_loses_nothing(
    parent: WarmParent, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """After the first file, after all of them, after the manifest, and before the row."""
    template = make_template(parent, tiny_model_folder, tmp_path / "data", has_store=True)
    service = Service(parent, tiny_model_folder, template.folder, {}, has_store=True)
    cases = named_cases(1, (*OF_STORES, "version examined", "version written"))
    try:
        assert kill_again_and_again(service, template.ledger, cases) == []
        assert not (template.folder / "versions").exists()
    finally:
        service.close()


def test_a_case_of_the_long_form(
    parent: WarmParent, tiny_model_folder: Path, template: Template, tmp_path: Path
) -> None:
    case = Case("named", "edit committed", 0)
    outcome = play(parent, tiny_model_folder, template, case, tmp_path / "case")
    assert outcome.violations == []
    assert outcome.died == "server"
    assert outcome.recovered_s is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_case_on_postgresql(parent: WarmParent, tiny_model_folder: Path, tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    case = Case("named", "edit committed", 0)
    with databases("postgres") as made, made.new() as url:
        assert url is not None
        template = make_template(parent, tiny_model_folder, tmp_path / "template", url)
        assert not list(template.folder.glob("corll.db"))
        outcome = play(parent, tiny_model_folder, template, case, tmp_path / "case", made)
    assert (outcome.violations, outcome.died) == ([], "server")


def test_a_run_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "kills.jsonl"
    first, second = list(named_cases(1, POINTS))[:2]
    outcome = Outcome("server", 1.0, 2.0, [])
    append_line(results, first._asdict() | outcome._asdict())
    with results.open("a") as file:
        file.write('{"kind": "nam')  # stopped in mid-line
    played: list[Case] = []

    def note(*given: object) -> Outcome:
        case = given[3]
        assert isinstance(case, Case)
        played.append(case)
        return outcome

    monkeypatch.setattr(command, "play", note)
    monkeypatch.setattr(command, "warm_parent", nullcontext)
    monkeypatch.setattr(command, "make_template", lambda *_, **__: None)
    command.run([first, second], results)
    assert played == [second]
    assert [line["point"] for _, line in read_lines(results)] == [first.point, second.point]
    command.run([first, second], results)
    assert played == [second]


def test_the_summary_says_what_did_not_hold_and_how_long_it_took() -> None:
    case = Case("named", "step done", 3)
    lines = [
        case._asdict() | Outcome("server", 1.0, 2.0, [])._asdict(),
        case._asdict() | Outcome("server", 3.0, 2.0, ["edit edit_1 is lost"])._asdict(),
        Case("random", "", 9, cold=True)._asdict() | Outcome("both", 4.0, 2.0, [])._asdict(),
    ]
    told = summary(lines)
    assert "named: 2 cases; died: 2 server" in told
    assert "recovery of the server, warm: median 2.00 s, 95 % within 2.90 s (2 cases)" in told
    assert "recovery of the server, cold: median 4.00 s" in told
    assert "something did not hold: 1\n  named step done 3: edit edit_1 is lost" in told
