"""Policies on one base that draw in one pass: each row is what its own policy draws alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from corll.compute.decoding import Branch, Decoding
from corll.compute.kept_prefixes import KeptPrefixes
from corll.compute.packing import Ids
from corll.config import LoraConfig, SamplingConfig
from corll.errors import AdapterError
from corll.policy import Policy
from peft_adapters import made_by_peft
from tiny_models import perturb_adapter

# PEFT says this of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

EVERYTHING = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0)
RANKS = (1, 4, 16)
T = 10


def several(folder: Path, dtype: str = "float32", **settings: Any) -> list[Policy | None]:
    """The base, and policies of several ranks and strengths on it."""
    base = Policy.load(folder, dtype=dtype, **settings)
    drawers: list[Policy | None] = [None]
    for seed, rank in enumerate(RANKS):
        lora = LoraConfig(lora_r=rank, lora_alpha=2 * rank)
        policy = base.with_adapter(lora=lora)
        perturb_adapter(policy, seed=seed, scale=0.2)
        drawers.append(policy)
    return [base, *drawers]


def begun(
    base: Policy, drawers: Sequence[Policy | None], prompts: Sequence[Ids], **how: Any
) -> Decoding:
    count = how.pop("num_samples", 1)
    return base.begin(
        prompts, count, T, list(range(len(prompts))), sampling=EVERYTHING, drawers=drawers, **how
    )


def drawn(policy: Policy, decoding: Decoding) -> list[Branch]:
    while policy.advance(decoding):
        pass
    return decoding.branches()


def alone(base: Policy, drawer: Policy | None, prompt: Ids, seed: int, **how: Any) -> list[Branch]:
    count = how.pop("num_samples", 1)
    arguments = [prompt], count, T, [seed]
    if drawer is not None:
        return drawn(drawer, drawer.begin(*arguments, sampling=EVERYTHING, **how))
    with base.as_reference():
        return drawn(base, base.begin(*arguments, sampling=EVERYTHING, **how))


def prompts_of(lengths: Sequence[int]) -> list[Ids]:
    return [tuple(3 + (7 * n + place) % 50 for place in range(k)) for n, k in enumerate(lengths)]


@pytest.fixture(scope="module")
def known(tiny_model_folder: Path) -> list[Policy | None]:
    return several(tiny_model_folder)


mixes = st.lists(st.tuples(st.integers(0, len(RANKS)), st.integers(1, 9)), min_size=1, max_size=5)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mixes, st.integers(1, 2))
def test_each_row_is_what_its_policy_draws_alone(
    known: list[Policy | None], mix: list[tuple[int, int]], num_samples: int
) -> None:
    base, *choices = known
    assert base is not None
    drawers = [choices[number] for number, _ in mix]
    prompts = prompts_of([length for _, length in mix])
    found = drawn(base, begun(base, drawers, prompts, num_samples=num_samples))
    for n, (drawer, prompt) in enumerate(zip(drawers, prompts, strict=True)):
        own = found[n * num_samples : (n + 1) * num_samples]
        expected = alone(base, drawer, prompt, n, num_samples=num_samples)
        assert [b.token_ids for b in own] == [b.token_ids for b in expected]
        for branch, other in zip(own, expected, strict=True):
            assert branch.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_policies_draw_unlike_each_other(known: list[Policy | None]) -> None:
    """Else the others of these tests could not tell them apart."""
    base, *choices = known
    assert base is not None
    (prompt,) = prompts_of([6])
    found = drawn(base, base.begin([prompt] * 4, 1, T, [0] * 4, drawers=choices))
    assert len({branch.token_ids for branch in found}) == 4


@pytest.mark.usefixtures("kernel_mode")
def test_in_bf16_a_rows_logprob_is_that_of_its_policy_up_to_rounding(
    tiny_model_folder: Path,
) -> None:
    base, *choices = several(tiny_model_folder, "bfloat16")
    assert base is not None
    prompts = prompts_of([3, 9, 9, 5])
    for branch, drawer, prompt in zip(
        drawn(base, begun(base, choices, prompts)), choices, prompts, strict=True
    ):
        if drawer is None:
            with base.as_reference():
                expected = base.score([prompt], [branch.token_ids])
        else:
            expected = drawer.score([prompt], [branch.token_ids])
        tolerance = 0.03 * len(branch.token_ids)
        assert branch.logprob == pytest.approx(float(expected), abs=tolerance)


def test_logits_are_those_of_a_mixed_batch_of_peft(tiny_model_folder: Path, tmp_path: Path) -> None:
    base = Policy.load(tiny_model_folder, dtype="float32")
    folders = [
        made_by_peft(tiny_model_folder, tmp_path / str(rank), r=rank, lora_alpha=3 * rank)
        for rank in (2, 6)
    ]
    policies = [base.with_adapter(folder) for folder in folders]
    prompts = prompts_of([7] * 4)
    decoding = begun(base, [policies[0], None, policies[1], policies[1]], prompts)

    plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    peer: Any = peft.PeftModel.from_pretrained(plain, folders[0], adapter_name="one")
    peer.load_adapter(folders[1], "two")
    names = ["one", "__base__", "two", "two"]
    with torch.no_grad():
        expected = peer.eval()(input_ids=torch.tensor(prompts), adapter_names=names).logits[:, -1]
    torch.testing.assert_close(decoding.logits.cpu(), expected, rtol=0, atol=1e-4)


def test_beginnings_that_are_kept_are_each_policys_own(known: list[Policy | None]) -> None:
    base, *choices = known
    assert base is not None
    prompts, kept, apart = [prompts_of([12])[0]] * 4, KeptPrefixes(1 << 24), KeptPrefixes(1 << 24)
    found = drawn(base, begun(base, choices, prompts, kept=kept, prefixes=[8] * 4))
    assert len(kept) == 4
    for n, (drawer, branch) in enumerate(zip(choices, found, strict=True)):
        (own,) = alone(base, drawer, prompts[0], n, kept=apart, prefixes=[8])
        assert branch.token_ids == own.token_ids
    again = drawn(base, begun(base, choices, prompts, kept=apart, prefixes=[8] * 4))
    assert [b.token_ids for b in again] == [b.token_ids for b in found]
    assert len(apart) == 4  # computed alone, and taken up by the mix


def test_what_is_dropped_leaves_nothing_behind_and_others_go_on(
    known: list[Policy | None],
) -> None:
    base, *choices = known
    assert base is not None
    prompts = prompts_of([4, 6, 8, 5])
    expected = drawn(base, begun(base, choices, prompts))
    for after in (0, 3):
        decoding = begun(base, choices, prompts)
        for _ in range(after):
            base.advance(decoding)
        gone = choices[2]
        assert gone is not None
        decoding.drop([2])
        assert gone.adapter not in decoding.adapters
        settled = decoding._growing._more["settled"]  # type: ignore[attr-defined]
        assert not any(gone.adapter in str(key) for key in settled)
        found = drawn(base, decoding)
        assert [found[n].token_ids for n in (0, 1, 3)] == [expected[n].token_ids for n in (0, 1, 3)]
        assert len(found[2].token_ids) == after


def test_a_drawer_that_was_unloaded_draws_no_more(tiny_model_folder: Path) -> None:
    base = Policy.load(tiny_model_folder, dtype="float32")
    one, two = base.with_adapter(), base.with_adapter()
    decoding = begun(base, [one, two], prompts_of([3, 3]))
    two.unload()
    with pytest.raises(AdapterError, match="unloaded"):
        base.advance(decoding)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_what_cannot_share_a_pass_says_so(tiny_model_folder: Path, tiny_gpt2_folder: Path) -> None:
    base = Policy.load(tiny_model_folder, dtype="float32")
    assert base.mixes
    elsewhere = Policy.load(tiny_model_folder, dtype="float32")
    with pytest.raises(AdapterError, match="let each work by itself"):
        begun(base, [base, elsewhere], prompts_of([3, 3]))
    on_the_head = LoraConfig(lora_target_modules=("q_proj", "lm_head"))
    for other in (
        Policy.load(tiny_model_folder, dtype="float32", lora=on_the_head),
        Policy.load(tiny_gpt2_folder, dtype="float32"),
        Policy.load(tiny_model_folder, trains="all"),
    ):
        assert not other.mixes
        with pytest.raises(AdapterError, match="let each work by itself"):
            begun(other, [other, None], prompts_of([3, 3]))
