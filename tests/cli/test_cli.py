"""The command line as a whole: help, errors, exit codes, and what must not be imported for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tyro.conf import Suppress

import corll
from corll.cli import COMMANDS, main
from corll.cli.adapters import (
    ImportAdapterSettings,
    ListAdaptersSettings,
    PruneSettings,
    RollbackSettings,
    ShowAdapterSettings,
    StartSettings,
)
from corll.cli.audit import AuditSettings
from corll.cli.backup import BackupSettings
from corll.cli.consent import (
    GiveConsentSettings,
    ShowConsentSettings,
    WithdrawConsentSettings,
)
from corll.cli.curve import draw_curve, running_mean
from corll.cli.demo import DemoSettings
from corll.cli.doctor import DoctorSettings
from corll.cli.draft import DraftSettings
from corll.cli.experiment import (
    CanarySettings,
    FolderSettings,
    PlotSettings,
    ReportSettings,
    RunSettings,
    TuneSettings,
)
from corll.cli.export import ExportSettings
from corll.cli.forget import ForgetSettings
from corll.cli.framing import FrameSettings
from corll.cli.imports import ImportSettings
from corll.cli.keys import CreateKeySettings, ListKeysSettings, RevokeKeySettings
from corll.cli.learn_settings import LearnSettings, read_settings
from corll.cli.link import LinkSettings
from corll.cli.mcp import McpSettings
from corll.cli.models import (
    CheckModelSettings,
    FetchModelSettings,
    ListModelsSettings,
    RecommendSettings,
    RemoveModelSettings,
)
from corll.cli.remembering import MemoryFlags
from corll.cli.replay import ReplayMemory, ReplaySettings
from corll.cli.restore import RestoreSettings
from corll.cli.simulate_fleet import SimulateFleetSettings
from corll.cli.switch import SwitchModelSettings
from corll.cli.trackers import open_tracker
from corll.cli.verify_deletion import VerifyDeletionSettings
from corll.config import CoactiveConfig, LoraConfig
from corll.configuring import Config
from corll.errors import ConfigError
from corll.files.run_folder import RunFolder
from corll.laboratory.canary_config import CanaryConfig
from corll.records import Draft, Edit, Sample
from corll.service.audit.plan import AuditPlan
from corll.service.roles import GatewaySettings, LearnerSettings
from corll.service.settings import ServedConfig, ServiceSettings

HELP_WITHOUT_TORCH = """
import sys
from corll.cli import main
try:
    main(sys.argv[1:])
except SystemExit as exit:
    assert exit.code == 0, exit.code
heavy = {"torch", "transformers", "peft", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
FLAGS_OF: dict[str, tuple[type[Config], ...]] = {
    "learn": (LearnSettings, FrameSettings, MemoryFlags, CoactiveConfig, LoraConfig),
    "draft": (DraftSettings, FrameSettings, MemoryFlags),
    "replay": (ReplaySettings, ReplayMemory, CoactiveConfig, LoraConfig),
    "export": (ExportSettings,),
    "models": (),
    "models list": (ListModelsSettings,),
    "models recommend": (RecommendSettings,),
    "models fetch": (FetchModelSettings,),
    "models remove": (RemoveModelSettings,),
    "models switch": (SwitchModelSettings,),
    "models check": (CheckModelSettings,),
    "serve": (ServiceSettings, ServedConfig, LoraConfig),
    "gateway": (GatewaySettings, ServedConfig, LoraConfig),
    "learner": (LearnerSettings, ServedConfig, LoraConfig),
    "import": (ImportSettings, FrameSettings),
    "link": (LinkSettings,),
    "demo": (DemoSettings,),
    "mcp": (McpSettings,),
    "keys": (),
    "keys create": (CreateKeySettings,),
    "keys list": (ListKeysSettings,),
    "keys revoke": (RevokeKeySettings,),
    "consent": (),
    "consent show": (ShowConsentSettings,),
    "consent give": (GiveConsentSettings,),
    "consent withdraw": (WithdrawConsentSettings,),
    "adapters": (),
    "adapters list": (ListAdaptersSettings,),
    "adapters show": (ShowAdapterSettings,),
    "adapters rollback": (RollbackSettings,),
    "adapters prune": (PruneSettings,),
    "adapters import": (ImportAdapterSettings,),
    "adapters start": (StartSettings,),
    "forget": (ForgetSettings,),
    "verify-deletion": (VerifyDeletionSettings,),
    "audit": (AuditSettings, AuditPlan),
    "backup": (BackupSettings,),
    "restore": (RestoreSettings,),
    "doctor": (DoctorSettings,),
    "simulate-fleet": (SimulateFleetSettings,),
    "experiment": (),
    "experiment run": (RunSettings,),
    "experiment tune": (TuneSettings,),
    "experiment canary": (CanarySettings, CanaryConfig),
    "experiment status": (FolderSettings,),
    "experiment plot": (PlotSettings,),
    "experiment report": (ReportSettings,),
}
NOT_FLAGS = {
    *("coactive", "lora", "framed", "remembered", "prompts", "folder", "as_json"),
    *("task", "settings", "folders", "canary", "plan"),
    *("file", "key", "number", "learn", "model_name", "guards", "examples", "model_sampling"),
    *("switches", "weigh_edits", "log", "form", "kind", "thing", "receipt", "place", "backup"),
}


def test_a_process_runs_the_sources_that_the_tests_see(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import corll; print(corll.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == corll.__file__


def test_each_command_is_looked_at() -> None:
    assert set(FLAGS_OF) >= set(COMMANDS)


@pytest.mark.parametrize("command", FLAGS_OF)
def test_help_names_every_setting_and_imports_nothing_heavy(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_TORCH, *command.split(), "--help"],
        capture_output=True,
        text=True,
        env={"COLUMNS": "100", "PATH": "", "PYTHONPATH": os.environ["PYTHONPATH"]},
    )
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.replace("│", " ").split())
    assert f"usage: corll {command}" in text
    for settings in FLAGS_OF[command]:
        for name, field in settings.model_fields.items():
            if Suppress in field.metadata:
                assert f"--{name.replace('_', '-')} " not in text
                continue
            if name not in NOT_FLAGS:
                assert f"--{name.replace('_', '-')} " in text
            if name not in ("coactive", "lora", "canary", "plan"):
                assert field.description
                assert " ".join(field.description.split()) in text
    for name in ("--max-prompt-length", "--total-steps", "--warmup-steps"):
        text = text.replace(f"{name} {{None}}|", "")
    assert "{None}|" not in text


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.endswith("corll 0.2.0\n")
    assert main(["unlearn"]) == 2
    assert "no command 'unlearn'" in capsys.readouterr().err


class TestErrors:
    def test_they_are_one_line(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert main(["export", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("corll: ")
        assert error.count("\n") == 1
        assert main(["learn", "--user", "tone", "--prompts", str(tmp_path / "none.txt")]) == 2
        assert "cannot be read" in capsys.readouterr().err
        assert main(["draft", "Hi", "--adapter", str(tmp_path)]) == 2
        assert "does not say which base model" in capsys.readouterr().err
        assert main(["draft"]) == 2
        assert "no prompt" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("flags", "problem"),
        [
            (["--beta", "-1"], "greater than 0"),
            (["--rounds", "0"], "greater than or equal to 1"),
            (["--user", "you", "--tolerance", "0.1"], "simulated users"),
            (["--user", "nobody"], "nobody"),
            (["--bta", "1"], "--bta"),
        ],
    )
    def test_flags_that_cannot_be(
        self, capsys: pytest.CaptureFixture[str], flags: list[str], problem: str
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["learn", *flags])
        assert caught.value.code == 2
        printed = capsys.readouterr()
        assert problem in " ".join((printed.err + printed.out).replace("│", " ").split())

    def test_a_flag_given_twice_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        run = ["experiment", "run", "imdb", "--dry-run", "--set", "preferences=64"]
        assert main([*run, "--set=evaluate_every=64"]) == 2
        assert "--set is given twice" in capsys.readouterr().err
        assert main([*run, "evaluate_every=64"]) == 0
        shown = capsys.readouterr().out
        assert '"preferences": 64' in shown
        assert '"evaluate_every": 64' in shown


def refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What `corll learn` says of flags that do not fit, without its box."""
    with pytest.raises(SystemExit):
        read_settings(flags)
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


class TestSettings:
    def test_a_preset_gives_defaults_that_flags_replace(self) -> None:
        paper = read_settings(["--user", "tone", "--preset", "paper", "--beta", "0.3"])
        assert paper.coactive == CoactiveConfig.preset("paper", beta=0.3)
        assert paper.preset == "paper"
        assert read_settings([]).coactive == CoactiveConfig()

    @pytest.mark.parametrize("learner", ["coactive", "dpo", "sft"])
    def test_a_learner_is_named_by_its_flag(self, learner: str) -> None:
        assert read_settings(["--learner", learner]).coactive.learner == learner

    def test_an_unknown_learner_is_refused_with_those_there_are(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = refused(["--learner", "ppo"], capsys)
        assert "no learner 'ppo'; there are: coactive, dpo, sft, distil" in said

    @pytest.mark.parametrize("flags", [["--learner", "distil"], ["--learn-with-memory"]])
    @pytest.mark.parametrize(
        "memoryless", [[], ["--frame", "reply", "--no-examples"], ["--user", "tone"]]
    )
    def test_what_learns_from_a_memory_needs_one_before_its_prompts(
        self, flags: list[str], memoryless: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        framed = read_settings([*flags, "--frame", "reply"]).coactive
        assert framed.learner == "distil" or framed.learn_with_memory
        assert "nothing does here; give memory" in refused([*flags, *memoryless], capsys)
        remembering = read_settings([*flags, *memoryless, "--memory", "last"])
        assert remembering.remembered.memory == "last"

    def test_what_depends_on_the_user(self) -> None:
        you, tone = read_settings([]), read_settings(["--user", "tone", "--preset=paper"])
        assert (you.rounds, you.drafts_at_once) == (None, 1)
        assert (tone.rounds, tone.drafts_at_once) == (128, 64)
        assert tone.output is not None
        assert tone.output.name.endswith("-tone")

    def test_a_stored_run_reads_back(self, tmp_path: Path) -> None:
        flags = ["--user", "letter", "--rounds", "5", "--lora-r", "2", "--prompts", "p.txt"]
        settings = read_settings(flags)
        RunFolder.create(tmp_path, {"settings": settings.stored()}).close()
        resumed = read_settings(["--resume", str(tmp_path), "--rounds", "9", "--device", "cpu"])
        expected = {"rounds": 9, "device": "cpu", "output": tmp_path, "resume": tmp_path}
        assert resumed == settings.model_copy(update=expected)

    @pytest.mark.parametrize(
        ("flags", "problem"),
        [
            (["--user", "tone"], "--user is letter there, not tone"),
            (["--lora-r", "3"], "--lora-r is 2 there, not 3"),
            (["--preset", "paper"], "--preset is default there, not paper"),
            (["--rounds", "4"], "--rounds can grow from 5, not become 4"),
            (["--output", "elsewhere"], "--output has no place"),
        ],
    )
    def test_contradictions_are_named(self, tmp_path: Path, flags: list[str], problem: str) -> None:
        settings = read_settings(["--user", "letter", "--rounds", "5", "--lora-r", "2"])
        RunFolder.create(tmp_path, {"settings": settings.stored()}).close()
        with pytest.raises(ConfigError, match=problem):
            read_settings(["--resume", str(tmp_path), *flags])


def a_run(path: Path) -> Path:
    draft = Draft("Greet.", (Sample("Hi!", (1,), -1.0, True),))
    with RunFolder.create(path, {}) as folder:
        for text in ("Hello.", None, "Hi!", "Good day."):
            folder.append(Edit(draft, text))
    return path


class TestExport:
    def test_to_standard_output(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert main(["export", str(a_run(tmp_path / "run")), "--format", "openai"]) == 0
        shown = capsys.readouterr()
        rows = [json.loads(line) for line in shown.out.splitlines()]
        assert [row["preferred_output"][0]["content"] for row in rows] == ["Hello.", "Good day."]
        assert shown.err == "2 preferences\n"

    def test_to_a_file(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        run, output = a_run(tmp_path / "run"), tmp_path / "out.jsonl"
        assert main(["export", str(run), "--output", str(output)]) == 0
        assert json.loads(output.read_text().splitlines()[0]) == {
            "prompt": "Greet.",
            "chosen": "Hello.",
            "rejected": "Hi!",
        }
        assert "2 preferences" in capsys.readouterr().err
        assert main(["export", str(run), "--output", str(tmp_path / "no" / "where")]) == 2
        assert "cannot be written" in capsys.readouterr().err


class TestCurve:
    def test_the_running_mean_by_hand(self) -> None:
        found = running_mean(np.array([1.0, 3.0, 2.0, 2.0, 6.0, 0.0]))
        assert found.tolist() == [1.0, 2.0, 2.0, 2.0, 3.25, 2.5]

    @pytest.mark.parametrize("costs", [[0.0], [0.5, 0.0, 40.0] * 20])
    def test_it_is_drawn(self, tmp_path: Path, costs: list[float]) -> None:
        metrics = [
            {"round": n, "edit_cost": cost, "accepted": cost == 0}
            for n, cost in enumerate(costs, start=1)
        ]
        path = tmp_path / "curve.png"
        assert draw_curve([{"round": 9, "step": 1}, *metrics], path, title="$x_{ $ a model")
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_nothing_to_draw(self, tmp_path: Path) -> None:
        assert not draw_curve([{"round": 1, "step": 0}], tmp_path / "curve.png", title="")


class TestReporting:
    def test_a_package_that_is_missing_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "wandb", None)
        with pytest.raises(ConfigError, match="pip install wandb"):
            open_tracker("wandb", tmp_path, config={}, first_round=1)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_tensorboard_gets_every_number(self, tmp_path: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        tracker = open_tracker("tensorboard", tmp_path, config={}, first_round=1)
        tracker.log({"round": 1, "edit_cost": 0.5, "accepted": False})
        tracker.log({"round": 2, "edit_cost": 0.25, "accepted": True})
        tracker.close()
        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        assert [(e.step, e.value) for e in events.Scalars("edit_cost")] == [(1, 0.5), (2, 0.25)]
        assert [e.value for e in events.Scalars("accepted")] == [0.0, 1.0]
