"""The gradient of a batch, against TRL's and against plain autograd over unshared rows."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trl_peer
from corll.compute.packing import padded_tokens
from corll.compute.passes import TokenBudget
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import DeviceMemoryError, InputError
from corll.gradient import (
    BatchGradient,
    EncodedPair,
    accumulate_gradient,
    encode_pair,
)
from corll.losses import dpo_loss
from corll.policy import Policy
from corll.records import Preference, Sample
from patience import PATIENCE_S
from tiny_models import perturb_adapter, weights

ALL_AT_ONCE = 10**9
PLAIN_DPO = CoactiveConfig(sft_weight=0.0, keep_weight=0.0)


def text_preferences(policy: Policy) -> list[Preference]:
    """Plain strings that share nothing, a little, nearly all, and all of one side."""
    invitation: Any = "Write to Ms Lopez about the parcel."
    if policy.codec.chat:
        invitation = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": invitation},
        ]
    return [
        Preference(invitation, " Dear Ms Lopez, we are sorry.", " Hello! The parcel is late."),
        Preference("The kettle.", " We'll send another one on Friday.", " We'll not."),
        Preference("The kettle.", " Thank you for the note.", " Thank you for the note!"),
        Preference("A hotel near the station?", " It was clean.", " It was clean. But slow."),
        Preference("Tuesday.", " Could we move it to Thursday? Kind regards, Anna.", " No."),
    ]


def mixed_preferences(policy: Policy) -> list[Preference]:
    """Also samples with ids of their own: cut at the limit, one side the beginning of the other."""
    ids = policy.codec.encode_response(" Dear Anna, the street was noisy").token_ids[:-1]
    other = policy.codec.encode_response(" Dear Anna, hello").token_ids
    longer = Sample("", ids, -1.0, finished=False)
    begun = Sample("", ids[:4], None, finished=False)
    single_bytes = tuple(policy.tokenizer.convert_tokens_to_ids(list("Dear")))
    return [
        *text_preferences(policy),
        Preference("Breakfast.", begun, longer),
        Preference("Breakfast.", longer, begun),
        Preference("Breakfast.", Sample("", other, None, finished=True), longer),
        Preference("Breakfast.", " Dear", Sample("Dear", single_bytes, -9.0, finished=False)),
    ]


def encode(policy: Policy, preferences: Sequence[Preference]) -> list[EncodedPair]:
    return [encode_pair(policy, preference) for preference in preferences]


def gradients(policy: Policy) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in policy.trainable_parameters().items()}
    return {name: grad.cpu().clone() for name, grad in found.items() if grad is not None}


def accumulated(
    policy: Policy,
    preferences: Sequence[Preference],
    config: CoactiveConfig = PLAIN_DPO,
    *,
    max_tokens: int = ALL_AT_ONCE,
) -> tuple[BatchGradient, dict[str, Tensor]]:
    found = accumulate_gradient(policy, encode(policy, preferences), config, max_tokens)
    return found, gradients(policy)


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """||g − g'|| / ||g'|| over all parameters."""
    assert found.keys() == expected.keys()
    names = sorted(expected)
    flat = torch.cat([expected[name].reshape(-1).double() for name in names])
    difference = torch.cat([found[name].reshape(-1).double() for name in names]) - flat
    assert flat.norm() > 0
    return float(difference.norm() / flat.norm())


def plain_gradient(
    policy: Policy, pairs: Sequence[EncodedPair], config: CoactiveConfig
) -> tuple[float, dict[str, Tensor]]:
    """One row a response, no padding, logits and log-softmax as transformers and torch do."""

    def logprobs(prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> Tensor:
        row = torch.tensor([[*prompt_ids, *ids]], device=policy.device)
        logits = policy.base.model(input_ids=row).logits[0]
        predicted = logits.float().log_softmax(-1)[len(prompt_ids) - 1 : -1]
        return predicted.gather(-1, row[0, len(prompt_ids) :, None]).squeeze(-1)

    def lengths(sides: Sequence[Sized]) -> Tensor:
        return torch.tensor([float(len(side)) for side in sides], device=policy.device)

    prompts = [policy.codec.encode_prompt(pair.preference.prompt) for pair in pairs]
    both = list(zip(prompts, pairs, strict=True))

    def sides() -> tuple[Tensor, Tensor]:
        return (
            torch.stack([logprobs(prompt, pair.chosen_ids).sum() for prompt, pair in both]),
            torch.stack([logprobs(prompt, pair.rejected_ids).sum() for prompt, pair in both]),
        )

    def kept() -> list[Tensor]:
        sides = [
            (logprobs(p, pair.chosen_ids), range(len(pair.chosen_ids))) for p, pair in both
        ] + [(logprobs(p, pair.rejected_ids), pair.comparison.kept) for p, pair in both]
        return [values[places] for values, places in sides]

    for parameter in policy.trainable_parameters().values():
        parameter.grad = None
    with torch.no_grad(), policy.adapters.model.disable_adapter():
        reference, reference_kept = sides(), kept()
    preference, _ = dpo_loss(
        *sides(),
        *reference,
        beta=config.beta,
        loss_type=config.loss_type,
        label_smoothing=config.label_smoothing,
        chosen_lengths=lengths([pair.chosen_ids for pair in pairs]),
        rejected_lengths=lengths([pair.rejected_ids for pair in pairs]),
    )
    loss = config.preference_weight * preference
    if config.sft_weight:
        edits = [(logprobs(prompt, pair.chosen_ids), pair) for prompt, pair in both]
        if config.sft_tokens == "changed":
            edits = [(values[pair.comparison.changed], pair) for values, pair in edits]
        means = [-values.sum() / max(len(values), 1) for values, _ in edits]
        loss = loss + config.sft_weight * torch.stack(means).mean()
    if config.keep_weight:
        pieces = zip(kept(), reference_kept, strict=True)
        falls = [((r - o).clamp(min=0) ** 2).sum() / (2 * max(len(o), 1)) for o, r in pieces]
        loss = loss + config.keep_weight * torch.stack(falls).mean()
    loss.backward()
    return loss.item(), gradients(policy)


LOSSES = [
    PLAIN_DPO,
    PLAIN_DPO.with_settings(label_smoothing=0.1),
    PLAIN_DPO.with_settings(loss_type="hinge", beta=0.3),
    PLAIN_DPO.with_settings(loss_type="robust", label_smoothing=0.1),
    PLAIN_DPO.with_settings(loss_type="ipo"),
    PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="all"),
    PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="changed"),
    PLAIN_DPO.with_settings(loss_type="ipo", sft_weight=0.3, sft_tokens="all"),
    PLAIN_DPO.with_settings(sft_weight=1.0, preference_weight=0.0, sft_tokens="all"),
    CoactiveConfig(sft_weight=0.3, keep_weight=5.0),
]


def loss_name(config: CoactiveConfig) -> str:
    names = "loss_type label_smoothing preference_weight sft_weight sft_tokens keep_weight".split()
    return "-".join(str(getattr(config, name)) for name in names)


@pytest.mark.parametrize("config", LOSSES, ids=loss_name)
def test_gradient_equals_plain_autograd(any_policy: Policy, config: CoactiveConfig) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    found, gradient = accumulated(any_policy, preferences, config)
    loss, expected = plain_gradient(any_policy, encode(any_policy, preferences), config)
    assert float(found.metrics["loss/total"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


@pytest.mark.parametrize("head_is_linear", [True, False])
@pytest.mark.parametrize("config", [PLAIN_DPO, CoactiveConfig()], ids=loss_name)
def test_gradient_is_the_same_where_rows_cannot_be_shared(
    any_policy: Policy, config: CoactiveConfig, head_is_linear: bool
) -> None:
    """On plain rows, one a side: there nothing is shared, and every term carries its gradient."""
    perturb_adapter(any_policy)
    any_policy._network = replace(
        any_policy._network, takes_trees=False, head_is_linear=head_is_linear
    )
    preferences = mixed_preferences(any_policy)
    _, gradient = accumulated(any_policy, preferences, config)
    _, expected = plain_gradient(any_policy, encode(any_policy, preferences), config)
    assert relative_error(gradient, expected) <= 1e-4


TRL_LOSSES = [
    (PLAIN_DPO, {"loss_type": ["sigmoid"]}),
    (PLAIN_DPO.with_settings(loss_type="hinge"), {"loss_type": ["hinge"]}),
    (PLAIN_DPO.with_settings(loss_type="ipo"), {"loss_type": ["ipo"]}),
    (
        PLAIN_DPO.with_settings(loss_type="robust", label_smoothing=0.1),
        {"loss_type": ["robust"], "label_smoothing": 0.1},
    ),
]


@pytest.mark.parametrize(
    ("config", "theirs"), TRL_LOSSES, ids=["sigmoid", "hinge", "ipo", "robust"]
)
def test_gradient_equals_trl(
    any_policy: Policy, config: CoactiveConfig, theirs: dict[str, Any], tmp_path: Path
) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    trainer = trl_peer.build_trainer(any_policy, text_preferences(any_policy), tmp_path, **theirs)
    rows = [as_row(any_policy, pair) for pair in encode(any_policy, preferences)]
    found, gradient = accumulated(any_policy, preferences, config)
    loss, expected = trl_peer.batch_gradient(trainer, rows)
    assert float(found.metrics["loss"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


def test_supervised_gradient_equals_trl_on_one_pair(any_policy: Policy, tmp_path: Path) -> None:
    """On one pair, since TRL averages over all tokens of a batch and we over its pairs."""
    perturb_adapter(any_policy)
    preferences = text_preferences(any_policy)[2:3]
    theirs = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]}
    trainer = trl_peer.build_trainer(any_policy, preferences, tmp_path, **theirs)
    rows = [as_row(any_policy, pair) for pair in encode(any_policy, preferences)]
    found, gradient = accumulated(
        any_policy, preferences, PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="all")
    )
    loss, expected = trl_peer.batch_gradient(trainer, rows)
    assert float(found.metrics["loss/total"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


def as_row(policy: Policy, pair: EncodedPair) -> dict[str, list[int]]:
    """A pair's ids under the names of TRL's dataset."""
    return {
        "prompt_ids": list(policy.codec.encode_prompt(pair.preference.prompt)),
        "chosen_ids": list(pair.chosen_ids),
        "rejected_ids": list(pair.rejected_ids),
    }


def test_trl_encodes_plain_strings_to_the_same_ids(any_policy: Policy, tmp_path: Path) -> None:
    preferences = text_preferences(any_policy)
    trainer = trl_peer.build_trainer(any_policy, preferences, tmp_path)
    for theirs, pair in zip(trainer.train_dataset, encode(any_policy, preferences), strict=True):
        ours = as_row(any_policy, pair)
        assert {name: theirs[name] for name in ours} == ours


def test_parameters_equal_trl_after_one_sgd_step(any_policy: Policy, tmp_path: Path) -> None:
    perturb_adapter(any_policy)
    preferences = text_preferences(any_policy)
    start = weights(any_policy)
    trainer = trl_peer.build_trainer(
        any_policy,
        preferences,
        tmp_path,
        optim="sgd",
        learning_rate=0.5,
        lr_scheduler_type="constant",
        max_grad_norm=1e9,
        max_steps=1,
    )
    trl_peer.train(trainer)
    accumulated(any_policy, preferences)
    torch.optim.SGD(any_policy.trainable_parameters().values(), lr=0.5).step()
    after = weights(any_policy)
    theirs = {n: p.detach() for n, p in trl_peer.adapter_of(trainer).items()}
    moved = {name: after[name] - start[name] for name in start}
    assert relative_error(moved, {n: theirs[n] - start[n] for n in start}) <= 1e-4
    torch.testing.assert_close(after, theirs)


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
        accumulate_gradient(policy, pairs, PLAIN_DPO, max_tokens)
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
            accumulate_gradient(policy, pairs, PLAIN_DPO, ALL_AT_ONCE, before=stop)
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


@contextmanager
def recorded_passes(policy: Policy) -> Iterator[list[int]]:
    """The padded tokens of each forward pass."""
    sizes: list[int] = []
    hook = policy.base.model.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].numel())
    )
    try:
        yield sizes
    finally:
        hook.remove()


def test_the_gradient_of_an_earlier_batch_is_not_added(policy: Policy) -> None:
    _, once = accumulated(policy, text_preferences(policy))
    _, again = accumulated(policy, text_preferences(policy))
    torch.testing.assert_close(again, once)


def test_metrics_are_those_of_the_plain_computation(any_policy: Policy) -> None:
    """The terms that cancel in the margin are in the logged log-probabilities all the same."""
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    found, _ = accumulated(any_policy, preferences)
    prompts = [preference.prompt for preference in preferences]
    chosen = any_policy.logprobs(prompts, [preference.chosen for preference in preferences])
    rejected = any_policy.logprobs(prompts, [preference.rejected for preference in preferences])
    assert float(found.metrics["logps/chosen"]) == pytest.approx(float(chosen.mean()), abs=1e-4)
    assert float(found.metrics["logps/rejected"]) == pytest.approx(float(rejected.mean()), abs=1e-4)


def test_at_step_0_all_log_ratios_are_exactly_0(any_policy: Policy) -> None:
    found, _ = accumulated(any_policy, mixed_preferences(any_policy))
    assert float(found.metrics["rewards/chosen"]) == 0
    assert float(found.metrics["rewards/rejected"]) == 0


def test_equal_sides_are_refused(policy: Policy) -> None:
    with pytest.raises(InputError, match="same text"):
        encode_pair(policy, Preference("Hello.", " Dear Anna.", " Dear Anna."))


def test_a_side_that_does_not_fit_is_refused(policy: Policy) -> None:
    for sides in ([" a" * 600, " b"], [" b", " a" * 600]):
        with pytest.raises(InputError, match="context holds 512"):
            encode_pair(policy, Preference("Hello.", *sides))


@pytest.fixture
def dropout_policy(any_model_folder: Path) -> Policy:
    lora = LoraConfig(lora_dropout=0.3)
    policy = Policy.load(any_model_folder, dtype="float32", lora=lora)
    perturb_adapter(policy)
    return policy


def test_dropout_uses_plain_rows(dropout_policy: Policy) -> None:
    (pair,) = encode(dropout_policy, text_preferences(dropout_policy)[2:3])
    assert len(pair.rows) == 2


def test_dropout_is_deterministic_given_the_seed(dropout_policy: Policy) -> None:
    def at(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return accumulated(dropout_policy, mixed_preferences(dropout_policy))[1]

    torch.testing.assert_close(at(1), at(1), rtol=0, atol=0)
    assert relative_error(at(2), at(1)) > 0.01


def test_dropout_is_on_for_the_policy_alone_and_off_afterwards(dropout_policy: Policy) -> None:
    preferences = mixed_preferences(dropout_policy)
    prompts = [preference.prompt for preference in preferences]
    sides = [preference.chosen for preference in preferences]
    before = dropout_policy.logprobs(prompts, sides)
    found, _ = accumulated(dropout_policy, preferences)
    torch.testing.assert_close(dropout_policy.logprobs(prompts, sides), before, rtol=0, atol=0)
    reference = dropout_policy.reference_logprobs(prompts, sides)
    computed = torch.tensor([kept.chosen for kept in found.references])
    torch.testing.assert_close(computed, reference, rtol=1e-4, atol=1e-4)
    assert float(found.metrics["logps/chosen"]) != pytest.approx(float(before.mean()), abs=1e-3)


def test_dropout_of_the_base_stays_off(any_policy: Policy) -> None:
    """GPT-2 has some of its own."""
    perturb_adapter(any_policy)
    _, first = accumulated(any_policy, text_preferences(any_policy))
    _, second = accumulated(any_policy, text_preferences(any_policy))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def stored(found: BatchGradient, preferences: Sequence[Preference]) -> list[Preference]:
    pairs = zip(preferences, found.references, strict=True)
    return [preference.with_reference(reference) for preference, reference in pairs]


def test_stored_references_are_used_and_save_a_pass(any_policy: Policy) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    first, expected = accumulated(any_policy, preferences)
    with recorded_passes(any_policy) as passes:
        again, gradient = accumulated(any_policy, stored(first, preferences))
    assert len(passes) == 1
    assert again.references == first.references
    torch.testing.assert_close(again.metrics, first.metrics)
    torch.testing.assert_close(gradient, expected)


def test_kept_references_serve_the_penalty_too(policy: Policy) -> None:
    """And only what is missing is computed."""
    config = PLAIN_DPO.with_settings(keep_weight=3.0)
    perturb_adapter(policy)
    preferences = mixed_preferences(policy)
    first, expected = accumulated(policy, preferences, config)
    known = [*stored(first, preferences)[:-1], preferences[-1]]
    with recorded_passes(policy) as passes:
        again, gradient = accumulated(policy, known, config)
    assert len(passes) == 2
    torch.testing.assert_close(again.metrics, first.metrics)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_wrong_number_with_the_right_label_shows_in_the_loss(policy: Policy) -> None:
    (preference,) = text_preferences(policy)[:1]
    first, _ = accumulated(policy, [preference])
    (right,) = first.references
    first_token, *others = right.chosen_tokens
    wrong = replace(right, chosen_tokens=(first_token + 5, *others))
    found, _ = accumulated(policy, [preference.with_reference(wrong)])
    assert float(found.metrics["rewards/margins"]) == pytest.approx(-0.1 * 5, abs=1e-4)


def test_references_computed_otherwise_are_recomputed(policy: Policy) -> None:
    preferences = mixed_preferences(policy)
    first, _ = accumulated(policy, preferences)
    foreign = replace(first.references[0], computed_with="another model", chosen_tokens=(-1.0,))
    mixed = [preferences[0].with_reference(foreign), *stored(first, preferences)[1:]]
    found, _ = accumulated(policy, mixed)
    assert [r.computed_with for r in found.references] == [
        r.computed_with for r in first.references
    ]
    for kept, wanted in zip(found.references, first.references, strict=True):
        assert kept.chosen == pytest.approx(wanted.chosen, abs=1e-4)
    assert float(found.metrics["rewards/margins"]) == pytest.approx(0, abs=1e-5)


def test_the_label_names_what_the_numbers_hang_on(
    policy: Policy, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Another reference, another dtype, other rows, or other ids: each has a label of its own."""
    perturb_adapter(policy)
    policy.save(tmp_path)
    plain = LoraConfig(lora_dropout=0.1)
    others = [
        policy,
        Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path),
        Policy.load(tiny_model_folder, dtype="bfloat16"),
        Policy.load(tiny_model_folder, dtype="float32", lora=plain),
        Policy.load(tiny_model_folder, dtype="float32", chat_template=False),
    ]
    preference = Preference("Hello.", " Dear Anna.", " Hello, Anna.")
    labels = [accumulated(other, [preference])[0].references[0].computed_with for other in others]
    assert len(set(labels)) == len(others)


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
        accumulate_gradient(policy, pairs, PLAIN_DPO, limit)

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
