"""The prompts of the drafts' study, each held to an answer that somebody wrote by hand."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from check_drafts import check
from corll.errors import InputError
from corll.frames import Framing
from draft_prompts import DraftFrame, DraftPrompt, frames_of, name_words, read_prompts, words_of

PROMPTS = read_prompts()
FRAME_FILES = sorted((Path(__file__).parents[2] / "experiments/drafts/frames").glob("*.txt"))

ANSWERS = tomllib.loads((Path(__file__).parent / "answers.toml").read_text(encoding="utf-8"))


def test_there_are_twenty_prompts_and_ten_kept_apart() -> None:
    tuning = [prompt for prompt in PROMPTS.values() if not prompt.held_out]
    assert len(tuning) == 20
    assert sum(prompt.kind == "reply" for prompt in tuning) == 14
    assert len(PROMPTS) == 30
    assert ANSWERS.keys() == PROMPTS.keys()


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_message_is_as_long_as_people_write_and_signed(prompt: DraftPrompt) -> None:
    assert 40 <= len(prompt.message.split()) <= 150
    if prompt.kind == "reply":
        end = {
            word.casefold() for line in prompt.message.splitlines()[-3:] for word in words_of(line)
        }
        assert name_words(prompt.sender) <= end


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_an_answer_written_by_hand_is_clean(prompt: DraftPrompt) -> None:
    found = check(ANSWERS[prompt.id], prompt)
    assert found.said == (True,) * len(prompt.must_say)
    assert found.is_clean
    assert found.names.signed == "self"
    assert found.names.greeted == ("sender" if prompt.sender else "nobody")


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_neither_the_message_nor_a_polite_nothing_says_what_must_be_said(
    prompt: DraftPrompt,
) -> None:
    nothing = f"Dear {prompt.sender},\n\nthank you for your message.\n\n{prompt.sign_as}"
    assert sum(check(nothing, prompt).said) <= 1
    assert not check(prompt.message, prompt).says_all


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_the_answer_to_another_prompt_does_not_say_it(prompt: DraftPrompt) -> None:
    others = [answer for id, answer in ANSWERS.items() if id != prompt.id]
    assert not any(check(answer, prompt).says_all for answer in others)


@pytest.mark.parametrize("file", FRAME_FILES, ids=lambda file: file.stem)
def test_a_frames_file_takes_every_prompt_of_its_kind(file: Path) -> None:
    frame = DraftFrame.of_file(file)
    suited = [prompt for prompt in PROMPTS.values() if frame.suits(prompt)]
    assert {prompt.kind for prompt in suited} == {frame.kind}
    for prompt in suited:
        framed = frame.around(prompt)
        assert prompt.message in framed
        assert prompt.hint in framed
        assert prompt.sign_as in framed


def test_frames_are_named_or_come_from_files() -> None:
    frames = frames_of(["reply", "none", "reply"], FRAME_FILES[:1])
    assert [frame.name for frame in frames] == ["reply", "none", FRAME_FILES[0].stem]
    reply, none, _ = frames
    prompt = PROMPTS["sales-offer"]
    assert none.around(prompt) == prompt.message
    assert reply.around(prompt) == Framing("reply", prompt.hint, prompt.sign_as).around(
        prompt.message
    )
    with pytest.raises(InputError, match="no frame 'answer'"):
        frames_of(["answer"], [])


@pytest.mark.parametrize("name", ["short.txt", "none-short.txt", "reply.txt"])
def test_a_frames_file_says_its_kind(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("{message}", encoding="utf-8")
    with pytest.raises(InputError, match="begins with its kind"):
        DraftFrame.of_file(file)
    with pytest.raises(InputError, match="cannot be read"):
        DraftFrame.of_file(tmp_path / "reply-missing.txt")


WHOLE = """
[[prompt]]
id = "one"
kind = "reply"
sender = "Tom"
sign_as = "Anna"
hint = "yes"
message = "Is it? Tom"
must_say = [['\\byes\\b']]
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("", ""), None),
        (('kind = "reply"', 'kind = "answer"'), "kind is 'answer'"),
        (('hint = "yes"\n', ""), "Prompt one: its fields are not right"),
        (('message = "Is it? Tom"\n', ""), "Prompt one: it has no message"),
        (("[['\\byes\\b']]", "[]"), "no fact"),
        (("[['\\byes\\b']]", "[[]]"), "without a pattern"),
        (("\\byes\\b", "(yes"), "no regular expression"),
        (('"Anna"', '"Tom Weber"'), "both called 'tom'"),
        (('id = "one"', 'id = "one"\ntone = "warm"'), "not right"),
        (("[[prompt]]", "[[prompt"), "cannot be read as TOML"),
        ((WHOLE, WHOLE + WHOLE), "two prompts with the id 'one'"),
    ],
)
def test_a_file_of_prompts_that_is_not_right_is_refused(
    change: tuple[str, str], said: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.toml"
    file.write_text(WHOLE.replace(*change) if change[0] else WHOLE, encoding="utf-8")
    if said is None:
        assert read_prompts(file)["one"].must_say[0][0].search("YES")
        return
    with pytest.raises(InputError, match=said):
        read_prompts(file)
