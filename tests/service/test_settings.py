"""What `corll serve` can be told, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corll.cli import main
from corll.cli.parsing import parse
from corll.config import CoactiveConfig
from corll.errors import ConfigError
from corll.service.environment import from_environment
from corll.service.settings import ServiceSettings
from corll.service.upstream import is_in_the_clear


def test_a_variable_stands_for_each_flag() -> None:
    settings = from_environment(
        {
            "CORLL_PORT": "9000",
            "CORLL_PREFERENCES_PER_STEP": "5",
            "CORLL_LEARNER": "dpo",
            "CORLL_LORA_R": "4",
            "CORLL_BEHIND_PROXY": "true",
            "CORLL_CACHE": "/elsewhere",
            "PATH": "/bin",
        }
    )
    assert (settings.port, settings.behind_proxy) == (9000, True)
    assert settings.coactive.preferences_per_step == 5
    assert settings.coactive.learner == "dpo"
    assert settings.coactive.memory_limit_gb == ServiceSettings().coactive.memory_limit_gb
    assert settings.lora.lora_r == 4


def test_a_store_in_memory_is_refused_where_the_learner_is_another_process() -> None:
    with pytest.raises(ConfigError, match="is in the memory of one process"):
        ServiceSettings(versions="memory://x")
    assert ServiceSettings(versions="memory://x", learn=False).versions == "memory://x"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CORLL_PROT": "1"}, "CORLL_PROT"),
        ({"CORLL_PORT": "many"}, "CORLL_PORT: .*got 'many'"),
        ({"CORLL_HOST": "0.0.0.0"}, "CORLL_HOST=0.0.0.0 .*CORLL_BEHIND_PROXY"),
        ({"CORLL_TLS_KEY": "key.pem"}, "CORLL_TLS_CERTIFICATE"),
        ({"CORLL_DRAFTS_FROM": "reference"}, "CORLL_DRAFTS_FROM: "),
        ({"CORLL_NUM_CANDIDATES": "17"}, "CORLL_MAX_CHOICES"),
        ({"CORLL_LEARNER": "ppo"}, "no learner 'ppo'; there are: coactive, dpo, sft, distil"),
        ({"CORLL_LEARNER": "distil", "CORLL_LEARN_WITH_MEMORY": "true"}, "contradicts it"),
        ({"CORLL_LEARNER": "distil", "CORLL_MASK": "both"}, "would learn to write placeholders"),
        (
            {"CORLL_LEARNER": "distil", "CORLL_MEMORY": "none", "CORLL_EXAMPLES": "false"},
            "give CORLL_MEMORY=last or CORLL_MEMORY=nearest",
        ),
        ({"CORLL_ADMIN_KEY": "short"}, "CORLL_ADMIN_KEY"),
        ({"CORLL_ADMIN_KEY": "a new line within it:\n-"}, "CORLL_ADMIN_KEY"),
        ({"CORLL_ADMIN_KEY": "x" * 201}, "CORLL_ADMIN_KEY"),
    ],
)
def test_what_does_not_fit_is_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_environment(variables)


@pytest.mark.parametrize(
    ("variables", "flags"),
    [
        (
            {"CORLL_UPSTREAM_KEY": "sk-1"},
            ["--upstream", "http://127.0.0.1:1/v1", "--upstream-model", "m"],
        ),
        ({"CORLL_UPSTREAM_MODEL": "m"}, ["--upstream", "http://127.0.0.1:1/v1"]),
        ({"CORLL_TLS_KEY": "key.pem"}, ["--tls-certificate", "certificate.pem"]),
        ({"CORLL_HOST": "0.0.0.0"}, ["--behind-proxy"]),
        ({"CORLL_HOST": "0.0.0.0"}, ["--host", "127.0.0.1"]),
        ({"CORLL_WARMUP_RATIO": "0.1"}, ["--total-steps", "100", "--warmup-steps", "0"]),
    ],
)
def test_flags_and_variables_are_checked_together(
    variables: dict[str, str],
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError):
        from_environment(variables)
    assert main(["serve", *flags, "--print-config"]) == 0
    json.loads(capsys.readouterr().out)


def test_what_fits_neither_by_flags_nor_by_variables_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORLL_UPSTREAM_KEY", "sk-1")
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", "0", "--print-config"])
    assert "--upstream-key say nothing without --upstream URL" in " ".join(
        capsys.readouterr().err.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--port 99999", "--port: .* (got 99999)"),
        ("--max-choices 0", "--max-choices: "),
        ("--num-candidates 0", "--num-candidates: "),
        ("--host 0.0.0.0", "--host 0.0.0.0 .* --tls-certificate and --tls-key, .* --behind-proxy"),
        ("--keep-texts 90d --no-learn", "--keep-texts .* --no-learn switches off"),
        ("--num-candidates 17", "--max-choices (16) allows"),
        ("--learner distil --mask both", "--mask both: "),
        ("--warmup-steps 1 --warmup-ratio 0.1", "--warmup-steps or --warmup-ratio, not both"),
        ("--upstream-model m", "--upstream-model and --upstream-key .* --upstream URL"),
        ("--cors-origins a.example", "--cors-origins: "),
    ],
)
def test_errors_of_flags_name_flags(
    flags: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(ServiceSettings, flags.split(), command="serve")
    words = " ".join(capsys.readouterr().err.replace("│", " ").split())
    pattern = ".*".join(re.escape(part) for part in said.split(".*"))
    assert re.search(pattern, words), words


def test_a_memory_whose_model_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment({"CORLL_MEMORY": "similar"}).memory == "similar"
    monkeypatch.setattr("corll.memory.meaning.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'corll\[meaning\]'"):
        from_environment({"CORLL_MEMORY": "similar"})


def test_a_flag_that_a_service_cannot_heed_is_none_of_its_flags() -> None:
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    done = subprocess.run(
        [*command, "--drafts-from", "reference"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--drafts-from" in done.stderr


def test_an_admin_key_is_never_printed() -> None:
    settings = from_environment({"CORLL_ADMIN_KEY": "s3cret-" * 4})
    assert "s3cret" not in json.dumps(settings.printable())
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "more", "stores"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {}, True),
        ("::1", {}, True),
        ("127.0.0.1", {"behind_proxy": True}, False),
        ("0.0.0.0", {"behind_proxy": True}, False),
        ("0.0.0.0", {"behind_proxy": True, "store_by_default": True}, True),
    ],
)
def test_texts_are_kept_by_default_on_this_machine_alone(
    host: str, more: dict[str, bool], stores: bool
) -> None:
    assert ServiceSettings(host=host, **more).stores_by_default is stores


def test_the_data_folder_is_the_same_from_any_working_directory() -> None:
    assert ServiceSettings(data_dir=Path("data")).data_dir.is_absolute()


def test_print_config_says_what_flags_and_variables_come_to() -> None:
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    own = {"CORLL_PORT": "9000", "CORLL_MAX_WAITING": "7", "PATH": "", "HOME": "/home/ann"}
    done = subprocess.run(
        [*command, "--print-config", "--port", "9001"],
        capture_output=True,
        text=True,
        env={**own, "PYTHONPATH": os.environ["PYTHONPATH"]},
        check=True,
    )
    shown = json.loads(done.stdout)
    assert (shown["port"], shown["max_waiting"]) == (9001, 7)
    assert shown["data_dir"] == "/home/ann/.local/share/corll"
    assert "admin_key" not in shown


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("a passphrase of some words", True),
        ("twenty-characters-+-", True),
        ("nineteen-characters", False),
        (" twenty-one characters", False),
        ("twenty-one characters ", False),
        ("zwanzig Zeichen: äöüß", False),
        ("x" * 200, True),
        ("x" * 201, False),
    ],
)
def test_an_admin_key_is_what_a_header_can_carry(key: str, fits: bool) -> None:
    if fits:
        assert ServiceSettings(admin_key=key).admin_key is not None
        return
    with pytest.raises(ConfigError, match="20 to 200 printable"):
        ServiceSettings(admin_key=key)


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        ("postgresql+psycopg://corll:hunter2@db/corll", "postgresql+psycopg://corll:***@db/corll"),
        (
            "postgresql://db/corll?password=hunter2&sslmode=require",
            "postgresql://db/corll?sslmode=require",
        ),
        ("postgresql://corll:hun@ter2@db/corll", "***"),
        ("postgresql://corll:hunter2@db:port/corll", "***"),
        ("no url: hunter2", "***"),
    ],
)
def test_a_databases_password_is_not_printed(database: str, shown: str) -> None:
    assert ServiceSettings(database=database).printable()["database"] == shown


def test_drafts_are_whole_by_default_in_the_service_alone() -> None:
    assert ServiceSettings().coactive.max_completion_length == 512
    assert CoactiveConfig().max_completion_length == 128


UPSTREAM = {"upstream": "https://api.example.com/v1", "upstream_model": "big-one"}


def test_an_upstreams_key_is_never_printed() -> None:
    own = {f"CORLL_{name.upper()}": value for name, value in UPSTREAM.items()}
    settings = from_environment({**own, "CORLL_UPSTREAM_KEY": "sk-hunter2"})
    assert settings.upstream_key is not None
    assert settings.upstream_key.get_secret_value() == "sk-hunter2"
    assert "hunter2" not in json.dumps(settings.printable())
    assert "hunter2" not in repr(settings)
    command = [sys.executable, "-c", "from corll.cli import main; main()", "serve"]
    flags = ["--upstream", UPSTREAM["upstream"], "--upstream-model", "big-one"]
    for more in (["--print-config"], ["--help"], ["--port", "none"]):
        environment = {**os.environ, "CORLL_UPSTREAM_KEY": "sk-hunter2"}
        done = subprocess.run(
            [*command, *flags, "--upstream-key", "sk-hunter2", *more],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert "hunter2" not in done.stdout + done.stderr
        assert "upstream" in (done.stdout + done.stderr).lower() or "--port" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"upstream": "api.example.com/v1"}, "no URL"),
        ({"upstream": "ftp://api.example.com/v1"}, "no URL"),
        ({"upstream": "https://"}, "no URL"),
        ({"upstream": "https://api.example.com:port/v1"}, "no URL"),
        ({"upstream": "https://ann:hunter2@api.example.com/v1"}, "upstream_key"),
        ({"upstream": "https://api.example.com/v1?key=hunter2"}, "upstream_key"),
        ({"upstream": "https://api.example.com/v1/chat/completions"}, "ends in a route"),
        ({"upstream_model": None}, "upstream_model"),
        ({"upstream_model": ""}, "upstream_model"),
        ({"upstream": None}, "say nothing without upstream"),
        ({"upstream": None, "upstream_model": None, "upstream_memory": True}, "need an upstream"),
        ({"upstream": None, "upstream_model": None, "upstream_candidates": 2}, "need an upstream"),
        ({"upstream_memory": True, "memory": "none"}, "memory=none leaves out"),
        ({"upstream_candidates": 17}, "upstream_candidates is 17, more than max_choices"),
        ({"upstream_candidates": 0}, "upstream_candidates"),
        ({"upstream_key": "sk ünderground"}, "printable ASCII"),
        ({"upstream_key": " sk-1"}, "printable ASCII"),
        ({"upstream_timeout": 0}, "upstream_timeout"),
    ],
)
def test_an_upstream_that_cannot_be_asked_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        ServiceSettings(**{**UPSTREAM, **wrong})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "in_the_clear"),
    [
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://10.0.0.7:8000/v1", True),
        ("http://vllm:8000/v1", True),
        ("https://api.example.com/v1", False),
    ],
)
def test_an_upstream_without_tls_can_be_read_along_beyond_this_machine(
    url: str, in_the_clear: bool
) -> None:
    assert is_in_the_clear(ServiceSettings(**{**UPSTREAM, "upstream": url}).upstream or "") is (
        in_the_clear
    )
