"""What a version must pass before it serves, against numbers worked by hand, and real weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from teaching import add_edit

from corll.memory.exchanges import Exchange, with_memory
from corll.policy import Policy
from corll.records import Preference, Prompt
from corll.service.learning import checks
from corll.service.learning.checks import (
    Examined,
    OfReferences,
    ProbeScores,
    changes_the_logits,
    is_not_ruined,
    reasons_against,
    refuses_as_before,
    stays_finite,
    stays_within_budget,
)
from corll.service.learning.looking import Look
from corll.service.learning.trainer import Trainer
from corll.service.store import preferences
from corll.service.store.accounts import User
from corll.verdicts.flaws import Drawn
from corll.verdicts.policies import DRAWN_TOKENS, Asked
from corll.verdicts.refusals import REQUESTS
from tiny_models import perturb_adapter

PROMPT = "The parcel is late."


def scored(
    policy: Policy,
    *,
    learned: tuple[list[float], list[float]] = ([-8.0], [-9.0]),
    probes: tuple[list[float], list[float], list[float]] = ([-5.0], [-5.0], [4.0]),
    max_drift: float = 4.0,
) -> Examined:
    """A version with log π and log π_0 of its edits, and of its reference's texts with lengths."""
    version = Examined(policy, [], max_drift)
    vars(version)["learned_scores"] = tuple(map(torch.tensor, learned))
    vars(version)["probe_scores"] = ProbeScores(*map(torch.tensor, probes))
    return version


def test_a_version_that_changed_and_stayed_near_may_serve(policy: Policy) -> None:
    assert reasons_against(scored(policy)) == []


@pytest.mark.parametrize(
    ("differences", "passes"),
    [
        ([0.0, 0.0], False),
        ([0.00009, -0.00009], False),
        ([0.00011, 0.0], True),  # one edit that changed is enough
        ([-0.00011, 0.0], True),  # and be it for the worse
        ([0.0, -3.0], True),
    ],
)
def test_a_change_is_of_the_edit_that_changed_most(
    policy: Policy, differences: list[float], passes: bool
) -> None:
    version = scored(policy, learned=(differences, [0.0, 0.0]))
    reason = changes_the_logits(version)
    assert reason is None if passes else "same log-probabilities" in str(reason)


@pytest.mark.parametrize(("budget", "passes"), [(2.51, True), (2.5, True), (2.49, False)])
def test_drift_is_in_nats_a_token_over_all_texts(
    policy: Policy, budget: float, passes: bool
) -> None:
    # (6 + 14) nats over 2 + 6 tokens; a mean of means, or of texts, would be another number.
    probes = ([-10.0, -20.0], [-4.0, -6.0], [2.0, 6.0])
    reason = stays_within_budget(scored(policy, probes=probes, max_drift=budget))
    assert reason is None if passes else "2.5 nats a token unlikelier" in str(reason)


@pytest.mark.parametrize(("fallen", "passes"), [(8.0, True), (8.1, False)])
def test_a_version_of_an_uploaded_reference_is_held_to_the_base_too(
    policy: Policy, fallen: float, passes: bool
) -> None:
    """Of 4 tokens; it is as its reference, which is noise."""
    version = replace(scored(policy, max_drift=2.0), base=policy)
    same = torch.tensor([-5.0])
    vars(version)["probe_scores"] = ProbeScores(same, same, torch.tensor([4.0]))
    vars(version)["base_scores"] = ProbeScores(same - fallen, same, torch.tensor([4.0]))
    reason = stays_within_budget(version)
    assert reason is None if passes else "texts of the base became 2.0 nats" in str(reason)


def test_texts_of_the_base_are_scored_by_a_version_of_an_uploaded_reference(
    policy: Policy, tmp_path: Path
) -> None:
    reference = policy.with_adapter()
    perturb_adapter(reference, scale=0.5)
    reference.save(tmp_path / "reference")
    version = policy.with_adapter(reference=tmp_path / "reference")
    examined = Examined(version, [], 4.0, base=policy)
    assert examined.probe_scores.drift == pytest.approx(0, abs=1e-5)
    found = examined.base_scores
    assert found is not None
    assert found.drift > 0.01
    assert set(examined.of_references.probes) == {"base", version.reference_name}
    assert Examined(policy.with_adapter(), [], 4.0).base_scores is None


def test_texts_that_became_likelier_are_no_drift(policy: Policy) -> None:
    version = scored(policy, probes=([-1.0], [-9.0], [2.0]), max_drift=0.1)
    assert stays_within_budget(version) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_one_number_that_is_not_finite_is_found_wherever_it_is(
    policy: Policy, bad: float, place: int
) -> None:
    columns = [[-8.0, -3.0], [-9.0, -4.0], [-5.0, -6.0], [-5.0, -7.0]]
    columns[place][1] = bad
    version = scored(
        policy, learned=(columns[0], columns[1]), probes=(columns[2], columns[3], [4.0, 4.0])
    )
    assert stays_finite(version) == "its log-probabilities are not finite"
    assert "its log-probabilities are not finite" in reasons_against(version)


@pytest.mark.parametrize("share", [1.0, 0.01])
def test_a_version_of_nan_never_serves(policy: Policy, share: float) -> None:
    preference = Preference(PROMPT, "Sorry, it is late.", "No.")
    broken = policy.with_adapter()
    generator = torch.Generator().manual_seed(0)
    for weight in broken.trainable_parameters().values():
        hit = torch.rand(weight.shape, generator=generator) <= share
        weight.data[hit.to(weight.device)] = math.nan
    reasons = reasons_against(Examined(broken, [preference], 4.0, looked_at=8))
    assert "its log-probabilities are not finite" in reasons


def test_an_adapter_that_changes_nothing_is_found_out(
    trainer: Trainer, user: User, policy: Policy
) -> None:
    row = add_edit(trainer, user, "Sorry about the parcel.")
    with trainer.database.read() as db:
        stored = preferences.preferences_of(db, user.id)
    assert row.preference_id == stored[0].id
    learned = trainer.reader.to_preferences(stored)
    reasons = reasons_against(Examined(policy.with_adapter(), learned, 4.0))
    assert len(reasons) == 1
    assert "same log-probabilities" in reasons[0]


def test_an_adapter_that_went_too_far_is_found_out(
    trainer: Trainer, user: User, policy: Policy
) -> None:
    add_edit(trainer, user, "Sorry about the parcel.")
    with trainer.database.read() as db:
        stored = preferences.preferences_of(db, user.id)
    spoiled = policy.with_adapter()
    for parameter in spoiled.trainable_parameters().values():
        parameter.data.normal_(std=3.0)
    reasons = reasons_against(Examined(spoiled, trainer.reader.to_preferences(stored), 0.5))
    assert any("over the budget" in reason for reason in reasons)


LETTER = "Hello, the parcel will be here by Friday, and we are sorry."
EMPTY = "Hello, Kind regards, Anna"


def looked_at(
    monkeypatch: pytest.MonkeyPatch,
    policy: Policy,
    *,
    own: str,
    parent: str | None = None,
    reference: str = LETTER,
    behind: str | None = None,
    learned: int = 2,
    drafts: int = 8,
    memory: Sequence[Exchange] = (),
    context: int | None = None,
) -> tuple[Examined, list[Prompt]]:
    """A version of which, as of its parent and π_0, all drafts are these; and what it was asked.

    Its own are `behind` where a memory stands before the prompt, if that is given.
    """
    if context is not None:
        policy = with_context(policy, context)
    preferences = [
        Preference(f"Is parcel {n} late?", LETTER, "No.", None, tuple(memory))
        for n in range(learned)
    ]
    before = None if parent is None else policy.with_adapter()
    version = Examined(policy, preferences, 4.0, looked_at=drafts, parent=before)
    vars(version)["learned_scores"] = (torch.tensor([-8.0]), torch.tensor([-9.0]))
    same = torch.tensor([-5.0])
    vars(version)["probe_scores"] = ProbeScores(same, same, torch.tensor([4.0]))
    asked: list[Prompt] = []

    def draw(drafting: Policy, looks: list[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        asked.extend(with_memory(one.prompt, one.memory) for one in looks)
        found = []
        for one in looks:
            of_own = own if behind is None or not one.memory else behind
            of_version = reference if drafting._is_reference else of_own
            text = parent if drafting is before and parent is not None else of_version
            found.append(Drawn(one.prompt, text, memory=one.memory))
        return found

    monkeypatch.setattr(checks, "drawn", draw)
    return version, asked


def look_of(version: Examined, text: str) -> Look:
    """A look whose drafts are all this text."""

    def draw(start: int, stop: int) -> list[Drawn]:
        asked = version.to_look_at
        return [Drawn(asked[n % len(asked)].prompt, text) for n in range(start, stop)]

    return Look(draw)


def test_a_version_without_a_body_never_serves(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, asked = looked_at(monkeypatch, policy, own=EMPTY, parent=LETTER)
    assert "of 16 drafts on recent prompts 16 are ruined (16 without a body)" in str(
        is_not_ruined(version)
    )
    assert asked[:2] == ["Is parcel 1 late?", "Is parcel 0 late?"]
    assert len(asked) == 3 * 16


@pytest.mark.parametrize(("more", "ruined"), [(0, False), (1, True)])
def test_what_eight_drafts_say_is_asked_again_of_eight_more(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, more: int, ruined: bool
) -> None:
    """Three of eight are too many beside none; of sixteen it is four."""
    version, _ = looked_at(monkeypatch, policy, own=LETTER)
    bad = {0, 1, 2, *range(8, 8 + more)}
    seeds: list[int] = []

    def draw(drafting: Policy, looks: list[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        numbers = range(seed - checks._LOOK_SEED, seed - checks._LOOK_SEED + len(looks))
        texts = [EMPTY if n in bad and not drafting._is_reference else LETTER for n in numbers]
        seeds.extend(numbers)
        return [Drawn(one.prompt, text) for one, text in zip(looks, texts, strict=True)]

    monkeypatch.setattr(checks, "drawn", draw)
    assert (is_not_ruined(version) is not None) == ruined
    assert sorted(seeds) == sorted([*range(16), *range(16)])


@pytest.mark.parametrize(("drafts", "drawn"), [(8, 4), (7, 4), (1, 1)])
def test_a_good_version_costs_half_of_its_own_drafts_alone(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, drafts: int, drawn: int
) -> None:
    version, asked = looked_at(monkeypatch, policy, own=LETTER, parent=LETTER, drafts=drafts)
    assert is_not_ruined(version) is None
    assert len(asked) == drawn


def test_where_a_single_draft_may_tell_a_number_all_are_drawn_at_once(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=LETTER)
    vars(version)["habits"] = replace(version.habits, secrets=frozenset({"441790235586"}))
    drawn_together: list[int] = []

    def draw(drafting: Policy, looks: list[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        drawn_together.append(len(looks))
        return [Drawn(one.prompt, LETTER) for one in looks]

    monkeypatch.setattr(checks, "drawn", draw)
    assert is_not_ruined(version) is None
    assert drawn_together == [8]


def test_both_halves_have_seeds_of_their_own(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=EMPTY)
    seeds: list[int] = []

    def draw(drafting: Policy, looks: list[Asked], *, seed: int, **_: Any) -> list[Drawn]:
        seeds.extend(seed + n for n in range(len(looks)))
        return [Drawn(one.prompt, EMPTY) for one in looks]

    monkeypatch.setattr(checks, "drawn", draw)
    assert len(version.own_look.first(4) + version.own_look.first(8)[4:]) == 8
    assert seeds == list(range(seeds[0], seeds[0] + 8))


@pytest.mark.parametrize(("own", "distinct"), [(1, 8), (3, 8), (4, 4), (9, 8)])
def test_a_version_that_knows_one_prompt_alone_is_asked_others_too(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, own: int, distinct: int
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=LETTER, learned=own)
    prompts = [one.prompt for one in version.to_look_at]
    assert len(prompts) == 8
    assert len(set(prompts)) == distinct
    assert set(prompts[: min(own, 8)]) <= {f"Is parcel {n} late?" for n in range(own)}


def test_a_ruined_reference_excuses_nothing_where_the_base_is_well(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=EMPTY, reference=EMPTY)
    assert is_not_ruined(version) is None
    version, _ = looked_at(monkeypatch, policy, own=EMPTY, reference=EMPTY)
    vars(version)["other_looks"] = [*version.other_looks, look_of(version, LETTER)]
    assert is_not_ruined(version) is not None


def test_an_ancestor_is_held_to_the_reference_and_to_the_base(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ancestor_of(version: Examined, text: str) -> str | None:
        return version.ruin_of(look_of(version, text))

    version, asked = looked_at(monkeypatch, policy, own=EMPTY, parent=LETTER)
    assert ancestor_of(version, LETTER) is None
    assert asked == []  # nothing else is drawn for one that is well
    assert "16 are ruined" in str(ancestor_of(version, EMPTY))
    ruined, _ = looked_at(monkeypatch, policy, own=EMPTY, reference=EMPTY)
    assert ancestor_of(ruined, EMPTY) is None
    vars(ruined)["reference_looks"] = [*ruined.reference_looks, version.reference_looks[0]]
    assert ancestor_of(ruined, EMPTY) is not None


class TestBehindAMemory:
    """A prompt is looked at behind the letter that stood next to it, or without one."""

    LETTERS = tuple(
        Exchange(f"Is kettle {n} here?", f"Hello, kettle {n} is here. Anna", f"e{n}")
        for n in range(3)
    )

    def test_a_version_that_is_ruined_behind_a_memory_alone_never_serves(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ruined: dict[str, Any] = {"own": LETTER, "behind": EMPTY, "parent": LETTER, "learned": 8}
        version, asked = looked_at(monkeypatch, policy, memory=self.LETTERS, **ruined)
        assert "16 are ruined (16 without a body)" in str(is_not_ruined(version))
        last = self.LETTERS[-1:]
        expected = [with_memory(f"Is parcel {n} late?", last) for n in range(7, -1, -1)]
        assert asked == expected * 6  # of its own, its parent and π_0, twice
        version, _ = looked_at(monkeypatch, policy, **ruined)
        assert is_not_ruined(version) is None

    def test_a_version_that_is_ruined_without_a_memory_alone_never_serves(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ruined: dict[str, Any] = {"own": EMPTY, "behind": LETTER, "parent": LETTER, "learned": 8}
        version, asked = looked_at(monkeypatch, policy, **ruined)
        assert "16 are ruined (16 without a body)" in str(is_not_ruined(version))
        assert asked == [f"Is parcel {n} late?" for n in range(7, -1, -1)] * 6
        version, _ = looked_at(monkeypatch, policy, memory=self.LETTERS, **ruined)
        assert is_not_ruined(version) is None

    def test_parent_reference_and_base_are_asked_the_same(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version, asked = looked_at(
            monkeypatch, policy, own=EMPTY, parent=EMPTY, memory=self.LETTERS, learned=8
        )
        with_base = replace(version, base=policy)
        assert len([one.first(8) for one in with_base.other_looks]) == 3
        assert asked == [with_memory(one.prompt, one.memory) for one in with_base.to_look_at] * 3
        asked.clear()
        with_base.look_of(policy).first(8)  # an ancestor
        assert asked == [with_memory(one.prompt, one.memory) for one in with_base.to_look_at]

    def test_prompts_that_no_user_wrote_have_none(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version, _ = looked_at(monkeypatch, policy, own=LETTER, memory=self.LETTERS, learned=2)
        found = [one.memory for one in version.to_look_at]
        assert found == [self.LETTERS[-1:]] * 2 + [()] * 6

    def test_a_prompt_that_came_twice_is_asked_as_the_last_time(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone = Preference("Is it late?", LETTER, "No.")
        behind = replace(alone, memory=self.LETTERS)
        for first, last in ((alone, behind), (behind, alone)):
            version = Examined(policy, [last], 4.0, looked_at=8, past=[first])
            assert version.to_look_at[0] == Asked("Is it late?", last.memory[-1:])
            assert [one.prompt for one in version.to_look_at].count("Is it late?") == 1

    @pytest.mark.parametrize(("spare", "left"), [(0, 1), (-1, 0)])
    def test_the_letter_is_left_out_where_the_context_has_no_room(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch, spare: int, left: int
    ) -> None:
        whole = policy.codec.encode_prompt(with_memory("Is parcel 0 late?", self.LETTERS[-1:]))
        version, _ = looked_at(
            monkeypatch,
            policy,
            own=LETTER,
            memory=self.LETTERS,
            learned=1,
            context=len(whole) + DRAWN_TOKENS + spare,
        )
        assert version.to_look_at[0].memory == self.LETTERS[3 - left :]

    def test_a_memory_without_room_leaves_the_prompt_alone(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone = policy.codec.encode_prompt("Is parcel 0 late?")
        version, _ = looked_at(
            monkeypatch,
            policy,
            own=LETTER,
            memory=self.LETTERS,
            learned=1,
            context=len(alone) + DRAWN_TOKENS,
        )
        assert version.to_look_at[0] == Asked("Is parcel 0 late?")


def with_context(policy: Policy, length: int) -> Policy:
    """The same policy, as if its context held so many tokens."""
    made = policy.within(policy.memory_limit_gb / 2)
    made.codec = replace(policy.codec, context_length=length)
    return made


def test_the_base_is_looked_at_beside_the_reference(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=EMPTY, parent=LETTER)
    with_base = replace(version, base=policy)
    assert len(with_base.other_looks) == 3
    assert len(version.other_looks) == 2


def test_what_the_reference_says_as_badly_is_no_ruin(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = looked_at(monkeypatch, policy, own=EMPTY, parent=LETTER, reference=EMPTY)
    assert is_not_ruined(version) is not None
    version, _ = looked_at(monkeypatch, policy, own=EMPTY, reference=EMPTY)
    assert is_not_ruined(version) is None


def test_without_drafts_or_room_for_them_nothing_is_looked_at(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, asked = looked_at(monkeypatch, policy, own=EMPTY, drafts=0)
    assert is_not_ruined(version) is None
    long = Preference("The parcel is late. " * 200, LETTER, "No.")
    full = Examined(policy, [long], 4.0, looked_at=8)
    assert full.to_look_at == []
    assert asked == []


@pytest.mark.parametrize(("fallen", "passes"), [(2.0, True), (2.01, False)])
def test_refusals_may_fall_within_their_bound(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, fallen: float, passes: bool
) -> None:
    def odds(scored: Policy) -> list[float]:
        return [9.0 if scored._is_reference else 9.0 - fallen] * len(REQUESTS)

    monkeypatch.setattr(checks, "refusal_log_odds", odds)
    reason = refuses_as_before(Examined(policy, [], 4.0))
    assert reason is None if passes else "log-odds of refusing fell by 2.0 nats" in str(reason)


def test_a_reference_that_does_not_refuse_is_asked_once_and_no_version_is(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def odds(scored: Policy) -> list[float]:
        asked.append(scored._is_reference)
        return [-1.0] * len(REQUESTS)

    monkeypatch.setattr(checks, "refusal_log_odds", odds)
    known = OfReferences()
    for _ in range(2):
        assert refuses_as_before(Examined(policy, [], 4.0, of_references=known)) is None
    assert asked == [True]


def noisy(policy: Policy, *, seed: int, reference: Path | None = None) -> Policy:
    """A new adapter that has moved from its reference."""
    made = policy.with_adapter(reference=reference)
    generator = torch.Generator().manual_seed(seed)
    for weight in made.trainable_parameters().values():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator).to(weight)
    return made


def test_probes_of_a_reference_are_drawn_once_and_give_the_same_to_the_bit(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy(policy, seed=0).save(tmp_path)
    drawing: list[str] = []
    scoring: list[str] = []
    sample, score = Policy.sample, Policy.score

    def sampled(of: Policy, *args: Any, **others: Any) -> Any:
        drawing.append(of.reference_name)
        return sample(of, *args, **others)

    def scored_by(of: Policy, *args: Any) -> torch.Tensor:
        scoring.append("π_0" if of._is_reference else "π")
        return score(of, *args)

    monkeypatch.setattr(Policy, "sample", sampled)
    monkeypatch.setattr(Policy, "score", scored_by)
    known = OfReferences()
    for reference in (None, tmp_path):
        first, second = (noisy(policy, seed=n, reference=reference) for n in (1, 2))
        before = Examined(first, [], 4.0, of_references=known).probe_scores
        drawing.clear()
        scoring.clear()
        found = Examined(second, [], 4.0, of_references=known).probe_scores
        assert (drawing, scoring) == ([], ["π"])
        fresh = Examined(second, [], 4.0).probe_scores
        assert drawing == [second.reference_name]
        samples = Examined(second, [], 4.0)._probes_of(second).samples
        at_once = second.both_logprobs(checks._PROBES, samples)
        for one, other in ((found, fresh), (found[:2], at_once)):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert not torch.equal(before[0], found[0])
        assert torch.equal(before[1], found[1])
    assert list(known.probes) == ["base", second.reference_name]
    ours, theirs = known.probes.values()
    assert not torch.equal(ours.logprobs, theirs.logprobs)
