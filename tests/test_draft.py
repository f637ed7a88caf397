"""Which of the k samples is shown, and that the draw hangs on nothing but its seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from corll.config import CoactiveConfig
from corll.draft import best_first, make_drafts, scores_of, within_context
from corll.errors import InputError, PromptTooLongError
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Draft, Sample, Verbatim
from tiny_models import END, perturb_adapter, plain_logprob

PROMPTS = [
    "Write to Anna.",
    "The kettle.",
    "Is the hotel near the station?",
    "Tuesday or Thursday?",
]
SEEDS = [11, 12, 13, 14]
ONE = CoactiveConfig(num_candidates=1, max_completion_length=10, allow_unfinished=True)
FOUR = ONE.with_settings(num_candidates=4)


def drafted_ids(draft: Draft) -> list[tuple[int, ...]]:
    return [sample.token_ids for sample in draft.candidates]


def test_a_single_sample_is_not_ranked(any_policy: Policy) -> None:
    drafts = make_drafts(any_policy, PROMPTS, ONE, seeds=SEEDS)
    assert [draft.prompt for draft in drafts] == PROMPTS
    assert [draft.seed for draft in drafts] == SEEDS
    assert all(len(draft.candidates) == 1 for draft in drafts)
    assert all((draft.choice, draft.scores) == (0, None) for draft in drafts)


def test_several_samples_need_not_be_ranked(any_policy: Policy) -> None:
    perturb_adapter(any_policy)
    ranked = make_drafts(any_policy, PROMPTS, FOUR, seeds=SEEDS)
    drafts = make_drafts(any_policy, PROMPTS, FOUR.with_settings(selection="first"), seeds=SEEDS)
    assert [drafted_ids(draft) for draft in drafts] == [drafted_ids(draft) for draft in ranked]
    assert all((draft.choice, draft.scores) == (0, None) for draft in drafts)


def test_drafts_may_be_samples_of_the_reference(any_policy: Policy) -> None:
    from_reference = ONE.with_settings(drafts_from="reference")
    untaught = make_drafts(any_policy, PROMPTS, ONE, seeds=SEEDS)
    perturb_adapter(any_policy)
    offline = make_drafts(any_policy, PROMPTS, from_reference, seeds=SEEDS)
    online = make_drafts(any_policy, PROMPTS, ONE, seeds=SEEDS)
    assert [drafted_ids(draft) for draft in offline] == [drafted_ids(draft) for draft in untaught]
    assert [drafted_ids(draft) for draft in offline] != [drafted_ids(draft) for draft in online]


@pytest.mark.parametrize("selection", ["implicit_reward", "logprob", "mean_logprob"])
def test_the_candidate_with_the_highest_score_is_shown(any_policy: Policy, selection: Any) -> None:
    """Scores are recomputed one row at a time, by transformers' own logits."""
    perturb_adapter(any_policy)
    config = FOUR.with_settings(selection=selection)
    drafts = make_drafts(any_policy, PROMPTS, config, seeds=SEEDS)
    for draft in drafts:
        expected = [recomputed(any_policy, draft, ids, selection) for ids in drafted_ids(draft)]
        assert draft.scores == pytest.approx(expected, abs=1e-4)
        assert draft.choice == expected.index(max(expected))
    assert len({draft.choice for draft in drafts}) > 1


def recomputed(policy: Policy, draft: Draft, ids: tuple[int, ...], selection: str) -> float:
    prompt = policy.codec.encode_prompt(draft.prompt)
    logprob = plain_logprob(policy.base, prompt, ids)
    if selection == "implicit_reward":
        with policy.adapters.model.disable_adapter():
            return FOUR.beta * (logprob - plain_logprob(policy.base, prompt, ids))
    return logprob / len(ids) if selection == "mean_logprob" else logprob


def test_beta_scales_the_scores(policy: Policy) -> None:
    perturb_adapter(policy)
    (small,) = make_drafts(policy, PROMPTS[:1], FOUR, seeds=[1])
    (large,) = make_drafts(policy, PROMPTS[:1], FOUR.with_settings(beta=1.0), seeds=[1])
    assert small.scores is not None
    assert large.scores == pytest.approx([10 * score for score in small.scores], rel=1e-4)


def test_at_step_0_all_tie_and_the_first_is_shown(any_policy: Policy) -> None:
    for draft in make_drafts(any_policy, PROMPTS, FOUR, seeds=SEEDS):
        assert draft.scores == (0.0, 0.0, 0.0, 0.0)
        assert draft.choice == 0


def test_a_cut_candidate_is_shown_only_where_none_ended(policy: Policy) -> None:
    perturb_adapter(policy)
    longer = FOUR.with_settings(max_completion_length=40, temperature=4.0, top_k=0)
    prompts, seeds = PROMPTS[:1] * 12, range(12)
    by_score = make_drafts(policy, prompts, longer, seeds=seeds)
    drafts = make_drafts(policy, prompts, longer.with_settings(allow_unfinished=False), seeds=seeds)
    changed = 0
    for best, draft in zip(by_score, drafts, strict=True):
        assert draft.candidates == best.candidates
        assert draft.scores is not None
        ended = [n for n, sample in enumerate(draft.candidates) if sample.finished]
        allowed = ended or range(4)
        assert draft.choice == max(allowed, key=draft.scores.__getitem__)
        changed += draft.choice != best.choice
    assert changed > 0


def test_a_draft_hangs_on_its_seed_and_on_nothing_beside_it(any_policy: Policy) -> None:
    together = make_drafts(any_policy, PROMPTS, FOUR, seeds=SEEDS)
    for prompt, seed, draft in zip(PROMPTS, SEEDS, together, strict=True):
        torch.manual_seed(seed + 1)
        (alone,) = make_drafts(any_policy, [prompt], FOUR, seeds=[seed])
        assert drafted_ids(alone) == drafted_ids(draft)
        (fewer,) = make_drafts(any_policy, [prompt], ONE, seeds=[seed])
        assert drafted_ids(fewer) == drafted_ids(draft)[:1]
        (other,) = make_drafts(any_policy, [prompt], FOUR, seeds=[seed + 100])
        assert drafted_ids(other) != drafted_ids(draft)


def test_candidates_differ_from_each_other(policy: Policy) -> None:
    (draft,) = make_drafts(policy, PROMPTS[:1], FOUR, seeds=[0])
    assert len(set(drafted_ids(draft))) == 4


@pytest.mark.parametrize("config", [ONE, FOUR])
def test_no_prompts_give_no_drafts(policy: Policy, config: CoactiveConfig) -> None:
    assert make_drafts(policy, [], config, seeds=[]) == []


def test_sampling_follows_the_configuration(policy: Policy) -> None:
    """Greedy, in effect: the likeliest token alone, whatever the seed."""
    greedy = FOUR.with_settings(top_k=1, max_completion_length=5)
    (draft,) = make_drafts(policy, PROMPTS[:1], greedy, seeds=[0])
    assert len(set(drafted_ids(draft))) == 1
    assert len(draft.sample.token_ids) <= 5


class TestBestFirst:
    @staticmethod
    def row(*finished: bool) -> list[Sample]:
        return [Sample("", (n,), -1.0, ended) for n, ended in enumerate(finished)]

    def test_the_highest_score_comes_first(self) -> None:
        assert best_first(self.row(True, True, True), [0.1, 0.3, 0.2]) == [1, 2, 0]

    def test_equals_stay_in_the_order_in_which_they_were_drawn(self) -> None:
        assert best_first(self.row(True, True, True, True), [0.0, 1.0, 0.0, 1.0]) == [1, 3, 0, 2]

    def test_what_ended_comes_before_what_was_cut(self) -> None:
        row = self.row(False, True, False, True)
        assert best_first(row, [4.0, 1.0, 3.0, 2.0]) == [3, 1, 0, 2]
        assert best_first(row, [4.0, 1.0, 3.0, 2.0], allow_unfinished=True) == [0, 2, 3, 1]


def test_rows_of_different_lengths_get_scores_of_their_own(policy: Policy) -> None:
    perturb_adapter(policy)
    first, second = make_drafts(policy, PROMPTS[:2], FOUR, seeds=SEEDS[:2])
    rows = [first.candidates[:1], second.candidates[:3]]
    found = scores_of(policy, PROMPTS[:2], rows, FOUR)
    assert first.scores is not None
    assert second.scores is not None
    assert [len(row) for row in found] == [1, 3]
    assert found[0] == pytest.approx(list(first.scores[:1]), abs=1e-4)
    assert found[1] == pytest.approx(list(second.scores[:3]), abs=1e-4)


@pytest.mark.parametrize("config", [ONE, FOUR])
def test_a_prompt_may_have_a_limit(policy: Policy, config: CoactiveConfig) -> None:
    length = len(policy.codec.encode_prompt(PROMPTS[0]))
    allowed = config.with_settings(max_prompt_length=length)
    assert len(make_drafts(policy, PROMPTS[:1], allowed, seeds=[0])) == 1
    with pytest.raises(PromptTooLongError, match=f"max_prompt_length={length - 1}"):
        make_drafts(
            policy, PROMPTS[:1], config.with_settings(max_prompt_length=length - 1), seeds=[0]
        )


def test_ranked_drafts_know_their_prompts_and_seeds(policy: Policy) -> None:
    drafts = make_drafts(policy, PROMPTS, FOUR, seeds=SEEDS)
    assert [draft.prompt for draft in drafts] == PROMPTS
    assert [draft.seed for draft in drafts] == SEEDS


def test_no_response_is_longer_than_the_context_leaves(policy: Policy) -> None:
    config = CoactiveConfig(max_completion_length=512)
    longest = max(len(policy.codec.encode_prompt(prompt)) for prompt in PROMPTS)
    fitting = within_context(policy, PROMPTS, config)
    assert fitting.max_completion_length == 512 - longest
    assert make_drafts(policy, PROMPTS, fitting, seeds=SEEDS)
    short = CoactiveConfig(max_completion_length=9)
    assert within_context(policy, PROMPTS, short) is short


class TestMemories:
    """Drafts of π(· | x, memory), whose prompts are x alone."""

    TEA = (Exchange("Tea?", "Gladly."), Exchange("Cake?", "No."))

    def test_candidates_and_scores_are_of_the_whole_prompt(self, policy: Policy) -> None:
        perturb_adapter(policy)
        memories = [self.TEA, (), self.TEA[:1], ()]
        whole = [with_memory(p, m) for p, m in zip(PROMPTS, memories, strict=True)]
        drafts = make_drafts(policy, PROMPTS, FOUR, seeds=SEEDS, memories=memories)
        expected = make_drafts(policy, whole, FOUR, seeds=SEEDS)
        assert [draft.prompt for draft in drafts] == PROMPTS
        assert [drafted_ids(draft) for draft in drafts] == [
            drafted_ids(draft) for draft in expected
        ]
        assert [draft.scores for draft in drafts] == [draft.scores for draft in expected]

    def test_a_model_without_a_template_drafts_behind_documents(
        self, tiny_gpt2_folder: Path
    ) -> None:
        """A prompt and its text, the end of a text, the prompt."""
        policy = Policy.load(tiny_gpt2_folder, dtype="float32")
        (draft,) = make_drafts(policy, PROMPTS[:1], FOUR, seeds=[11], memories=[self.TEA])
        whole = Verbatim(f"Tea?Gladly.{END}Cake?No.{END}{PROMPTS[0]}")
        (expected,) = make_drafts(policy, [whole], FOUR, seeds=[11])
        assert drafted_ids(draft) == drafted_ids(expected)
        assert (draft.prompt, draft.memory) == (PROMPTS[0], self.TEA)

    @pytest.mark.parametrize("config", [ONE, FOUR])
    def test_a_draft_keeps_what_stood_before_its_prompt(
        self, policy: Policy, config: CoactiveConfig
    ) -> None:
        """Which is no more than the context has room for."""
        longest = len(policy.codec.encode_prompt(with_memory(PROMPTS[0], self.TEA)))
        length = longest + config.max_completion_length - 1
        policy.codec = replace(policy.codec, context_length=length)
        memories = [self.TEA, ()]
        drafts = make_drafts(policy, PROMPTS[:2], config, seeds=SEEDS[:2], memories=memories)
        assert [draft.memory for draft in drafts] == [self.TEA[1:], ()]
        assert make_drafts(policy, PROMPTS[:1], config, seeds=SEEDS[:1])[0].memory == ()

    def test_samples_are_those_of_the_prompts_behind_them(self, policy: Policy) -> None:
        prompts, memories = PROMPTS[:2], [self.TEA, ()]
        whole = [with_memory(p, m) for p, m in zip(prompts, memories, strict=True)]
        found = policy.sample(prompts, 2, 4, SEEDS[:2], memories=memories)
        assert found == policy.sample(whole, 2, 4, SEEDS[:2])
        with pytest.raises(InputError, match="2 prompts but 1 memories"):
            policy.sample(prompts, memories=[()])

    def test_the_longest_prompt_is_counted_without_its_memory(self, policy: Policy) -> None:
        lengths = [len(policy.codec.encode_prompt(prompt)) for prompt in PROMPTS]
        limited = ONE.with_settings(max_prompt_length=max(lengths))
        memories = [self.TEA] * len(PROMPTS)
        assert len(make_drafts(policy, PROMPTS, limited, seeds=SEEDS, memories=memories)) == 4
        shorter = ONE.with_settings(max_prompt_length=max(lengths) - 1)
        with pytest.raises(PromptTooLongError, match="max_prompt_length"):
            make_drafts(policy, PROMPTS, shorter, seeds=SEEDS, memories=memories)

    @pytest.mark.parametrize(("missing", "left"), [(0, 2), (1, 1)])
    def test_what_the_context_has_no_room_for_is_left_out(
        self, policy: Policy, missing: int, left: int
    ) -> None:
        prompt, room = PROMPTS[0], ONE.max_completion_length
        length = len(policy.codec.encode_prompt(with_memory(prompt, self.TEA))) + room - missing
        codec = replace(policy.codec, context_length=length)
        assert codec.memory_within(prompt, self.TEA, room=room) == self.TEA[2 - left :]
