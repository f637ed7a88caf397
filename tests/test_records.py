"""Plain data: it survives JSON, and says what it is."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.records import (
    Acceptance,
    Draft,
    Edit,
    Exchange,
    Preference,
    ReferenceLogprobs,
    Round,
    Sample,
    StepResult,
    Verbatim,
    text_of,
)

SAMPLES = st.builds(
    Sample,
    text=st.text(),
    token_ids=st.lists(st.integers(0, 10**6)).map(tuple),
    logprob=st.none() | st.floats(max_value=0, allow_nan=False, allow_infinity=False),
    finished=st.booleans(),
)
PROMPTS = (
    st.text()
    | st.text().map(Verbatim)
    | st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant"]), "content": st.text()}
        ),
        min_size=1,
    )
)
MEMORIES = st.lists(st.builds(Exchange, PROMPTS, st.text(), st.text()), max_size=2).map(tuple)
DRAFTS = st.builds(
    Draft,
    prompt=PROMPTS,
    candidates=st.lists(SAMPLES, min_size=1, max_size=3).map(tuple),
    choice=st.integers(0, 2),
    scores=st.none() | st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
    seed=st.integers(0, 2**31 - 1),
    memory=MEMORIES,
)
PREFERENCES = st.builds(
    Preference, PROMPTS, st.text() | SAMPLES, st.text() | SAMPLES, st.none(), memory=MEMORIES
)

SHORT = Sample("yes", (5, 0), -1.5, finished=True)
LONG = Sample("yes and", (5, 6), -2.5, finished=False)


@given(SAMPLES)
def test_a_sample_survives_json(sample: Sample) -> None:
    assert Sample.from_dict(json.loads(json.dumps(asdict(sample)))) == sample


@given(DRAFTS)
def test_a_draft_survives_json(draft: Draft) -> None:
    again = Draft.from_dict(json.loads(json.dumps(draft.to_dict())))
    assert again == draft
    assert type(again.prompt) is type(draft.prompt)


@given(PREFERENCES)
def test_a_preference_survives_json_with_its_memory(preference: Preference) -> None:
    again = Preference.from_dict(json.loads(json.dumps(preference.to_dict())))
    assert again == preference
    kinds = [[type(one.prompt) for one in (read, *read.memory)] for read in (again, preference)]
    assert kinds[0] == kinds[1]


def test_records_of_before_memories_are_read_as_having_none() -> None:
    tea = (Exchange("Tea?", "yes", "edit-1"),)
    draft = Draft("Coming?", (SHORT,), memory=tea)
    preference = Preference("Coming?", "no", SHORT, memory=tea)
    stored, kept = draft.to_dict(), preference.to_dict()
    assert stored.pop("memory") == kept.pop("memory") == [tea[0].to_dict()]
    assert Draft.from_dict(stored) == Draft("Coming?", (SHORT,))
    assert Preference.from_dict(kept) == Preference("Coming?", "no", SHORT)


@given(DRAFTS, st.none() | st.text(), st.none() | SAMPLES)
def test_an_edit_survives_json(draft: Draft, text: str | None, sample: Sample | None) -> None:
    edit = Edit(draft, text, sample)
    again = Edit.from_dict(json.loads(json.dumps(edit.to_dict())))
    assert again == edit
    assert type(again.draft.prompt) is type(draft.prompt)


def test_an_edit_that_knows_no_sample_is_read_too() -> None:
    """Runs of before kept none."""
    kept = Edit(Draft("Coming?", (SHORT,)), "no").to_dict()
    del kept["sample"]
    assert Edit.from_dict(kept) == Edit(Draft("Coming?", (SHORT,)), "no", None)


def test_what_is_learned_from_are_the_ids_where_there_are_some() -> None:
    draft = Draft("Coming?", (SHORT,))
    assert Edit(draft, "no").response == "no"
    assert Edit(draft, None).response is None
    assert Edit.of_sample(draft, LONG) == Edit(draft, "yes and", LONG)
    assert Edit.of_sample(draft, LONG).response is LONG


def test_the_choice_is_what_is_shown() -> None:
    draft = Draft("Coming?", (SHORT, LONG), choice=1, scores=(0.1, 0.2))
    assert draft.sample is LONG
    assert draft.text == "yes and"


def test_a_preference_keeps_its_reference_beside_the_rest() -> None:
    preference = Preference("Coming?", chosen=SHORT, rejected=LONG)
    reference = ReferenceLogprobs((-0.25, -0.75), (-2.0,), "base, float32")
    assert (reference.chosen, reference.rejected) == (-1.0, -2.0)
    assert ReferenceLogprobs((0.1,) * 10, (), "").chosen == 1.0  # summed without rounding
    scored = preference.with_reference(reference)
    assert preference.reference is None
    assert scored == Preference("Coming?", chosen=SHORT, rejected=LONG, reference=reference)
    for kept in (preference, scored, Preference("Coming?", "no", "yes")):
        assert Preference.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept


def test_a_round_knows_an_acceptance_from_a_preference_and_from_silence() -> None:
    edit = Edit(Draft("Coming?", (SHORT,)), "yes")
    assert Round(1, edit, Acceptance(edit.draft)).accepted
    assert not Round(1, edit, Preference("Coming?", "no", SHORT)).accepted
    assert not Round(1, edit, None).accepted


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        SHORT.text = "no"  # type: ignore[misc]


def test_the_text_of_a_response_with_or_without_ids() -> None:
    assert text_of("yes") == "yes"
    assert text_of(SHORT) == "yes"


def test_a_step_s_result_still_gives_its_metrics_by_name_with_a_warning() -> None:
    result = StepResult(1, {"loss": 0.5}, ())
    with pytest.warns(DeprecationWarning, match="metrics"):
        assert result["loss"] == 0.5
    with pytest.warns(DeprecationWarning, match="metrics"):
        assert (result.get("loss"), result.get("accuracy"), result.get("x", 2.0)) == (
            0.5,
            None,
            2.0,
        )
    with pytest.warns(DeprecationWarning, match="metrics"), pytest.raises(KeyError):
        result["accuracy"]
