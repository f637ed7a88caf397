"""Drafts are drawn as the service draws them, kept line by line, and drawn once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from corll.errors import InputError
from corll.memory.exchanges import with_memory
from corll.policy import Policy
from corll.records import Sample
from corll.service.settings import ServiceSettings
from draft_prompts import DraftFrame, DraftPrompt, frames_of, read_drafts, read_prompts
from draw_drafts import DraftingTable, Plan, draw_all, file_of, main, plans, still_to_draw

TEXTS = """
[[prompt]]
id = "late"
kind = "reply"
sender = "Ms Lopez"
sign_as = "Anna"
hint = "comes Friday"
message = "Where is the parcel? Ms Lopez"
must_say = [['friday']]

[[prompt]]
id = "thanks"
kind = "write"
sender = "Ben"
sign_as = "Anna"
hint = "thanks for the kettle"
message = "A note to Ben."
must_say = [['kettle']]

[[prompt]]
id = "kept"
kind = "reply"
held_out = true
sender = "Tom"
sign_as = "Anna"
hint = "no"
message = "Is it in stock? Tom"
must_say = [['no']]
"""
TEMPLATE = "{message}\n{hint}\n{name}"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.toml"
    file.write_text(TEXTS, encoding="utf-8")
    return file


@pytest.fixture
def prompts(texts: Path) -> list[DraftPrompt]:
    return list(read_prompts(texts).values())


def short(settings: ServiceSettings, length: int = 40) -> ServiceSettings:
    coactive = settings.coactive.with_settings(max_completion_length=length)
    return settings.model_copy(update={"coactive": coactive})


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    return short(ServiceSettings(data_dir=tmp_path / "data"))


@pytest.fixture
def drawing(policy: Policy, settings: ServiceSettings) -> Iterator[DraftingTable]:
    made = DraftingTable(policy, settings, machine="a desk")
    yield made
    made.close()


def first_plan(prompts: list[DraftPrompt], *, guards: bool = False, seed: int = 0) -> Plan:
    return Plan(prompts[0], DraftFrame("reply-own", "reply", TEMPLATE), guards, seed)


def alone(policy: Policy, plan: Plan, settings: ServiceSettings) -> Sample:
    """What the policy draws of the framed message by itself, behind as many examples as fit."""
    config, framed = settings.coactive, plan.frame.around(plan.prompt)
    own = policy.codec.settled([{"role": "user", "content": framed}], {})
    examples, room = plan.frame.examples(plan.prompt), config.max_completion_length
    prompt = with_memory(own, policy.codec.memory_within(own, examples, room=room))
    with policy.as_reference():
        rows = policy.sample(
            [prompt],
            1,
            config.max_completion_length,
            plan.sampling_seed,
            sampling=config.sampling,
        )
    return rows[0][0]


def test_a_line_is_what_the_base_draws_of_the_framed_message(
    policy: Policy, settings: ServiceSettings, drawing: DraftingTable, prompts: list[DraftPrompt]
) -> None:
    plan = first_plan(prompts)
    line = drawing.draw(plan)
    sample = alone(policy, plan, settings)
    assert line["text"] == sample.text
    assert line["tokens"] == len(sample.token_ids)
    assert line["finish"] == ("stop" if sample.finished else "length")
    assert (line["prompt"], line["frame"], line["guards"], line["seed"]) == (
        "late", "reply-own", False, 0,
    )  # fmt: skip
    assert line["redraws"] == 0
    assert line["machine"] == "a desk"
    assert (
        line["memory"]
        == [one.id for one in plan.frame.examples(plan.prompt)][-len(line["memory"]) :]
    )
    assert line["seconds"] > 0
    assert line["sampling"] == settings.coactive.sampling.model_dump()
    assert line["fingerprint"] == policy.base.fingerprint


def test_a_draft_can_be_begun_for_the_model(
    drawing: DraftingTable, prompts: list[DraftPrompt]
) -> None:
    plan = first_plan(prompts)
    begun = Plan(plan.prompt, plan.frame.begun("Dear Ms"), guards=False, seed=0)
    plain, line = drawing.draw(plan), drawing.draw(begun)
    assert line["frame"] == "reply-own~Dear Ms"
    assert line["text"].startswith("Dear Ms")
    assert line["text"] != "Dear Ms" + plain["text"]
    assert line["prompt_tokens"] > plain["prompt_tokens"]
    assert line["framed"] != plain["framed"]
    assert plan.frame.begun("") == plan.frame


def test_each_prompt_has_a_seed_of_its_own_and_each_frame_the_same(
    prompts: list[DraftPrompt],
) -> None:
    frames = frames_of(["reply", "write", "none"], [])
    made = list(plans(prompts, frames, (False, True), seeds=2))
    assert len(made) == 2 * 2 * (3 + 3)  # two replies and a text, each framed and bare
    assert {plan.sampling_seed for plan in made if plan.prompt.id == "late" and not plan.seed} == {
        first_plan(prompts).sampling_seed
    }
    assert len({plan.sampling_seed for plan in made}) == 2 * 3
    assert [plan.seed for plan in made] == sorted(plan.seed for plan in made)


def test_guards_throw_loops_away_and_say_so(policy: Policy, prompts: list[DraftPrompt]) -> None:
    """The likeliest tokens of a tiny random model often go round."""
    settings = short(ServiceSettings(), 120)
    cold = settings.coactive.with_settings(top_k=2, temperature=0.2)
    drawing = DraftingTable(policy, settings.model_copy(update={"coactive": cold}))
    try:
        pairs = [
            [
                drawing.draw(first_plan(prompts, guards=guards, seed=seed))
                for guards in (False, True)
            ]
            for seed in range(6)
        ]
    finally:
        drawing.close()
    assert any(guarded["redraws"] for _, guarded in pairs)
    assert not any(bare["redraws"] or bare["finish"] == "loop" for bare, _ in pairs)
    assert all(bare["text"] == on["text"] for bare, on in pairs if on["finish"] == "stop"
               and not on["redraws"])  # fmt: skip
    assert all(on["redraws"] == 2 for _, on in pairs if on["finish"] == "loop")


def test_drafts_are_as_long_as_the_context_allows(
    policy: Policy, prompts: list[DraftPrompt]
) -> None:
    drawing = DraftingTable(policy, ServiceSettings())
    try:
        line = drawing.draw(first_plan(prompts))
    finally:
        drawing.close()
    context = policy.codec.context_length
    assert context is not None
    assert line["tokens"] <= context - line["prompt_tokens"] < 512
    assert line["finish"] == "stop" or line["tokens"] == context - line["prompt_tokens"]


def test_what_is_drawn_is_not_drawn_again(
    drawing: DraftingTable, prompts: list[DraftPrompt], tmp_path: Path
) -> None:
    planned = list(plans(prompts, frames_of(["none"], []), (False,), seeds=2))
    assert draw_all(drawing, planned[:2], tmp_path / "out") == 2
    file = file_of(tmp_path / "out", drawing.model)
    before = file.read_bytes()
    with file.open("ab") as open_file:
        open_file.write(b'{"prompt": "la')  # a crash cut a line short
    assert draw_all(drawing, planned, tmp_path / "out") == 4
    assert file.read_bytes().startswith(before)
    assert draw_all(drawing, planned, tmp_path / "out") == 0
    assert len(read_drafts([file])) == 6


def test_a_frame_that_has_changed_is_not_mixed_with_what_it_was(
    drawing: DraftingTable, prompts: list[DraftPrompt]
) -> None:
    plan = first_plan(prompts)
    line = drawing.draw(plan)
    other = Plan(prompts[0], DraftFrame("reply-own", "reply", TEMPLATE + "!"), False, 0)
    assert still_to_draw([plan], [line], drawing.model) == []
    with pytest.raises(InputError, match="other words than when its draft was drawn"):
        still_to_draw([other], [line], drawing.model)
    renamed = Plan(prompts[0], DraftFrame("reply-new", "reply", TEMPLATE + "!"), False, 0)
    assert still_to_draw([renamed], [line], drawing.model) == [renamed]
    assert still_to_draw([plan], [line], "another model") == [plan]


def test_a_model_without_a_template_drafts_without_frames(
    tiny_gpt2_folder: Path, settings: ServiceSettings, prompts: list[DraftPrompt]
) -> None:
    drawing = DraftingTable(Policy.load(tiny_gpt2_folder, dtype="float32"), settings)
    try:
        bare = Plan(prompts[0], DraftFrame("none", "none"), False, 0)
        assert drawing.draw(bare)["tokens"] > 0
        with pytest.raises(InputError, match="no chat template"):
            drawing.draw(first_plan(prompts))
    finally:
        drawing.close()


def test_the_command_draws_what_it_is_told(
    tiny_model_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = tmp_path / "reply-own.txt"
    frame.write_text(TEMPLATE, encoding="utf-8")
    asked = ["--model", str(tiny_model_folder), "--prompts", str(texts), "--dtype", "float32"]
    out = tmp_path / "out"
    main([*asked, "--out", str(out), "--frames", "", "--frame-file", str(frame), "--set", "all"])
    (file,) = out.iterdir()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["prompt"], line["frame"], line["guards"]) for line in lines] == [
        ("late", "reply-own", True), ("kept", "reply-own", True),
    ]  # fmt: skip
    assert "2 to draw" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--only", "gone"], "no prompt 'gone'"),
        (["--seeds", "0"], "at least 1"),
        (["--frames", "answer"], "no frame 'answer'"),
        (["--frames", ""], "nothing to draw"),
        (["--begin", "Dear "], "ends with a space"),
        (["--only", "late", "--frames", "write"], "nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_model_is_loaded(
    flags: list[str], said: str, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=said):
        main(["--model", "none", "--prompts", str(texts), "--out", str(out), *flags])
    assert not out.exists()
