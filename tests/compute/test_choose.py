"""Which backend computes, what a model's architecture allows, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    BloomForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MptConfig,
    MptForCausalLM,
)

from architectures import build
from corll.compute import packing
from corll.compute.choose import backend_for, short_window
from corll.compute.cpu.backend import CpuBackend
from corll.compute.packing import Tree
from corll.compute.plain import PlainBackend
from corll.config import CoactiveConfig
from corll.errors import ConfigError
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Preference
from running_service import running_service, settings_for, until
from tiny_models import (
    DEVICE,
    build_gpt2,
    build_llama,
    logprob_by_transformers,
    network_of,
    perturb_adapter,
    response_logprobs,
    weights,
)
from toy_backend import CALLS, ToyBackend

V = 64
TOY = "toy_backend:ToyBackend"
PREFERENCES = [
    Preference("Write to Anna.", " Dear Anna, thank you.", " Hello."),
    Preference("Write to Ben.", " Dear Ben, on Friday.", " No."),
]
CONFIG = CoactiveConfig(learning_rate=1e-2, warmup_steps=0)


def gpt_neo(window: int) -> Any:
    """Every other layer attends to the last `window` rows of its own mask."""
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=V,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=window,
            max_position_embeddings=512,
            initializer_range=0.3,
        )
    )


def bloom() -> Any:
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.15}
    return BloomForCausalLM(BloomConfig(vocab_size=V, **sizes))


def falcon() -> Any:
    """With ALiBi, as the larger ones have it."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return FalconForCausalLM(FalconConfig(vocab_size=V, alibi=True, **sizes))


def mpt() -> Any:
    return MptForCausalLM(MptConfig(vocab_size=V, d_model=32, n_layers=2, n_heads=4))


def built(build: Any, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    return build().eval().requires_grad_(False).to(DEVICE, dtype)


class TestArchitectures:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(
        "build", [lambda: gpt_neo(16), lambda: gpt_neo(256), bloom, falcon, mpt]
    )
    def test_windows_and_biases_by_place_get_plain_rows_and_right_numbers(
        self, build: Any, dtype: torch.dtype
    ) -> None:
        net = network_of(built(build, dtype))
        assert not net.takes_trees
        prompt, responses = tuple(range(5, 45)), [(1, 2, 3, 0), (1, 2, 4), (9,) * 20]
        with torch.no_grad():
            found = response_logprobs(net, net.trees(prompt, responses))
        expected = [logprob_by_transformers(net.model, prompt, ids) for ids in responses]
        exact = dtype == torch.float32
        tolerances = {"rtol": 0, "atol": 1e-3} if exact else {"rtol": 0.02, "atol": 0.1}
        torch.testing.assert_close(found.cpu(), torch.tensor(expected), **tolerances)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("build", [lambda: build_llama(V), lambda: build_gpt2(V)])
    def test_others_share_rows_in_every_dtype(self, build: Any, dtype: torch.dtype) -> None:
        assert network_of(built(build, dtype)).takes_trees

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("fault", ["sees another branch", "misses the prompt", "shifted"])
    def test_a_mask_or_positions_that_are_wrong_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, fault: str, dtype: torch.dtype
    ) -> None:
        """Of a model that takes right ones: what is compared does tell them apart."""
        model = built(lambda: build_llama(V), dtype)
        assert network_of(model).takes_trees
        with wrong_trees(monkeypatch, fault):
            assert not network_of(model).takes_trees

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(
        ("name", "linear"),
        [
            ("llama", True),
            ("phi", True),  # with a bias
            ("gemma-2", False),
            ("recurrent-gemma", False),
            ("cohere", False),
            ("granite", False),
        ],
    )
    def test_logits_that_are_capped_or_scaled_are_the_models_own(
        self, name: str, linear: bool, dtype: torch.dtype
    ) -> None:
        assert network_of(built(lambda: build(name), dtype)).head_is_linear == linear

    def test_tokens_that_see_later_ones_are_refused(self) -> None:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = BertConfig(
            vocab_size=V, intermediate_size=48, initializer_range=0.3, is_decoder=True, **sizes
        )
        model = built(lambda: BertLMHeadModel(config), torch.float32)
        assert network_of(model).drafting == "batch"
        config = BertConfig(vocab_size=V, intermediate_size=48, initializer_range=0.3, **sizes)
        with pytest.raises(ConfigError, match="its tokens see those after them"):
            network_of(built(lambda: BertLMHeadModel(config), torch.float32))

    def test_a_model_that_gives_no_logits_is_refused(self) -> None:
        model = built(lambda: build_llama(V), torch.float32)
        model.model.layers[1].self_attn.q_proj = None
        with pytest.raises(ConfigError, match="of a kind that corll does not support"):
            network_of(model)

    def test_a_short_context_is_enough_to_try_a_model_on(self) -> None:
        model = built(lambda: build_llama(V), torch.float32)
        model.config.max_position_embeddings = 8
        assert network_of(model).takes_trees

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, None),
            ({"sliding_window": 16}, 16),
            ({"sliding_window": 512}, None),
            ({"window_size": 100}, 100),
            ({"attention_chunk_size": 100}, 100),
            ({"local_attention": 100}, 100),
            ({"max_window_layers": 2}, None),
            ({"sliding_window": None}, None),
        ],
    )
    def test_a_window_counts_where_it_is_shorter_than_the_context(
        self, settings: dict[str, Any], expected: int | None
    ) -> None:
        config = build_llama(V).config
        for name, value in settings.items():
            setattr(config, name, value)
        assert short_window(config) == expected


class Forgetful(GPT2LMHeadModel):
    """Takes a cache, and neither fills nor reads it."""

    def forward(self, *args: Any, past_key_values: Any = None, **inputs: Any) -> Any:
        return super().forward(*args, **inputs | {"use_cache": False})


class TestDrafting:
    @pytest.mark.parametrize(
        ("name", "drafting"),
        [
            ("llama", "batch"),
            ("bloom", "batch"),
            ("mamba", "prompt"),
            ("lfm2", "prompt"),
            ("rwkv", "row"),  # transformers mixes the rows of a batch up
            ("recurrent-gemma", "recomputed"),  # its state lies in its modules
        ],
    )
    def test_a_state_goes_on_prompt_by_prompt(self, name: str, drafting: str) -> None:
        assert network_of(build(name).requires_grad_(False).to(DEVICE)).drafting == drafting

    def test_a_cache_that_gives_other_numbers_is_not_used(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = built(lambda: build_gpt2(V), torch.float32)
        model.__class__ = Forgetful
        with caplog.at_level(logging.WARNING, logger="corll"):
            net = network_of(model)
        assert net.takes_trees
        assert net.drafting == "recomputed"
        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith("Forgetful gives other numbers with its cache than without")


@contextmanager
def wrong_trees(patch: pytest.MonkeyPatch, fault: str) -> Iterator[None]:
    right = Tree.visibility
    build = packing.build_tree

    def visibility(tree: Tree) -> Tensor:
        visible = right(tree)
        if fault == "sees another branch" and len(tree.segments) > 1:
            last = tree.segments[-1]
            visible[last.start : last.stop, : last.start] = True
        if fault == "misses the prompt" and len(tree.paths) > 1:
            visible[tree.prompt_length :, 0] = False
        return visible

    def shifted(*args: Any) -> Tree:
        tree = build(*args)
        if fault != "shifted" or len(tree.paths) == 1:
            return tree
        last = tree.segments[-1]
        moved = [p + (n >= last.start) for n, p in enumerate(tree.positions)]
        return Tree(tree.token_ids, tuple(moved), tree.prompt_length, tree.segments, tree.paths)

    with patch.context() as context:
        context.setattr(Tree, "visibility", visibility)
        context.setattr("corll.compute.network.build_tree", shifted)
        yield


class TestChoice:
    def test_the_device_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CORLL_BACKEND", raising=False)
        model = build_llama(V).cpu()
        assert type(backend_for(model)) is CpuBackend
        assert type(backend_for(model.to("meta"))) is PlainBackend

    def test_a_name_or_the_variable_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = build_llama(V)
        assert type(backend_for(model, "plain")) is PlainBackend
        monkeypatch.setenv("CORLL_BACKEND", "plain")
        assert type(backend_for(model)) is PlainBackend
        assert type(backend_for(model, TOY)) is ToyBackend

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("cuda", "there are plain, cpu, or package.module:attribute"),
            ("no_such_module:Backend", "No module named 'no_such_module'"),
            ("toy_backend:Nothing", "has no attribute 'Nothing'"),
        ],
    )
    def test_a_name_that_is_none_is_said(self, name: str, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            backend_for(build_llama(V), name)

    def test_the_cpus_backend_is_for_a_cpu(self) -> None:
        with pytest.raises(ConfigError, match="does not compute on meta"):
            backend_for(build_llama(V).to("meta"), "cpu")

    def test_layers_that_stay_their_own_are_told_once_with_the_reason(
        self, tiny_gpt2_folder: Path, tiny_model_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="corll"):
            Policy.load(tiny_model_folder, dtype="float32")
            assert not caplog.records
            policy = Policy.load(tiny_gpt2_folder, dtype="float32")
            policy.sample(["Hello."], 1, 2)
        (message,) = [record.getMessage() for record in caplog.records]
        assert "GPT2LMHeadModel runs in its own layers" in message
        assert policy.describe()["layers"].startswith("the model's own (")


@pytest.mark.parametrize("backend", ["plain", TOY])
def test_another_backend_gives_the_same_numbers(tiny_model_folder: Path, backend: str) -> None:
    """Drafts, scores, rewards and three steps."""
    outcomes = []
    for name in (None, backend):
        policy = Policy.load(tiny_model_folder, dtype="float32", backend=name)
        perturb_adapter(policy)
        (drafts,) = policy.sample(["Write to Anna."], 3, 8)
        scores = policy.logprobs(["Write to Anna."] * 3, drafts)
        learner = CoactiveLearner(policy, CONFIG)
        losses = [learner.step(PREFERENCES).metrics["loss/total"] for _ in range(3)]
        outcomes.append(([d.token_ids for d in drafts], scores, torch.tensor(losses), policy))
    (ids, scores, losses, first), (other_ids, other_scores, other_losses, second) = outcomes
    assert ids == other_ids
    torch.testing.assert_close(other_scores, scores, rtol=0, atol=1e-4)
    torch.testing.assert_close(other_losses, losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights(second), weights(first), rtol=0, atol=1e-3)


def test_a_backend_of_ones_own_is_asked_for_everything(tiny_model_folder: Path) -> None:
    policy = Policy.load(tiny_model_folder, dtype="float32", backend=TOY)
    backend = policy._network.backend
    assert isinstance(backend, ToyBackend)
    assert policy.describe()["layers"] == "the toy's"
    backend.calls.clear()
    drafts = policy.sample(["Write to Anna."], 2, 4)[0]
    assert backend.calls.keys() >= {"new_cache", "decode_arguments", "likeliest", "project"}
    backend.calls.clear()
    policy.logprobs(["Write to Anna."] * 2, drafts)
    assert backend.calls.keys() == {"side_by_side", "project", "log_normalizers"}
    backend.calls.clear()
    CoactiveLearner(policy, CONFIG).step(PREFERENCES)
    assert backend.calls.keys() == {
        "side_by_side",
        "project",
        "log_normalizers",
        "minus_probabilities",
    }


def test_the_service_runs_on_a_backend_by_settings_alone(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server and learner both, each in its own process."""
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    settings = settings_for(tiny_model_folder, tmp_path / "data", backend=TOY)
    with running_service(settings) as service:
        service.draft(user="ann")
        service.put("users/ann/consent", {"learn": True})
        for number in range(2):
            draft = service.draft(f"Parcel {number} is late.", user="ann")
            service.post("edits", {"draft_id": draft["id"], "text": "Dear customer, sorry."})
        until(lambda: service.get("users/ann")["serving"] == 1)
        assert service.draft(user="ann")["corll"]["version"] == 1
    lines = (tmp_path / "calls").read_text().splitlines()
    by_process: dict[str, set[str]] = {}
    for line in lines:
        process, name = line.split()
        by_process.setdefault(process, set()).add(name)
    server, learner = sorted(by_process.values(), key=len)
    assert "likeliest" in server
    assert {"minus_probabilities", "log_normalizers"} <= learner
