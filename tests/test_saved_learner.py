"""A learner that was saved goes on exactly, and a damaged one is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.gradient import accumulate_gradient, encode_pair
from corll.learner import CoactiveLearner
from corll.losses import Objective
from corll.model import file_names
from corll.policy import Policy
from corll.records import Draft, Learned, Preference, Prompt, Verbatim
from learners import PREFERENCES, QUICK, a_draft, assert_same_state, state_of
from tiny_models import perturb_adapter, weights

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]
# --- save and load


def play(learner: CoactiveLearner, rounds: Sequence[int]) -> list[tuple[Draft, Learned]]:
    """Every third draft is accepted, the others get an edit of the round's own."""
    played = []
    for number in rounds:
        draft = learner.draft(f"Note {number}.")
        text = draft.text if number % 3 == 2 else f" Dear Anna, note {number}."
        played.append((draft, learner.learn(draft, text)))
    return played


@pytest.mark.parametrize("rounds_before", [0, 4])
@pytest.mark.parametrize("kind", ["base", "reference", "k=3", "dropout", "plain text, bfloat16"])
def test_a_resumed_learner_equals_one_that_was_never_interrupted(
    tiny_model_folder: Path, tmp_path: Path, kind: str, rounds_before: int
) -> None:
    """Bit for bit over three more steps; after 4 rounds also with a preference that waits."""
    arguments: dict[str, Any] = {"dtype": "float32"}
    config = QUICK.with_settings(warmup_steps=3)
    if kind == "reference":
        start = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(start)
        start.save(tmp_path / "start")
        arguments["reference"] = tmp_path / "start"
    elif kind == "k=3":
        config = config.with_settings(num_candidates=3)
    elif kind == "dropout":
        arguments["lora"] = LoraConfig(lora_dropout=0.2, lora_r=4)
    elif kind.startswith("plain"):
        arguments |= {"chat_template": False, "dtype": "bfloat16"}
    learner = CoactiveLearner(Policy.load(tiny_model_folder, **arguments), config)
    play(learner, range(rounds_before))
    assert (learner.steps_taken, len(learner.buffer)) == ((1, 1) if rounds_before else (0, 0))
    learner.save(tmp_path / "saved")
    resumed = CoactiveLearner.load(tmp_path / "saved")
    assert resumed.config == learner.config
    assert_same_state(state_of(resumed), state_of(learner))
    rest = range(rounds_before, rounds_before + 9)
    assert play(resumed, rest) == play(learner, rest)
    assert learner.steps_taken >= 3
    assert_same_state(state_of(resumed), state_of(learner))


def test_waiting_preferences_of_every_kind_are_kept(
    learner: CoactiveLearner, tmp_path: Path
) -> None:
    """Strings and samples, a conversation, and references that were stored with them."""
    conversation = [{"role": "user", "content": "Hello."}]
    pair = encode_pair(learner.policy, PREFERENCES[0])
    found = accumulate_gradient(learner.policy, [pair], Objective.of(QUICK), 10**9)
    with_ids = Preference(conversation, a_draft(learner.policy).sample, " Hello!")
    waiting = [PREFERENCES[0].with_reference(found.references[0]), with_ids]
    learner = CoactiveLearner(learner.policy, QUICK.with_settings(preferences_per_step=5))
    for preference in waiting:
        learner.buffer.add(preference)
    learner.save(tmp_path)
    assert list(CoactiveLearner.load(tmp_path).buffer) == waiting


@pytest.mark.parametrize("thinks", [False, True])
def test_prompts_are_rendered_as_before(
    tiny_model_folder: Path, tmp_path: Path, thinks: bool
) -> None:
    """With the same default of thinking; learners of before 0.2 told their templates nothing."""
    policy = Policy.load(tiny_model_folder, dtype="float32", enable_thinking=thinks)
    learner = CoactiveLearner(policy, QUICK)
    prompt: Prompt = {
        "messages": [{"role": "user", "content": "Hello."}],
        "chat_template_kwargs": {"enable_thinking": not thinks},
    }
    learner.learn(learner.draft(prompt), "Hello, Anna.")
    learner.save(tmp_path)
    resumed = CoactiveLearner.load(tmp_path)
    assert resumed.policy.codec.enable_thinking == thinks
    assert [waiting.prompt for waiting in resumed.buffer] == [prompt]
    state = json.loads((tmp_path / file_names.LEARNER).read_text())
    del state["enable_thinking"]
    (tmp_path / file_names.LEARNER).write_text(json.dumps(state))
    assert CoactiveLearner.load(tmp_path).policy.codec.enable_thinking


def test_prompts_that_are_continued_verbatim_come_back_as_such(
    policy: Policy, tmp_path: Path
) -> None:
    learner = CoactiveLearner(policy, QUICK.with_settings(replay_per_step=2))
    for past, prompt in ((False, Verbatim("Dear")), (True, Verbatim("Hello")), (True, "Hi")):
        preference = Preference(prompt, " Anna", " Ben")
        learner.buffer.past.append(preference) if past else learner.buffer.add(preference)
    learner.save(tmp_path)
    again = CoactiveLearner.load(tmp_path, policy=policy)
    prompts = [preference.prompt for preference in (*again.buffer, *again.buffer.past)]
    assert prompts == ["Dear", "Hello", "Hi"]
    assert [type(prompt) for prompt in prompts] == [Verbatim, Verbatim, str]


def test_it_can_be_loaded_onto_a_policy_that_is_there(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    play(learner, range(5))
    learner.save(tmp_path)
    there = Policy.load(tiny_model_folder, dtype="float32")
    perturb_adapter(there)
    resumed = CoactiveLearner.load(tmp_path, policy=there)
    assert resumed.policy is there
    assert_same_state(state_of(resumed), state_of(learner))


def test_a_policy_with_another_reference_is_refused(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    learner.save(tmp_path / "saved")
    perturb_adapter(learner.policy)
    learner.policy.save(tmp_path / "other")
    other = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / "other")
    before = weights(other)
    with pytest.raises(AdapterError, match="same reference"):
        CoactiveLearner.load(tmp_path / "saved", policy=other)
    torch.testing.assert_close(weights(other), before, rtol=0, atol=0)


def test_a_reference_left_by_an_earlier_learner_is_not_taken(
    learner: CoactiveLearner, tiny_model_folder: Path, tmp_path: Path
) -> None:
    perturb_adapter(learner.policy)
    learner.policy.save(tmp_path / "start")
    held = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / "start")
    CoactiveLearner(held, QUICK).save(tmp_path / "saved")
    assert CoactiveLearner.load(tmp_path / "saved").policy.reference_name != "base"
    learner.save(tmp_path / "saved")
    assert CoactiveLearner.load(tmp_path / "saved").policy.reference_name == "base"


def test_plain_peft_loads_what_was_saved(
    any_model_folder: Path, any_policy: Policy, tmp_path: Path
) -> None:
    learner = CoactiveLearner(any_policy, QUICK)
    for _ in range(3):
        learner.step(PREFERENCES)
    learner.save(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(any_model_folder, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    prompt = any_policy.codec.encode_prompt("Write to Anna.")
    ids = any_policy.codec.encode_response(" Dear Anna.").token_ids
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    logprob = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).sum()
    ours = any_policy.logprobs(["Write to Anna."], [" Dear Anna."])[0]
    assert float(ours) == pytest.approx(float(logprob), abs=1e-4)
    reference = any_policy.reference_logprobs(["Write to Anna."], [" Dear Anna."])[0]
    assert float(ours) != pytest.approx(float(reference), abs=1e-2)


def test_a_folder_without_a_learner_is_refused(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="holds no learner"):
        CoactiveLearner.load(tmp_path / "nothing")
    policy.save(tmp_path)
    with pytest.raises(AdapterError, match=r"Policy\.load"):
        CoactiveLearner.load(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_optimizer_is_named(
    learner: CoactiveLearner, tmp_path: Path, damage: str
) -> None:
    learner.step(PREFERENCES)
    learner.save(tmp_path)
    (file,) = tmp_path.glob("corll_optimizer*")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(AdapterError, match="optimiser"):
        CoactiveLearner.load(tmp_path)


def test_an_unknown_setting_in_a_saved_learner_is_refused(
    learner: CoactiveLearner, tmp_path: Path
) -> None:
    learner.save(tmp_path)
    (file,) = tmp_path.glob("corll_learner*")
    state = json.loads(file.read_text())
    state["config"]["betta"] = 1
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="betta"):
        CoactiveLearner.load(tmp_path)
