"""Configurations: frozen, validated as a whole, every field described."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.config import PRESETS, CoactiveConfig, LoraConfig, SamplingConfig
from corll.configuring import Config
from corll.errors import ConfigError

CONFIGS = [LoraConfig, SamplingConfig, CoactiveConfig]


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_field_is_described_in_a_sentence(cls: type[Config]) -> None:
    for name, field in cls.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", ").")), name


def test_an_unknown_setting_is_named_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown setting 'rank'; there are: lora_alpha, .*lora_r"
    ):
        LoraConfig(rank=8)


def test_the_settings_there_are_stand_once_behind_several_unknown_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown settings 'rank', 'alpha'; there are: ") as told:
        LoraConfig(rank=8, alpha=16)
    assert str(told.value).count("lora_dropout") == 1


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        CoactiveConfig(beta=-1, top_p=2, colour="red")
    for part in ("beta", "(got -1)", "top_p", "(got 2)", "'colour'", "CoactiveConfig"):
        assert part in str(caught.value)


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CoactiveConfig().beta = 0.2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"warmup_steps": 3, "warmup_ratio": 0.1, "total_steps": 9}, "not both"),
        ({"warmup_ratio": 0.1}, "give total_steps"),
        ({"loss_type": "hinge", "label_smoothing": 0.1}, "no meaning for loss_type='hinge'"),
        ({"loss_type": "ipo", "label_smoothing": 0.1}, "no meaning for loss_type='ipo'"),
        ({"loss_type": "robust"}, "needs label_smoothing > 0"),
        ({"loss_type": "dpo"}, "loss_type"),
        ({"selection": "best"}, "selection"),
        ({"preference_weight": 0.0, "sft_weight": 0.0}, "nothing is learned"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        CoactiveConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"top_k": -1},
        {"top_p": 0},
        {"num_candidates": 0},
        {"preferences_per_step": 0},
        {"max_completion_length": 0},
        {"max_prompt_length": 0},
        {"learning_rate": 0},
        {"label_smoothing": 0.5},
        {"sft_weight": -0.1},
        {"seed": -1},
        {"seed": 2**31},
        {"adam_beta1": 1},
        {"memory_limit_gb": 0},
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        CoactiveConfig(**settings)


@pytest.mark.parametrize("settings", [{"lora_r": 0}, {"lora_dropout": 1}, {"lora_alpha": 0}])
def test_adapters_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        LoraConfig(**settings)


def test_a_copy_with_settings_is_validated_as_a_whole() -> None:
    config = CoactiveConfig(label_smoothing=0.1)
    changed = config.with_settings(loss_type="robust")
    assert (changed.loss_type, changed.label_smoothing) == ("robust", 0.1)
    assert config.loss_type == "sigmoid"
    with pytest.raises(ConfigError, match="no meaning"):
        config.with_settings(loss_type="hinge")
    with pytest.raises(ConfigError, match="unknown setting"):
        config.with_settings(losstype="robust")


def test_warmup_rises_in_a_line_and_stays() -> None:
    config = CoactiveConfig(learning_rate=1e-3)
    rates = [config.learning_rate_at(step) for step in range(1, 7)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_a_warmup_ratio_is_a_share_of_the_total() -> None:
    by_ratio = CoactiveConfig(learning_rate=1e-3, warmup_ratio=0.1, total_steps=40)
    by_steps = CoactiveConfig(learning_rate=1e-3, warmup_steps=4)
    for step in range(1, 10):
        assert by_ratio.learning_rate_at(step) == by_steps.learning_rate_at(step)


def test_without_warmup_the_rate_is_constant() -> None:
    config = CoactiveConfig(learning_rate=1e-3, warmup_steps=0)
    assert config.learning_rate_at(1) == config.learning_rate_at(99) == 1e-3


def test_inverse_sqrt_falls_with_the_root_of_the_step_after_the_warmup() -> None:
    config = CoactiveConfig(learning_rate=1e-3, lr_scheduler_type="inverse_sqrt")
    rates = [config.learning_rate_at(step) for step in (1, 2, 4, 16, 64)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 1e-3, 5e-4, 2.5e-4])
    slower = config.with_settings(warmup_steps=9)
    assert slower.learning_rate_at(36) == pytest.approx(5e-4)


@given(st.integers(1, 100), st.integers(1, 200))
def test_a_learning_rate_is_never_zero_nor_above_the_one_asked_for(warmup: int, step: int) -> None:
    config = CoactiveConfig(warmup_steps=warmup)
    assert 0 < config.learning_rate_at(step) <= config.learning_rate


def test_sampling_settings_are_those_of_the_whole() -> None:
    config = CoactiveConfig(temperature=0.7, top_k=5, top_p=0.9)
    assert config.sampling == SamplingConfig(temperature=0.7, top_k=5, top_p=0.9)


def test_the_paper_preset_is_the_papers_setting() -> None:
    paper = CoactiveConfig.preset("paper")
    assert (paper.beta, paper.preferences_per_step, paper.learning_rate) == (0.1, 64, 5e-7)
    assert (paper.num_candidates, paper.sft_weight, paper.loss_type) == (1, 0.0, "sigmoid")


def test_a_preset_takes_other_settings_on_top() -> None:
    assert CoactiveConfig.preset("paper", beta=0.5).beta == 0.5
    assert CoactiveConfig.preset("default") == CoactiveConfig()


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=f"No preset 'fast'; there are: {', '.join(PRESETS)}"):
        CoactiveConfig.preset("fast")  # type: ignore[arg-type]


def test_a_configuration_survives_json() -> None:
    config = CoactiveConfig(beta=0.3, total_steps=7)
    assert CoactiveConfig(**config.model_dump()) == config
    assert CoactiveConfig.model_validate_json(config.model_dump_json()) == config
