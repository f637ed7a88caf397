"""Nothing is learned from masked tokens, by any loss, and everything else as before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from batches import (
    PLAIN_DPO,
    accumulated,
    encode,
    gradients,
    loss_name,
    relative_error,
    text_preferences,
)
from corll.config import CoactiveConfig
from corll.errors import InputError
from corll.gradient import EncodedPair
from corll.losses import Objective, PairLogprobs, PairTokens
from corll.policy import Policy
from corll.records import Preference
from tiny_models import perturb_adapter

LOSSES = [
    PLAIN_DPO,
    PLAIN_DPO.with_settings(loss_type="changed"),
    PLAIN_DPO.with_settings(loss_type="ipo", sft_weight=0.3, sft_tokens="all"),
    PLAIN_DPO.with_settings(sft_weight=1.0, preference_weight=0.0),
    CoactiveConfig(),
]
each_loss = pytest.mark.parametrize("config", LOSSES, ids=loss_name)


def masking(policy: Policy, *, all_of_it: bool) -> list[Preference]:
    """Preferences of which all tokens, or each second one from the first, are masked."""
    step = 1 if all_of_it else 2
    found = []
    for pair in encode(policy, text_preferences(policy)):
        sides = tuple(range(0, len(ids), step) for ids in (pair.chosen_ids, pair.rejected_ids))
        of_chosen, of_rejected = map(tuple, sides)
        found.append(replace(pair.preference, masked_tokens=(of_chosen, of_rejected)))
    return found


def plain(policy: Policy, pairs: list[EncodedPair], config: CoactiveConfig) -> dict[str, object]:
    """By autograd over one row a side, with log π_0 in place of log π where a token is masked."""

    def logprobs(prompt: tuple[int, ...], ids: tuple[int, ...]) -> torch.Tensor:
        row = torch.tensor([[*prompt, *ids]], device=policy.device)
        logits = policy.base.model(input_ids=row).logits[0].float()
        predicted = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return predicted.gather(-1, row[0, len(prompt) :, None]).squeeze(-1)

    def both(pair: EncodedPair) -> list[torch.Tensor]:
        return [logprobs(pair.prompt_ids, ids) for ids in (pair.chosen_ids, pair.rejected_ids)]

    for parameter in policy.trainable_parameters().values():
        parameter.grad = None
    tokens = []
    for pair in pairs:
        with torch.no_grad(), policy.adapters.model.disable_adapter():
            of_base = both(pair)
        sides = []
        for side, base, masked in zip(
            both(pair), of_base, pair.preference.masked_tokens, strict=True
        ):
            open_ones = [base[n] if n in masked else side[n] for n in range(len(side))]
            sides.append(torch.stack(open_ones))
        tokens.append(PairTokens(sides[0], sides[1], of_base[0], of_base[1], pair.comparison))
    loss, _ = Objective.of(config)(PairLogprobs.of_tokens(tokens))
    loss.backward()
    return dict(gradients(policy))


@each_loss
def test_the_gradient_is_that_of_the_other_tokens(
    any_policy: Policy, config: CoactiveConfig
) -> None:
    perturb_adapter(any_policy)
    preferences = masking(any_policy, all_of_it=False)
    _, found = accumulated(any_policy, preferences, config)
    expected = plain(any_policy, encode(any_policy, preferences), config)
    assert relative_error(found, expected) <= 1e-4  # type: ignore[arg-type]
    _, unmasked = accumulated(any_policy, text_preferences(any_policy), config)
    assert relative_error(found, unmasked) > 0.05


@each_loss
def test_where_all_is_masked_there_is_no_gradient(policy: Policy, config: CoactiveConfig) -> None:
    perturb_adapter(policy)
    _, found = accumulated(policy, masking(policy, all_of_it=True), config)
    assert all(not gradient.any() for gradient in found.values())


def test_masked_tokens_are_neither_changed_nor_kept(policy: Policy) -> None:
    for preference in masking(policy, all_of_it=False):
        [pair] = encode(policy, [preference])
        of_chosen, of_rejected = preference.masked_tokens
        assert not set(pair.comparison.changed) & set(of_chosen)
        assert not set(pair.comparison.kept) & set(of_rejected)


def test_a_place_behind_the_response_is_refused(policy: Policy) -> None:
    [pair, *_] = encode(policy, text_preferences(policy))
    last = len(pair.chosen_ids) - 1
    encode(policy, [replace(pair.preference, masked_tokens=((last,), ()))])
    for places in ((last + 1,), (-1,)):
        with pytest.raises(InputError, match="masked_tokens names the places"):
            encode(policy, [replace(pair.preference, masked_tokens=(places, ()))])
    with pytest.raises(InputError, match="masked_tokens names"):
        encode(policy, [replace(pair.preference, masked_tokens=((), (len(pair.rejected_ids),)))])


def test_they_are_kept_in_json() -> None:
    preference = Preference("a", "b", "c", masked_tokens=((0, 2), (1,)))
    assert Preference.from_dict(preference.to_dict()) == preference
    assert "masked_tokens" not in Preference("a", "b", "c").to_dict()
