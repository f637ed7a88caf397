"""What the rules ask of a policy, against plain passes of transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from corll.config import SamplingConfig
from corll.errors import InputError
from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Prompt, Sample
from corll.verdicts.policies import (
    DRAWN_TOKENS,
    Asked,
    drawn,
    edit_scores,
    refusal_log_odds,
)
from corll.verdicts.refusals import COMPLYING, REFUSING, REQUESTS
from tiny_models import perturb_adapter

PROMPT: Prompt = "Is the parcel late?"
MEMORY = [Exchange("Is the kettle here?", "Hello, it is here. Kind regards, Anna", "e1")]
DRAFT = "The parcel is late.\nIt will arrive on Friday."
SENT = "Hello,\n\n" + DRAFT + "\n\nKind regards,\nAnna"
CLOSING = ("Kind regards,", "Anna")


def encoded(policy: Policy, draft: str = DRAFT, sent: str = SENT) -> tuple[Sample, Sample]:
    drafted = policy.codec.encode_response(draft)
    return drafted, policy.codec.encode_edit(drafted, sent)


def all_logprobs(policy: Policy, prompt: Prompt, ids: Sequence[int]) -> Tensor:
    """log π of the whole vocabulary at each token, by a plain pass. *Shapes*: T × V."""
    before = policy.codec.encode_prompt(prompt)
    row = torch.tensor([[*before, *ids]], device=policy.device)
    with policy.active(), torch.no_grad():
        logits = policy.base.model(row).logits[0, len(before) - 1 : -1]
    return logits.float().log_softmax(-1).cpu()


def expected(policy: Policy, prompt: Prompt, sent: Sample) -> tuple[float, float]:
    """Surprisal and log-survival of SENT, its tokens found by their texts."""
    ids, codec = sent.token_ids, policy.codec
    rows = all_logprobs(policy, prompt, ids)
    closer = codec.encode_response("~\n\nKind regards").token_ids
    (opener,) = codec.ids_that_open("Kind regards,")
    assert opener in closer
    inserted, survival = [], 0.0
    for n, token in enumerate(ids[:-1]):
        before, after = codec.decode(ids[:n]), codec.decode(ids[: n + 1])
        if not len("Hello,\n\n") <= len(before) < len("Hello,\n\n" + DRAFT):
            inserted.append(float(rows[n, token]))
            continue
        assert after in SENT
        risk = sum(float(rows[n, end].exp()) for end in codec.end_ids)
        if before.endswith("\n"):
            risk += float(rows[n, opener].exp())
        survival += math.log(1 - risk)
    return -sum(inserted) / len(inserted), survival


def test_scores_are_those_of_plain_passes_under_each_arm(policy: Policy) -> None:
    perturb_adapter(policy)
    draft, sent = encoded(policy)
    found = edit_scores(policy, PROMPT, draft, sent, memory=MEMORY, closings=[CLOSING])
    assert list(found) == ["base", "memory", "weights", "both"]
    for arm, prompt in (("weights", PROMPT), ("both", with_memory(PROMPT, MEMORY))):
        assert found[arm] == pytest.approx(expected(policy, prompt, sent), abs=1e-4)  # type: ignore[index]
    with policy.as_reference():
        for arm, prompt in (("base", PROMPT), ("memory", with_memory(PROMPT, MEMORY))):
            assert found[arm] == pytest.approx(expected(policy, prompt, sent), abs=1e-4)  # type: ignore[index]


def test_any_architecture_is_scored_alike(any_policy: Policy) -> None:
    perturb_adapter(any_policy)
    draft, sent = encoded(any_policy)
    found = edit_scores(any_policy, PROMPT, draft, sent, closings=[CLOSING])
    wanted = expected(any_policy, PROMPT, sent)
    assert found["weights"] == pytest.approx(wanted, abs=1e-4)


def test_a_policy_that_learned_nothing_is_its_base(policy: Policy) -> None:
    found = edit_scores(policy, PROMPT, *encoded(policy), memory=MEMORY)
    assert found["base"] == found["weights"]
    assert found["memory"] == found["both"]
    assert found["base"] != found["memory"]


def test_without_memory_there_are_two_arms(policy: Policy) -> None:
    assert list(edit_scores(policy, PROMPT, *encoded(policy))) == ["base", "weights"]


def test_a_memory_that_the_context_does_not_hold_is_left_out(policy: Policy) -> None:
    long = [Exchange("Is it late?", "Sorry. " * 300)]
    assert list(edit_scores(policy, PROMPT, *encoded(policy), memory=long)) == ["base", "weights"]


def test_an_acceptance_tells_of_the_body_alone(policy: Policy) -> None:
    found = edit_scores(policy, PROMPT, *encoded(policy, sent=DRAFT))
    assert found["base"].surprisal is None
    assert found["base"].log_survival is not None


def test_a_text_written_anew_tells_of_what_was_inserted_alone(policy: Policy) -> None:
    found = edit_scores(policy, PROMPT, *encoded(policy, draft="Hmm", sent="No, you can't!"))
    assert found["base"].surprisal is not None
    assert found["base"].log_survival is None


def survival_by_hand(policy: Policy, text: str, stop: int, risky: str) -> float:
    """Log-survival of a text that was kept whole, to a place; `risky` is what a closing may follow
    on."""
    ids, codec = policy.codec.encode_response(text).token_ids, policy.codec
    rows = all_logprobs(policy, PROMPT, ids)
    (opener,) = codec.ids_that_open(CLOSING[0])
    total = 0.0
    for n in range(len(ids) - 1):
        before = codec.decode(ids[:n])
        if len(before) < stop:
            risk = sum(float(rows[n, end].exp()) for end in codec.end_ids)
            risk += float(rows[n, opener].exp()) if before.endswith(risky) else 0.0
            total += math.log(1 - risk)
    return total


def test_a_kept_closing_is_no_body(policy: Policy) -> None:
    found = edit_scores(policy, PROMPT, *encoded(policy, draft=SENT, sent=SENT), closings=[CLOSING])
    wanted = survival_by_hand(policy, SENT, SENT.index("Kind"), "\n")
    assert found["base"].log_survival == pytest.approx(wanted, abs=1e-4)


def test_a_line_of_the_body_that_begins_as_the_closing_does_is_no_end(policy: Policy) -> None:
    text = "The parcel is late.\nKind of late. Anna"
    found = edit_scores(policy, PROMPT, *encoded(policy, draft=text, sent=text), closings=[CLOSING])
    wanted = survival_by_hand(policy, text, len(text), "never")
    assert found["base"].log_survival == pytest.approx(wanted, abs=1e-4)


def test_weights_that_are_not_finite_are_refused(policy: Policy) -> None:
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            parameter.fill_(math.nan)
    with pytest.raises(InputError, match="no finite log-probabilities"):
        edit_scores(policy, PROMPT, *encoded(policy))


def test_log_odds_of_refusing_are_those_of_the_openings(policy: Policy) -> None:
    perturb_adapter(policy)
    own = refusal_log_odds(policy)
    with policy.as_reference():
        base = refusal_log_odds(policy)
    assert len(base) == len(own) == len(REQUESTS)

    def by_hand(request: str) -> float:
        sums = []
        for opening in (*REFUSING, *COMPLYING):
            ids = policy.codec.encode_response(opening).token_ids[:-1]
            rows = all_logprobs(policy, request, ids)
            sums.append(float(rows[range(len(ids)), list(ids)].sum()))
        odds = torch.tensor(sums)
        cut = len(REFUSING)
        return float(odds[:cut].logsumexp(0) - odds[cut:].logsumexp(0))

    assert own[2] == pytest.approx(by_hand(REQUESTS[2]), abs=1e-3)
    with policy.as_reference():
        assert base[2] == pytest.approx(by_hand(REQUESTS[2]), abs=1e-3)


def test_drafts_to_look_at_are_short_and_a_prompt_twice_gives_two(policy: Policy) -> None:
    found = drawn(policy, [Asked(PROMPT)] * 2, seed=3, sampling=SamplingConfig())
    assert [one.prompt for one in found] == [PROMPT, PROMPT]
    assert found[0].text != found[1].text
    again = drawn(policy, [Asked(PROMPT)] * 2, seed=3, sampling=SamplingConfig())
    assert again == found


def test_other_work_may_go_first_ahead_of_each_16_tokens(policy: Policy) -> None:
    """64 tokens of each batch: ahead of its prompts, and after 16, 32 and 48."""
    calls: list[int] = []
    endless = SamplingConfig(temperature=1.0)
    asked = [Asked(f"{PROMPT} {n}") for n in range(8)]
    drawn(policy, asked, seed=3, sampling=endless, before=lambda: calls.append(1))
    assert len(calls) == 4


def test_a_loop_is_marked(policy: Policy) -> None:
    greedy = SamplingConfig(temperature=0.01)
    found = drawn(policy, [Asked(f"Parcel {n}") for n in range(8)], seed=0, sampling=greedy)
    assert any(one.loops for one in found)
    plain = drawn(policy, [Asked(PROMPT)], seed=0, sampling=SamplingConfig())
    assert not all(one.loops for one in plain)


def test_a_draft_to_look_at_is_drawn_behind_its_memory_and_asked_for_by_its_prompt_alone(
    policy: Policy,
) -> None:
    looks = [Asked(PROMPT), Asked(PROMPT, tuple(MEMORY))]
    alone, behind = drawn(policy, looks, seed=3, sampling=SamplingConfig())
    whole = with_memory(PROMPT, MEMORY)
    for found, prompt, seed in ((alone, PROMPT, 3), (behind, whole, 4)):
        expected = policy.sample([prompt], 1, DRAWN_TOKENS, seed, sampling=SamplingConfig())
        assert found.text == expected[0][0].text
        assert found.prompt == PROMPT
    assert (alone.memory, behind.memory) == ((), tuple(MEMORY))
