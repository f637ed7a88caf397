"""Odd items of exports: what can be read of them is read, and the rest is passed over and named."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from corll.edit_logs.logged import LoggedEdit
from corll.edit_logs.reading import LogForm, read_edits, read_log
from corll.errors import InputError, RecordError

ASKED = [{"role": "user", "content": "When?"}]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.json"


def texts_of(edits: list[LoggedEdit]) -> list[tuple[str, str]]:
    return [(edit.draft, edit.sent) for edit in edits]


def read(log: Path, form: LogForm, items: Any) -> list[tuple[str, str]]:
    """Read items of which none is passed over."""
    log.write_text(json.dumps(items))
    found = read_log(log, form)
    assert found.passed_over == []
    return texts_of(found.edits)


def passed_over(log: Path, form: LogForm, items: Any) -> list[tuple[str | None, str]]:
    """Read items of which one is the edit of "Soon." to "On Friday."; return the others' errors."""
    log.write_text(json.dumps(items))
    found = read_log(log, form)
    assert texts_of(found.edits) == [("Soon.", "On Friday.")]
    return [(error.field, str(error).rpartition(": ")[2]) for error in found.passed_over]


def chat(messages: dict[str, Any]) -> dict[str, Any]:
    return {"chat": {"history": {"messages": messages}}}


def message(parent: str | None, role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"parentId": parent, "role": role, "content": content, **fields}


def asked_and_answered(draft: str, sent: str, prompt: str = "When?") -> dict[str, Any]:
    return {
        "q": message(None, "user", prompt),
        "a": message("q", "assistant", sent, originalContent=draft),
    }


GOOD_CHAT = asked_and_answered("Soon.", "On Friday.")


class TestReading:
    def test_items_that_are_passed_over_are_warned_of_by_place_and_reason(
        self, log: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad = {f"b{n}": message("q", "assistant", " ", originalContent="No.") for n in range(22)}
        log.write_text(json.dumps([chat({**GOOD_CHAT, **bad})]))
        with caplog.at_level(logging.WARNING):
            assert texts_of(read_edits(log, "open-webui")) == [("Soon.", "On Friday.")]
        first, *_, last = caplog.messages
        assert first == (
            f"Passed over: {log}, line 1, field '[0].chat.history.messages.b0.content': is empty, "
            "and would teach the model to say nothing"
        )
        assert len(caplog.messages) == 21
        assert last == "2 more items were passed over."

    def test_a_file_of_which_no_item_can_be_read_is_refused(self, log: Path) -> None:
        log.write_text('[{"chat": {}},\n{"chat": null}]')
        with pytest.raises(RecordError, match=r"line 1, field '\[0\]\.chat\.history': is missing"):
            read_edits(log, "open-webui")

    def test_lines_of_our_own_form_must_all_fit(self, log: Path) -> None:
        log.write_text('{"prompt": "a", "draft": "b", "sent": "c"}\n{"prompt": "a", "sent": "c"}')
        with pytest.raises(RecordError, match="line 2, field 'draft'"):
            read_log(log)

    def test_what_is_no_json_is_refused_whatever_came_before(self, log: Path) -> None:
        log.write_text(json.dumps(chat(GOOD_CHAT)) + "\n{")
        with pytest.raises(RecordError, match="line 2: not JSON"):
            read_log(log, "open-webui")

    @pytest.mark.parametrize(
        ("form", "asked", "chosen", "rejected"),
        [
            ("openai", {"input": {"messages": ASKED}}, "preferred_output", "non_preferred_output"),
            ("trl", {"prompt": ASKED}, "chosen", "rejected"),
        ],
    )
    def test_preferences_that_do_not_fit_are_passed_over(
        self, log: Path, form: LogForm, asked: dict[str, Any], chosen: str, rejected: str
    ) -> None:
        good = {
            **asked,
            chosen: [{"role": "assistant", "content": "On Friday."}],
            rejected: [{"role": "assistant", "content": "Soon."}],
        }
        empty = {**good, chosen: [{"role": "assistant", "content": ""}]}
        reason = "is empty, and would teach the model to say nothing"
        assert passed_over(log, form, [empty, good]) == [(f"[0].{chosen}", reason)]


class TestOpenWebui:
    @pytest.mark.parametrize(
        ("messages", "field", "reason"),
        [
            (
                {"b": message("q", "assistant", "", originalContent="Soon.")},
                "b.content",
                "is empty, and would teach the model to say nothing",
            ),
            (
                {"b": message("gone", "assistant", "On Friday.", originalContent="Soon.")},
                "b.parentId",
                "leads to 'gone', which is not there or comes twice",
            ),
            (
                {
                    "p": message(None, "user", "", files=[{"type": "image", "url": "x"}]),
                    "b": message("p", "assistant", "A cat.", originalContent="A dog."),
                },
                "p.files[0]",
                "is an image; images are not read",
            ),
            (
                {
                    "p": message(None, "user", "What?", files=[{"content_type": "image/png"}]),
                    "b": message("p", "assistant", "A cat.", originalContent="A dog."),
                },
                "p.files[0]",
                "is an image; images are not read",
            ),
            (
                {
                    "p": message(None, "user", ""),
                    "b": message("p", "assistant", "A cat.", originalContent="A dog."),
                },
                "b.parentId",
                "leads to a message that is empty",
            ),
        ],
    )
    def test_an_odd_answer_leaves_the_others(
        self, log: Path, messages: dict[str, Any], field: str, reason: str
    ) -> None:
        found = passed_over(log, "open-webui", [chat({**messages, **GOOD_CHAT})])
        assert found == [(f"[0].chat.history.messages.{field}", reason)]

    @pytest.mark.parametrize(
        ("odd", "field"), [({}, "[0].chat.history"), (None, "[0].chat")], ids=["old", "null"]
    )
    def test_a_chat_without_history_leaves_the_others(
        self, log: Path, odd: Any, field: str
    ) -> None:
        found = passed_over(log, "open-webui", [{"chat": odd}, chat(GOOD_CHAT)])
        assert [place for place, _ in found] == [field]

    def test_a_file_that_is_no_image_says_nothing_of_the_answer(self, log: Path) -> None:
        messages = {**GOOD_CHAT, "q": message(None, "user", "When?", files=[{"type": "file"}])}
        assert read(log, "open-webui", [chat(messages)]) == [("Soon.", "On Friday.")]


THOUGHT = (
    '<details type="reasoning" done="true" duration="3">\n'
    "<summary>Thought for 3 seconds</summary>\n> Hmm\n</details>\n"
)
CALLED = (
    '<details type="tool_calls" done="true" id="x" name="f" arguments="{&quot;a&quot;: 1}" '
    'result="1 > 0">\n<summary>Tool Executed</summary>\n</details>\n'
)
RUN = '<details type="code_interpreter" done="true" output="1">\n```python\n1\n```\n</details>\n'


class TestFoldedBlocks:
    @pytest.mark.parametrize("block", [THOUGHT, CALLED, RUN, THOUGHT + CALLED])
    def test_they_are_no_part_of_an_answer(self, log: Path, block: str) -> None:
        messages = {
            "q": message(None, "user", "Late?"),
            "b": message("q", "assistant", f"{block}No."),
            "r": message("b", "user", "When?"),
            "a": message("r", "assistant", f"{block}On Friday.", originalContent=f"{block}Soon."),
        }
        log.write_text(json.dumps([chat(messages)]))
        (edit,) = read_edits(log, "open-webui")
        late, no = {"role": "user", "content": "Late?"}, {"role": "assistant", "content": "No."}
        assert edit == LoggedEdit([late, no, *ASKED], "Soon.", "On Friday.", line=1)

    @pytest.mark.parametrize(
        ("content", "shown"),
        [
            (f"One.\n{CALLED}Two.\n{THOUGHT}    code", "One.\nTwo.\n    code"),
            ('<details type="reasoning"><details>a</details>b</details>\nTwo.', "Two."),
            ('<details type="reasoning">It has <details> tags</details>Two.', "Two."),
            ("<DETAILS open type='reasoning'>a</DETAILS >Two.", "Two."),
            ('<details type="reasoning">not closed', '<details type="reasoning">not closed'),
            (
                "<details><summary>a</summary>b</details>",
                "<details><summary>a</summary>b</details>",
            ),
            ('<details type="reasonings">b</details>', '<details type="reasonings">b</details>'),
            ("\nTwo.</details>", "\nTwo.</details>"),
        ],
    )
    def test_what_is_left_of_an_answer(self, log: Path, content: str, shown: str) -> None:
        messages = asked_and_answered("Soon.", content)
        assert read(log, "open-webui", [chat(messages)]) == [("Soon.", shown)]

    def test_the_user_s_own_are_kept(self, log: Path) -> None:
        log.write_text(json.dumps([chat(asked_and_answered("a", "b", prompt=THOUGHT))]))
        (edit,) = read_edits(log, "open-webui")
        assert edit.prompt == [{"role": "user", "content": THOUGHT}]

    def test_an_answer_of_which_only_they_changed_was_not_rewritten(self, log: Path) -> None:
        same = {"b": message("q", "assistant", "No.", originalContent=f"{THOUGHT}No.")}
        assert passed_over(log, "open-webui", [chat({**GOOD_CHAT, **same})]) == []

    @pytest.mark.parametrize(
        "unit",
        [
            '<details type="reasoning">',
            '<details type="reasoning" "',
            "<details '\"",
            "</details>",
            "<details \"a\"'b'",
            '<details type="reasoning">\n \n</details>\t',
            " \n\t",
        ],
    )
    def test_they_are_found_in_linear_time(self, log: Path, unit: str) -> None:
        messages = asked_and_answered("Soon.", THOUGHT + unit * 50_000 + "Two.")
        log.write_text(json.dumps([chat(messages)]))
        started = time.process_time()
        read_edits(log, "open-webui")
        assert time.process_time() - started < 5


def trace(prompt: Any, output: Any, correction: str, name: str = "t") -> dict[str, Any]:
    score = {"dataType": "CORRECTION", "name": "output", "value": correction}
    return {"id": name, "input": prompt, "output": output, "scores": [score]}


GOOD_TRACE = trace("When?", "Soon.", "On Friday.", name="good")


def answer(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(parts)}


TEXT = {"type": "text", "text": "Soon."}
IMAGE = {"type": "image_url", "image_url": {"url": "x"}}


class TestPayloads:
    @pytest.mark.parametrize("kind", ["thinking", "redacted_thinking", "reasoning"])
    def test_parts_of_thinking_are_passed_over(self, log: Path, kind: str) -> None:
        thought = {"type": kind, kind: "Hmm", "text": "Hmm"}
        items = [trace("When?", answer(thought, TEXT), "On Friday.")]
        assert read(log, "langfuse", items) == [("Soon.", "On Friday.")]

    @pytest.mark.parametrize(
        ("prompt", "output", "field"),
        [
            ([{"role": "user", "content": [TEXT, IMAGE]}], "Soon.", "[0].input[0].content[1]"),
            ("When?", answer(IMAGE), "[0].output.content[0]"),
            (None, "Soon.", "[0].input"),
        ],
    )
    def test_a_trace_that_cannot_be_read_leaves_the_others(
        self, log: Path, prompt: Any, output: Any, field: str
    ) -> None:
        found = passed_over(log, "langfuse", [trace(prompt, output, "Now."), GOOD_TRACE])
        assert [place for place, _ in found] == [field]

    def test_odd_scores_leave_the_others(self, log: Path) -> None:
        lost = {"dataType": "CORRECTION", "value": "Now.", "traceId": "lost"}
        odd = {"id": "odd", "scores": {}, "observations": 3}
        found = passed_over(log, "langfuse", [lost, odd, GOOD_TRACE])
        assert {place for place, _ in found} == {"[0].traceId", "[1].observations"}

    @pytest.mark.parametrize(
        "call",
        [
            {"args": ["When?"], "kwargs": {}},
            {"args": ["When?", 3, None], "kwargs": {"retries": 2}},
            {"args": [], "kwargs": {"anything": "When?"}},
            {"args": [], "kwargs": {"question": "When?", "language": "en"}},
            {"args": ["When?"]},
        ],
    )
    def test_the_one_text_among_the_arguments_of_a_call_is_the_prompt(
        self, log: Path, call: Any
    ) -> None:
        log.write_text(json.dumps(trace(call, "Soon.", "On Friday.")))
        assert [edit.prompt for edit in read_edits(log, "langfuse")] == ["When?"]

    def test_messages_among_the_arguments_of_a_call_are_the_prompt(self, log: Path) -> None:
        log.write_text(json.dumps(trace({"args": [ASKED], "kwargs": {}}, "Soon.", "On Friday.")))
        assert [edit.prompt for edit in read_edits(log, "langfuse")] == [ASKED]

    def test_of_several_texts_among_the_arguments_none_is_guessed(self, log: Path) -> None:
        call = {"args": ["When?", "Be brief."], "kwargs": {}}
        ((field, reason),) = passed_over(
            log, "langfuse", [trace(call, "Soon.", "Now."), GOOD_TRACE]
        )
        assert field == "[0].input"
        assert reason == "holds args[0], args[1], and which is the prompt is not known"

    @pytest.mark.parametrize(
        ("name", "role"),
        [("HumanMessage", "user"), ("AIMessageChunk", "assistant"), ("SystemMessage", "system")],
    )
    def test_the_class_of_a_serialised_message_says_its_role(
        self, log: Path, name: str, role: str
    ) -> None:
        path = ["langchain", "schema", "messages", name]
        kwargs = {"content": "Hi", "additional_kwargs": {}}
        first = {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}
        run = {"id": "r", "inputs": {"messages": [[first, *ASKED]]}, "outputs": {"output": "Soon."}}
        items = [run, {"run_id": "r", "correction": "On Friday."}]
        log.write_text(json.dumps(items))
        (edit,) = read_edits(log, "langsmith")
        assert edit.prompt == [{"role": role, "content": "Hi"}, *ASKED]

    @pytest.mark.parametrize(
        ("output", "correction", "draft", "sent"),
        [
            ('{"a": 1}', '{"a": 2}', '{"a": 1}', '{"a": 2}'),
            ("[1, 2]", "[1]", "[1, 2]", "[1]"),
            ("Soon.", '{"answer": "a"}', "Soon.", '{"answer": "a"}'),
            ({"role": "assistant", "content": '{"a": 1}'}, '{"a": 2}', '{"a": 1}', '{"a": 2}'),
            ({"answer": "Soon."}, '{"answer": "Now."}', "Soon.", "Now."),
            ('{"answer": "Soon."}', '{"answer": "Now."}', "Soon.", "Now."),
            ({"reply": "Soon."}, '{"reply": "Now.", "note": "x"}', "Soon.", "Now."),
            ({"reply": "Soon."}, "Now.", "Soon.", "Now."),
            ({"output": "[1, 2]"}, "[1]", "[1, 2]", "[1]"),
        ],
    )
    def test_a_correction_that_is_json_is_read_as_the_output_is(
        self, log: Path, output: Any, correction: str, draft: str, sent: str
    ) -> None:
        assert read(log, "langfuse", [trace("When?", output, correction)]) == [(draft, sent)]

    @pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"output": ', "}")])
    def test_what_is_nested_too_deeply_is_an_error_of_ours(
        self, log: Path, opens: str, closes: str
    ) -> None:
        for depth in range(702, 1000, 3):
            nested = opens * depth + '"a"' + closes * depth
            for field in ("input", "output"):
                items = {**trace("When?", "Soon.", "Now."), field: "NESTED"}
                log.write_text(json.dumps(items).replace('"NESTED"', nested))
                with contextlib.suppress(RecordError):
                    read_log(log, "langfuse")

    def test_a_correction_of_other_json_than_the_output_is_passed_over(self, log: Path) -> None:
        items = [trace("When?", {"answer": "Soon."}, '{"label": "bad"}'), GOOD_TRACE]
        ((field, _),) = passed_over(log, "langfuse", items)
        assert field == "[0].scores[0].value"


CALLED_RUN = {"id": "r", "inputs": {"question": "When?"}, "outputs": {"reply": "Soon."}}


class TestLangsmith:
    def items(self, *corrections: Any) -> list[Any]:
        return [CALLED_RUN, *({"run_id": "r", "correction": one} for one in corrections)]

    @pytest.mark.parametrize(
        "verdict",
        [
            {"label": "bad", "score": 0},
            {"score": 1, "comment": "no"},
            {"label": "bad", "comment": "no"},
        ],
    )
    def test_a_verdict_is_no_text(self, log: Path, verdict: Any) -> None:
        assert passed_over(log, "langsmith", self.items(verdict, "On Friday.")) == []
        log.write_text(json.dumps(self.items(verdict)))
        with pytest.raises(InputError, match="holds no edits"):
            read_edits(log, "langsmith")

    @pytest.mark.parametrize(
        "correction",
        [
            {"reply": "On Friday."},
            {"reply": "On Friday.", "score": 0, "comment": "no"},
            {"label": "bad", "output": "On Friday."},
            {"messages": [{"role": "assistant", "content": "On Friday."}], "score": 0},
        ],
    )
    def test_the_text_has_the_output_s_name_or_a_known_one(
        self, log: Path, correction: Any
    ) -> None:
        assert read(log, "langsmith", self.items(correction)) == [("Soon.", "On Friday.")]

    @pytest.mark.parametrize(
        "correction",
        [{"value": "bad"}, {"desired": "No."}, {"message": "bad"}, {"output": {"label": "bad"}}],
    )
    def test_an_object_without_such_a_name_is_passed_over(self, log: Path, correction: Any) -> None:
        ((field, reason),) = passed_over(log, "langsmith", self.items(correction, "On Friday."))
        assert field is not None
        assert field.startswith("[1].correction")
        assert "which is the text is not known; name it" in reason

    @pytest.mark.parametrize("name", ["value", "message"])
    def test_what_the_output_itself_is_called_is_its_text(self, log: Path, name: str) -> None:
        run = {**CALLED_RUN, "outputs": {name: "Soon."}}
        items = [run, {"run_id": "r", "correction": {name: "On Friday."}}]
        assert read(log, "langsmith", items) == [("Soon.", "On Friday.")]

    def test_odd_runs_and_feedback_leave_the_others(self, log: Path) -> None:
        odd = [{"inputs": {}}, {"run_id": "lost", "correction": "Now."}]
        ids = {**CALLED_RUN, "feedback": ["f-1"]}
        items = [*odd, ids, {"run_id": "r", "correction": "On Friday."}]
        found = passed_over(log, "langsmith", items)
        assert {field for field, _ in found} == {"[0].id", "[1].run_id"}


def argilla(answers: dict[str, tuple[str, list[str]]]) -> dict[str, Any]:
    return {
        "fields": {"prompt": "When?"},
        "suggestions": {name: {"value": draft} for name, (draft, _) in answers.items()},
        "responses": {
            name: [{"value": one, "user_id": "u"} for one in sent]
            for name, (_, sent) in answers.items()
        },
    }


class TestArgilla:
    def test_an_empty_response_leaves_the_others(self, log: Path) -> None:
        items = [argilla({"answer": ("Soon.", ["", "On Friday."])})]
        ((field, _),) = passed_over(log, "argilla", items)
        assert field == "[0].responses.answer[0].value"

    def test_an_odd_record_leaves_the_others(self, log: Path) -> None:
        odd = [{"fields": {}}, {**argilla({"answer": ("a", [])}), "responses": {"answer": 3}}]
        found = passed_over(log, "argilla", [*odd, argilla({"answer": ("Soon.", ["On Friday."])})])
        assert [field for field, _ in found] == ["[0].suggestions", "[1].responses.answer"]

    @pytest.mark.parametrize("kind", ["label_selection", "rating", "ranking", "span"])
    def test_questions_that_the_settings_say_are_of_no_text_are_passed_over(
        self, log: Path, kind: str
    ) -> None:
        log.with_name(".argilla").mkdir()
        questions = [
            {"name": "mood", "settings": {"type": kind, "options": [{"value": "pos"}]}},
            {"name": "answer", "settings": {"type": "text"}},
        ]
        settings = log.parent / ".argilla" / "settings.json"
        settings.write_text(json.dumps({"questions": questions}))
        one = argilla({"mood": ("pos", ["neg"]), "answer": ("Soon.", ["On Friday."])})
        assert passed_over(log, "argilla", [one]) == []
        settings.write_text("{")
        with pytest.raises(InputError, match="is not JSON"):
            read_edits(log, "argilla")

    def labelled(self, count: int, sent: str = "neg") -> list[Any]:
        mood = [("pos", ["neg", "pos"]), ("neutral", [sent])]
        return [argilla({"mood": mood[n % 2]}) for n in range(count)]

    def test_values_that_are_few_and_short_are_labels(self, log: Path) -> None:
        answered = argilla({"answer": ("Soon.", ["On Friday."])})
        found = passed_over(log, "argilla", [answered, *self.labelled(20)])
        assert [field for field, _ in found] == ["suggestions.mood"]

    def test_labels_alone_are_refused(self, log: Path) -> None:
        log.write_text(json.dumps(self.labelled(20)))
        with pytest.raises(RecordError, match="3 short values in 20 records"):
            read_edits(log, "argilla")

    def test_few_records_and_long_or_varied_texts_are_never_taken_for_labels(
        self, log: Path
    ) -> None:
        assert len(read(log, "argilla", self.labelled(19))) == 29
        assert (
            len(read(log, "argilla", self.labelled(20, sent="It comes on Friday, at ten o'clock.")))
            == 30
        )
        varied = [argilla({"mood": (f"{n // 3}", ["No."] * 5)}) for n in range(60)]
        assert len(read(log, "argilla", varied)) == 300

    def test_a_question_of_text_by_its_settings_may_have_few_values(self, log: Path) -> None:
        log.with_name(".argilla").mkdir()
        questions = [{"name": "mood", "settings": {"type": "text"}}]
        settings = log.parent / ".argilla" / "settings.json"
        settings.write_text(json.dumps({"questions": questions}))
        assert len(read(log, "argilla", self.labelled(20))) == 30


def area(text: Any, name: str = "answer") -> dict[str, Any]:
    return {"type": "textarea", "from_name": name, "value": {"text": text}}


PREDICTED = {"id": 5, "result": [area(["Soon."])]}
ANNOTATED = {"id": 7, "result": [area(["On Friday."])]}


class TestLabelStudio:
    def task(self, *annotations: Any, predictions: list[Any] | None = None) -> dict[str, Any]:
        told = [PREDICTED] if predictions is None else predictions
        return {"data": {"prompt": "When?"}, "predictions": told, "annotations": annotations}

    def test_an_empty_text_leaves_the_others(self, log: Path) -> None:
        items = [self.task({"result": [area([""])]}, ANNOTATED)]
        ((field, _),) = passed_over(log, "label-studio", items)
        assert field == "[0].annotations[0].result"

    def test_a_draft_of_which_only_the_id_is_there_is_named(self, log: Path) -> None:
        items = [self.task(ANNOTATED, predictions=[5]), self.task(ANNOTATED)]
        ((field, reason),) = passed_over(log, "label-studio", items)
        assert field == "[0].predictions"
        assert reason == "are ids alone, so the draft of 'answer' is not in this file"

    def test_a_prediction_beside_its_annotation_needs_no_other(self, log: Path) -> None:
        items = [self.task({**ANNOTATED, "prediction": PREDICTED}, predictions=[5])]
        assert read(log, "label-studio", items) == [("Soon.", "On Friday.")]

    def test_an_odd_task_leaves_the_others(self, log: Path) -> None:
        found = passed_over(log, "label-studio", [{"id": 3}, self.task(ANNOTATED)])
        assert [field for field, _ in found] == ["[0].data"]


class TestTrl:
    def test_a_prompt_beside_whole_conversations_is_their_beginning(self, log: Path) -> None:
        """The peer: `trl.data_utils.maybe_extract_prompt`."""
        from trl.data_utils import maybe_extract_prompt

        row: dict[str, Any] = {
            "prompt": "When?",
            "chosen": [*ASKED, {"role": "assistant", "content": "On Friday."}],
            "rejected": [*ASKED, {"role": "assistant", "content": "Soon."}],
            "score_chosen": 8,
        }
        log.write_text(json.dumps(row))
        assert read_edits(log, "trl") == [LoggedEdit(ASKED, "Soon.", "On Friday.", line=1)]
        theirs = maybe_extract_prompt(row)
        assert (theirs["prompt"], theirs["chosen"]) == (ASKED, row["chosen"][1:])

    def test_conversations_that_do_not_begin_alike_are_named(self, log: Path) -> None:
        said = {"chosen": "On Friday.", "rejected": "Soon."}
        sides = {name: [{"role": "assistant", "content": text}] for name, text in said.items()}
        log.write_text(json.dumps({"prompt": "When?", **sides}))
        with pytest.raises(RecordError, match="'prompt': is a text beside messages, and chosen"):
            read_edits(log, "trl")
