"""The sampling loop: what is drawn, with which probability, and that nothing else decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from transformers import BloomConfig, BloomForCausalLM

from architectures import build
from corll.compute.choose import backend_for
from corll.compute.decoding import Branch, draw, sample_branches
from corll.compute.network import Network
from corll.compute.packing import Ids
from corll.compute.plain import PlainBackend
from corll.config import SamplingConfig
from corll.policy import Policy
from tiny_models import (
    DEVICE,
    build_gpt2,
    build_llama,
    build_tokenizer,
    logprob_by_transformers,
    network_of,
)

V = 64
END = 0
PROMPTS: list[Ids] = [(5, 9, 2), (7,), (3, 3, 8, 1, 4, 6, 2, 9)]
EVERYTHING = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0)
BACKEND = PlainBackend(None)
JUST_BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))


def build_bloom(vocab_size: int) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.15}
    return BloomForCausalLM(BloomConfig(vocab_size=vocab_size, **sizes)).to(DEVICE)


@cache
def network(name: str) -> Network:
    """Of that model; `llama, prompt` is one that drafts prompt by prompt."""
    name, _, drafting = name.partition(", ")
    builders: dict[str, Any] = {"llama": build_llama, "gpt2": build_gpt2, "bloom": build_bloom}
    model = builders[name](V) if name in builders else build(name, V).to(DEVICE)
    found = network_of(model.eval().requires_grad_(False))
    return replace(found, drafting=drafting) if drafting else found


def sample(
    name: str,
    prompts: list[Ids],
    *,
    seed: int = 0,
    num_samples: int = 4,
    max_new_tokens: int = 12,
    sampling: SamplingConfig = EVERYTHING,
    end_ids: tuple[int, ...] = (END,),
) -> list[list[Branch]]:
    return sample_branches(
        network(name),
        prompts,
        seeds=[seed] * len(prompts),
        num_samples=num_samples,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        end_ids=end_ids,
    )


def ids_of(rows: list[list[Branch]]) -> list[list[Ids]]:
    return [[branch.token_ids for branch in row] for row in rows]


# Many ids end a text, so that rows finish at different steps and are dropped midway.
MANY_ENDS = tuple(range(0, V, 5))
MODELS = pytest.mark.parametrize(
    "name",
    ["llama", "gpt2", "bloom", "llama, prompt", "llama, row", "llama, recomputed", "mamba", "rwkv"],
)


class TestSamples:
    @MODELS
    @pytest.mark.parametrize("end_ids", [(END,), MANY_ENDS])
    def test_a_samples_logprob_is_that_of_its_ids(
        self, name: str, end_ids: tuple[int, ...]
    ) -> None:
        rows = sample(name, PROMPTS, end_ids=end_ids)
        for prompt, row in zip(PROMPTS, rows, strict=True):
            for branch in row:
                expected = logprob_by_transformers(network(name).model, prompt, branch.token_ids)
                assert branch.logprob == pytest.approx(expected, abs=1e-4)

    @pytest.mark.usefixtures("kernel_mode")
    def test_in_bf16_a_samples_logprob_is_that_of_float32_up_to_rounding(
        self, tmp_path: Path
    ) -> None:
        """Of heads that the compiled passes take; the weights themselves are rounded for both."""
        tokenizer = build_tokenizer(chat=False)
        exact: Any = build_llama(len(tokenizer), hidden_size=64).bfloat16().float().eval()
        exact.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        policy = Policy.load(tmp_path, dtype="bfloat16")
        prompts = ["Dear Ms Lopez, we are sorry.", "Hello", "The hotel near the station"]
        for prompt, row in zip(prompts, policy.sample(prompts, 4, 24), strict=True):
            prompt_ids = policy.codec.encode_prompt(prompt)
            for sample in row:
                expected = logprob_by_transformers(exact, prompt_ids, sample.token_ids)
                assert sample.logprob == pytest.approx(expected, abs=0.02 * len(sample.token_ids))

    @MODELS
    def test_a_sampler_changes_what_is_drawn_not_how_it_is_scored(self, name: str) -> None:
        cold = SamplingConfig(temperature=0.5, top_k=5, top_p=0.9)
        ((branch,),) = sample(name, PROMPTS[:1], num_samples=1, sampling=cold)
        expected = logprob_by_transformers(network(name).model, PROMPTS[0], branch.token_ids)
        assert branch.logprob == pytest.approx(expected, abs=1e-4)

    @MODELS
    @pytest.mark.parametrize("end_ids", [(END,), MANY_ENDS])
    def test_what_shares_the_batch_changes_nothing(
        self, name: str, end_ids: tuple[int, ...]
    ) -> None:
        together = ids_of(sample(name, PROMPTS, end_ids=end_ids))
        alone = [ids_of(sample(name, [prompt], end_ids=end_ids))[0] for prompt in PROMPTS]
        backwards = ids_of(sample(name, PROMPTS[::-1], end_ids=end_ids))[::-1]
        assert together == alone == backwards

    @MODELS
    def test_the_first_candidates_are_the_same_however_many_there_are(self, name: str) -> None:
        four = ids_of(sample(name, PROMPTS, num_samples=4, end_ids=MANY_ENDS))
        for k in (1, 2):
            fewer = ids_of(sample(name, PROMPTS, num_samples=k, end_ids=MANY_ENDS))
            assert fewer == [row[:k] for row in four]

    def test_a_shorter_limit_cuts_the_same_response(self) -> None:
        long = sample("llama", PROMPTS, max_new_tokens=12)
        short = sample("llama", PROMPTS, max_new_tokens=5)
        assert ids_of(short) == [[ids[:5] for ids in row] for row in ids_of(long)]

    def test_candidates_seeds_and_prompts_have_streams_of_their_own(self) -> None:
        (row,) = ids_of(sample("llama", PROMPTS[:1]))
        assert len(set(row)) == 4
        (other,) = ids_of(sample("llama", PROMPTS[:1], seed=1))
        assert not set(row) & set(other)
        # Logits that never vary show the streams themselves.
        assert len({u for prompt in PROMPTS for u in drawn_uniformly(prompt)}) == len(PROMPTS)

    def test_a_prompt_given_twice_gives_the_same(self) -> None:
        first, _, again = ids_of(sample("llama", [PROMPTS[0], PROMPTS[1], PROMPTS[0]]))
        assert first == again

    def test_each_prompt_may_have_a_seed_of_its_own(self) -> None:
        def with_seeds(*seeds: int) -> list[list[Ids]]:
            return ids_of(
                sample_branches(
                    network("llama"),
                    [PROMPTS[0]] * len(seeds),
                    seeds=seeds,
                    num_samples=1,
                    max_new_tokens=8,
                    sampling=EVERYTHING,
                    end_ids=(END,),
                )
            )

        first, second = with_seeds(3, 4)
        assert first != second
        assert with_seeds(4, 3) == [second, first]

    @MODELS
    def test_a_branch_stops_with_the_first_end_and_says_so(self, name: str) -> None:
        branches = [b for row in sample(name, PROMPTS, end_ids=MANY_ENDS) for b in row]
        for branch in branches:
            ends = [token for token in branch.token_ids if token in MANY_ENDS]
            assert branch.finished == bool(ends)
            if branch.finished:
                assert ends == [branch.token_ids[-1]]
            else:
                assert len(branch.token_ids) == 12
        assert len({len(branch.token_ids) for branch in branches}) > 2  # rows were dropped midway

    @MODELS
    def test_rows_that_end_are_the_beginnings_of_rows_that_do_not(self, name: str) -> None:
        """Dropping finished rows midway changes nothing in those that go on."""
        never = ids_of(sample(name, PROMPTS, end_ids=()))
        for row, unended in zip(sample(name, PROMPTS, end_ids=MANY_ENDS), never, strict=True):
            for branch, whole in zip(row, unended, strict=True):
                assert branch.token_ids == whole[: len(branch.token_ids)]

    @MODELS
    def test_a_response_may_have_one_token(self, name: str) -> None:
        ends = tuple(range(0, V, 2))
        branches = [b for row in sample(name, PROMPTS, max_new_tokens=1, end_ids=ends) for b in row]
        assert all(len(branch.token_ids) == 1 for branch in branches)
        assert all(b.finished == (b.token_ids[0] in ends) for b in branches)
        assert {b.finished for b in branches} == {True, False}

    def test_the_likeliest_token_at_every_step_is_greedy_decoding(self) -> None:
        greedy = SamplingConfig(top_k=1)
        ((branch,),) = sample("llama", PROMPTS[:1], num_samples=1, sampling=greedy)
        row = list(PROMPTS[0])
        for _ in branch.token_ids:
            row.append(int(next_logits(row).argmax()))
        assert branch.token_ids == tuple(row[len(PROMPTS[0]) :])

    def test_the_first_token_follows_the_models_distribution(self) -> None:
        (row,) = sample("llama", PROMPTS[:1], num_samples=4000, max_new_tokens=1)
        counts = np.bincount([branch.token_ids[0] for branch in row], minlength=V)
        probabilities = next_logits(PROMPTS[0]).double().softmax(-1)
        assert fits(counts, probabilities.cpu().numpy())


def next_logits(ids: Sequence[int]) -> Tensor:
    logits: Tensor = network("llama").model(torch.tensor([ids], device=DEVICE)).logits[0, -1]
    return logits


def drawn_uniformly(prompt: Ids) -> set[Ids]:
    """A response to the prompt by a model that knows nothing."""
    net = network("llama")
    flat = build_llama(V).eval().requires_grad_(False)
    flat.lm_head.weight = torch.nn.Parameter(
        torch.zeros_like(flat.lm_head.weight), requires_grad=False
    )
    ((branch,),) = sample_branches(
        replace(net, model=flat, backend=backend_for(flat)),
        [prompt],
        seeds=[0],
        num_samples=1,
        max_new_tokens=12,
        sampling=EVERYTHING,
        end_ids=(),
    )
    return {branch.token_ids}


def fits(counts: np.ndarray, probabilities: np.ndarray) -> bool:
    """Pearson's test, with the rare tokens taken together."""
    expected = probabilities / probabilities.sum() * counts.sum()
    rare = expected < 5
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return bool(chisquare(counts, expected).pvalue > 0.001)


class TestDraw:
    """Of three tokens with probabilities 0.2, 0.5 and 0.3: from the likeliest on, 1, 2, 0."""

    LOGITS = torch.tensor([0.2, 0.5, 0.3]).log() + 7.0

    def tokens(self, uniforms: list[float], **sampling: Any) -> list[int]:
        config = SamplingConfig(**{"top_k": 0, **sampling})
        rows = self.LOGITS.expand(len(uniforms), 3)
        return draw(rows, torch.tensor(uniforms), config, BACKEND)[0].tolist()

    def test_a_uniform_is_where_the_distribution_function_reaches_it(self) -> None:
        assert self.tokens([0.0, 0.49, 0.51, 0.79, 0.81, JUST_BELOW_1]) == [1, 1, 2, 2, 0, 0]

    def test_adjusted_logits_are_drawn_from_however_large_they_are(self) -> None:
        far = torch.tensor([[float("inf"), float("-inf"), 3e38, 0.0], [-1e38, 1.0, -3e38, 0.5]])
        drawn, logprobs = draw(
            torch.zeros(2, 4),
            torch.tensor([JUST_BELOW_1, 0.0]),
            SamplingConfig(temperature=1e-3, top_k=0),
            BACKEND,
            adjusted=far,
        )
        assert drawn[0] in (0, 2)
        assert drawn[1] == 1
        assert logprobs.isfinite().all()

    def test_only_the_k_likeliest(self) -> None:
        # 0.5 and 0.3 of 0.8: 0.625 and 0.375.
        assert self.tokens([0.0, 0.62, 0.63, JUST_BELOW_1], top_k=2) == [1, 1, 2, 2]
        assert self.tokens([0.0, JUST_BELOW_1], top_k=1) == [1, 1]
        assert self.tokens([JUST_BELOW_1], top_k=50) == [0]

    def test_only_the_likeliest_of_a_total_probability(self) -> None:
        assert self.tokens([0.0, 0.62, 0.63, JUST_BELOW_1], top_p=0.6) == [1, 1, 2, 2]
        assert self.tokens([0.0, JUST_BELOW_1], top_p=0.4) == [1, 1]
        assert self.tokens([0.0, JUST_BELOW_1], top_p=1e-6) == [1, 1]
        assert self.tokens([JUST_BELOW_1], top_p=0.9) == [0]

    def test_top_p_is_of_what_top_k_left(self) -> None:
        assert self.tokens([JUST_BELOW_1], top_k=2, top_p=0.62) == [1]
        assert self.tokens([JUST_BELOW_1], top_k=2, top_p=0.63) == [2]

    def test_temperature_divides_the_logits(self) -> None:
        # Squares at 1/2: 0.25, 0.09 and 0.04 of 0.38.
        assert self.tokens([0.65, 0.66, 0.89, 0.90], temperature=0.5) == [1, 2, 2, 0]
        # Towards the likeliest alone, and towards all alike.
        assert self.tokens([JUST_BELOW_1], temperature=0.01) == [1]
        assert self.tokens([0.33, 0.34, 0.66, 0.67], temperature=1000.0) == [1, 2, 2, 0]

    @pytest.mark.parametrize("top_p", [1e-30, 5e-324])
    def test_the_lowest_top_p_draws_the_likeliest(self, top_p: float) -> None:
        assert self.tokens([0.0, 0.5, JUST_BELOW_1], top_p=top_p) == [1, 1, 1]

    @pytest.mark.parametrize("temperature", [1e-6, 1e-38, 5e-324])
    def test_the_lowest_temperatures_draw_the_likeliest(self, temperature: float) -> None:
        assert self.tokens([0.0, 0.5, JUST_BELOW_1], temperature=temperature) == [1, 1, 1]

    @pytest.mark.parametrize(
        "sampling", [{}, {"top_k": 2}, {"top_p": 0.6}, {"temperature": 0.5}, {"temperature": 3.0}]
    )
    def test_the_logprob_is_of_the_full_distribution(self, sampling: dict[str, float]) -> None:
        config = SamplingConfig(**{"top_k": 0, **sampling})
        tokens, logprobs = draw(self.LOGITS.expand(2, 3), torch.tensor([0.0, 0.7]), config, BACKEND)
        expected = torch.tensor([0.2, 0.5, 0.3]).log()[tokens]
        torch.testing.assert_close(logprobs, expected)

    def test_a_uniform_just_below_one_never_leaves_the_kept_tokens(self) -> None:
        """Sums of many small float32 numbers stop short of 1 or go past it."""
        logits = torch.randn(16, 50_000, generator=torch.Generator().manual_seed(0))
        tokens, logprobs = draw(
            logits, torch.full((16,), JUST_BELOW_1), SamplingConfig(top_k=0, top_p=0.5), BACKEND
        )
        assert logprobs.isfinite().all()
        nucleus = logits.softmax(-1).gather(-1, tokens[:, None]).squeeze(-1)
        assert (nucleus > logits.softmax(-1).median(-1).values).all()

    def test_an_impossible_token_is_never_drawn(self) -> None:
        logits = torch.tensor([[0.0, float("-inf"), 0.0]]).expand(2, 3)
        tokens, logprobs = draw(
            logits, torch.tensor([0.0, JUST_BELOW_1]), SamplingConfig(top_k=0), BACKEND
        )
        assert sorted(tokens.tolist()) == [0, 2]
        torch.testing.assert_close(logprobs, torch.full((2,), 0.5).log())

    @pytest.mark.parametrize(
        "sampling",
        [
            SamplingConfig(top_k=0),
            SamplingConfig(top_k=5),
            SamplingConfig(top_k=0, top_p=0.7),
            SamplingConfig(top_k=0, temperature=0.5),
        ],
    )
    def test_frequencies_follow_the_distribution(self, sampling: SamplingConfig) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(20, generator=generator)
        uniforms = torch.rand(20_000, generator=generator)
        tokens, _ = draw(logits.expand(20_000, 20), uniforms, sampling, BACKEND)
        weights = (logits.double() / sampling.temperature).softmax(-1)
        order = weights.argsort(descending=True)
        kept = torch.zeros(20, dtype=torch.bool)
        kept[order[: sampling.top_k or 20]] = True
        kept[order] &= weights[order].cumsum(0) - weights[order] < sampling.top_p
        counts = np.bincount(tokens.numpy(), minlength=20)
        assert counts[~kept.numpy()].sum() == 0
        assert fits(counts[kept.numpy()], weights[kept].numpy())
