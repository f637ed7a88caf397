"""Files of prompts and preferences: what is written reads back, and what is wrong is named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corll.errors import InputError, RecordError
from corll.files.formats import (
    framed_prompt,
    read_preferences,
    read_prompt_records,
    read_prompts,
    to_openai,
    to_trl,
)
from corll.frames import Framing
from corll.records import Preference, Sample

# Any text that UTF-8 can hold; line ends and separators of all kinds included.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
SAID = TEXTS.filter(str.strip)
CONVERSATIONS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user"]), "content": TEXTS}, optional={"name": TEXTS}
    ),
    min_size=1,
    max_size=3,
)
PREFERENCES = st.builds(Preference, SAID | CONVERSATIONS, chosen=SAID, rejected=TEXTS)
TOLD = st.dictionaries(TEXTS, TEXTS | st.booleans() | st.none(), min_size=1, max_size=3)
RENDERED = st.builds(
    lambda messages, told: {"messages": messages, "chat_template_kwargs": told}, CONVERSATIONS, TOLD
)
TOLD_PREFERENCES = st.builds(Preference, RENDERED, chosen=SAID, rejected=TEXTS)
same_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)


def write(path: Path, rows: list[Any], *, ascii_only: bool = False) -> Path:
    lines = (json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    path.write_bytes("".join(lines).encode("utf-8"))
    return path


class TestRoundTrips:
    @same_folder
    @given(st.lists(PREFERENCES | TOLD_PREFERENCES, min_size=1, max_size=4), st.booleans())
    def test_trl(self, tmp_path: Path, preferences: list[Preference], ascii_only: bool) -> None:
        rows = [to_trl(preference) for preference in preferences]
        path = write(tmp_path / "trl.jsonl", rows, ascii_only=ascii_only)
        assert read_preferences(path) == preferences

    @same_folder
    @given(PREFERENCES)
    def test_openai(self, tmp_path: Path, preference: Preference) -> None:
        (found,) = read_preferences(write(tmp_path / "openai.jsonl", [to_openai(preference)]))
        prompt = preference.prompt
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        assert found == Preference(asked, chosen=preference.chosen, rejected=preference.rejected)

    @same_folder
    @given(st.lists(SAID | CONVERSATIONS, min_size=1, max_size=4))
    def test_prompts(self, tmp_path: Path, prompts: list[Any]) -> None:
        rows = [{"prompt": prompt} for prompt in prompts]
        assert read_prompts(write(tmp_path / "prompts.jsonl", rows)) == prompts

    def test_what_trl_and_openai_expect(self) -> None:
        draft = Sample("Hi", (1, 2), -0.5, True)
        plain = Preference("Greet.", chosen="Dear all", rejected=draft)
        talk = Preference(
            [{"role": "user", "content": "Greet."}], chosen="Dear all", rejected=draft
        )
        assert to_trl(plain) == {"prompt": "Greet.", "chosen": "Dear all", "rejected": "Hi"}
        assert to_trl(talk) == {
            "prompt": [{"role": "user", "content": "Greet."}],
            "chosen": [{"role": "assistant", "content": "Dear all"}],
            "rejected": [{"role": "assistant", "content": "Hi"}],
        }
        assert to_openai(plain) == {
            "input": {"messages": [{"role": "user", "content": "Greet."}]},
            "preferred_output": [{"role": "assistant", "content": "Dear all"}],
            "non_preferred_output": [{"role": "assistant", "content": "Hi"}],
        }


class TestLenience:
    def test_blank_lines_byte_order_mark_and_crlf_mean_nothing(self, tmp_path: Path) -> None:
        text = tmp_path / "prompts.txt"
        text.write_bytes("\ufeffOne thing\r\n\r\n  \n Another\u2028thing \n".encode())
        assert read_prompts(text) == ["One thing", "Another\u2028thing"]
        lines = tmp_path / "prompts.jsonl"
        lines.write_bytes(b'\xef\xbb\xbf{"prompt": "One"}\r\n\r\n{"prompt": "Two", "id": 7}')
        assert read_prompts(lines) == ["One", "Two"]

    def test_null_in_a_message_stands_for_nothing(self, tmp_path: Path) -> None:
        row = {"prompt": [{"role": "user", "content": "Hi", "tool_calls": None}]}
        path = write(tmp_path / "prompts.jsonl", [row])
        assert read_prompts(path) == [[{"role": "user", "content": "Hi"}]]

    def test_a_draft_may_be_empty(self, tmp_path: Path) -> None:
        row = {"prompt": "Hi", "chosen": "Hello", "rejected": ""}
        assert read_preferences(write(tmp_path / "p.jsonl", [row])) == [
            Preference("Hi", chosen="Hello", rejected="")
        ]


GOOD = {"prompt": "Hi", "chosen": "Hello", "rejected": "Yo"}
TALK = {
    "prompt": [{"role": "user", "content": "Hi"}],
    "chosen": [{"role": "assistant", "content": "Hello"}],
    "rejected": [{"role": "assistant", "content": "Yo"}],
}
OPENAI = {
    "input": {"messages": [{"role": "user", "content": "Hi"}]},
    "preferred_output": [{"role": "assistant", "content": "Hello"}],
    "non_preferred_output": [{"role": "assistant", "content": "Yo"}],
}
MALFORMED: list[tuple[str, str | None]] = [
    ("{", None),
    ("[1, 2]", None),
    ("[" * 100_000, None),
    ("{}", "prompt"),
    (json.dumps({**GOOD, "prompt": ""}), "prompt"),
    (json.dumps({**GOOD, "prompt": 3}), "prompt"),
    (json.dumps({**GOOD, "prompt": []}), "prompt"),
    (json.dumps({**GOOD, "prompt": "\ud800"}), "prompt"),
    (json.dumps({**GOOD, "chosen": "  "}), "chosen"),
    (json.dumps({**GOOD, "chosen": math.nan}), "chosen"),
    (json.dumps({**GOOD, "rejected": None}), "rejected"),
    (json.dumps({**GOOD, "rejected": "\udc00"}), "rejected"),
    (json.dumps({"prompt": "Hi", "chosen": "Hello"}), "rejected"),
    (json.dumps({**TALK, "chosen": "Hello"}), "chosen"),
    (json.dumps({**GOOD, "chosen": TALK["chosen"]}), "chosen"),
    (json.dumps({**TALK, "rejected": []}), "rejected"),
    (json.dumps({**TALK, "rejected": TALK["rejected"] * 2}), "rejected"),
    (json.dumps({**TALK, "chosen": TALK["prompt"]}), "chosen[0].role"),
    (json.dumps({**TALK, "prompt": TALK["chosen"]}), "prompt"),
    (json.dumps({**TALK, "prompt": ["Hi"]}), "prompt[0]"),
    (json.dumps({**TALK, "prompt": [{"role": "user"}]}), "prompt[0].content"),
    (json.dumps({**TALK, "prompt": [{"content": "Hi"}]}), "prompt[0].role"),
    (json.dumps({**TALK, "prompt": [{"role": "user", "content": [{}]}]}), "prompt[0].content[0]"),
    (json.dumps({**TALK, "prompt": [{"role": "user", "content": "", "n": 1}]}), "prompt[0].n"),
    (json.dumps({**OPENAI, "input": {}}), "input.messages"),
    (json.dumps({**OPENAI, "input": "Hi"}), "input.messages"),
    (json.dumps({"input": OPENAI["input"]}), "preferred_output"),
    (json.dumps({**OPENAI, "preferred_output": "Hello"}), "preferred_output"),
    (json.dumps({**OPENAI, "non_preferred_output": 1}), "non_preferred_output"),
]


class TestErrors:
    @pytest.mark.parametrize(("line", "field"), MALFORMED)
    def test_a_malformed_line_is_named(self, tmp_path: Path, line: str, field: str | None) -> None:
        path = tmp_path / "preferences.jsonl"
        path.write_text(f"{json.dumps(GOOD)}\n\n{line}\n", encoding="utf-8")
        with pytest.raises(RecordError) as caught:
            read_preferences(path)
        assert (caught.value.line, caught.value.field) == (3, field)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        "line", ["7", "{}", '{"prompt": null}', '{"prompt": {"role": "user"}}']
    )
    def test_a_malformed_prompt_is_named(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "prompts.jsonl"
        path.write_text(line, encoding="utf-8")
        with pytest.raises(RecordError, match=r"prompts\.jsonl, line 1"):
            read_prompts(path)

    @pytest.mark.parametrize("name", ["prompts.txt", "prompts.jsonl"])
    def test_files_that_cannot_be_read(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read_prompts(path)
        path.write_bytes(b"\n \n")
        with pytest.raises(InputError, match="holds no prompts"):
            read_prompts(path)
        path.write_bytes(b"caf\xe9")
        with pytest.raises(InputError, match=r"not UTF-8 \(byte 3\)"):
            read_prompts(path)
        with pytest.raises(InputError, match="cannot be read"):
            read_preferences(tmp_path)

    def test_another_suffix_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"\.txt.*or \.jsonl"):
            read_prompts(tmp_path / "prompts.csv")


class TestFrames:
    """Prompts of a file in a frame, with what their lines say beside it."""

    @same_folder
    @given(SAID, st.none() | st.sampled_from(["", "yes", "{name}"]), st.sampled_from(["", "Bo"]))
    def test_a_line_fills_in_its_own(
        self, tmp_path: Path, said: str, hint: str | None, name: str
    ) -> None:
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]
        rows = [{"prompt": prompt, "hint": hint, "sign_as": name} for prompt in (said, talk)]
        framing = Framing("reply", name="Anna")
        path = write(tmp_path / "prompts.jsonl", [*rows, {"prompt": said}])
        read = [framed_prompt(*line, framing) for line in read_prompt_records(path)]
        told = Framing("reply", hint or "", name)
        assert read == [told.around(said), told.around_last(talk), framing.around(said)]

    def test_what_does_not_fit_names_its_line(self, tmp_path: Path) -> None:
        rows = [{"prompt": "Hi", "hint": None}, {"prompt": "Hi", "hint": "yes"}]
        first, second = read_prompt_records(write(tmp_path / "prompts.jsonl", rows))
        assert framed_prompt(*first, Framing()) == "Hi"
        with pytest.raises(RecordError, match=r"line 2: There is a hint but no frame"):
            framed_prompt(*second, Framing())
        with pytest.raises(RecordError, match=r"field 'hint': a text is expected"):
            framed_prompt("Hi", replace(second[1], fields={"hint": 3}), Framing("reply"))
