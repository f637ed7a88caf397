"""`corll import` against a small service over HTTP: progress, what it brought, what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from corll.cli.imports import ImportSettings, main
from corll.errors import ConfigError, InputError, TrainingError
from corll.schemas.answers import Import
from corll.service.settings import ServiceSettings
from service_server import serve

RESULT = {
    "edit_cost_before": {"mean": 0.41, "low": 0.3, "high": 0.5},
    "edit_cost_after": {"mean": 0.3, "low": 0.2, "high": 0.4},
    "change": {"mean": -0.268, "low": -0.5, "high": -0.02},
    "surprisal_before": {"mean": 2.5, "low": 2.25, "high": 2.75},
    "surprisal_after": {"mean": 1.5, "low": 1.25, "high": 1.75},
    "held_out": 4,
    "version": 2,
}
WAITING = Import(
    id="import_1",
    object="import",
    user="user_1",
    state="waiting",
    total=2,
    used=0,
    result=None,
    error=None,
    created_at=1.0,
    finished_at=None,
)


class Service:
    """Takes an import, and is one state further each time it is asked."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = [
            {"state": "running", "used": 1},
            {"state": "done", "used": 2, "result": RESULT},
        ]
        self.refusal: tuple[int, str] | None = None

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/imports")
        def start(body: dict[str, Any]) -> JSONResponse:
            if self.refusal is not None:
                status, message = self.refusal
                return JSONResponse({"error": {"message": message}}, status)
            self.bodies.append(body)
            return JSONResponse(WAITING.model_dump())

        @app.get("/v1/imports/import_1")
        def look() -> Import:
            return Import.model_validate(WAITING.model_dump() | self.states.pop(0))

        return app


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()
    monkeypatch.setenv("CORLL_API_KEY", "corll-key")
    with serve(service.app()) as url:
        monkeypatch.setenv("CORLL_BASE_URL", url)
        yield service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "past.jsonl"
    rows = [{"prompt": f"Greet {name}.", "sent": f"Dear {name}"} for name in ("Bo", "Al", "Ed")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(file: Path, *flags: str) -> None:
    main([str(file), "--poll-s", "0.01", *flags])


def test_what_it_brought(service: Service, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "--user", "anna", "--latest", "2")
    assert service.bodies == [
        {
            "items": [
                {"prompt": "Greet Al.", "sent": "Dear Al"},
                {"prompt": "Greet Ed.", "sent": "Dear Ed"},
            ],
            "user": "anna",
        }
    ]
    assert capsys.readouterr().out.splitlines() == [
        "2 texts handed over as import_1.",
        "import_1 waits for the learner",
        "import_1 is learned from",
        "import_1 done",
        "2 of 2 texts were learned from; version 2 serves now.",
        "Edit cost on 4 held-out texts: 0.410 (0.300 to 0.500) before,",
        "0.300 (0.200 to 0.400) after (in brackets 95 % intervals).",
        "Change: -27% (95 % interval -50% to -2%).",
        "Surprisal of their tokens, in nats: 2.500 (2.250 to 2.750) before,",
        "1.500 (1.250 to 1.750) after; less is nearer to how you write.",
    ]


def test_a_frame_and_what_is_filled_in_are_handed_over(service: Service, tmp_path: Path) -> None:
    own, file = tmp_path / "frame.txt", tmp_path / "past.csv"
    own.write_text("Answer {message}: {hint}")
    file.write_text("prompt,sent,hint\nIs it in?,It is.,yes\n")
    run(file, "--frame", "reply", "--sign-as", "Anna", "--frame-file", str(own))
    item = {"prompt": "Is it in?", "sent": "It is.", "hint": "yes"}
    told = {"frame": "reply", "sign_as": "Anna", "frame_template": own.read_text()}
    assert service.bodies == [{"items": [item], **told}]


def test_it_says_which_texts_teach_nothing_and_why(
    service: Service, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [{"item": n, "reason": f"It is number {n}."} for n in range(1, 31)]
    service.states = [
        {"state": "done", "used": 1, "skipped": 1, "skipped_texts": texts[:1]},
    ]
    run(file)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == ["1 teaches nothing:", "  text 1: It is number 1."]
    service.states = [{"state": "done", "used": 1, "skipped": 31, "skipped_texts": texts}]
    run(file)
    lines = capsys.readouterr().out.splitlines()
    assert "31 teach nothing:" in lines
    assert lines[-3:-1] == ["  text 20: It is number 20.", "  and 11 more."]


def test_a_terminal_sees_it_move(
    service: Service,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(file)
    assert "2/2 texts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "was not measured"),
        ({}, "was not measured"),
        ({**RESULT, "change": None}, "intervals)."),
        (
            {**RESULT, "change": {"mean": -0.1, "low": -0.3, "high": 0.1}},
            "do not show a difference",
        ),
    ],
)
def test_what_was_not_measured(
    service: Service, file: Path, capsys: pytest.CaptureFixture[str], result: Any, said: str
) -> None:
    service.states = [{"state": "done", "used": 2, "result": result}]
    run(file)
    assert said in capsys.readouterr().out


def test_a_failure_is_told(
    service: Service, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.states = [{"state": "failed", "error": "no disk"}]
    with pytest.raises(TrainingError, match="no disk"):
        run(file)
    assert "goes on" not in capsys.readouterr().err


def test_a_refusal_is_told(service: Service, file: Path) -> None:
    service.refusal = (401, "Incorrect API key provided.")
    with pytest.raises(InputError, match="The service says: Incorrect API key"):
        run(file)
    service.refusal = (413, "Too large.")
    with pytest.raises(InputError, match="with --latest"):
        run(file)


def test_what_is_too_large_for_the_service_is_told_before_anything_is_sent(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "past.jsonl"
    sent = "Schöne Grüße. " * 13_000  # 208 kB in UTF-8
    path.write_text("".join(json.dumps({"prompt": "Greet.", "sent": sent}) + "\n" for _ in "12345"))
    with pytest.raises(InputError, match=r"5 texts .* 1\.1 MB.* 1 MB.*--latest 4.*--max-import-mb"):
        run(path, "--max-import-mb", "1")
    assert service.bodies == []
    run(path, "--max-import-mb", "1", "--latest", "4")
    assert len(service.bodies[0]["items"]) == 4


def test_one_text_that_is_too_large_is_not_sent(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "past.jsonl"
    path.write_text(json.dumps({"prompt": "Greet.", "sent": "x" * 1_100_000}) + "\n")
    with pytest.raises(InputError, match=r"1 text .*--max-import-mb") as raised:
        run(path, "--max-import-mb", "1")
    assert "--latest" not in str(raised.value)
    assert service.bodies == []


def test_the_command_expects_what_the_service_takes_by_default() -> None:
    assert ImportSettings(file=Path("past.jsonl")).max_import_mb == ServiceSettings().max_import_mb


def test_interrupted(
    service: Service,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("corll.cli.imports.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(file)
    assert "goes on with import_1" in capsys.readouterr().err


def test_no_service_no_key_no_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORLL_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="CORLL_API_KEY"):
        run(file, "--base-url", "http://127.0.0.1:1")
    monkeypatch.setenv("CORLL_API_KEY", "corll-key")
    with pytest.raises(ConfigError, match="No service answers"):
        run(file, "--base-url", "http://127.0.0.1:1")
    with pytest.raises(InputError, match="cannot be read"):
        run(tmp_path / "none.jsonl")


def a_log(tmp_path: Path, *users: str) -> Path:
    path = tmp_path / "trl.jsonl"
    rows = [
        {"prompt": "When?", "chosen": f"On Friday, {user}", "rejected": "Soon.", "user": user}
        for user in users
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_edits_of_another_tool_s_log_come_with_their_drafts(
    service: Service, tmp_path: Path
) -> None:
    run(a_log(tmp_path, "bo"), "--from", "trl")
    item = {"prompt": "When?", "sent": "On Friday, bo", "draft": "Soon."}
    assert service.bodies[0]["items"] == [item]


def test_of_a_log_of_several_users_one_is_handed_over(service: Service, tmp_path: Path) -> None:
    log = a_log(tmp_path, "bo", "al", "bo")
    for flags in ([], ["--log-user", "eve"]):
        with pytest.raises(InputError, match=r"has edits of 'bo', 'al'.*--log-user"):
            run(log, "--from", "trl", *flags)
    run(log, "--from", "trl", "--log-user", "bo")
    (body,) = service.bodies
    assert [item["sent"] for item in body["items"]] == ["On Friday, bo"] * 2
