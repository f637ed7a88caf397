"""What a chat template is told, what it says of turns, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from corll.errors import InputError
from corll.model.chat import ChatTemplate
from corll.model.tokens import TokenCodec
from corll.records import Prompt, Verbatim, messages_of
from tiny_tokenizers import BOS, DONE, EOS, TURN, TURN_TEMPLATE, base_codec, byte_bpe, codec_of

TALK = [{"role": "user", "content": "Coming?"}]
THINKER = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|done|>\n{% endfor %}"
    "<|turn|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n"
    "</think>\n\n{% endif %}"
)
"""As Qwen3's: it thinks unless it is told not to."""

ASKED = f"{TURN}user\nComing?{DONE}\n{TURN}assistant\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"


def thinker(**settings: Any) -> TokenCodec:
    return codec_of(byte_bpe(THINKER), **settings)


class TestTurnEnd:
    @pytest.mark.parametrize(
        ("answer", "end"),
        [
            ("{{ m.content | trim }}<|done|>\n", DONE),  # Gemma, Llama 3, Phi-3
            (" {{ m.content }} {{ eos_token }}", EOS),  # Llama 2
            ("<|turn|>final\n{{ m.content }}<|done|>{{ eos_token }}", DONE),
            ("{{ m.content }}\n\n<|turn|>", TURN),
            ("{{ m.content }}\n", None),  # nothing ends it
            ("{{ m.content }}### End", None),  # a text does
            ("{{ raise_exception('one turn only') }}", None),
            ("", None),  # answers are left out
        ],
    )
    def test_it_is_the_token_after_an_answer(self, answer: str, end: str | None) -> None:
        template = "{% for m in messages %}{% if m.role == 'user' %}<|turn|>{{ m.content }}<|done|>"
        template += "{% else %}" + answer + "{% endif %}{% endfor %}"
        tokenizer = byte_bpe(template)
        found = ChatTemplate(tokenizer).turn_end
        assert (None if found is None else tokenizer.convert_ids_to_tokens(found)) == end


class TestThinking:
    def test_it_is_off_unless_it_is_switched_on(self) -> None:
        assert thinker().render("Coming?") == ASKED + NO_THOUGHT
        assert thinker(enable_thinking=True).render("Coming?") == ASKED

    @pytest.mark.parametrize("default", [False, True])
    def test_a_prompt_can_say_it_for_itself(self, default: bool) -> None:
        codec = thinker(enable_thinking=default)
        for told, rendered in (
            ({"enable_thinking": True}, ASKED),
            ({"enable_thinking": False}, ASKED + NO_THOUGHT),
            ({}, ASKED),  # just this, so nothing
        ):
            prompt: Prompt = {"messages": TALK, "chat_template_kwargs": told}
            assert codec.render(prompt) == rendered
            assert messages_of(prompt) == TALK

    def test_a_template_that_does_not_ask_is_not_told(self) -> None:
        plain = codec_of(byte_bpe(TURN_TEMPLATE))
        assert ChatTemplate(plain.tokenizer).defaults == {}
        assert plain.settled(TALK) == TALK

    def test_one_of_several_templates_may_ask(self) -> None:
        tokenizer = byte_bpe(None)
        tokenizer.chat_template = {"default": THINKER, "tool_use": TURN_TEMPLATE}
        assert codec_of(tokenizer).render("Coming?") == ASKED + NO_THOUGHT


class TestSettled:
    @pytest.mark.parametrize("kwargs", [None, {}, {"enable_thinking": True}, {"style": [1, None]}])
    @pytest.mark.parametrize("prompt", ["Coming?", TALK])
    def test_it_is_rendered_alike_whatever_the_default_becomes(
        self, prompt: Prompt, kwargs: Any
    ) -> None:
        settled = thinker().settled(prompt, kwargs)
        told = {"enable_thinking": False} | (kwargs or {})
        assert settled == {"messages": TALK, "chat_template_kwargs": told}
        rendered = thinker().render(settled)
        assert rendered == (ASKED if told["enable_thinking"] else ASKED + NO_THOUGHT)
        assert thinker(enable_thinking=True).render(settled) == rendered
        assert thinker(enable_thinking=True).settled(settled) == settled

    def test_what_goes_through_no_template_stays(self) -> None:
        assert thinker().settled(Verbatim("Dear")) == "Dear"
        assert base_codec().settled("Dear") == "Dear"


class TestKwargs:
    @pytest.mark.parametrize(
        "name",
        "messages conversation tools documents chat_template tokenize add_generation_prompt "
        "continue_final_message raise_exception bos_token eos_token".split(),
    )
    def test_names_that_the_renderer_sets_are_refused(self, name: str) -> None:
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": {name: "x"}}
        with pytest.raises(InputError, match=f"'{name}', which the renderer sets itself"):
            thinker().render(prompt)

    @pytest.mark.parametrize("value", [float("nan"), {1: 2}, {"a": [object()]}, b"x", {1}])
    def test_what_is_not_plain_json_is_refused(self, value: Any) -> None:
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": {"style": value}}
        with pytest.raises(InputError, match="not plain JSON"):
            thinker().render(prompt)

    def test_what_is_nested_without_end_is_refused(self) -> None:
        deep: Any = "x"
        for _ in range(100):
            deep = [deep]
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": {"style": deep}}
        with pytest.raises(InputError, match="not plain JSON"):
            thinker().render(prompt)

    def test_others_reach_the_template(self) -> None:
        codec = codec_of(byte_bpe("{{ messages[0].content }}: {{ style.words[1] }}, {{ brief }}"))
        told = {"style": {"words": ["warm", "short"]}, "brief": True}
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": told}
        assert codec.render(prompt) == "Coming?: short, True"

    @pytest.mark.parametrize("value", ["<|turn|>system", {"a": ["b", "<|done|>"]}, {"<s>": 1}])
    def test_control_tokens_in_them_are_refused(self, value: Any) -> None:
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": {"style": value}}
        with pytest.raises(InputError, match="reads as a control token"):
            thinker().render(prompt)

    def test_half_characters_in_them_are_refused(self) -> None:
        prompt: Prompt = {"messages": TALK, "chat_template_kwargs": {"style": "a\ud83d"}}
        with pytest.raises(InputError, match="half of a character at 1"):
            thinker().render(prompt)


class TestRefusals:
    @pytest.mark.parametrize(
        ("template", "words"),
        [
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            ("{{ messages[3].content }}", "has no element 3"),
            ("{{ messages[0].content + 1 }}", "concatenate str"),
            ("{{ messages[0].content | int // 0 }}", "zero"),
            ("{% for m in %}", "got 'end of statement block'"),
        ],
    )
    def test_whatever_a_template_raises_is_an_input_error_in_its_words(
        self, template: str, words: str
    ) -> None:
        codec = TokenCodec(byte_bpe(template), True, (0,), None)
        with pytest.raises(InputError, match=f"chat template refuses this conversation: .*{words}"):
            codec.render("Coming?")

    def test_a_template_that_refuses_everything_gives_ends_and_texts_all_the_same(self) -> None:
        codec = codec_of(byte_bpe("{{ raise_exception('never') }}"))
        assert codec.end_ids == (codec.tokenizer.eos_token_id,)
        assert codec.decode(codec.encode_response("We are late").token_ids) == "We are late"

    def test_a_name_is_handed_to_the_template(self) -> None:
        template = "{% for m in messages %}{{ m.name or m.role }}: {{ m.content }}\n{% endfor %}"
        talk = [*TALK, {"role": "user", "content": "I am.", "name": "Ada"}]
        assert codec_of(byte_bpe(template)).render(talk) == "user: Coming?\nAda: I am.\n"


def test_a_beginning_that_the_template_writes_stands_once() -> None:
    codec = codec_of(byte_bpe(TURN_TEMPLATE))
    assert codec.render(TALK) == BOS + ASKED
