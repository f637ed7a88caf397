"""Log-probabilities of packed rows: each shortcut against the plain computation."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from corll.compute import scoring
from corll.compute.choose import backend_for
from corll.compute.network import Network
from corll.compute.packing import Ids, build_tree
from corll.compute.plain import PlainBackend
from corll.compute.scoring import linear_token_logprobs
from tiny_models import (
    build_gpt2,
    build_llama,
    logprob_by_transformers,
    network_of,
    response_logprobs,
)

V = 64
PROMPT = (5, 9, 2)
RESPONSES = ((1, 2, 3, 0), (1, 2, 4), (7,), (1, 2, 3, 0))
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


@cache
def network(name: str) -> Network:
    builders = {"llama": build_llama, "gpt2": build_gpt2}
    return network_of(builders[name](V).eval().requires_grad_(False))


def plain(network: Network) -> Network:
    """The same model, without a shortcut."""
    return replace(network, takes_trees=False, head_is_linear=False)


def expected_logprobs(model: Any, prompt: Ids, responses: Sequence[Ids]) -> Tensor:
    found = [logprob_by_transformers(model, prompt, ids) for ids in responses]
    return torch.tensor(found, device=model.device)


class TestValues:
    @pytest.mark.parametrize("name", ["llama", "gpt2"])
    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(
        trees=st.lists(
            st.tuples(
                st.lists(st.integers(0, V - 1), min_size=1, max_size=6).map(tuple),
                # Few different ids, so that responses share beginnings.
                st.lists(
                    st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple),
                    min_size=1,
                    max_size=4,
                ),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def test_packed_rows_give_what_plain_rows_give(
        self, name: str, trees: list[tuple[Ids, list[Ids]]]
    ) -> None:
        net = network(name)
        assert net.takes_trees
        assert net.head_is_linear
        packed = response_logprobs(net, [t for p, r in trees for t in net.trees(p, r)])
        rows = response_logprobs(plain(net), [t for p, r in trees for t in plain(net).trees(p, r)])
        expected = torch.cat([expected_logprobs(net.model, p, r) for p, r in trees])
        torch.testing.assert_close(packed, expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(rows, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("name", ["llama", "gpt2"])
    def test_plain_rows_through_a_tree_mask_are_the_same(self, name: str) -> None:
        net = network(name)
        rows = net.trees(PROMPT, RESPONSES, share=False)
        assert len(rows) == len(RESPONSES)
        expected = expected_logprobs(net.model, PROMPT, RESPONSES)
        torch.testing.assert_close(response_logprobs(net, rows), expected, rtol=0, atol=1e-4)

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        net = network("llama")
        whole = response_logprobs(net, net.trees(PROMPT, RESPONSES))
        for logits in (1, 2 * V, 3 * V):
            monkeypatch.setattr(scoring, "LOGITS_PER_CHUNK", logits)
            chunked = response_logprobs(net, net.trees(PROMPT, RESPONSES))
            torch.testing.assert_close(chunked, whole)

    @pytest.mark.usefixtures("kernel_mode")
    def test_sums_are_float32_whatever_the_base_computes_in(self) -> None:
        model = build_llama(V).to(torch.bfloat16).eval().requires_grad_(False)
        net = network_of(model)
        scores = response_logprobs(net, net.trees(PROMPT, RESPONSES))
        assert scores.dtype == torch.float32
        assert net.takes_trees
        expected = expected_logprobs(network("llama").model, PROMPT, RESPONSES)
        torch.testing.assert_close(scores, expected, rtol=0.02, atol=0.1)


def learning_copy(name: str) -> tuple[Network, list[Tensor]]:
    """A copy whose first layer learns; its output layer does not."""
    net = network(name)
    model = copy.deepcopy(net.model)
    inner = model.get_decoder() if name == "llama" else model.transformer
    layer = (inner.layers if name == "llama" else inner.h)[0]
    learned = [p.requires_grad_() for p in layer.parameters()]
    return replace(net, model=model, backend=backend_for(model)), learned


def margin_gradients(net: Network, learned: list[Tensor], *, shared_grad: bool) -> list[Tensor]:
    trees = [build_tree(PROMPT, [(1, 2, 3, 0), (1, 2, 4)]), build_tree((6,), [(8, 8), (8, 3, 0)])]
    scores = response_logprobs(net, trees, shared_grad=shared_grad)
    margins = scores[0::2] - scores[1::2]
    return list(torch.autograd.grad(margins.sigmoid().log().sum(), learned))


class TestGradients:
    @pytest.mark.parametrize("name", ["llama", "gpt2"])
    def test_shared_terms_need_no_gradient_in_a_margin(self, name: str) -> None:
        net, learned = learning_copy(name)
        trees = [build_tree(PROMPT, RESPONSES[:2])]
        with_terms = response_logprobs(net, trees, shared_grad=True)
        without = response_logprobs(net, trees, shared_grad=False)
        torch.testing.assert_close(without, with_terms)
        torch.testing.assert_close(
            margin_gradients(net, learned, shared_grad=False),
            margin_gradients(net, learned, shared_grad=True),
            rtol=1e-4,
            atol=1e-6,
        )

    @pytest.mark.parametrize("linear", [True, False])
    def test_shared_terms_carry_none_when_told_so(self, linear: bool) -> None:
        """The gradient of one response alone lacks its shared beginning, and only then."""
        net, learned = learning_copy("llama")
        net = replace(net, takes_trees=True, head_is_linear=linear)

        def gradient(*, shared_grad: bool) -> Tensor:
            trees = [build_tree(PROMPT, RESPONSES[:2])]
            score = response_logprobs(net, trees, shared_grad=shared_grad)[0]
            return torch.autograd.grad(score, learned)[0]

        difference = (gradient(shared_grad=True) - gradient(shared_grad=False)).abs().max()
        assert difference > 1e-3

    @pytest.mark.parametrize("name", ["llama", "gpt2"])
    def test_a_margin_has_the_gradient_of_plain_rows(self, name: str) -> None:
        net, learned = learning_copy(name)

        def plain_score(prompt: Ids, ids: Ids) -> Tensor:
            row = torch.tensor([[*prompt, *ids]], device=net.model.device)
            logprobs = net.model(row).logits[0].log_softmax(-1)
            places = torch.arange(len(prompt) - 1, len(prompt) + len(ids) - 1)
            return logprobs[places, torch.tensor(ids)].sum()

        first = plain_score(PROMPT, (1, 2, 3, 0)) - plain_score(PROMPT, (1, 2, 4))
        second = plain_score((6,), (8, 8)) - plain_score((6,), (8, 3, 0))
        margins = torch.stack([first, second])
        expected = torch.autograd.grad(margins.sigmoid().log().sum(), learned)
        found = margin_gradients(net, learned, shared_grad=False)
        torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-5)

    def test_plain_rows_keep_their_gradient_when_shared_terms_carry_none(self) -> None:
        """Nothing cancels between rows: a model without trees would otherwise learn nothing."""
        net, learned = learning_copy("llama")
        rows = net.trees(PROMPT, RESPONSES[:2], share=False)
        scores = response_logprobs(net, rows, shared_grad=False)
        found = torch.autograd.grad(scores[0] - scores[1], learned)
        packed = response_logprobs(net, net.trees(PROMPT, RESPONSES[:2]), shared_grad=True)
        expected = torch.autograd.grad(packed[0] - packed[1], learned)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def with_head(head: torch.nn.Linear) -> Network:
    """A network of which there is an output layer only."""
    model = SimpleNamespace(get_output_embeddings=lambda: head)
    return Network(model, PlainBackend(model), takes_trees=False, head_is_linear=True)


class TestLinearTokenLogprobs:
    @staticmethod
    def case(*, bias: bool, learns: bool = False) -> tuple[Tensor, Any, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        head = torch.nn.Linear(5, 11, bias=bias).requires_grad_(learns)
        hidden = torch.randn(7, 5, generator=generator, requires_grad=True)
        token_ids = torch.randint(11, (7,), generator=generator)
        return hidden, head, token_ids, torch.randn(7, generator=generator)

    @pytest.mark.parametrize("chunk", [1, 22, 1 << 23])
    @pytest.mark.parametrize("bias", [True, False])
    def test_value_and_gradient_are_those_of_autograd(
        self, monkeypatch: pytest.MonkeyPatch, bias: bool, chunk: int
    ) -> None:
        monkeypatch.setattr(scoring, "LOGITS_PER_CHUNK", chunk)
        hidden, head, token_ids, weights = self.case(bias=bias)
        found = linear_token_logprobs(with_head(head), hidden, token_ids)
        (found_grad,) = torch.autograd.grad((weights * found).sum(), hidden)
        expected = head(hidden).log_softmax(-1).gather(-1, token_ids[:, None]).squeeze(-1)
        (expected_grad,) = torch.autograd.grad((weights * expected).sum(), hidden)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found_grad, expected_grad)

    @pytest.mark.parametrize("chunk", [1, 22, 1 << 23])
    @pytest.mark.parametrize("learns", [True, False])
    def test_only_the_terms_named_carry_a_gradient(
        self, monkeypatch: pytest.MonkeyPatch, learns: bool, chunk: int
    ) -> None:
        monkeypatch.setattr(scoring, "LOGITS_PER_CHUNK", chunk)
        hidden, head, token_ids, weights = self.case(bias=True, learns=learns)
        named = torch.tensor([False, True, True, False, False, True, False])
        some = linear_token_logprobs(with_head(head), hidden, token_ids, named)
        torch.testing.assert_close(some, linear_token_logprobs(with_head(head), hidden, token_ids))
        (found,) = torch.autograd.grad((weights * some).sum(), hidden)
        whole = linear_token_logprobs(with_head(head), hidden, token_ids)
        (expected,) = torch.autograd.grad((weights * whole)[named].sum(), hidden)
        torch.testing.assert_close(found, expected)
        assert not found[~named].any()

    def test_the_gradient_is_the_slope(self) -> None:
        """Against finite differences, which know nothing of softmax."""
        hidden, head, token_ids, weights = self.case(bias=True)

        def value(at: Tensor) -> Tensor:
            return (weights * linear_token_logprobs(with_head(head), at, token_ids)).sum()

        (grad,) = torch.autograd.grad(value(hidden), hidden)
        step = 1e-2
        for row, column in ((0, 0), (3, 2), (6, 4)):
            shift = torch.zeros_like(hidden)
            shift[row, column] = step
            with torch.no_grad():
                slope = (value(hidden + shift) - value(hidden - shift)) / (2 * step)
            assert float(grad[row, column]) == pytest.approx(float(slope), abs=2e-3)

    def test_no_tokens_give_no_numbers(self) -> None:
        hidden, head, token_ids, _ = self.case(bias=False)
        assert linear_token_logprobs(with_head(head), hidden[:0], token_ids[:0]).shape == (0,)

    def test_an_output_layer_that_learns_gets_its_gradient(self) -> None:
        hidden, head, token_ids, weights = self.case(bias=True, learns=True)
        total = (weights * linear_token_logprobs(with_head(head), hidden, token_ids)).sum()
        found = torch.autograd.grad(total, [hidden, head.weight])
        logprobs = head(hidden).log_softmax(-1).gather(-1, token_ids[:, None]).squeeze(-1)
        expected = torch.autograd.grad((weights * logprobs).sum(), [hidden, head.weight])
        torch.testing.assert_close(found, expected)


def frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)


def bloom() -> Any:
    """Its ALiBi takes positions from the row, not from `position_ids`."""
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.15}
    return BloomForCausalLM(BloomConfig(vocab_size=V, **sizes))


def gemma2() -> Any:
    """Squeezes its logits, so that the output layer alone does not give them."""
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=1.0))


def cohere() -> Any:
    return CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.0625))


def granite() -> Any:
    return GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0))


class TestExamine:
    @pytest.mark.parametrize("build", [bloom, gemma2, cohere, granite])
    def test_other_architectures_give_the_right_numbers(self, build: Any) -> None:
        torch.manual_seed(0)
        net = network_of(frozen(build()))
        scores = response_logprobs(net, net.trees(PROMPT, RESPONSES))
        expected = expected_logprobs(net.model, PROMPT, RESPONSES)
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("build", [gemma2, cohere, granite])
    def test_logits_that_are_scaled_are_not_taken_from_the_output_layer(self, build: Any) -> None:
        torch.manual_seed(0)
        net = network_of(frozen(build()))
        assert not net.head_is_linear
        assert net.takes_trees

    def test_attention_that_ignores_positions_gets_plain_rows_and_says_so_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        torch.manual_seed(0)
        with caplog.at_level(logging.WARNING, logger="corll"):
            net = network_of(frozen(bloom()))
            response_logprobs(net, net.trees(PROMPT, RESPONSES))
        assert not net.takes_trees
        assert [r.getMessage() for r in caplog.records if r.name.startswith("corll")] == [
            "BloomForCausalLM does not take a tree-shaped attention mask; "
            "each response gets a plain row."
        ]
        assert [len(tree.paths) for tree in net.trees(PROMPT, RESPONSES)] == [1, 1, 1, 1]

    def test_a_model_that_is_fit_gives_no_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, logger="corll"):
            network_of(network("llama").model)
        assert not caplog.records

    def test_rows_longer_than_a_sliding_window_are_scored_right(self) -> None:
        """A mask of ours would let tokens see past the window."""
        torch.manual_seed(0)
        net = network_of(frozen(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16))))
        prompt = tuple(range(1, 41))
        scores = response_logprobs(net, net.trees(prompt, RESPONSES))
        expected = expected_logprobs(net.model, prompt, RESPONSES)
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)
