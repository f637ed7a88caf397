"""Losses against values worked by hand, against TRL's own code, and by their properties."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, tensor
from torch.testing import assert_close

import trl_peer
from corll.config import CoactiveConfig
from corll.errors import ConfigError
from corll.losses import dpo_loss, implicit_reward, shared_terms_cancel, shortfall
from corll.policy import Policy
from corll.records import Preference

# Two pairs at β = 0.1, the columns chosen, rejected, and the same under the reference.
#   first:  R = 0.1 (−10 + 12) =  0.2 and 0.1 (−20 + 17) = −0.3, margin  0.5
#   second: R = 0.1 ( −6 +  6) =  0.0 and 0.1 ( −9 + 19) =  1.0, margin −1.0
CHOSEN, REJECTED = tensor([-10.0, -6.0]), tensor([-20.0, -9.0])
REFERENCE_CHOSEN, REFERENCE_REJECTED = tensor([-12.0, -6.0]), tensor([-17.0, -19.0])
LOGPROBS = (CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED)
LENGTHS = {"chosen_lengths": tensor([5.0, 2.0]), "rejected_lengths": tensor([10.0, 4.0])}

# −log σ(0.5) = log(1 + e^−0.5) = 0.474077 and −log σ(−0.5) = 0.974077;
# −log σ(−1) = log(1 + e) = 1.313262 and −log σ(1) = 0.313262.
HAND_WORKED = {
    "sigmoid": ({}, (0.474077 + 1.313262) / 2),
    # 0.9 · 0.474077 + 0.1 · 0.974077 and 0.9 · 1.313262 + 0.1 · 0.313262
    "sigmoid, smoothed": ({"label_smoothing": 0.1}, (0.524077 + 1.213262) / 2),
    # (0.9 · 0.474077 − 0.1 · 0.974077) / 0.8 and (0.9 · 1.313262 − 0.1 · 0.313262) / 0.8
    "robust": ({"loss_type": "robust", "label_smoothing": 0.1}, (0.411577 + 1.438262) / 2),
    # 1 − 0.5 and 1 + 1
    "hinge": ({"loss_type": "hinge"}, (0.5 + 2.0) / 2),
    # per token: 2/5 + 3/10 = 0.7 and 0/2 − 10/4 = −2.5; 1/(2β) = 5; (0.7 − 5)² and (−2.5 − 5)²
    "ipo": ({"loss_type": "ipo"}, (18.49 + 56.25) / 2),
}


@pytest.fixture(scope="module")
def trainer(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    policy = Policy.load(tiny_model_folder, dtype="float32")
    some = [Preference("Hello.", " Dear Anna.", " Hello, Anna.")]
    return trl_peer.build_trainer(policy, some, tmp_path_factory.mktemp("trl"))


@pytest.mark.parametrize("name", HAND_WORKED)
def test_equals_the_value_worked_by_hand(name: str) -> None:
    arguments, expected = HAND_WORKED[name]
    loss, metrics = dpo_loss(*LOGPROBS, beta=0.1, **arguments, **LENGTHS)
    assert_close(loss, tensor(expected), atol=1e-5, rtol=1e-5)
    assert_close(metrics["loss"], loss)
    assert_close(metrics["loss/total"], loss)


def test_supervised_term_is_the_mean_token_loss_averaged_over_pairs() -> None:
    loss, metrics = dpo_loss(*LOGPROBS, beta=0.1, sft_weight=0.3, **LENGTHS)
    preference_loss = HAND_WORKED["sigmoid"][1]
    supervised = 0.3 * (10 / 5 + 6 / 2) / 2
    assert_close(metrics["loss"], tensor(preference_loss), atol=1e-5, rtol=1e-5)
    assert_close(loss, tensor(preference_loss + supervised), atol=1e-5, rtol=1e-5)
    assert_close(metrics["loss/total"], loss)


def test_the_preference_loss_can_be_weighed_down_to_nothing() -> None:
    supervised = 0.3 * (10 / 5 + 6 / 2) / 2
    for weight in (0.0, 0.5):
        loss, metrics = dpo_loss(
            *LOGPROBS, beta=0.1, preference_weight=weight, sft_weight=0.3, **LENGTHS
        )
        expected = weight * HAND_WORKED["sigmoid"][1] + supervised
        assert_close(loss, tensor(expected), atol=1e-5, rtol=1e-5)
        assert_close(metrics["loss"], tensor(HAND_WORKED["sigmoid"][1]), atol=1e-5, rtol=1e-5)


def test_metrics_have_the_names_and_the_meaning_of_trl() -> None:
    _, metrics = dpo_loss(*LOGPROBS, beta=0.1)
    assert {name: round(float(value), 5) for name, value in metrics.items()} == {
        "loss": 0.89367,
        "loss/total": 0.89367,
        "rewards/chosen": 0.1,
        "rewards/rejected": 0.35,
        "rewards/accuracies": 0.5,
        "rewards/margins": -0.25,
        "logps/chosen": -8.0,
        "logps/rejected": -14.5,
    }


def test_metrics_carry_no_gradient() -> None:
    chosen = CHOSEN.clone().requires_grad_()
    loss, metrics = dpo_loss(chosen, *LOGPROBS[1:], sft_weight=0.3, **LENGTHS)
    assert loss.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


def test_a_tie_is_not_counted_as_accurate() -> None:
    _, metrics = dpo_loss(*[tensor([-3.0])] * 4)
    assert metrics["rewards/accuracies"] == 0


def _random_logprobs(*, seed: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = -40 * torch.rand(2, count, generator=generator)
    policy = reference + 6 * torch.randn(2, count, generator=generator)
    chosen, rejected = policy
    return chosen, rejected, reference[0], reference[1]


# TRL's `sigmoid` takes no label smoothing, but its `aot`, which sorts the batch, is the smoothed
# sigmoid on a batch of one; its `sft` averages over all tokens, ours over pairs: the same for one.
@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [
        ({"loss_type": "sigmoid"}, {"sigmoid": 1.0}, 6),
        ({"loss_type": "hinge"}, {"hinge": 1.0}, 6),
        ({"loss_type": "ipo"}, {"ipo": 1.0}, 6),
        ({"loss_type": "robust", "label_smoothing": 0.2}, {"robust": 1.0}, 6),
        ({"loss_type": "sigmoid", "label_smoothing": 0.2}, {"aot": 1.0}, 1),
        ({"loss_type": "sigmoid", "sft_weight": 0.3}, {"sigmoid": 1.0, "sft": 0.3}, 1),
        ({"loss_type": "ipo", "sft_weight": 2.0}, {"ipo": 1.0, "sft": 2.0}, 1),
    ],
)
@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_equals_trl_on_the_same_log_probabilities(
    trainer: Any, ours: dict[str, Any], theirs: dict[str, float], count: int, beta: float
) -> None:
    chosen, rejected, *reference = _random_logprobs(seed=count, count=count)
    chosen_lengths, rejected_lengths = list(range(3, 3 + count)), list(range(9, 9 - count, -1))
    sides = (chosen.clone().requires_grad_(), rejected.clone().requires_grad_())
    loss, metrics = dpo_loss(
        *sides,
        *reference,
        beta=beta,
        chosen_lengths=tensor(chosen_lengths),
        rejected_lengths=tensor(rejected_lengths),
        **ours,
    )
    trl_sides = (chosen.clone().requires_grad_(), rejected.clone().requires_grad_())
    trl_loss, trl_metrics = trl_peer.loss_of_logprobs(
        trainer,
        trl_sides,
        (reference[0], reference[1]),
        (chosen_lengths, rejected_lengths),
        loss_types=theirs,
        beta=beta,
        label_smoothing=ours.get("label_smoothing", 0.0),
    )
    assert_close(loss, trl_loss)
    assert_close(torch.autograd.grad(loss, sides), torch.autograd.grad(trl_loss, trl_sides))
    for name in metrics.keys() - {"loss", "loss/total"}:
        assert float(metrics[name]) == pytest.approx(trl_metrics[name], rel=1e-5), name


def test_an_unknown_loss_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'squared'; there are: sigmoid, robust, hinge, ipo"):
        dpo_loss(*LOGPROBS, loss_type="squared")  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"loss_type": "ipo"}, {"sft_weight": 0.1}])
def test_lengths_that_are_needed_and_missing_are_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="chosen_lengths"):
        dpo_loss(*LOGPROBS, **arguments)


def test_ipo_needs_the_lengths_of_the_rejected_too() -> None:
    with pytest.raises(ConfigError, match="rejected_lengths"):
        dpo_loss(*LOGPROBS, loss_type="ipo", chosen_lengths=LENGTHS["chosen_lengths"])


def test_the_first_loss_is_log_2() -> None:
    loss, _ = dpo_loss(CHOSEN, REJECTED, CHOSEN, REJECTED)
    assert float(loss) == pytest.approx(math.log(2))


def test_implicit_reward_is_the_scaled_log_ratio() -> None:
    assert_close(implicit_reward(CHOSEN, REFERENCE_CHOSEN, 0.1), tensor([0.2, 0.0]))


def _loss_at(margin: float, **arguments: Any) -> float:
    """The loss of one pair with this margin at β = 1, in float64."""
    zero = torch.zeros(1, dtype=torch.float64)
    return float(dpo_loss(zero + margin, zero, zero, zero, beta=1.0, **arguments)[0])


margins = st.floats(-30, 30)


@given(margin=margins, step=st.floats(1e-3, 5))
def test_sigmoid_falls_as_the_margin_grows(margin: float, step: float) -> None:
    assert _loss_at(margin + step) < _loss_at(margin)


@given(margin=margins)
def test_smoothing_by_a_half_no_longer_tells_the_sides_apart(margin: float) -> None:
    assert _loss_at(margin, label_smoothing=0.5) == pytest.approx(
        _loss_at(-margin, label_smoothing=0.5)
    )


@given(margin=margins, epsilon=st.floats(0.01, 0.49))
def test_robust_is_unbiased_under_label_noise(margin: float, epsilon: float) -> None:
    """A share ε of flipped pairs leaves, on average, the loss of the true ones."""
    robust = {"loss_type": "robust", "label_smoothing": epsilon}
    expected = (1 - epsilon) * _loss_at(margin, **robust)
    expected += epsilon * _loss_at(-margin, **robust)
    assert expected == pytest.approx(_loss_at(margin), abs=1e-9)


@given(margin=margins)
def test_hinge_is_flat_from_a_margin_of_one_on(margin: float) -> None:
    assert _loss_at(margin, loss_type="hinge") == pytest.approx(max(0.0, 1 - margin))


@settings(max_examples=20)
@given(shift=st.floats(-20, 20).filter(lambda x: abs(x) > 0.1))
@pytest.mark.parametrize("sft", [(0.0, "all"), (0.3, "all"), (0.3, "changed")])
@pytest.mark.parametrize("loss_type", ["sigmoid", "robust", "hinge", "ipo"])
def test_shared_terms_cancel_where_it_is_said_that_they_do(
    loss_type: Any, sft: tuple[float, Any], shift: float
) -> None:
    """What both sides have in common adds the same log-probability to each."""
    chosen, rejected, *reference = (values.double() for values in LOGPROBS)
    settings = {"loss_type": loss_type, "sft_weight": sft[0]}
    settings |= {"label_smoothing": 0.1} if loss_type == "robust" else {}
    changed = {"supervised_logprobs": tensor([-4.0, -2.0]), "supervised_lengths": tensor([2.0, 1])}
    arguments = settings | LENGTHS | (changed if sft[1] == "changed" else {})
    before, _ = dpo_loss(chosen, rejected, *reference, **arguments)
    after, _ = dpo_loss(chosen + shift, rejected + shift, *reference, **arguments)
    cancelled = float(after) == pytest.approx(float(before), rel=1e-9)
    config = CoactiveConfig(**settings, sft_tokens=sft[1], keep_weight=0)
    assert cancelled == shared_terms_cancel(config)
    assert not shared_terms_cancel(config.with_settings(keep_weight=1.0))


def test_supervision_on_the_changed_tokens_alone() -> None:
    """Token losses 4/2 = 2 and 1/1 = 1, mean 1.5; a pair without such a token adds nothing."""
    changed = {"supervised_logprobs": tensor([-4.0, -1.0]), "supervised_lengths": tensor([2.0, 1])}
    plain, _ = dpo_loss(*LOGPROBS)
    loss, metrics = dpo_loss(*LOGPROBS, sft_weight=0.3, **changed)
    assert float(loss) == pytest.approx(float(plain) + 0.3 * 1.5)
    assert float(metrics["loss"]) == pytest.approx(float(plain))
    none = {"supervised_logprobs": tensor([-4.0, 0.0]), "supervised_lengths": tensor([2.0, 0])}
    loss, _ = dpo_loss(*LOGPROBS, sft_weight=0.3, **none)
    assert float(loss) == pytest.approx(float(plain) + 0.3 * 1.0)


def test_shortfall_by_hand() -> None:
    """Log-ratios 1, 0, −2: only the fall counts, 4 / (2 · 3); no tokens, none; flat at π_0."""
    reference = tensor([-1.0, -2.0, -3.0])
    assert float(shortfall(tensor([0.0, -2.0, -5.0]), reference)) == pytest.approx(4 / 6)
    assert float(shortfall(tensor([]), tensor([]))) == 0.0
    own = reference.clone().requires_grad_()
    shortfall(own, reference).backward()
    assert own.grad is not None
    assert own.grad.tolist() == [0.0, 0.0, 0.0]
