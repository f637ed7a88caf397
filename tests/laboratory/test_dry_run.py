"""What an experiment would cost, against numbers worked by hand and against models themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from corll.errors import ConfigError
from corll.laboratory.dry_run import (
    ResponseSampling,
    Tokens,
    cell_tokens,
    describe,
    dry_run,
    expert_tokens,
    memory_of,
)
from corll.laboratory.shapes import (
    A100,
    GPT2,
    GPT2_LARGE,
    H100,
    LAPTOP,
    LLAMA_2_7B,
    LLAMA_2_13B,
    SMOLLM2,
    TINY,
    Machine,
    ModelShape,
    get_shape,
)
from corll.laboratory.sizes import get_experiment
from corll.laboratory.tiny_config import TinyConfig, llama_config
from corll.laboratory.workload import ExpertWork, Workload

GIB = 2**30
SMALL = ModelShape(
    "small",
    parameters=1000,
    layers=2,
    hidden=4,
    inner=6,
    kv_heads=1,
    head_dim=2,
    vocab=50,
    bytes_per_parameter=4,
)
EXPERT = ExpertWork(steps=3, preferences_per_step=4, measurements=2, measured_prompts=5)
WORK = Workload(
    model=SMALL,
    prompt=10,
    response=5,
    num_candidates=2,
    num_expert_samples=3,
    preferences_per_step=4,
    preferences=8,
    evaluations=2,
    held_out=6,
    evaluation_candidates=2,
    expert=EXPERT,
)
SLOW = Machine("slow", 1e9, 1e6, 1.0, 1e-2, 0.5, 1e-3)
"""5e5 operations a second in float32, 5 MB a second."""

PAPER_CONFIGS: list[tuple[ModelShape, Any]] = [
    (LLAMA_2_7B, LlamaConfig(max_position_embeddings=4096)),
    (
        LLAMA_2_13B,
        LlamaConfig(
            hidden_size=5120,
            intermediate_size=13824,
            num_hidden_layers=40,
            num_attention_heads=40,
            max_position_embeddings=4096,
        ),
    ),
    (GPT2, GPT2Config()),
    (GPT2_LARGE, GPT2Config(n_embd=1280, n_layer=36, n_head=20)),
    (
        SMOLLM2,
        LlamaConfig(
            vocab_size=49_152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        ),
    ),
    (TINY, llama_config(TinyConfig(), TinyConfig().vocab_size)),
]


@pytest.mark.parametrize(
    ("shape", "config"), PAPER_CONFIGS, ids=lambda one: getattr(one, "name", "")
)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_the_shapes_are_those_of_the_models(shape: ModelShape, config: Any) -> None:
    """Built without weights, with an adapter on each linear layer."""
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters
    own = model.config
    assert (own.num_hidden_layers, own.hidden_size) == (shape.layers, shape.hidden)
    assert own.vocab_size == shape.vocab
    assert own.max_position_embeddings == shape.context
    assert shape.inner == (getattr(own, "intermediate_size", None) or 4 * own.hidden_size)
    keys = shape.kv_heads * shape.head_dim
    if shape.family == "llama":
        assert model.model.layers[0].self_attn.k_proj.out_features == keys
    else:
        assert keys == shape.hidden
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    assert adapted.get_nb_trainable_parameters()[0] == shape.adapter_parameters(8)


def test_a_model_is_found_by_its_name_alone() -> None:
    assert get_shape("meta-llama/Llama-2-7b-hf") is LLAMA_2_7B
    assert get_shape("gpt2").bytes_per_parameter == 4
    assert get_shape("gpt2", "bfloat16").bytes_per_parameter == 2
    with pytest.raises(ConfigError, match="Llama-2-13b-hf, gpt2"):
        get_shape("gpt3")


class TestTokens:
    def test_those_of_a_cell(self) -> None:
        """8 preferences of 2 drafts and 3 redraws, 2 evaluations of 6 prompts with 2 samples."""
        assert cell_tokens(WORK) == Tokens(
            sampled_by_policy=(8 * 2 + 2 * 6 * 2) * 5,
            sampled_by_expert=8 * 3 * 5,
            read=(8 + 8 + 2 * 6) * 10,
            # R_π of both drafts, R* of draft and redraws, 3 models at evaluations, π_0 at steps
            scored=2 * 8 * 20 + 2 * 8 * 30 + 3 * 12 * 20 + 8 * 20,
            trained=8 * 20,
        )

    def test_with_one_candidate_nothing_is_ranked(self) -> None:
        one = cell_tokens(replace(WORK, num_candidates=1))
        assert one.scored == cell_tokens(WORK).scored - 2 * 8 * 20
        assert one.sampled_by_policy == cell_tokens(WORK).sampled_by_policy - 8 * 5

    def test_plain_rows_repeat_the_prompt(self) -> None:
        plain, shared = cell_tokens(replace(WORK, shared_rows=False)), cell_tokens(WORK)
        assert plain.trained - shared.trained == plain.scored - shared.scored == 8 * 10

    def test_those_of_the_expert(self) -> None:
        """3 steps on 4 preferences, 2 measurements of a sample of both models for 5 prompts."""
        assert expert_tokens(WORK, EXPERT) == Tokens(
            sampled_by_policy=50,
            sampled_by_expert=50,
            read=200,
            scored=2 * 10 * 20 + 3 * 4 * 20,
            trained=3 * 4 * 20,
        )

    def test_operations(self) -> None:
        """2 a parameter forward, and backward 2 through frozen weights or 4 through all."""
        tokens = Tokens(100, 200, 300, 400, 50)
        assert tokens.operations(WORK) == 1000 * (2 * 1000 + 4 * 50)
        assert tokens.operations(replace(WORK, trains="all")) == 1000 * (2 * 1000 + 6 * 50)


class TestBehindAMemory:
    """20 tokens before the prompts of drafts and of held-out samples."""

    WORK = replace(WORK, memory=20)

    def test_tokens(self) -> None:
        """8 preferences of 2 drafts; 12 held-out prompts with 2 samples, and 1 without the memory.

        Rows have 20 + 10 + 2 · 5 tokens behind the memory. What the expert reads and scores has
        none; nor has a preference's row, unless it is learned with the memory.
        """
        assert cell_tokens(self.WORK) == Tokens(
            sampled_by_policy=(8 * 2 + 12 * 2 + 12) * 5,
            sampled_by_expert=8 * 3 * 5,
            # drafts and held-out samples behind the memory; redraws and samples without
            read=(8 + 12) * 30 + (8 + 12) * 10,
            # R_π of drafts; R* of drafts and redraws; π and π_0 behind the memory, π* and π_0
            # without; a sample without it by both models and both π_0; π_0 at steps
            scored=2 * 8 * 40 + 2 * 8 * 30 + 2 * 12 * 40 + 2 * 12 * 20 + 4 * 12 * 15 + 8 * 20,
            trained=8 * 20,
        )

    def test_learning_with_it_puts_it_into_each_preferences_rows(self) -> None:
        without, behind = (
            cell_tokens(replace(self.WORK, learns_with_memory=learns)) for learns in (False, True)
        )
        assert behind.trained - without.trained == 8 * 20
        assert behind.scored - without.scored == 8 * 20
        rows = replace(self.WORK, learns_with_memory=True, shared_rows=False)
        assert cell_tokens(rows).trained == 8 * (2 * 30 + 10)
        assert memory_of(rows).activations == pytest.approx(
            memory_of(WORK).activations * (2 * 30 + 10) / 20
        )

    def test_arms_with_it_are_counted_apart(self) -> None:
        """Of 3 arms one has it: 4 cells without, 2 with."""
        run = dry_run(self.WORK, arms=3, seeds=2, arms_with_memory=1, machines=[SLOW])
        plain = dry_run(WORK, arms=3, seeds=2, machines=[SLOW])
        (cost,), (alone,) = run.costs, plain.costs
        assert run.tokens == plain.tokens == cell_tokens(WORK)
        assert run.tokens_behind_memory == cell_tokens(self.WORK)
        assert (plain.tokens_behind_memory, alone.hours_behind_memory) == (None, None)
        assert cost.hours_per_cell == alone.hours_per_cell
        tokens = cell_tokens(self.WORK)
        passes = 1000 * (2 * (tokens.read + tokens.scored) + 4 * tokens.trained) / 5e5
        calls = ((2, 8), (2, 12), (2, 12), (2, 6))  # drafts, redraws, held out, and without it
        drawn = sum(times * 5 * (2000 * n / 5e5 + 2e-3) for times, n in calls)
        assert cost.hours_behind_memory == pytest.approx((passes + drawn) / 3600)
        assert cost.grid_hours == pytest.approx(
            cost.expert_hours + 4 * cost.hours_per_cell + 2 * cost.hours_behind_memory
        )
        assert cost.expert_hours == alone.expert_hours
        # The keys and values of the longest rows: 20 + 10 + 5 tokens of 32 bytes.
        assert cost.cache_gb == pytest.approx(12 * 35 * 32 / GIB)

    def test_that_of_an_experiment_is_the_longest_that_can_stand(self) -> None:
        """Five texts of 32 + 32 + 2 tokens, but in the tiny model's context only 256 − 64."""
        found = {
            size: Workload.of_experiment(get_experiment("imdb", size)).memory
            for size in ("paper", "mini", "tiny")
        }
        assert found == {"paper": 5 * 130, "mini": 330, "tiny": 192}
        mini = get_experiment("imdb", "mini")
        for settings, tokens in ({"most": 1}, 66), ({"budget_tokens": 50}, 50):
            fewer = mini.with_settings(memory=mini.memory.with_settings(**settings))
            assert Workload.of_experiment(fewer).memory == tokens

    def test_the_table_says_it(self) -> None:
        run = dry_run(get_experiment("imdb", "tiny"), arms=2, seeds=1, arms_with_memory=1)
        rows = dict(describe(run))
        assert rows["a cell with a memory"].startswith(
            "at most 192 tokens before a prompt, learned without it: "
        )
        assert "with a memory)" in rows[LAPTOP.name]
        assert "a cell with a memory" not in dict(describe(dry_run(get_experiment("imdb", "tiny"))))


class TestMemory:
    def test_adapters_share_the_weights(self) -> None:
        """r = 8: q and o 4 + 4, k and v 4 + 2, three of 4 + 6; 2 layers."""
        learned = 8 * (2 * 8 + 2 * 6 + 3 * 10) * 2
        assert SMALL.adapter_parameters(8) == learned
        found = memory_of(WORK)
        assert found.weights == 4000 / GIB
        assert found.copies == 0
        assert found.adapters == 2 * learned * 4 / GIB
        assert found.optimiser == 3 * learned * 4 / GIB
        # 20 tokens, of 24 hidden and 6 feed-forward vectors in each of 2 layers
        assert found.activations == 20 * 2 * (24 * 4 + 6 * 6) * 4 / GIB
        assert found.least == pytest.approx(found.held + found.activations)

    def test_whole_copies_are_two_beside_the_reference(self) -> None:
        found = memory_of(replace(WORK, trains="all"))
        assert (found.weights, found.copies, found.adapters) == (4000 / GIB, 8000 / GIB, 0)
        assert found.optimiser == 12000 / GIB
        assert found.held == 24000 / GIB

    def test_whole_copies_are_in_float32(self) -> None:
        with pytest.raises(ConfigError, match="float32"):
            replace(WORK, trains="all", model=replace(SMALL, bytes_per_parameter=2))


class TestTime:
    def test_a_token_takes_its_products_or_its_reading_and_a_start(self) -> None:
        """Of 5 tokens; 2 layers start in 2 ms; a token's keys and values are 2 · 2 · 2 floats."""
        sampling = ResponseSampling(SMALL, SLOW, prompt=10, response=5, free_gb=1.0)
        products = 2 * 1000 * 8 / 5e5
        assert sampling.seconds(8) == pytest.approx(5 * (products + 2e-3))
        quick = replace(sampling, machine=replace(SLOW, flops_float32=1e12))
        reading = (4000 + 8 * 12.5 * 32) / 5e6
        assert quick.seconds(8) == pytest.approx(5 * (reading + 2e-3))

    def test_what_does_not_fit_at_once_is_drawn_in_turns(self) -> None:
        """A response takes 15 tokens of 32 bytes and 50 logits of 4, 680 bytes in all."""
        sampling = ResponseSampling(SMALL, SLOW, prompt=10, response=5, free_gb=3 * 680 / GIB)
        assert sampling.at_once(8) == 3
        assert sampling.seconds(8) == pytest.approx(3 * 5 * (2000 * 8 / 3 / 5e5 + 2e-3))
        assert sampling.at_once(2) == 2

    def test_hours_of_a_cell_and_of_a_grid(self) -> None:
        run = dry_run(WORK, arms=3, seeds=2, machines=[SLOW])
        (cost,) = run.costs
        tokens = cell_tokens(WORK)
        passes = 1000 * (2 * (tokens.read + tokens.scored) + 4 * tokens.trained) / 5e5
        drawn = sum(calls * 5 * (2000 * n / 5e5 + 2e-3) for calls, n in ((2, 8), (2, 12), (2, 12)))
        assert cost.hours_per_cell == pytest.approx((passes + drawn) / 3600)
        of_expert = expert_tokens(WORK, EXPERT)
        passes = 1000 * (2 * (of_expert.read + of_expert.scored) + 4 * of_expert.trained) / 5e5
        drawn = 4 * 5 * (2000 * 5 / 5e5 + 2e-3)
        assert cost.expert_hours == pytest.approx((passes + drawn) / 3600)
        assert cost.grid_hours == pytest.approx(cost.expert_hours + 6 * cost.hours_per_cell)
        assert cost.branches == 12
        assert cost.cache_gb == pytest.approx(12 * 15 * 32 / GIB)
        assert cost.work_gb == pytest.approx(1 - run.memory.held)

    def test_a_writer_of_the_experts_pairs_counts(self) -> None:
        """12 texts of 5 tokens, drawn and scored by a model of its own."""
        work = replace(EXPERT, written=12, writer=replace(SMALL, parameters=3000, layers=4))
        with_writer = dry_run(replace(WORK, expert=work), machines=[SLOW]).costs[0]
        without = dry_run(WORK, machines=[SLOW]).costs[0]
        seconds = 5 * (2 * 3000 * 12 / 5e5 + 4e-3) + 2 * 3000 * 12 * (10 + 15) / 5e5
        assert 3600 * (with_writer.expert_hours - without.expert_hours) == pytest.approx(seconds)

    def test_float32_runs_at_its_own_speed(self) -> None:
        assert H100.speed(GPT2) == 0.4 * 67e12
        assert H100.speed(LLAMA_2_7B) == 0.4 * 989e12

    @pytest.mark.parametrize(("branches", "measured"), [(1, 24), (8, 170), (32, 395), (128, 617)])
    def test_the_laptop_drafts_as_it_was_measured_to(self, branches: int, measured: int) -> None:
        """Tokens a second of SmolLM2 with 64-token prompts (benchmarks/results/drafting.jsonl)."""
        sampling = ResponseSampling(SMOLLM2, LAPTOP, prompt=64, response=64, free_gb=4.0)
        assert 64 * branches / sampling.seconds(branches) == pytest.approx(measured, rel=0.2)


class TestPaper:
    def test_imdb(self) -> None:
        """12,800 preferences of 9 drafts and 25 redraws of 64 tokens, 11 evaluations."""
        run = dry_run(get_experiment("imdb", "paper"))
        assert run.workload.trains == "all"
        assert run.workload.learned == 124_439_808
        assert run.tokens.sampled_by_policy == (12_800 * 9 + 11 * 400 * 9) * 64
        assert run.tokens.sampled_by_expert == 12_800 * 25 * 64
        assert run.tokens.trained == 12_800 * (64 + 2 * 64)
        assert run.memory.weights == pytest.approx(0.4636, abs=1e-4)
        assert run.memory.held == pytest.approx(6 * run.memory.weights)
        writer = run.workload.expert
        assert writer is not None
        assert writer.writer == GPT2_LARGE
        assert writer.written == 25_000 * 4
        assert all(cost.fits for cost in run.costs)

    @pytest.mark.parametrize(
        ("task", "shape", "pair", "weights"),
        [("tldr", LLAMA_2_7B, 2 * 512, 12.551), ("helpful", LLAMA_2_13B, 2 * 400, 24.244)],
    )
    def test_the_large_models_need_a_gpu(
        self, task: str, shape: ModelShape, pair: int, weights: float
    ) -> None:
        """With dropout 0.1 draft and edit have rows of their own."""
        run = dry_run(get_experiment(task, "paper"))
        assert run.workload.model == shape
        assert run.workload.pair_tokens == pair
        assert run.memory.weights == pytest.approx(weights, abs=1e-3)
        assert run.memory.copies == 0
        assert run.workload.expert is not None
        assert run.workload.expert.written == 0
        laptop, a100, h100 = run.costs
        assert not laptop.fits
        assert math.isinf(laptop.grid_hours)
        assert 0 < h100.hours_per_cell < a100.hours_per_cell < 24
        assert a100.machine is A100

    def test_an_adapter_of_rank_8_on_llama_2_7b(self) -> None:
        assert LLAMA_2_7B.adapter_parameters(8) == 19_988_480

    def test_the_small_sizes_are_counted_too(self) -> None:
        for task in ("imdb", "tldr", "helpful"):
            for size in ("mini", "tiny"):
                run = dry_run(get_experiment(task, size))
                assert all(cost.fits for cost in run.costs)


def test_the_table() -> None:
    run = dry_run(get_experiment("tldr", "paper"), arms=3, seeds=8)
    rows = dict(describe(run))
    assert rows["model"] == "Llama-2-7b-hf, 6.74 billion parameters of 2 bytes"
    assert rows["learns"] == "an adapter of rank 8, 20 million parameters"
    assert rows["tokens sampled a cell"] == "860,000 by the policy, 3,200,000 by the expert"
    assert rows["tokens trained a cell"] == "13,107,200"
    assert rows["memory"].startswith("at least 23 GB: weights 12.6, copies 0, adapters 0.15")
    assert rows[LAPTOP.name] == "does not fit: it has 16 GB"
    assert "for 3 arms × 8 seeds" in rows[H100.name]


def test_durations_are_in_what_they_are_read_in() -> None:
    quick = replace(SLOW, flops_float32=1e12, bandwidth=1e3, layer_seconds=1e-3)
    cells = dict(describe(dry_run(WORK, machines=[quick])))["slow"]
    assert cells.startswith("0.06 s a cell, expert up to 0.04 s")
