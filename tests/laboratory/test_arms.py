"""What each arm's name means: the feedback, and what of the learner differs."""

from __future__ import annotations

import pytest

from corll.errors import ConfigError
from corll.laboratory.arms import FACTORIAL, FIXED_ARMS, get_arm, has_memory
from corll.laboratory.cell import Cell
from corll.laboratory.sizes import SIZES, MemoryConfig, get_experiment
from corll.memory.choosing import MemorySettings
from corll.simulation.axes import FeedbackAxes, NothingBetter, Strength

DEFAULT = FeedbackAxes()


@pytest.mark.parametrize("name", [*FIXED_ARMS, *FACTORIAL])
@pytest.mark.parametrize("size", SIZES)
def test_each_listed_arm_resolves_at_each_size(name: str, size: str) -> None:
    experiment = get_experiment("imdb", size)
    config = Cell.named(name, 3).learner_config(experiment, {})
    assert config.seed == 3
    assert config.preferences_per_step == (8 if size == "mini" else 64)  # 32 steps of 256 at mini


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coactive-minimal-drop", (Strength.MINIMAL, NothingBetter.DROP)),
        ("coactive-minimal-anyway", (Strength.MINIMAL, NothingBetter.BEST_ANYWAY)),
        ("coactive-best", (Strength.BEST, NothingBetter.BEST_ANYWAY)),
        ("sft-edit", (Strength.ALPHA, NothingBetter.BEST_ANYWAY)),
    ],
)
def test_the_kind_of_feedback(name: str, expected: tuple[Strength, NothingBetter]) -> None:
    axes = get_arm(name).feedback_axes(DEFAULT)
    assert (axes.strength, axes.nothing_better) == expected


def test_numbers_are_read_from_the_name() -> None:
    assert get_arm("coactive-alpha-0.35").feedback_axes(DEFAULT).alpha == 0.35
    assert get_arm("coactive-epsilon-0.2").feedback_axes(DEFAULT).mislabel_probability == 0.2
    tiny = get_experiment("imdb", "tiny")
    assert Cell.named("coactive-k-7", 0).learner_config(tiny, {}).num_candidates == 7


def test_dueling_compares_two_samples_and_ranks_nothing() -> None:
    tiny = get_experiment("imdb", "tiny")
    config = Cell.named("dueling", 0).learner_config(tiny, {})
    assert (config.num_candidates, config.selection) == (2, "first")


def test_comparisons_by_eq_7_differ_from_dueling_by_their_user() -> None:
    tiny = get_experiment("imdb", "tiny")
    drawn, dueling = (get_arm(name) for name in ("dueling-bradley-terry", "dueling"))
    assert (drawn.feedback, drawn.learner) == ("drawn_duel", dueling.learner)
    configs = [Cell(arm, 0).learner_config(tiny, {}) for arm in (drawn, dueling)]
    assert configs[0] == configs[1]


def test_a_temperature_alone_changes_what_is_drawn() -> None:
    tiny = get_experiment("imdb", "tiny")
    arm = get_arm("temperature-0.35")
    assert arm.feedback == "none"
    sampling = Cell(arm, 0).learner_config(tiny, {}).sampling
    assert sampling == tiny.learner.sampling.model_copy(update={"temperature": 0.35})


@pytest.mark.parametrize("number", ["0", "-1", "inf", "nan", "warm", ""])
def test_no_temperature(number: str) -> None:
    with pytest.raises(ConfigError, match="is no arm"):
        get_arm(f"temperature-{number}")


def test_best_worst_draws_as_many_as_coactive_draws_in_all() -> None:
    tiny = get_experiment("imdb", "tiny")
    config = Cell.named("dueling-best-worst", 0).learner_config(tiny, {})
    assert config.num_candidates == tiny.learner.num_candidates + tiny.num_expert_samples


def test_the_factorial_crosses_kind_loss_and_drafts() -> None:
    assert len(FACTORIAL) == 12
    arm = get_arm("redraw+both+offline")
    assert arm.feedback == "matched_redraw"
    assert arm.learner["drafts_from"] == "reference"
    assert (arm.learner["sft_weight"], arm.learner.get("preference_weight", 1.0)) == (1.0, 1.0)
    supervised = get_arm("edit+sft+online")
    assert supervised.feedback == "matched_edit"
    assert supervised.learner["preference_weight"] == 0.0
    assert "drafts_from" not in supervised.learner


@pytest.mark.parametrize(
    ("name", "choice", "learns"),
    [
        ("memory-last", "last", False),
        ("memory-nearest", "nearest", False),
        ("dueling+memory", "nearest", True),
        ("coactive-k-2+memory-last", "last", True),
        ("edit+dpo+online+memory-nearest", "nearest", True),
        ("distil+memory", "nearest", True),
        ("dueling", "none", True),
        ("none", "none", True),
    ],
)
def test_a_memory_is_the_sizes_or_as_the_name_says(name: str, choice: str, learns: bool) -> None:
    default = MemorySettings("nearest", 2, 77)
    arm = get_arm(name)
    found = arm.memory_settings(default)
    assert found.choice == choice
    assert (found.most, found.budget_tokens) == ((2, 77) if choice != "none" else (3, 1024))
    assert arm.learns == learns
    assert has_memory(name) == (choice != "none")


def test_a_memory_changes_nothing_else_of_an_arm() -> None:
    for name in ("coactive-minimal-drop", "dueling", "edit+both+offline"):
        plain, behind = get_arm(name), get_arm(f"{name}+memory")
        assert behind.name == f"{name}+memory"
        assert (behind.feedback, behind.axes, behind.learner) == (
            plain.feedback,
            plain.axes,
            plain.learner,
        )


def test_distil_learns_by_distil_whatever_the_experiment_learns_with() -> None:
    tiny = get_experiment("imdb", "tiny")
    remembering = tiny.with_settings(
        learner=tiny.learner.with_settings(learn_with_memory=True, distil_texts="edit")
    )
    config = Cell.named("distil+memory", 0).learner_config(remembering, {})
    assert (config.learner, config.learn_with_memory) == ("distil", False)
    assert config.distil_texts == "edit"
    other = Cell.named("coactive-best+memory", 0).learner_config(remembering, {})
    assert (other.learner, other.learn_with_memory) == ("coactive", True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none+memory", "memory-last and memory-nearest"),
        ("memory-last+memory", "memory-last and memory-nearest"),
        ("dueling+memory-all", r"one of \+memory, \+memory-last, \+memory-nearest"),
        ("dueling+memory+memory", r"one of \+memory"),
        ("best+memory", "There is no arm 'best'"),
        ("memory", "There is no arm 'memory'"),
        ("distil", r"say distil\+memory"),
    ],
)
def test_a_memory_that_no_arm_has_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        get_arm(name)


def test_a_memory_of_a_size_holds_as_many_of_the_longest_texts_as_it_may_choose() -> None:
    """Five texts, each with a beginning and an end: 5 · (32 + 32 + 2)."""
    memory = get_experiment("imdb", "tiny").memory
    assert memory == MemoryConfig(choice="last", most=3, budget_tokens=330)
    assert memory.settings == MemorySettings("last", 3, 330)
    assert get_experiment("tldr", "paper").memory.budget_tokens == 5 * (462 + 50 + 2)
    with pytest.raises(ConfigError, match="most"):
        MemoryConfig(most=0)


def test_a_chosen_learning_rate_is_that_of_its_arm() -> None:
    tiny = get_experiment("imdb", "tiny")
    rates = {"dueling": 0.5}
    assert Cell.named("dueling", 0).learner_config(tiny, rates).learning_rate == 0.5
    assert Cell.named("dueling", 0, 0.25).learner_config(tiny, rates).learning_rate == 0.25
    default = Cell.named("offline", 0).learner_config(tiny, rates).learning_rate
    assert default == tiny.learner.learning_rate


@pytest.mark.parametrize(
    "name", ["best", "coactive-alpha-x", "coactive-alpha-2", "coactive-k-0", "edit+dpo", ""]
)
def test_an_unknown_arm_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"arm"):
        get_arm(name)


def test_an_unknown_arm_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="dueling-best-worst"):
        get_arm("duelling")


def test_unknown_tasks_and_sizes_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="imdb, tldr, helpful"):
        get_experiment("news", "tiny")
    with pytest.raises(ConfigError, match="paper, mini, tiny"):
        get_experiment("imdb", "huge")


def test_the_papers_settings_are_the_papers() -> None:
    tldr, helpful, imdb = (get_experiment(task, "paper") for task in ("tldr", "helpful", "imdb"))
    assert (tldr.lengths.prompt, tldr.lengths.response, tldr.held_out) == (462, 50, 400)
    assert (helpful.lengths.prompt, helpful.lengths.response, helpful.held_out) == (300, 100, 320)
    assert (imdb.lengths.prompt, imdb.lengths.response, imdb.held_out) == (64, 64, 400)
    for large in (tldr, helpful):
        assert (large.learner.num_candidates, large.num_expert_samples) == (1, 5)
        assert (large.lora.lora_r, large.lora.lora_alpha, large.lora.lora_dropout) == (8, 64, 0.1)
        assert large.learner.learning_rate_at(1) == pytest.approx(5e-7 / 20)
        assert large.learner.learning_rate_at(20) == pytest.approx(5e-7)
    assert (imdb.learner.num_candidates, imdb.num_expert_samples) == (9, 25)
    assert (imdb.learner.learning_rate, imdb.trains) == (1e-5, "all")
    assert imdb.feedback == FeedbackAxes(alpha=0.6)
    for one in (tldr, helpful, imdb):
        assert (one.learner.preferences_per_step, one.learner.beta) == (64, 0.1)
        assert (one.learner.temperature, one.learner.top_k) == (1.0, 50)
        assert (one.learner.sft_weight, one.learner.keep_weight) == (0.0, 0.0)
        assert one.learner.replay_per_step == 0
