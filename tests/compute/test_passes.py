"""Passes over a batch: cut as memory asks, side by side, the gradient is that of one piece."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from batches import (
    ALL_AT_ONCE,
    PLAIN_DPO,
    accumulated,
    encode,
    gradients,
    loss_name,
    mixed_preferences,
    plain_gradient,
    recorded_passes,
    relative_error,
    text_preferences,
)
from corll.compute.packing import padded_tokens
from corll.compute.passes import TokenBudget
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import DeviceMemoryError
from corll.gradient import accumulate_gradient
from corll.losses import Objective
from corll.policy import Policy
from corll.records import Preference
from patience import PATIENCE_S
from tiny_models import perturb_adapter


@pytest.mark.parametrize("max_tokens", [1, 60, 150])
@pytest.mark.parametrize("config", [PLAIN_DPO, CoactiveConfig()], ids=loss_name)
def test_micro_batches_give_the_gradient_of_the_whole(
    any_policy: Policy, config: CoactiveConfig, max_tokens: int
) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    whole, expected = accumulated(any_policy, preferences, config)
    with recorded_passes(any_policy) as passes:
        parts, gradient = accumulated(any_policy, preferences, config, max_tokens=max_tokens)
    assert len(passes) > 2
    assert relative_error(gradient, expected) <= 1e-5
    assert parts.metrics.keys() == whole.metrics.keys()
    for name, value in whole.metrics.items():
        assert float(parts.metrics[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    for kept, wanted in zip(parts.references, whole.references, strict=True):
        assert kept.chosen == pytest.approx(wanted.chosen, abs=1e-4)
        assert kept.rejected == pytest.approx(wanted.rejected, abs=1e-4)


@pytest.mark.parametrize("max_tokens", [60, 150])
def test_micro_batches_stay_within_the_tokens_allowed(policy: Policy, max_tokens: int) -> None:
    pairs = encode(policy, mixed_preferences(policy))
    largest_pair = max(padded_tokens(pair.rows) for pair in pairs)
    with recorded_passes(policy) as passes:
        accumulate_gradient(policy, pairs, Objective.of(PLAIN_DPO), max_tokens)
    assert max(passes) <= max(max_tokens, largest_pair)


class TestSideBySide:
    """On a CPU of several cores, two micro-batches at a time."""

    @pytest.fixture(autouse=True)
    def _taught(self, policy: Policy, two_threads: None) -> None:
        perturb_adapter(policy)

    def test_the_gradient_is_the_same_and_the_same_again(self, policy: Policy) -> None:
        preferences = mixed_preferences(policy)
        _, expected = plain_gradient(policy, encode(policy, preferences), PLAIN_DPO)
        with two_at_a_time(policy) as threads:
            found, gradient = accumulated(policy, preferences)
        assert len(set(threads)) == 4  # two for the reference, then two that learn
        assert threading.current_thread().name not in threads
        assert relative_error(gradient, expected) <= 1e-5
        for _ in range(3):
            again, once_more = accumulated(policy, preferences)
            assert again.references == found.references
            torch.testing.assert_close(once_more, gradient, rtol=0, atol=0)

    @pytest.mark.usefixtures("kernel_mode")
    @pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "up_proj")])
    def test_the_references_are_of_the_same_rows(
        self, tiny_model_folder: Path, targets: str | tuple[str, ...]
    ) -> None:
        """So that a new adapter's log-ratios are exactly 0."""
        lora = LoraConfig(lora_target_modules=targets)
        fresh = Policy.load(tiny_model_folder, dtype="bfloat16", lora=lora)
        found, _ = accumulated(fresh, mixed_preferences(fresh))
        assert float(found.metrics["loss"]) == pytest.approx(math.log(2), abs=1e-7)
        assert float(found.metrics["rewards/chosen"]) == 0.0

    @pytest.mark.parametrize("max_tokens", [250, 400])
    def test_both_sides_together_stay_within_the_tokens_allowed(
        self, policy: Policy, max_tokens: int
    ) -> None:
        pairs = encode(policy, mixed_preferences(policy))
        tokens = [sum(map(len, pair.rows)) for pair in pairs]
        batches, sides = policy._network.batches([pair.rows for pair in pairs], max_tokens)
        assert sides == 2
        largest = sorted(sum(tokens[n] for n in batch) for batch in batches)[-2:]
        assert sum(largest) <= max_tokens

    def test_where_two_do_not_fit_they_go_one_after_the_other(self, policy: Policy) -> None:
        pairs = encode(policy, mixed_preferences(policy))
        largest = max(sum(map(len, pair.rows)) for pair in pairs)
        batches, sides = policy._network.batches([p.rows for p in pairs], 2 * largest - 1)
        assert sides == 1
        assert len(batches) > 1

    def test_dropout_draws_from_one_stream(self, tiny_model_folder: Path) -> None:
        lora = LoraConfig(lora_dropout=0.5)
        dropping = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
        perturb_adapter(dropping)
        found = []
        for _ in range(2):
            torch.manual_seed(3)
            found.append(accumulated(dropping, mixed_preferences(dropping), max_tokens=300)[1])
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)

    def test_who_asks_to_stop_is_heard(self, policy: Policy) -> None:
        def stop() -> None:
            raise SystemExit

        pairs = encode(policy, mixed_preferences(policy))
        with pytest.raises(SystemExit):
            accumulate_gradient(policy, pairs, Objective.of(PLAIN_DPO), ALL_AT_ONCE, before=stop)
        assert gradients(policy) == {}


@contextmanager
def two_at_a_time(policy: Policy) -> Iterator[list[str]]:
    """The thread of each forward pass, none of which begins before another one is there too.

    So that a quick thread cannot do the work of both.
    """
    names: list[str] = []
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def note(*_: Any) -> None:
        names.append(threading.current_thread().name)
        both.wait()

    hook = policy.base.model.get_input_embeddings().register_forward_pre_hook(note)
    try:
        yield names
    finally:
        hook.remove()


def out_of_memory_above(policy: Policy, tokens: int, error: Callable[[], Exception]) -> Any:
    """From now on a pass over more padded tokens fails as a full device does."""

    def check(_: Any, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() > tokens:
            raise error()

    return policy.base.model.get_input_embeddings().register_forward_pre_hook(check)


def learned_within_memory(
    policy: Policy, preferences: Sequence[Preference], max_tokens: int
) -> tuple[dict[str, Tensor], list[int]]:
    """As the learner goes on after each failure; also the limits that it tried."""
    pairs, tried = encode(policy, preferences), []

    def accumulate(limit: int) -> None:
        tried.append(limit)
        accumulate_gradient(policy, pairs, Objective.of(PLAIN_DPO), limit)

    TokenBudget(max_tokens).attempt([pair.rows for pair in pairs], accumulate)
    return gradients(policy), tried


OUT_OF_MEMORY = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
    lambda: MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "mps", "python"])
def test_out_of_memory_halves_the_micro_batches(
    policy: Policy, error: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    perturb_adapter(policy)
    preferences = mixed_preferences(policy)
    _, expected = accumulated(policy, preferences)
    out_of_memory_above(policy, 120, error)
    with caplog.at_level(logging.WARNING, logger="corll"):
        gradient, tried = learned_within_memory(policy, preferences, ALL_AT_ONCE)
    assert relative_error(gradient, expected) <= 1e-5
    assert len(tried) > 1
    assert tried == sorted(tried, reverse=True)
    halvings = pairwise(tried[1:])
    assert all(after <= max(before // 2, 120) for before, after in halvings)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == len(tried) - 1
    assert all("Out of memory" in warning for warning in warnings)
    assert str(tried[-1]) in warnings[-1]


@pytest.mark.parametrize("max_tokens", [ALL_AT_ONCE, 60, 1])
def test_a_preference_that_does_not_fit_alone_is_a_device_memory_error(
    policy: Policy, max_tokens: int
) -> None:
    out_of_memory_above(policy, 10, OUT_OF_MEMORY[0])
    with pytest.raises(DeviceMemoryError, match="single preference"):
        learned_within_memory(policy, mixed_preferences(policy), max_tokens)


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("odd")])
def test_another_error_passes_unchanged(policy: Policy, error: Exception) -> None:
    pairs = encode(policy, text_preferences(policy))

    def fail(_: int) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        TokenBudget(ALL_AT_ONCE).attempt([pair.rows for pair in pairs], fail)
    assert caught.value is error
