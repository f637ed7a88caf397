"""What every editor promises, on any text; and how a draft is accepted, edited or spoiled."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from prose import PROSE, TEXT

from corll.errors import ConfigError
from corll.feedback import User
from corll.records import Draft, Prompt, Sample
from corll.simulation import EDITORS, Offence, RuleEditor
from corll.text import clean_edit, same_text

every_editor = pytest.mark.parametrize("name", EDITORS)


class ShoutEditor(RuleEditor):
    """Full stops for exclamation marks, each by itself: a rule small enough to count by hand."""

    def find_offences(self, text: str) -> Iterator[Offence]:
        for match in re.finditer("!", text):
            yield Offence(match.start(), match.end(), ".")

    def find_spoilings(self, text: str) -> Iterator[str]:
        yield text + "!"


def draft_of(text: str, prompt: Prompt = "Write.") -> Draft:
    return Draft(prompt, (Sample(text, (), None, True),))


@every_editor
@given(text=TEXT)
@example(text="")
@example(text='"Dear [Name], I am here! Subject')
@example(text="Is a ſad \x00 İssue\x1c")
def test_a_rewrite_leaves_nothing_to_fix(name: str, text: str) -> None:
    editor = EDITORS[name]()
    rewritten = editor.rewrite(text)
    assert editor.rewrite(rewritten) == rewritten
    assert editor.utility(rewritten) == (1.0 if rewritten else 0.0)
    assert editor.utility(rewritten) >= editor.utility(text)


@every_editor
@given(text=TEXT)
def test_utility_is_one_just_where_the_rewrite_changes_nothing(name: str, text: str) -> None:
    editor = EDITORS[name]()
    unchanged = bool(text.strip()) and same_text(editor.rewrite(text), text)
    assert (editor.utility(text) == 1.0) == unchanged


@every_editor
@given(text=TEXT)
def test_spoiling_lowers_the_utility(name: str, text: str) -> None:
    editor = EDITORS[name]()
    spoiled = editor.spoil(text)
    assert spoiled == text or editor.utility(spoiled) < editor.utility(text)


@every_editor
@given(text=PROSE)
def test_a_clean_text_can_always_be_spoiled(name: str, text: str) -> None:
    editor = EDITORS[name]()
    clean = editor.rewrite(text)
    if clean:
        assert editor.utility(editor.spoil(clean)) < 1.0


@every_editor
@given(text=TEXT)
def test_an_edit_can_be_learned_from(name: str, text: str) -> None:
    edited = EDITORS[name]().edit(draft_of(text))
    if edited is not None and not same_text(edited, text):
        assert clean_edit(edited).strip()


@every_editor
def test_editors_are_users(name: str) -> None:
    assert isinstance(EDITORS[name](), User)


@every_editor
@pytest.mark.parametrize("text", ["", " \n", "...", "🎉"])
def test_a_draft_that_says_nothing_gets_no_feedback(name: str, text: str) -> None:
    editor = EDITORS[name](tolerance=1.0)
    assert editor.edit(draft_of(text)) is None
    assert editor.utility(text) == 0.0


@every_editor
def test_in_place_of_a_draft_that_says_nothing_come_ones_own_words(name: str) -> None:
    editor = EDITORS[name](own_words={"Write.": "Please note that the awful lid isn't new!"})
    edited = editor.edit(draft_of("...", prompt="Write."))
    assert edited is not None
    assert "lid" in edited
    assert editor.utility(edited) == 1.0
    assert editor.edit(draft_of("...", prompt="Write to Tom.")) is None
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write."}]
    assert editor.edit(draft_of("", prompt=talk)) == edited
    assert editor.edit(draft_of(edited, prompt="Write.")) == edited


def test_utility_counts_offences() -> None:
    assert [ShoutEditor().utility("a" + "!" * n) for n in range(4)] == [1.0, 1 / 2, 1 / 3, 1 / 4]


def test_control_characters_are_repaired_by_the_rule_of_all_edits() -> None:
    assert ShoutEditor().rewrite("a\x00b\x96c!\n") == "ab–c.\n"
    # They mean nothing, so they alone make no draft worse, and no edit.
    assert ShoutEditor().utility("a\x00b") == 1.0
    assert ShoutEditor().edit(draft_of("a\x00b")) == "a\x00b"


@pytest.mark.parametrize(
    ("tolerance", "text", "expected"),
    [
        (0.0, "Yes.", "Yes."),
        (0.0, "Yes!", "Yes."),
        (0.5, "Yes!", "Yes!"),
        (0.5, "Yes! No!", "Yes. No."),
    ],
)
def test_tolerance_decides_on_acceptance(tolerance: float, text: str, expected: str) -> None:
    assert ShoutEditor(tolerance=tolerance).edit(draft_of(text)) == expected


def test_errors_are_as_frequent_as_asked_and_do_not_depend_on_the_order() -> None:
    editor = ShoutEditor(error_probability=0.3, seed=5)
    drafts = [draft_of(f"Hello {number}!") for number in range(500)]
    edits = [editor.edit(draft) for draft in drafts]
    spoiled = sum(edited is not None and edited.endswith("!!") for edited in edits)
    assert 110 < spoiled < 190
    assert [editor.edit(draft) for draft in reversed(drafts)] == edits[::-1]
    assert [ShoutEditor(error_probability=0.3, seed=6).edit(draft) for draft in drafts] != edits


def test_errors_depend_on_the_prompt_and_conversations_are_prompts() -> None:
    editor = ShoutEditor(error_probability=0.5)
    prompts: list[Prompt] = [[{"role": "user", "content": f"Write {n}."}] for n in range(40)]
    assert len({editor.edit(draft_of("Yes!", prompt)) for prompt in prompts}) == 2


def test_an_accepted_draft_is_never_spoiled() -> None:
    assert ShoutEditor(error_probability=1.0).edit(draft_of("Yes.")) == "Yes."
    assert ShoutEditor(error_probability=1.0).edit(draft_of("Yes!")) == "Yes!!"


@pytest.mark.parametrize(
    "wrong",
    [{"tolerance": -0.1}, {"tolerance": float("nan")}, {"error_probability": 1.5}, {"seed": 0.5}],
)
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ShoutEditor(**wrong)  # type: ignore[arg-type]


def test_an_editor_that_undoes_itself_is_found_out() -> None:
    class Wavering(ShoutEditor):
        def find_offences(self, text: str) -> Iterator[Offence]:
            yield Offence(0, 1, "b" if text[0] == "a" else "a")

    with pytest.raises(AssertionError, match="Wavering"):
        Wavering().rewrite("a")
