"""A log replayed edit by edit: scored before it is learned from, and toys with known answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
import torch

from corll.config import CoactiveConfig
from corll.edit_logs.logged import LoggedEdit
from corll.learner import CoactiveLearner
from corll.memory.choosing import MemorySettings
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Draft, Prompt
from corll.replay.prequential import Replay
from corll.replay.scores import ReplayArm, ScoredEdit
from corll.replay.summary import summarise
from corll.verdicts.policies import edit_scores
from tiny_models import weights

ARMS: tuple[ReplayArm, ...] = ("base", "memory", "sft", "coactive", "both")
CONFIG = CoactiveConfig(
    preferences_per_step=2, replay_per_step=2, warmup_steps=0, learning_rate=1e-2
)
MEMORY = MemorySettings("last", 2, 512)
WORDS = "parcel kettle hotel street meeting note lid station breakfast Tuesday late clean".split()


def a_log(count: int, *, seed: int = 0, unknown: Sequence[str] = ()) -> list[LoggedEdit]:
    """Drafts of known words, closed alike or, with `unknown` words, by three that come once."""
    rng = random.Random(seed)
    edits = []
    for n in range(count):
        draft = "The " + " ".join(rng.choices(WORDS, k=4)) + "."
        new = " ".join(unknown[3 * n : 3 * n + 3])
        sent = f"{draft} {new}" if unknown else f"{draft}\nKind regards, Anna"
        edits.append(
            LoggedEdit(f"Write of the {rng.choice(WORDS)}.", draft, sent, "bo", line=n + 1)
        )
    return edits


@pytest.fixture
def roomy_policy(roomy_model_folder: Path) -> Policy:
    return Policy.load(roomy_model_folder, dtype="float32")


def replayed(
    policy: Policy, edits: Sequence[LoggedEdit], arms: Sequence[ReplayArm] = ARMS
) -> list[ScoredEdit]:
    return list(Replay(policy, CONFIG, arms, MEMORY).of_user("bo", edits))


def test_each_edit_is_scored_by_weights_that_learned_the_earlier_ones(roomy_policy: Policy) -> None:
    """Beside a run by hand with `edit_scores`, `implicit_rewards` and a learner of each kind."""
    edits = a_log(5)
    found = replayed(roomy_policy, edits)
    learners = {
        name: CoactiveLearner(roomy_policy.with_adapter(), CONFIG.with_settings(learner=name))
        for name in ("coactive", "sft")
    }
    past: list[Exchange] = []
    for edit, scored in zip(edits, found, strict=True):
        draft = roomy_policy.codec.encode_response(edit.draft)
        sent = roomy_policy.codec.encode_edit(draft, edit.sent)
        # With two letters at most, one to three of the latest stand there.
        memory = past[-(2 + len(past) % 2) :] if len(past) > 2 else past
        coactive, sft = (learners[name].policy for name in ("coactive", "sft"))
        by_hand = edit_scores(coactive, edit.prompt, draft, sent, memory=memory)
        expected = {arm: by_hand[arm].surprisal for arm in by_hand}
        expected["sft"] = edit_scores(sft, edit.prompt, draft, sent)["weights"].surprisal  # type: ignore[index]
        expected.setdefault("memory", expected["base"])
        expected.setdefault("both", expected["weights"])
        names = {
            "base": "base",
            "memory": "memory",
            "coactive": "weights",
            "both": "both",
            "sft": "sft",
        }
        for arm, name in names.items():
            own = scored.arms[arm].surprisal  # type: ignore[index]
            assert own == pytest.approx(expected[name], abs=1e-4), (arm, scored.number)  # type: ignore[index]
        for arm, policy in (("coactive", coactive), ("sft", sft)):
            rewards = policy.implicit_rewards([edit.prompt] * 2, [sent, draft], beta=CONFIG.beta)
            margin = scored.arms[arm].margin  # type: ignore[index]
            assert margin == pytest.approx(float(rewards[0] - rewards[1]), abs=1e-4)
        _check_memory_margins(scored, coactive, edit.prompt, memory, sent, draft)
        for learner in learners.values():
            learner.learn(Draft(edit.prompt, (draft,)), sent)
        past.append(Exchange(edit.prompt, edit.sent))
    assert [learner.steps_taken for learner in learners.values()] == [2, 2]
    first, second, third = found[:3]
    assert first.arms["coactive"].margin == second.arms["coactive"].margin == 0
    assert third.arms["coactive"].margin != 0


def _check_memory_margins(scored, coactive, prompt: Prompt, memory, sent, draft) -> None:  # type: ignore[no-untyped-def]
    """R of an arm behind letters is that of its policy against the base without them."""
    behind = with_memory(prompt, memory)
    sides = [sent, draft]
    of_base = coactive.reference_logprobs([prompt] * 2, sides)
    for arm, logprobs in (
        ("memory", coactive.reference_logprobs([behind] * 2, sides)),
        ("both", coactive.logprobs([behind] * 2, sides)),
    ):
        ratio = (logprobs - of_base).double()
        expected = CONFIG.beta * float(ratio[0] - ratio[1])
        assert scored.arms[arm].margin == pytest.approx(expected, abs=1e-3)


def test_a_stopped_replay_goes_on_to_the_same_numbers(roomy_policy: Policy) -> None:
    edits = a_log(6)
    replay = Replay(roomy_policy, CONFIG, ARMS, MEMORY)
    whole = list(replay.of_user("bo", edits))
    begun = list(islice(replay.of_user("bo", edits), 3))
    assert begun == whole[:3]
    assert list(replay.of_user("bo", edits, known=begun)) == whole


def test_the_base_s_own_adapter_stays_as_it_was_and_others_are_freed(roomy_policy: Policy) -> None:
    before = {name: tensor.clone() for name, tensor in weights(roomy_policy).items()}
    replayed(roomy_policy, a_log(4))
    torch.testing.assert_close(weights(roomy_policy), before, rtol=0, atol=0)
    names = [name for name, _ in roomy_policy.base.model.named_parameters() if "lora_A" in name]
    assert len({name.split("lora_A.")[1] for name in names}) == 1


def test_a_user_starts_without_what_another_sent(roomy_policy: Policy) -> None:
    replay = Replay(roomy_policy, CONFIG, ARMS, MEMORY)
    alone = [edit.arms for edit in replay.of_user("al", a_log(4, seed=1))]
    list(replay.of_user("bo", a_log(4)))
    assert [edit.arms for edit in replay.of_user("al", a_log(4, seed=1))] == alone


def test_drafts_sent_as_they_were_are_remembered_and_teach_nothing(roomy_policy: Policy) -> None:
    first, second = a_log(2)
    accepted = LoggedEdit("Late?", "The parcel is late.", "The parcel is late. \n", "bo", line=1)
    found = replayed(roomy_policy, [accepted, first, second])
    assert [edit.outcome for edit in found] == ["accepted", "edit", "edit"]
    assert found[0].arms == {}
    assert found[2].arms["coactive"].margin == 0  # one preference makes no step yet
    assert found[1].arms["memory"].surprisal != found[1].arms["base"].surprisal


def test_what_cannot_be_used_is_left_out_with_its_reason(roomy_policy: Policy) -> None:
    first, second = a_log(2)
    odd = [
        LoggedEdit("Late?", "No.", "No.<|end|>Yes.", "bo", line=3),
        LoggedEdit("late " * 20_000, "No.", "Yes.", "bo", line=4),
    ]
    found = replayed(roomy_policy, [*odd, first, second])
    assert [edit.outcome for edit in found] == ["left out", "left out", "edit", "edit"]
    assert "<|end|>" in str(found[0].reason)
    assert "context" in str(found[1].reason)
    assert found[2].arms["memory"].surprisal == found[2].arms["base"].surprisal


def test_an_unfit_text_is_scored_and_neither_learned_nor_remembered(roomy_policy: Policy) -> None:
    first, second = a_log(2)
    round_and_round = " ".join(["We would like the ten chairs on Tuesday"] * 5)
    found = replayed(
        roomy_policy, [LoggedEdit("Late?", "No.", round_and_round, "bo"), first, second]
    )
    assert [edit.unfit is None for edit in found] == [False, True, True]
    assert found[0].arms["base"].surprisal is not None
    assert found[1].arms["memory"].surprisal == found[1].arms["base"].surprisal
    assert found[2].arms["sft"].margin == 0


def test_a_conversation_has_no_letters_before_it(roomy_policy: Policy) -> None:
    first, second = a_log(2)
    turns = [
        {"role": "user", "content": "Late?"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "When?"},
    ]
    talked = LoggedEdit(turns, "Soon.", "On Friday.", "bo")
    found = replayed(roomy_policy, [first, second, talked])
    assert found[2].arms["memory"].surprisal == found[2].arms["base"].surprisal
    assert found[2].arms["both"] == found[2].arms["coactive"]


def test_a_closing_that_every_edit_adds_surprises_what_was_learned_less(
    roomy_policy: Policy,
) -> None:
    found = replayed(roomy_policy, a_log(16), ("base", "sft", "coactive"))
    _, *learned = summarise(found, ("base", "sft", "coactive"), seed=0)
    for one in learned:
        assert one.difference is not None
        assert one.accuracy is not None
        assert (one.difference.verdict, one.accuracy.verdict) == ("less", "more")
        assert one.difference.mean < -1
    last = found[-1].arms
    assert last["coactive"].surprisal is not None
    assert last["base"].surprisal is not None
    assert last["coactive"].surprisal < last["base"].surprisal - 2


@pytest.mark.parametrize("seed", [0, 1])
def test_words_that_come_once_teach_nothing_about_the_next_ones(
    roomy_policy: Policy, seed: int
) -> None:
    vocabulary = sorted(roomy_policy.tokenizer.get_vocab())
    words = [token[1:] for token in vocabulary if token[0] == "Ġ" and token[1:].isalpha()]
    random.Random(seed).shuffle(words)
    edits = a_log(12, seed=seed, unknown=words)
    found = replayed(roomy_policy, edits)
    for one in summarise(found, ARMS, seed=0)[1:]:
        assert one.difference is not None
        assert one.difference.verdict == "no difference shown", one.arm
