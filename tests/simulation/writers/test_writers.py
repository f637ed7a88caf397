"""What every writer promises on any draft, and how each of them decides."""

from __future__ import annotations

import pytest
from drafts import REQUESTS, REQUESTS_AND_DRAFTS
from hypothesis import given, settings

from corll.errors import ConfigError, InputError
from corll.feedback import User
from corll.records import Draft, Prompt, Sample
from corll.simulation import (
    WRITER_HALVES,
    WRITERS,
    Writer,
    WritingRequest,
    seconds_alone,
    seconds_to_send,
)
from corll.simulation.writers.judging import reader_of
from corll.text import clean_edit, same_text

every_writer = pytest.mark.parametrize("name", WRITERS)
REQUEST = next(one for one in REQUESTS if one.id == "planning-date-4")
"""To Ben Achebe: Wednesday at 15:30, room 7, Henry can't come; ninety minutes, a courtesy."""

SAYS_ALL = "Wednesday at 15:30 is fine. We are in room 7. Sadly, Henry cannot attend."


def draft_of(text: str, prompt: Prompt = REQUEST.prompt) -> Draft:
    return Draft(prompt, (Sample(text, (), None, True),))


def sent(name: str, text: str, *, edit_number: int = 5) -> str:
    return WRITERS[name]().sent(REQUEST, text, edit_number)


@every_writer
@given(asked=REQUESTS_AND_DRAFTS)
def test_editing_an_edit_changes_nothing(name: str, asked: tuple[WritingRequest, str]) -> None:
    request, draft = asked
    writer = WRITERS[name]()
    for edit_number in (5, 41):
        text = writer.sent(request, draft, edit_number)
        assert writer.sent(request, text, edit_number) == text


@every_writer
@given(asked=REQUESTS_AND_DRAFTS)
def test_what_is_wanted_says_all_facts_and_can_be_learned_from(
    name: str, asked: tuple[WritingRequest, str]
) -> None:
    request, draft = asked
    text = WRITERS[name]().wanted(request, draft)
    assert reader_of(request, "Anna Berg").says_all(text)
    assert "[" not in clean_edit(text)


@every_writer
@settings(max_examples=20)
@given(asked=REQUESTS_AND_DRAFTS)
def test_an_answer_depends_on_request_draft_and_number_alone(
    name: str, asked: tuple[WritingRequest, str]
) -> None:
    request, draft = asked
    used, fresh = WRITERS[name](), WRITERS[name]()
    used.edit(draft_of(SAYS_ALL))
    used.edit(draft_of("No."))
    assert used.sent(request, draft, 5) == fresh.sent(request, draft, 5)


@every_writer
def test_an_empty_draft_costs_the_writing_of_the_whole_text(name: str) -> None:
    writer = WRITERS[name]()
    for request in REQUESTS:
        own = writer.own_text(request)
        assert writer.sent(request, "", 5) == own
        assert seconds_to_send("", own) == seconds_alone(own) > 10
        assert same_text(writer.sent(request, f"\n{own}\n", 5), own)


@every_writer
def test_no_writer_is_one_template(name: str) -> None:
    """Of no two situations do the own texts share most of their words."""
    writer = WRITERS[name]()
    texts = {request.situation: writer.own_text(request) for request in reversed(REQUESTS)}
    words = [set(text.split()) for text in texts.values()]
    shared = [len(a & b) / len(a | b) for a in words for b in words if a is not b]
    assert max(shared) < 0.5
    assert len({len(text) for text in texts.values()}) > len(texts) // 2


@every_writer
def test_writers_are_users_who_count_their_edits(name: str) -> None:
    writer = WRITERS[name]()
    assert isinstance(writer, User)
    assert isinstance(writer.as_of(41), User)
    assert writer.edit_number == 1
    first = writer.edit(draft_of("No."))
    assert first == writer.sent(REQUEST, "No.", 1)
    writer.as_of(41).edit(draft_of("No."))
    assert writer.edit_number == 2
    with pytest.raises(InputError, match="writing_requests"):
        writer.edit(draft_of("No.", "Write a poem."))
    assert writer.edit_number == 2


def test_two_halves_hold_all_writers_once() -> None:
    assert [*WRITER_HALVES["choose"], *WRITER_HALVES["judge"]] == list(WRITERS)
    assert len(WRITER_HALVES["choose"]) == len(WRITER_HALVES["judge"]) == 6


def test_a_usable_sentence_stays_and_a_missing_fact_is_added() -> None:
    edited = sent("frame", "Dear Ben Achebe,\n\nWednesday at 15:30 is fine.\n\nWe are in room 7.")
    assert edited == (
        "Dear Ben Achebe,\n\nWednesday at 15:30 is fine.\n\nWe are in room 7. Henry can't come, so "
        "we decide without him.\n\nKind regards,\nAnna Berg"
    )


def test_a_wrong_sentence_goes() -> None:
    edited = sent("frame", "Friday at 15:30 is fine. We are in room 7.")
    assert "Friday" not in edited
    assert "room 7. Wednesday at 15:30 suits me." in edited


@pytest.mark.parametrize(
    ("name", "kept"), [("formal", 0), ("frame", 1), ("signs", 2), ("spelling", 3), ("corrects", 4)]
)
def test_so_many_idle_sentences_stay(name: str, kept: int) -> None:
    idle = [f"We come with {one} of it." for one in ("all", "some", "most", "any", "more")]
    edited = sent(name, f"{' '.join(idle)} {SAYS_ALL}")
    assert [sentence for sentence in idle if sentence in edited] == idle[:kept]


def test_a_sentence_off_the_topic_goes() -> None:
    about_others = "In room 7 cats, dogs, birds and fish sleep."
    assert sent("corrects", f"{about_others} {SAYS_ALL}") == SAYS_ALL


def test_a_sentence_that_is_said_again_goes() -> None:
    edited = sent("corrects", f"{SAYS_ALL} {SAYS_ALL} {SAYS_ALL}")
    assert edited == SAYS_ALL


def test_a_half_sentence_at_the_end_goes_and_a_line_of_a_list_stays() -> None:
    assert sent("corrects", f"{SAYS_ALL} We are in room 7 and") == SAYS_ALL
    edited = sent("bullets", "- we are in room 7\n- Wednesday at 15:30")
    assert edited == "Ben:\n\n- we are in room 7\n- Wednesday at 15:30\n- Henry can't come\n\nAnna"


@pytest.mark.parametrize(
    ("name", "good_enough"),
    [
        ("frame", f"Hi Ben,\n\n{SAYS_ALL}\n\nKind regards,\nAnna Berg"),
        ("signs", f"{SAYS_ALL}\n\nBest,\nAnna"),
        ("formal", f"Dear Ben Achebe,\n\n{SAYS_ALL}\n\nYours sincerely,\nAnna Berg"),
        ("terms", f"Hi Ben,\n\n{SAYS_ALL}\n\nTake care,\nAnna"),
        ("corrects", f"Good morning,\n\n{SAYS_ALL}\n\nCheers"),
        ("spelling", f"Hello,\n\n{SAYS_ALL}".replace("cannot", "can't")),
        ("sentence", "We meet on Wednesday at 15:30 in room 7, but Henry can't."),
    ],
)
def test_a_draft_that_is_good_enough_is_accepted(name: str, good_enough: str) -> None:
    assert sent(name, good_enough) == good_enough
    assert sent(name, f" {good_enough}\n") == f" {good_enough}\n"


def test_signing_leaves_the_opening_and_takes_the_place_of_another_closing() -> None:
    assert sent("signs", f"Hello Ben,\n\n{SAYS_ALL}\n\nSincerely,\nTom") == (
        f"Hello Ben,\n\n{SAYS_ALL}\n\nBest,\nAnna"
    )
    assert sent("signs", SAYS_ALL) == f"{SAYS_ALL}\n\nBest,\nAnna"


def test_formal_words_take_the_place_of_casual_ones() -> None:
    edited = sent("formal", "Hi Ben,\n\nI'm ok with Wednesday at 15:30! We're in room 7.")
    assert edited.startswith(
        "Dear Ben Achebe,\n\nI am acceptable with Wednesday at 15:30. We are in room 7."
    )


def test_correcting_puts_right_values_and_names_and_leaves_the_form() -> None:
    draft = (
        "Subject: Date\n\nDear Tom,\n\nI hope you come. {} We are in room {}. Henry can't.\n\n{}"
    )
    edited = sent(
        "corrects", draft.format("Friday at 9:00 suits me.", "3", "Sincerely,\n[Your Name]")
    )
    assert edited == draft.replace("Tom", "Ben").format(
        "Wednesday at 15:30 suits me.", "7", "Sincerely,\nAnna Berg"
    )


def test_terms_and_spellings_are_the_writers_own() -> None:
    assert "It is a website session" in sent("terms", f"It is a website workshop. {SAYS_ALL}")
    assert "It is the website & ours" in sent("spelling", f"It is the website and ours. {SAYS_ALL}")


def test_one_sentence_has_the_notes_that_are_missing() -> None:
    assert (
        sent("sentence", "") == "Wednesday at 15:30 suits me, room 7 is ours and Henry can't come."
    )
    edited = sent("sentence", "Hello Ben,\n\nWednesday at 15:30 it is, in room 7. Really.\n\nBest")
    assert edited == "Wednesday at 15:30 it is, in room 7 and Henry can't come."


def test_writing_anew_accepts_a_tenth_of_difference_at_most() -> None:
    own = WRITERS["anew"]().own_text(REQUEST)
    assert own == (
        "Hi Ben,\n\nWednesday at 15:30 suits me.\nI've got us room 7.\nHenry can't come, so we "
        "decide without him.\n\nCheers,\nAnna\n\nPS: It'll take ninety minutes, I think."
    )
    tenth = len(own) // 10
    assert sent("anew", own + "!" * tenth) == own + "!" * tenth
    assert sent("anew", own + "!" * (tenth + 1)) == own
    assert sent("anew", own.replace("Wednesday", "Wed")) == own
    even = next(one for one in REQUESTS if len(WRITERS["anew"]().own_text(one)) % 10 == 0)
    whole = WRITERS["anew"]().own_text(even)
    draft = whole + "!" * (len(whole) // 10)  # a tenth to the letter
    assert WRITERS["anew"]().sent(even, draft) == draft
    assert sent("anew", own.replace("ninety", "ten")) == own


def test_a_taste_changes_after_edit_40() -> None:
    for text in ("", SAYS_ALL):
        assert sent("changing", text, edit_number=40) == sent("frame", text)
        assert sent("changing", text, edit_number=41) == sent("anew", text)
    writer = WRITERS["changing"]()
    answers = [writer.edit(draft_of("")) for _ in range(41)]
    assert len(set(answers[:40])) == 1
    assert answers[40] != answers[39]


def test_moods_go_by_the_kind_of_request() -> None:
    moods, kinds = WRITERS["moods"](), {"reply": "formal", "write": "bullets"}
    for request in REQUESTS:
        assert moods.own_text(request) == WRITERS[kinds[request.kind]]().own_text(request)


def test_one_in_hurry_edits_every_fifth() -> None:
    writer = WRITERS["hurried"]()
    answers = [writer.edit(draft_of(SAYS_ALL)) for _ in range(10)]
    assert [answer != SAYS_ALL for answer in answers] == ([False] * 4 + [True]) * 2
    assert answers[4] == sent("frame", SAYS_ALL) == writer.as_of(1).edit(draft_of(SAYS_ALL))
    assert sent("hurried", " ...", edit_number=1) == sent("frame", "")


@every_writer
def test_the_name_is_whose_texts_these_are(name: str) -> None:
    text = WRITERS[name](signs_as="José O'Neil").own_text(REQUEST)
    assert "Anna" not in text
    assert WRITERS[name](signs_as="J").own_text(REQUEST)


@pytest.mark.parametrize("name", ["", "A\nB", "Anna!", "a b c d e", "A" * 41])
def test_names_are_checked(name: str) -> None:
    writer: type[Writer] = WRITERS["frame"]
    with pytest.raises(ConfigError, match="signs_as"):
        writer(signs_as=name)
