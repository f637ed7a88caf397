"""Losses against values worked by hand, against TRL's own code, and by their properties."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, tensor
from torch.testing import assert_close

import trl_peer
from corll.config import LOSS_TYPES, CoactiveConfig
from corll.errors import ConfigError
from corll.losses import (
    PREFERENCE_LOSSES,
    Objective,
    PairLogprobs,
    PairTokens,
    PreferenceLoss,
    dpo_loss,
    implicit_reward,
    register,
    shortfall,
)
from corll.losses.token_comparison import TokenComparison
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


# The first pair's edit changed its last two tokens and left the first of the draft's three; the
# second changed its last token and left nothing. Sums are those of LOGPROBS.
BY_TOKEN = [
    PairTokens(
        tensor([-2.0, -1.0, -3.0, -1.5, -2.5]),
        tensor([-8.0, -7.0, -5.0]),
        tensor([-1.0, -3.0, -2.0, -2.0, -4.0]),
        tensor([-6.0, -7.0, -4.0]),
        TokenComparison(changed=[3, 4], kept=[0]),
    ),
    PairTokens(
        tensor([-5.0, -1.0]),
        tensor([-4.0, -5.0]),
        tensor([-2.0, -4.0]),
        tensor([-9.0, -10.0]),
        TokenComparison(changed=[1], kept=[]),
    ),
]


def objective_of(**settings: Any) -> Objective:
    config = {"sft_weight": 0.0, "keep_weight": 0.0, **settings}
    return Objective.of(CoactiveConfig(**config))


def test_the_sums_by_token_are_those_worked_with_above() -> None:
    pairs = PairLogprobs.of_tokens(BY_TOKEN)
    sums = (pairs.chosen, pairs.rejected, pairs.reference_chosen, pairs.reference_rejected)
    for found, expected in zip(sums, LOGPROBS, strict=True):
        assert_close(found, expected)
    assert [lengths.tolist() for lengths in pairs.lengths()] == [[5, 2], [3, 2]]


# Token losses of whole edits 10/5 = 2 and 6/2 = 3; of what was changed 4/2 = 2 and 1/1 = 1.
@pytest.mark.parametrize(("tokens", "expected"), [("all", 2.5), ("changed", 1.5)])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_supervision_is_added_with_its_weight(tokens: str, expected: float, weight: float) -> None:
    objective = objective_of(sft_weight=0.3, sft_tokens=tokens, preference_weight=weight)
    loss, metrics = objective(PairLogprobs.of_tokens(BY_TOKEN))
    preference = HAND_WORKED["sigmoid"][1]
    assert_close(metrics["loss"], tensor(preference), atol=1e-5, rtol=1e-5)
    assert_close(metrics["loss/sft"], tensor(expected))
    wanted = tensor(weight * preference + 0.3 * expected)
    assert_close(loss, wanted, atol=1e-5, rtol=1e-5)
    assert_close(metrics["loss/total"], loss)


def test_a_pair_whose_edit_changed_no_token_adds_nothing() -> None:
    none = replace(BY_TOKEN[1], comparison=TokenComparison(changed=[], kept=[0, 1]))
    _, metrics = objective_of(sft_weight=0.3, sft_tokens="changed")(
        PairLogprobs.of_tokens([BY_TOKEN[0], none])
    )
    assert_close(metrics["loss/sft"], tensor(1.0))


def test_the_shortfall_is_of_the_edit_and_of_what_it_kept_of_the_draft() -> None:
    """First pair: falls of the edit 1, 0, 1, 0, 0, so 2 / 10; of the kept draft token 2, so 4 / 2.
    Second: the edit fell by 3 and 0, so 9 / 4; nothing was kept.
    """
    loss, metrics = objective_of(keep_weight=10.0)(PairLogprobs.of_tokens(BY_TOKEN))
    expected = ((0.2 + 2.0) / 2 + (2.25 + 0.0) / 2) / 2
    assert_close(metrics["shortfall/kept"], tensor(expected))
    assert_close(loss, metrics["loss"] + 10 * expected)


def test_of_what_was_changed_alone_by_hand() -> None:
    """First pair: 0.1 ((0.5 + 1.5) − (0 − 1)) = 0.3; second: 0.1 (3 − (5 + 5)) = −0.7.

    −log σ(0.3) = log(1 + e^−0.3) = 0.554355, and −log σ(−0.7) = log(1 + e^0.7) = 1.103186.
    """
    pairs = PairLogprobs.of_tokens(BY_TOKEN)
    loss, _ = objective_of(loss_type="changed", beta=0.1)(pairs)
    assert_close(loss, tensor((0.554355 + 1.103186) / 2), atol=1e-5, rtol=1e-5)
    smoothed, _ = objective_of(loss_type="changed", beta=0.1, label_smoothing=0.1)(pairs)
    # −log σ(−0.3) = 0.854355 and −log σ(0.7) = 0.403186
    expected = (0.9 * 0.554355 + 0.1 * 0.854355 + 0.9 * 1.103186 + 0.1 * 0.403186) / 2
    assert_close(smoothed, tensor(expected), atol=1e-5, rtol=1e-5)


def test_what_was_kept_is_pushed_nowhere_by_the_loss_of_what_was_changed() -> None:
    pair = replace(
        BY_TOKEN[0],
        chosen=BY_TOKEN[0].chosen.clone().requires_grad_(),
        rejected=BY_TOKEN[0].rejected.clone().requires_grad_(),
    )
    loss, _ = objective_of(loss_type="changed")(PairLogprobs.of_tokens([pair]))
    chosen, rejected = torch.autograd.grad(loss, (pair.chosen, pair.rejected))
    assert chosen.sign().tolist() == [0, 0, 0, -1, -1]
    assert rejected.sign().tolist() == [0, 1, 1]


def test_a_loss_that_looks_at_tokens_says_so_where_there_are_sums_only() -> None:
    with pytest.raises(ConfigError, match="by token"):
        objective_of(keep_weight=1.0)(PairLogprobs(*LOGPROBS))


def test_a_loss_of_ones_own_is_chosen_by_its_name() -> None:
    @register("squared margin", takes_label_smoothing=False)
    class SquaredMargin(PreferenceLoss):
        def __call__(self, pairs: PairLogprobs) -> Tensor:
            return (pairs.margins(self.beta) - 1) ** 2

    try:
        loss, _ = objective_of(loss_type="squared margin", beta=0.1)(PairLogprobs(*LOGPROBS))
        assert_close(loss, tensor((0.25 + 4.0) / 2))  # margins 0.5 and −1
        with pytest.raises(ConfigError, match="no meaning"):
            CoactiveConfig(loss_type="squared margin", label_smoothing=0.1)
        with pytest.raises(ConfigError, match="already"):
            register("squared margin")(SquaredMargin)
    finally:
        del PREFERENCE_LOSSES["squared margin"], LOSS_TYPES["squared margin"]


def test_the_names_that_a_configuration_takes_are_those_of_the_losses() -> None:
    assert LOSS_TYPES.keys() == PREFERENCE_LOSSES.keys()


@pytest.mark.parametrize(
    ("settings", "needs_pair"),
    [
        ({}, True),
        ({"sft_weight": 1.0, "sft_tokens": "all"}, True),
        ({"preference_weight": 0.0, "sft_weight": 1.0, "sft_tokens": "changed"}, True),
        ({"preference_weight": 0.0, "sft_weight": 1.0, "sft_tokens": "all"}, False),
    ],
)
def test_imitation_alone_needs_no_pair(settings: dict[str, Any], needs_pair: bool) -> None:
    assert objective_of(**settings).needs_pair == needs_pair


def test_beta_is_that_of_trl_by_default() -> None:
    assert_close(dpo_loss(*LOGPROBS)[0], dpo_loss(*LOGPROBS, beta=0.1)[0])
    assert not torch.equal(dpo_loss(*LOGPROBS)[0], dpo_loss(*LOGPROBS, beta=0.2)[0])


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
    loss, metrics = dpo_loss(chosen, *LOGPROBS[1:], **LENGTHS)
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
# sigmoid on a batch of one.
@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [
        ({"loss_type": "sigmoid"}, {"sigmoid": 1.0}, 6),
        ({"loss_type": "hinge"}, {"hinge": 1.0}, 6),
        ({"loss_type": "ipo"}, {"ipo": 1.0}, 6),
        ({"loss_type": "robust", "label_smoothing": 0.2}, {"robust": 1.0}, 6),
        ({"loss_type": "sigmoid", "label_smoothing": 0.2}, {"aot": 1.0}, 1),
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
        dpo_loss(*LOGPROBS, loss_type="squared")


def test_lengths_that_are_needed_and_missing_are_named() -> None:
    with pytest.raises(ConfigError, match="chosen_lengths"):
        dpo_loss(*LOGPROBS, loss_type="ipo")


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
@pytest.mark.parametrize("keep", [0.0, 1.0])
@pytest.mark.parametrize("loss_type", ["sigmoid", "robust", "hinge", "ipo", "changed"])
def test_shared_terms_cancel_where_it_is_said_that_they_do(
    loss_type: str, keep: float, sft: tuple[float, str], shift: float
) -> None:
    """What both sides begin with adds the same log-probability to each."""
    smoothing = 0.1 if loss_type == "robust" else 0.0
    objective = objective_of(
        loss_type=loss_type,
        label_smoothing=smoothing,
        sft_weight=sft[0],
        sft_tokens=sft[1],
        keep_weight=keep,
    )

    def loss_at(shared: float) -> float:
        first = tensor([-50.0 + shared])
        pairs = [
            PairTokens(
                torch.cat([first, pair.chosen]).double(),
                torch.cat([first, pair.rejected]).double(),
                torch.cat([tensor([-20.0]), pair.reference_chosen]).double(),
                torch.cat([tensor([-20.0]), pair.reference_rejected]).double(),
                TokenComparison(
                    [n + 1 for n in pair.comparison.changed],
                    [0, *(n + 1 for n in pair.comparison.kept)],
                ),
            )
            for pair in BY_TOKEN
        ]
        return float(objective(PairLogprobs.of_tokens(pairs))[0])

    cancelled = loss_at(shift) == pytest.approx(loss_at(0.0), rel=1e-9)
    assert cancelled == objective.shared_terms_cancel


def test_shortfall_by_hand() -> None:
    """Log-ratios 1, 0, −2: only the fall counts, 4 / (2 · 3); no tokens, none; flat at π_0."""
    reference = tensor([-1.0, -2.0, -3.0])
    assert float(shortfall(tensor([0.0, -2.0, -5.0]), reference)) == pytest.approx(4 / 6)
    assert float(shortfall(tensor([]), tensor([]))) == 0.0
    own = reference.clone().requires_grad_()
    shortfall(own, reference).backward()
    assert own.grad is not None
    assert own.grad.tolist() == [0.0, 0.0, 0.0]
