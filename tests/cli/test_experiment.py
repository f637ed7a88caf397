"""`corll experiment …` as it is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from corll.cli import main
from corll.cli.experiment import parse_seeds
from corll.errors import ConfigError
from corll.laboratory.grid import Grid
from tiny_models import perturb_adapter

REVIEWS = [
    ("A lovely film with a warm heart and a fine cast.", True),
    ("A dull film with a cold heart and a poor cast.", False),
]
SETTINGS = """
    lengths.prompt=6 lengths.response=5 learner.max_prompt_length=6 learner.max_completion_length=5
    preferences=8 evaluate_every=4 learner.preferences_per_step=4 held_out=4 num_expert_samples=3
    expert_pairs=16 samples_per_pair=3 expert.preferences_per_step=8 expert.measured_prompts=8
    expert.learning_rate=0.02 expert.most_wins=1 expert.most_reward=100
    expert.least_base_reward=-100 expert.refuse=false
""".split()


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Reviews whose beginnings differ."""
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"text": f"{n}. {text} " * 3, "positive": positive}
        for n in range(100, 180)
        for text, positive in [REVIEWS[n % 2]]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(model: Path, reviews: Path, output: Path, *more: str, name: str = "run") -> list[str]:
    return [
        *("experiment", name, "imdb", "--output", str(output), "--data", str(reviews), *more),
        *("--set", f"model={model}", *SETTINGS),
    ]


def test_an_expert_that_teaches_nothing_is_refused_in_words(
    tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = command(tiny_gpt2_folder, reviews, tmp_path / "grid")
    assert main([*asked, "expert.refuse=true"]) == 1
    assert "expert.refuse=false takes it as it is" in capsys.readouterr().err
    assert not (tmp_path / "grid" / "cells").exists()


def test_run_status_plot_and_report(
    tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "grid"
    arms = ("--arms", "coactive-alpha-0.6,dueling", "--seeds", "2")
    assert main(command(tiny_gpt2_folder, reviews, grid, *arms)) == 0
    known = json.loads((grid / "expert.json").read_text())
    assert known["reward"] > known["base_reward"]
    assert known["scorer"].startswith("TF-IDF")
    assert known["independent_scorer"]["name"].endswith("naive Bayes")
    assert known["kl_of_its_sampler"] > 0
    assert len(Grid.reopen(grid).states()) == 4

    # Again: nothing is left to do.
    before = sorted((p, p.stat().st_mtime_ns) for p in grid.glob("cells/**/*.jsonl"))
    assert main(command(tiny_gpt2_folder, reviews, grid, *arms)) == 0
    assert sorted((p, p.stat().st_mtime_ns) for p in grid.glob("cells/**/*.jsonl")) == before

    capsys.readouterr()
    assert main(["experiment", "status", str(grid)]) == 0
    shown = capsys.readouterr().out
    assert "coactive-alpha-0.6" in shown
    assert "2/2" in shown

    results = tmp_path / "results"
    assert main(["experiment", "plot", str(grid), "--output", str(results)]) == 0
    assert (results / "fig-contrast.png").read_bytes().startswith(b"\x89PNG")
    assert (results / "fig-contrast.svg").exists()
    objective = json.loads((results / "fig-objective.json").read_text())
    assert objective["expert"] == {"objective_less_expert": 0}
    drawn = json.loads((results / "fig-contrast.json").read_text())
    assert drawn["expert"] == {"reward": pytest.approx(known["reward"], rel=1e-5)}
    assert drawn["command"] == f"corll experiment plot {grid} --output {results}"
    assert len((results / "evaluations.jsonl").read_text().splitlines()) == 12

    page = tmp_path / "report.html"
    assert main(["experiment", "report", str(results), "--output", str(page)]) == 0
    assert "coactive-alpha-0.6" in page.read_text()


def test_tuning_keeps_a_rate_for_each_arm(
    tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "grid"
    rates = ("--learning-rates", "1e-3,1e-2", "--arms", "dueling")
    assert main(command(tiny_gpt2_folder, reviews, grid, *rates, name="tune")) == 0
    chosen = Grid.reopen(grid).rates()
    assert chosen["dueling"] in (1e-3, 1e-2)
    assert f"dueling: {chosen['dueling']:g}" in capsys.readouterr().out
    assert main(command(tiny_gpt2_folder, reviews, grid, "--arms", "dueling")) == 0
    config = json.loads((grid / "cells" / "dueling" / "seed-0" / "config.json").read_text())
    assert config["learner"]["learning_rate"] == chosen["dueling"]
    given = ("--arms", "dueling", "--learning-rate", "0.001")
    assert main(command(tiny_gpt2_folder, reviews, grid, *given)) == 0
    assert (grid / "cells" / "dueling" / "rate-0.001" / "seed-0" / "done.json").exists()
    trials = [json.loads(line) for line in (grid / "rates.jsonl").read_text().splitlines()]
    assert {line["learning_rate"] for line in trials} == {1e-3, 1e-2}


def test_workers_share_a_grid(tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid"
    arms = ("--arms", "dueling", "--seeds", "2", "--workers", "2")
    assert main(command(tiny_gpt2_folder, reviews, grid, *arms)) == 0
    assert [state.done for state in Grid.reopen(grid).states()] == [True, True]


def test_planted_secrets_are_looked_for(
    tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path
) -> None:
    grid = tmp_path / "grid"
    few = ("--preferences", "8", "--repetitions", "1", "2", "--secrets", "2", "--seeds", "1")
    assert main(command(tiny_gpt2_folder, reviews, grid, *few, name="canary")) == 0
    lines = [json.loads(line) for line in (grid / "canary.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [
        x for x in ("dpo", "sft", "both") for _ in range(12)
    ]
    assert (grid / "fig-canary.png").read_bytes().startswith(b"\x89PNG")
    assert "canary" in json.loads((grid / "fig-canary.json").read_text())["command"]


def test_an_expert_of_another_base_is_refused(
    tiny_gpt2_folder: Path,
    tiny_model_folder: Path,
    reviews: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from corll.policy import Policy

    Policy.load(tiny_model_folder).save(tmp_path / "other")
    given = ("--expert", str(tmp_path / "other"))
    assert main(command(tiny_gpt2_folder, reviews, tmp_path / "grid", *given)) == 2
    assert "not the same model" in capsys.readouterr().err


def test_a_grid_keeps_its_expert(
    tiny_gpt2_folder: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rewards by two experts are not of one grid."""
    from corll.policy import Policy

    experts = [tmp_path / name for name in ("one", "other")]
    for number, expert in enumerate(experts):
        policy = Policy.load(tiny_gpt2_folder)
        perturb_adapter(policy, seed=number)
        policy.save(expert)
    first, other = (
        command(tiny_gpt2_folder, reviews, tmp_path / "grid", "--arms", "none", "--expert", str(e))
        for e in experts
    )
    assert main(first) == 0
    assert main(first) == 0
    assert main(other) == 2
    assert f"has another expert than {experts[1]}" in capsys.readouterr().err


def test_list_names_tasks_sizes_and_arms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list"]) == 0
    shown = capsys.readouterr().out
    for name in ("imdb", "tldr", "helpful", "paper", "mini", "tiny", "dueling-best-worst"):
        assert name in shown
    for name in ("memory-last", "distil+memory", "+memory, +memory-last, +memory-nearest"):
        assert name in shown


@pytest.mark.parametrize("task", ["imdb", "tldr", "helpful"])
def test_a_dry_run_of_the_paper_needs_no_weights(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment", "run", task, "--size", "paper", "--dry-run", "--seeds", "3"]) == 0
    shown = capsys.readouterr().out
    assert '"preferences_per_step": 64' in shown
    assert "A100" in shown


def test_a_dry_run_counts_a_memory_where_an_arm_has_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three of the longest texts of IMDB: 64 + 64 tokens, and 2 around each."""
    command = ["experiment", "run", "imdb", "--size", "paper", "--dry-run"]
    assert main([*command, "--arms", "dueling"]) == 0
    assert "a cell with a memory" not in capsys.readouterr().out
    arms = ("--arms", "dueling,dueling+memory-nearest", "--set", "memory.budget_tokens=390")
    assert main([*command, *arms]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "a cell with a memory" in shown
    assert "at most 390 tokens" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "imdb", "--set", "memory.choice=none"], "choice"),
        (["run", "imdb", "--arms", "none+memory"], "memory-last and memory-nearest"),
        (["run", "news"], "imdb, tldr, helpful"),
        (["run", "imdb", "--size", "huge"], "paper, mini, tiny"),
        (["run", "imdb", "--arms", "coactive"], "dueling-best-worst"),
        (["run", "imdb", "--arms", ","], "no arm"),
        (["run", "imdb", "--seeds", "many"], "--seeds many"),
        (["run", "imdb", "--set", "beta"], "NAME=VALUE"),
        (["run", "imdb", "--set", "learner.bet=1"], "bet"),
        (["run", "imdb", "--set", "lerner.beta=1"], "lerner"),
        (["status", "nowhere"], "no experiment"),
        (["plot", "nowhere"], "no experiment"),
        (["report"], "at least one folder"),
        (["tune", "imdb", "--learning-rates", "fast"], "fast"),
        (["jump"], "tune"),
    ],
)
def test_bad_input_says_what_to_do(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_column_names_file_line_and_field(
    tiny_gpt2_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "Good.", "positive": true}\n{"text": "Bad."}\n')
    assert main(command(tiny_gpt2_folder, path, tmp_path / "grid")) == 2
    error = capsys.readouterr().err
    assert "reviews.jsonl, line 2" in error
    assert "positive" in error


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", [0]), ("3", [0, 1, 2]), ("2-4", [2, 3, 4]), ("5,1", [5, 1])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "4-2", "1-", "1,,2"])
def test_no_seeds(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        parse_seeds(text)


def test_help_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    code = (
        "import sys; from corll.cli import main; main(['experiment', 'list']);"
        "print({'torch', 'sklearn', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
