"""Logs of edits: each form gives the edits that its fixture has, and faults are named by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import LoggedEdit, by_user
from corll.edit_logs.reading import FORMS, LogForm, read_edits
from corll.errors import InputError, RecordError
from corll.files.formats import to_openai, to_trl
from corll.records import Preference, Verbatim

FILES = Path(__file__).with_name("files")
WHEN = [{"role": "user", "content": "When?"}]
NINE = 1793610000.0
"""2026-11-02, 09:00 UTC."""


def edits_of(name: str, form: LogForm) -> list[LoggedEdit]:
    return read_edits(FILES / name, form)


def test_every_form_has_a_reader() -> None:
    assert set(FORMS) == set(get_args(LogForm))


def test_our_own_form() -> None:
    assert edits_of("plain.jsonl", "plain") == [
        LoggedEdit("Is it late?", "No.", "No, it is on time.", "bo", NINE, 1),
        LoggedEdit(WHEN, "Soon.", "On Friday.", "al", None, 2),
        LoggedEdit("Is it late?", "Yes.", "Yes.", "bo", NINE - 86400, 4),
    ]


def test_our_own_form_as_a_table() -> None:
    assert edits_of("plain.csv", "plain") == [
        LoggedEdit("Is it late?", "No.", "No,\nit is on time.", "bo", None, 2),
        LoggedEdit("When?", "", "On Friday.", "al", None, 4),
    ]


def test_what_export_writes_is_our_own_form_too(tmp_path: Path) -> None:
    on_friday = LoggedEdit(WHEN, "Soon.", "On Friday.", line=2)
    first, second, third = edits_of("exported.jsonl", "plain")
    assert first == LoggedEdit("Is it late?", "No.", "No, it is on time.", line=1)
    assert [second, third] == [on_friday, LoggedEdit(WHEN, "Soon.", "On Friday.", line=3)]
    preference = Preference(WHEN, "On Friday.", "Soon.")
    for convert in (to_trl, to_openai):
        path = tmp_path / "exported.jsonl"
        path.write_text(json.dumps(convert(preference)))
        assert read_edits(path) == [LoggedEdit(WHEN, "Soon.", "On Friday.", line=1)]


def test_openai_s_preferences() -> None:
    prompt = [{"role": "system", "content": "Be brief."}, *WHEN]
    assert edits_of("openai.jsonl", "openai") == [
        LoggedEdit(prompt, "Soon.", "On Friday.", "al", None, 1)
    ]


def test_trl_s_preferences_with_a_prompt_and_without() -> None:
    asked = [{"role": "user", "content": "What colour?"}]
    found = edits_of("trl.jsonl", "trl")
    assert found == [
        LoggedEdit("The sky is", " green.", " blue.", line=1),
        LoggedEdit(Verbatim("The sky is"), " green.", " blue.", line=2),
        LoggedEdit(asked, "It is green.", "It is blue.", line=3),
        LoggedEdit(asked, "It is green.", "It is blue.", line=4),
    ]
    assert [type(edit.prompt) for edit in found] == [str, Verbatim, list, list]


def test_a_prompt_that_both_sides_begin_with_is_the_one_that_trl_finds() -> None:
    """The peer: `trl.data_utils.extract_prompt`."""
    from trl.data_utils import extract_prompt

    for line in (FILES / "trl.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "prompt" in row:
            continue
        theirs = extract_prompt(row)
        (ours,) = [edit for edit in edits_of("trl.jsonl", "trl") if _line(edit.line) == row]
        assert ours.prompt == theirs["prompt"]
        text = theirs["chosen"] if isinstance(ours.prompt, str) else theirs["chosen"][0]["content"]
        assert ours.sent == text


def _line(number: int) -> Any:
    return json.loads((FILES / "trl.jsonl").read_text().splitlines()[number - 1])


def test_langfuse_s_trace_with_its_scores() -> None:
    in_one_word = [{"role": "user", "content": "When, in one word?"}]
    assert edits_of("langfuse-trace.json", "langfuse") == [
        LoggedEdit(WHEN, "Soon.", "On Friday.", "anna", NINE, 1),
        LoggedEdit(in_one_word, "Soon", "Friday", "editor-7", NINE + 60, 1),
    ]


def test_langfuse_s_observations_beside_what_the_api_answers() -> None:
    assert edits_of("langfuse-export.jsonl", "langfuse") == [
        LoggedEdit(WHEN, "Soon.", "On Friday.", "bo", NINE, 3)
    ]


def test_langsmith_s_corrections_of_texts_and_not_of_scores() -> None:
    assert edits_of("langsmith.jsonl", "langsmith") == [
        LoggedEdit("When?", "Soon.", "On Friday.", "editor-7", NINE + 300, 1),
        LoggedEdit(WHEN, "Soon.", "On Friday at ten.", "anna", NINE + 3600, 4),
    ]


def test_open_webui_s_rewritten_answers_with_the_conversation_before_them() -> None:
    late = [{"role": "user", "content": "Is it late?"}]
    on_time = {"role": "assistant", "content": "No, it is on time."}
    day_before = NINE - 86400
    assert edits_of("open-webui.json", "open-webui") == [
        LoggedEdit(late, "No.", "No, it is on time.", "user-1", day_before + 5, 2),
        LoggedEdit([*late, on_time, *WHEN], "Soon.", "On Friday.", "user-1", day_before + 15, 2),
    ]


def test_argilla_s_responses_to_suggested_texts() -> None:
    found = edits_of("argilla.json", "argilla")
    assert found == [
        LoggedEdit("When?", "Soon.", "On Friday.", "u-1", None, 1),
        LoggedEdit("When?", "Soon.", "Soon.", "u-2", None, 1),
    ]
    assert [edit.is_acceptance for edit in found] == [False, True]


def test_label_studio_s_texts_of_the_prediction_that_each_began_with() -> None:
    assert edits_of("label-studio.json", "label-studio") == [
        LoggedEdit("When?", "Soon.", "On Friday.\nAt ten.", "3", NINE + 600, 2),
        LoggedEdit("When?", "Some day.", "On Monday.", "bo@example.org", None, 2),
    ]


# A form, a file, and the line and the field that its error names.
ASKED = {"id": "obs-9", "traceId": "t", "input": "When?", "output": "Soon."}
FAULTS: list[tuple[LogForm, str, int, str]] = [
    ("plain", '{"prompt": "a", "draft": "b"}', 1, "sent"),
    (
        "plain",
        '{"prompt": "a", "draft": "b", "sent": "c"}\n{"prompt": "a", "text": "c"}',
        2,
        "draft",
    ),
    ("plain", '{"prompt": "a", "draft": "b", "sent": " "}', 1, "sent"),
    ("plain", '{"prompt": "a", "draft": 3, "sent": "c"}', 1, "draft"),
    ("plain", '{"prompt": "a", "draft": "b", "sent": "c", "time": "soon"}', 1, "time"),
    ("plain", '{"prompt": "a", "draft": "b", "sent": "c\\ud800"}', 1, "sent"),
    ("openai", '{"prompt": "a", "chosen": "b", "rejected": "c"}', 1, "input"),
    ("trl", '{"prompt": "a", "completion": "b"}', 1, "chosen"),
    ("trl", '{"chosen": "Yes.", "rejected": "No."}', 1, "prompt"),
    ("trl", '{"chosen": "Yes.", "rejected": [{"role": "user", "content": "a"}]}', 1, "rejected"),
    (
        "langfuse",
        '{"id": "t", "input": "a", "output": "b",\n "scores": [{"dataType": "CORRECTION"}]}',
        1,
        "scores[0].value",
    ),
    (
        "langfuse",
        json.dumps(ASKED) + '\n{"dataType": "CORRECTION", "value": "c", "traceId": "other"}',
        2,
        "traceId",
    ),
    (
        "langfuse",
        '{"id": "t", "input": {"a": "x", "b": "y"}, "output": "b", '
        '"scores": [{"dataType": "CORRECTION", "value": "c"}]}',
        1,
        "input",
    ),
    ("langsmith", '{"run_id": "r-1", "correction": "c"}', 1, "run_id"),
    (
        "langsmith",
        '[\n{"id": "r", "inputs": {"input": "a"}},\n{"run_id": "r", "correction": "c"}]',
        2,
        "[0].outputs",
    ),
    ("open-webui", '[{"id": "c"}]', 1, "[0].history"),
    ("open-webui", '[{"chat": {}}]', 1, "[0].chat.history"),
    (
        "open-webui",
        '[{"chat": {"history": {"messages": {"m": {"role": "assistant", "content": "a", '
        '"originalContent": "b", "parentId": "x"}}}}}]',
        1,
        "[0].chat.history.messages.m.parentId",
    ),
    ("argilla", '[{"id": "1", "suggestions": {}, "responses": {}}]', 1, "[0].fields"),
    (
        "argilla",
        '[{"fields": {"a": "x", "b": "y"}, "suggestions": {"q": {"value": "d"}},\n'
        ' "responses": {"q": [{"value": "e"}]}}]',
        1,
        "[0].fields",
    ),
    ("label-studio", '[{"id": 1, "annotations": []}]', 1, "[0].data"),
    ("label-studio", '[{"id": 1, "data": {"prompt": "a"}}]', 1, "[0].annotations"),
    (
        "label-studio",
        '[\n\n{"data": {"prompt": "a"}, "predictions": [{"result": [{"type": "textarea"}]}], '
        '"annotations": [{}]}]',
        3,
        "[0].predictions[0].result[0].value",
    ),
]


@pytest.mark.parametrize(("form", "content", "line", "field"), FAULTS)
def test_what_does_not_fit_is_named_by_file_line_and_field(
    tmp_path: Path, form: LogForm, content: str, line: int, field: str
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    with pytest.raises(RecordError) as raised:
        read_edits(path, form)
    assert (raised.value.path, raised.value.line, raised.value.field) == (str(path), line, field)
    assert f"{path}, line {line}, field {field!r}" in str(raised.value)


def test_a_column_that_is_missing_from_a_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("prompt,sent,when\na,b,c\n")
    with pytest.raises(RecordError, match=r"log\.csv, line 1, field 'draft': is missing") as raised:
        read_edits(path)
    assert (raised.value.line, raised.value.field) == (1, "draft")


@pytest.mark.parametrize("form", [form for form in FORMS if form != "plain"])
def test_a_file_without_edits_says_what_they_would_be(tmp_path: Path, form: LogForm) -> None:
    path = tmp_path / "log.json"
    path.write_text("[]")
    with pytest.raises(InputError, match=f"holds no edits: in the form '{form}'"):
        read_edits(path, form)


@pytest.mark.parametrize(
    ("content", "line"), [('{"a": 1}\n{"b": ', 2), ('[{"a": 1},\n3]', 2), ('[\n{"a": 1}\n', 3)]
)
def test_what_is_no_json_is_named_by_its_line(tmp_path: Path, content: str, line: int) -> None:
    path = tmp_path / "log.json"
    path.write_text(content)
    with pytest.raises(RecordError) as raised:
        list(read_objects(path))
    assert raised.value.line == line


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)), max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_objects_come_back_with_their_lines_however_a_file_is_laid_out(
    tmp_path_factory: pytest.TempPathFactory,
    objects: list[dict[str, Any]],
    indent: int | None,
    in_array: bool,
) -> None:
    path = tmp_path_factory.mktemp("objects") / "log.json"
    parts = [json.dumps(one, indent=indent) for one in objects]
    text = "[" + ",\n".join(parts) + "]\n" if in_array else "\n".join(parts)
    path.write_text(text, encoding="utf-8")
    found = list(read_objects(path))
    assert [record.fields for record in found] == objects
    line = 1
    for record, part in zip(found, parts, strict=True):
        assert record.line == line
        line += part.count("\n") + 1


def an_edit(user: str, time: float | None, line: int) -> LoggedEdit:
    return LoggedEdit("p", "d", "s", user, time, line)


def test_edits_are_in_the_order_of_their_times_user_by_user() -> None:
    edits = [an_edit("bo", 3, 1), an_edit("al", 9, 2), an_edit("bo", 1, 3), an_edit("bo", 3, 4)]
    assert {user: [edit.line for edit in own] for user, own in by_user(edits).items()} == {
        "bo": [3, 1, 4],
        "al": [2],
    }
    latest = by_user(edits, most=2)
    assert [edit.line for edit in latest["bo"]] == [1, 4]
    assert [edit.line for edit in latest["al"]] == [2]


def test_edits_of_which_one_has_no_time_stay_in_the_order_of_the_file() -> None:
    edits = [an_edit("bo", 3, 1), an_edit("bo", None, 2), an_edit("bo", 1, 3)]
    assert [edit.line for edit in by_user(edits)["bo"]] == [1, 2, 3]
