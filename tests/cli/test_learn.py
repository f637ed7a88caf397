"""`corll learn` as it is run: whole runs, and runs that are killed at any moment and resumed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from corll.evaluation import Evaluation
from corll.files.formats import read_preferences
from corll.files.run_folder import preferences_of, read_config, read_journal
from patience import PATIENCE_S

# Each run is a process of its own, forked from one that has loaded the libraries already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["corll.cli.learning_run", "corll.cli.learn", "corll.simulation"])

ROUNDS = 50
FLAGS = (
    *("--user", "letter", "--rounds", str(ROUNDS), "--held-out-count", "3", "--dtype", "float32"),
    *("--preferences-per-step", "2", "--drafts-at-once", "3", "--max-completion-length", "8"),
    *("--num-candidates", "2", "--learning-rate", "0.01", "--tolerance", "0.6"),
    *("--temperature", "1.0", "--lr-scheduler-type", "constant", "--keep-weight", "0.5"),
)


def run_command(arguments: list[str], output: Path) -> None:
    """The body of a process: a command, with what it prints in a file.

    It can be interrupted, also where the tests run in the background of a shell, which would have
    it ignore that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    from corll.cli import main

    torch.set_num_threads(1)
    code = main(arguments)
    sys.stdout.flush()
    os._exit(code)


class Command:
    """`corll` with these arguments, in a process."""

    def __init__(self, *arguments: object, output: Path) -> None:
        self.output = output
        self.process: ForkServerProcess = PROCESSES.Process(
            target=run_command, args=([str(a) for a in arguments], output)
        )
        self.process.start()

    def wait(self) -> int:
        self.process.join(PATIENCE_S)
        assert self.process.exitcode is not None, "the command hangs"
        return self.process.exitcode

    def interrupt(self, number: signal.Signals) -> int:
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)
        return self.wait()

    @property
    def printed(self) -> str:
        return self.output.read_text(encoding="utf-8")


@pytest.fixture
def corll(tmp_path: Path) -> Callable[..., Command]:
    return lambda *arguments: Command(*arguments, output=tmp_path / "printed")


class Finished:
    """A run that was never interrupted."""

    def __init__(self, folder: Path, printed: str) -> None:
        self.folder, self.printed = folder, printed


@pytest.fixture(scope="module")
def finished(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished") / "run"
    printed = folder.with_name("printed")
    command = Command(
        "learn", "--model", tiny_model_folder, "--output", folder, *FLAGS, output=printed
    )
    assert command.wait() == 0, command.printed
    return Finished(folder, command.printed)


def assert_same_run(folder: Path, expected: Path) -> None:
    """Adapter and optimiser to the bit, journal, metrics, preferences and held-out drafts alike."""
    for name in ("adapter_model.safetensors", "corll_optimizer.safetensors"):
        found, wanted = load_file(folder / "adapter" / name), load_file(expected / "adapter" / name)
        assert found.keys() == wanted.keys()
        assert all(found[key].equal(wanted[key]) for key in wanted), name
    names = ("rounds.jsonl", "metrics.jsonl", "preferences.jsonl", "held_out.jsonl")
    for name in (*names, "adapter/corll_learner.json"):
        assert (folder / name).read_text() == (expected / name).read_text(), name


class TestWholeRun:
    def test_its_folder(self, finished: Finished, tiny_model_folder: Path) -> None:
        folder = finished.folder
        edits = read_journal(folder)
        assert len(edits) == ROUNDS
        config = read_config(folder)
        assert config["settings"]["coactive"]["learning_rate"] == 0.01
        assert config["model"]["folder"] == str(tiny_model_folder)
        assert set(config["versions"]) == {"corll", "torch", "transformers", "peft", "python"}
        assert len(read_preferences(folder / "preferences.jsonl")) == len(preferences_of(edits))
        metrics = lines_of(folder / "metrics.jsonl")
        assert [line["round"] for line in metrics if "edit_cost" in line] == [
            number for number, edit in enumerate(edits, start=1) if edit.text is not None
        ]
        steps = [line["step"] for line in metrics if "loss" in line]
        assert steps == list(range(1, (len(preferences_of(edits)) + 1) // 2 + 1))
        held_out = lines_of(folder / "held_out.jsonl")
        assert [(line["phase"], line["round"]) for line in held_out] == (
            [("before", 0)] * 3 + [("after", ROUNDS)] * 3
        )
        assert len(Evaluation.from_records(held_out).edits) == 6
        assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")

    def test_what_it_prints(self, finished: Finished) -> None:
        for text in ("step 1 ·", "3 held-out prompts", "edit cost", "content kept", "distinct-2"):
            assert text in finished.printed
        assert "Edit cost changed by" in finished.printed
        assert f'corll draft "…" --adapter {finished.folder / "adapter"}' in finished.printed
        assert "\x1b" not in finished.printed  # A pipe gets no control sequences.

    def test_its_adapter_drafts(self, finished: Finished, corll: Callable[..., Command]) -> None:
        flags = ("--adapter", finished.folder / "adapter", "--max-completion-length", "6")
        command = corll("draft", "Greet Anna.", "Greet Tom.", "--json", *flags)
        assert command.wait() == 0
        drafts = [json.loads(line) for line in command.printed.splitlines()]
        assert [draft["prompt"] for draft in drafts] == ["Greet Anna.", "Greet Tom."]
        assert len(drafts[0]["candidates"][0]["token_ids"]) == 6

    def test_resuming_a_finished_run_changes_nothing(
        self, finished: Finished, corll: Callable[..., Command], tmp_path: Path
    ) -> None:
        folder = copy(finished.folder, tmp_path / "copy")
        command = corll("learn", "--resume", folder)
        assert command.wait() == 0, command.printed
        assert_same_run(folder, finished.folder)

    def test_rounds_can_grow_and_other_settings_stay(
        self, finished: Finished, corll: Callable[..., Command], tmp_path: Path
    ) -> None:
        folder = copy(finished.folder, tmp_path / "copy")
        with_several_points = corll("learn", "--resume", folder, "--rounds", ROUNDS + 2)
        assert with_several_points.wait() == 0, with_several_points.printed
        assert read_journal(folder)[:ROUNDS] == read_journal(finished.folder)
        assert len(read_journal(folder)) == read_config(folder)["settings"]["rounds"] == ROUNDS + 2
        refused = corll("learn", "--resume", folder, "--beta", "0.7", "--rounds", "3")
        assert refused.wait() == 2
        grown_from = f"--rounds can grow from {ROUNDS + 2}"
        assert f"--beta is 0.1 there, not 0.7; {grown_from}" in refused.printed

    def test_a_folder_is_not_overwritten(
        self, finished: Finished, corll: Callable[..., Command]
    ) -> None:
        command = corll("learn", "--user", "letter", "--output", finished.folder)
        assert command.wait() == 2
        assert command.printed.startswith(f"corll: {finished.folder} already holds a run.")

    def test_other_prompts_are_refused_on_resuming(
        self, corll: Callable[..., Command], tmp_path: Path, tiny_model_folder: Path
    ) -> None:
        prompts, folder = tmp_path / "prompts.txt", tmp_path / "run"
        prompts.write_text("Greet Anna.\n")
        flags = ("--rounds", "1", "--held-out-count", "0", "--max-completion-length", "4")
        begun = corll(
            *("learn", "--user", "tone", "--model", tiny_model_folder, "--prompts", prompts),
            *("--output", folder, *flags),
        )
        assert begun.wait() == 0, begun.printed
        prompts.write_text("Greet Tom.\n")
        resumed = corll("learn", "--resume", folder, "--rounds", "2")
        assert resumed.wait() == 2
        assert "training prompts are not those" in resumed.printed


def copy(source: Path, target: Path) -> Path:
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


class TestKillAndResume:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_at_random_moments(
        self,
        finished: Finished,
        corll: Callable[..., Command],
        tmp_path: Path,
        tiny_model_folder: Path,
        number: signal.Signals,
    ) -> None:
        """However often and wherever it is ended, its adapter is that of a run that never was."""
        interrupted = -signal.SIGKILL if number == signal.SIGKILL else 130
        for trial in range(5):
            folder = tmp_path / f"run-{trial}"
            begin = ("learn", "--model", tiny_model_folder, "--output", folder, *FLAGS)
            codes, printed = self.end_again_and_again(corll, begin, folder, number)
            assert set(codes[:-1]) <= {interrupted}, printed
            if len(codes) >= 3:
                break
        else:
            pytest.fail("five runs came to their end before they could be interrupted twice")
        assert_same_run(folder, finished.folder)
        if number == signal.SIGINT:
            assert f"Go on by: corll learn --resume {folder}" in printed

    @staticmethod
    def end_again_and_again(
        corll: Callable[..., Command],
        begin: tuple[Any, ...],
        folder: Path,
        number: signal.Signals,
    ) -> tuple[list[int], str]:
        """The exit codes of a run that is ended and resumed until it is done, and its output."""
        codes: list[int] = []
        for attempt in range(40):
            started = (folder / "config.json").exists()
            command = corll(*(("learn", "--resume", folder) if started else begin))
            # Later each time, so that the run gets on; never at the same place of a round.
            answered = length_of(folder / "rounds.jsonl")
            wait_until(
                lambda answered=answered: length_of(folder / "rounds.jsonl") > answered,
                process=command,
            )
            time.sleep((attempt * 0.618 % 1) * 0.12)
            codes.append(command.interrupt(number))
            if codes[-1] == 0:
                return codes, command.printed
        pytest.fail(f"the run never ended: {codes}\n{command.printed}")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def length_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_until(condition: Callable[[], bool], *, process: Command) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition() and process.process.is_alive():
        assert time.monotonic() < end, process.printed
        time.sleep(0.002)


def test_a_simulated_user_takes_no_frame(corll: Callable[..., Command]) -> None:
    command: Any = corll("learn", "--user", "letter", "--frame", "reply")
    assert command.wait() == 2
    assert "are for a person (user you)" in " ".join(command.printed.replace("│", " ").split())


def test_a_person_needs_a_terminal(corll: Callable[..., Command]) -> None:
    command: Any = corll("learn", "--user", "you")
    assert command.wait() == 2
    assert "needs a terminal" in command.printed
