"""Prompts, responses and edits as ids: how they begin and end, and what is refused."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from corll.errors import InputError, ModelNotFoundError, PromptTooLongError
from corll.model.tokens import TokenCodec
from corll.records import Prompt, Sample, Verbatim
from tiny_models import CHAT_TEMPLATE, END, build_tokenizer
from tiny_tokenizers import (
    ALL,
    DONE,
    END_ID,
    EOS,
    TURN_TEMPLATE,
    base_codec,
    beginning_with_the_end,
    chat_codec,
    codec_of,
    gemma,
    ids_of,
    sampled,
    with_ends_added,
)


class TestFinished:
    @pytest.mark.parametrize(
        "edited", ["We are late", "Sorry, we are late", "late", "We are late "]
    )
    def test_a_cut_draft_whose_ending_stands_is_still_cut(self, edited: str) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "We are late"), finished=False)
        edit = codec.encode_edit(draft, edited)
        assert not edit.finished
        assert END_ID not in edit.token_ids

    @pytest.mark.parametrize(
        "edited", ["We are late.", "We are", "We are later", "late, we are", "We are too_late"]
    )
    def test_a_cut_draft_with_another_ending_is_finished(self, edited: str) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "We are late"), finished=False)
        edit = codec.encode_edit(draft, edited)
        assert edit.finished
        assert edit.token_ids[-1] == END_ID

    def test_a_last_word_of_one_letter_is_compared_as_a_word(self) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, "I would like a"), finished=False)
        assert codec.encode_edit(draft, "I would like a banana").finished

    def test_a_cut_draft_of_nothing_but_space_has_no_ending_to_leave(self) -> None:
        codec = base_codec()
        draft = sampled(codec, ids_of(codec, " "), finished=False)
        assert codec.encode_edit(draft, "Yes.").finished

    @pytest.mark.parametrize("edited", ["We are late", "We are late.", "No"])
    def test_a_finished_draft_gives_a_finished_edit_with_one_end(self, edited: str) -> None:
        codec = base_codec()
        edit = codec.encode_edit(sampled(codec, ids_of(codec, "We are late")), edited)
        assert edit.finished
        assert edit.token_ids.count(END_ID) == 1
        assert edit.token_ids[-1] == END_ID


class TestEnds:
    """Of a tokenizer whose template ends turns with <|done|>, while its end of texts is </s>."""

    @staticmethod
    def codec(**settings: Any) -> TokenCodec:
        tokenizer = gemma(TURN_TEMPLATE)
        return codec_of(tokenizer, eos=[tokenizer.convert_tokens_to_ids("ry")], **settings)

    def test_all_ends_end_a_draft(self) -> None:
        codec = self.codec()
        assert codec.tokenizer.convert_ids_to_tokens(codec.end_ids) == [DONE, EOS, "ry"]

    def test_an_own_text_ends_as_the_template_ends_a_turn(self) -> None:
        codec = self.codec()
        last = codec.encode_response("We are late").token_ids[-1]
        assert codec.tokenizer.convert_ids_to_tokens(last) == DONE

    def test_without_a_template_it_ends_as_the_tokenizer_says(self) -> None:
        codec = self.codec(chat=False)
        assert codec.tokenizer.convert_ids_to_tokens(codec.end_ids) == [EOS, "ry"]
        assert codec.encode_response("We are late").token_ids[-1] == codec.end_ids[0]

    @pytest.mark.parametrize("end", [DONE, EOS, "ry"])
    def test_an_edit_ends_as_its_draft_ended(self, end: str) -> None:
        codec = self.codec()
        end_id = codec.tokenizer.convert_tokens_to_ids(end)
        draft = Sample("We are", (*ids_of(codec, "We are"), end_id), -1.0, finished=True)
        edit = codec.encode_edit(draft, "We are late")
        assert edit.token_ids == (*ids_of(codec, "We are late"), end_id)

    def test_an_edit_that_ends_a_cut_draft_ends_as_an_own_text(self) -> None:
        codec = self.codec()
        draft = Sample("We are", ids_of(codec, "We are"), -1.0, finished=False)
        assert codec.encode_edit(draft, "We are late.").token_ids[-1] == codec.end_ids[0]

    def test_the_end_of_a_text_has_no_text_whatever_token_it_is(self) -> None:
        codec = self.codec()
        for end in codec.end_ids:
            assert codec.decode((*ids_of(codec, "We are late"), end)) == "We are late"


class TestResponses:
    def test_a_text_is_a_finished_response(self) -> None:
        codec = base_codec()
        ids = (*ids_of(codec, "We are late"), END_ID)
        assert codec.encode_response("We are late") == Sample("We are late", ids, None, True)
        assert codec.encode_response("").token_ids == (END_ID,)

    @pytest.mark.parametrize("make", ALL.values(), ids=ALL)
    @pytest.mark.parametrize("space", ["", " "])
    def test_it_is_spelled_as_in_a_whole_conversation(self, make: Any, space: str) -> None:
        """After a line feed without the dummy space of SentencePiece; after " " with it."""
        template = TURN_TEMPLATE
        if space:
            template = (
                "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
                "[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}"
                "{% endif %}{% endfor %}"
            )
        codec = codec_of(make(template))
        prompt = codec.encode_prompt("Are you late?")
        whole = ids_of(codec, codec.render("Are you late?") + space + "We are late, sorry")
        response = codec.encode_response("We are late, sorry")
        if space and codec.decode(ids_of(codec, " We")) != "We":
            # Such a tokenizer gives the space back, so it would be a part of the text.
            assert codec.decode(response.token_ids) == "We are late, sorry"
        else:
            assert (*prompt, *response.token_ids[:-1]) == whole

    def test_a_sample_is_taken_as_it_is(self) -> None:
        cut = Sample("We", ids_of(base_codec(), "We"), -1.0, finished=False)
        assert base_codec().encode_response(cut) is cut

    def test_a_sample_without_ids_is_refused(self) -> None:
        with pytest.raises(InputError, match="without token ids"):
            base_codec().encode_response(Sample("", (), 0.0, finished=False))

    def test_the_end_has_no_text(self) -> None:
        assert base_codec().decode((*ids_of(base_codec(), "We are late"), END_ID)) == "We are late"

    def test_decoding_tidies_nothing(self) -> None:
        """Even where a tokenizer tidies by default."""
        tokenizer = build_tokenizer(chat=False)
        tokenizer.clean_up_tokenization_spaces = True
        tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
        for codec in (base_codec(), TokenCodec(tokenizer, False, (END_ID,), 512)):
            for text in ("Yes , no .", "do n't", " x ", "a  b\n"):
                assert codec.decode(ids_of(codec, text)) == text


class TestHalfCharacters:
    """A lone surrogate, on which a tokenizer raises a TypeError where nobody looks for it."""

    @pytest.mark.parametrize(("text", "place"), [("ab\ud83d", 2), ("\ud83dab", 0)])
    def test_they_are_refused_with_their_place(self, text: str, place: int) -> None:
        talk = [{"role": "user", "content": text}, {"role": "user", "content": "Coming?"}]
        draft = sampled(base_codec(), ids_of(base_codec(), "ab"))
        for what, encode in {
            "prompt": lambda: base_codec().encode_prompt(text),
            "response": lambda: base_codec().encode_response(text),
            "edit": lambda: base_codec().encode_edit(draft, text),
        }.items():
            with pytest.raises(InputError, match=rf"{what} holds half of a character at {place} "):
                encode()
        with pytest.raises(InputError, match=rf"prompt holds half of a character at {place} "):
            chat_codec().render(talk)

    def test_whole_characters_beyond_the_first_plane_are_taken(self) -> None:
        text = "so \N{GRINNING FACE}"
        assert base_codec().decode(base_codec().encode_response(text).token_ids) == text
        assert base_codec().decode(base_codec().encode_prompt(text)) == text


class TestPrompts:
    def test_a_text_is_one_turn_of_the_user(self) -> None:
        turn = [{"role": "user", "content": "Coming?"}]
        rendered = f"<|user|>\nComing?{END}\n<|assistant|>\n"
        assert chat_codec().render("Coming?") == chat_codec().render(turn) == rendered
        assert chat_codec().encode_prompt("Coming?") == ids_of(chat_codec(), rendered)

    def test_a_base_model_continues_the_text_itself(self) -> None:
        assert base_codec().render("Coming?") == "Coming?"
        assert base_codec().encode_prompt("Coming?") == ids_of(base_codec(), "Coming?")

    def test_the_beginning_token_is_the_tokenizers_or_the_templates(self) -> None:
        """Exactly one: a template writes its own, and plain text gets the tokenizer's."""
        tokenizer = beginning_with_the_end()
        plain = TokenCodec(tokenizer, False, (END_ID,), None)
        assert plain.encode_prompt("Hello") == (END_ID, *ids_of(base_codec(), "Hello"))
        assert plain.encode_response("Hello").token_ids == (*ids_of(base_codec(), "Hello"), END_ID)
        tokenizer.chat_template = END + CHAT_TEMPLATE
        chat = TokenCodec(tokenizer, True, (END_ID,), None)
        assert chat.encode_prompt("Hello") == (END_ID, *chat_codec().encode_prompt("Hello"))

    @pytest.mark.parametrize("codec", [chat_codec, base_codec])
    @pytest.mark.parametrize("prompt", ["", "  \n"])
    def test_an_empty_prompt_is_refused(self, codec: Any, prompt: str) -> None:
        with pytest.raises(InputError, match="prompt is empty"):
            codec().encode_prompt(prompt)

    def test_a_base_model_takes_no_conversation(self) -> None:
        with pytest.raises(
            InputError, match=r"no chat template; give a text, .* POST /v1/completions"
        ):
            base_codec().encode_prompt([{"role": "user", "content": "Coming?"}])

    @pytest.mark.parametrize(
        ("messages", "problem"),
        [
            ([], "at least one message"),
            (["Coming?"], '"role" and "content"'),
            ([{"role": "user"}], '"role" and "content"'),
            ([{"content": "Coming?"}], '"role" and "content"'),
            ({"role": "user", "content": "Coming?"}, '"role" and "content"'),
            ([{"role": "user", "content": ["Coming?"]}], "must be text"),
            ([{"role": "user", "content": None}], "must be text"),
            ([{"role": "user", "content": "Hi"}, {"role": "user", "content": " "}], "empty"),
        ],
    )
    def test_wrong_messages_are_refused(self, messages: Any, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            chat_codec().encode_prompt(messages)

    def test_any_mapping_is_a_message(self) -> None:
        message = MappingProxyType({"role": "user", "content": "Coming?"})
        assert chat_codec().render([message]) == chat_codec().render("Coming?")

    @pytest.mark.parametrize("make", ALL.values(), ids=ALL)
    def test_what_a_tokenizer_adds_at_the_end_is_left_out(self, make: Any) -> None:
        """T5's tokenizer adds it, and forks of Llama's with `add_eos_token`."""
        plain, chat = (codec_of(with_ends_added(make(t))) for t in (None, TURN_TEMPLATE))
        bare = codec_of(make(None))
        begin = plain.tokenizer.bos_token_id
        assert plain.encode_prompt("Hello") == (begin, *ids_of(bare, "Hello"))
        assert plain.encode_response("Hello") == bare.encode_response("Hello")
        draft = sampled(plain, ids_of(bare, "Hello you"))
        assert plain.encode_edit(draft, "Hello we").token_ids.count(plain.end_ids[0]) == 1
        assert chat.encode_prompt("Hello") == ids_of(bare, chat.render("Hello"))

    @pytest.mark.parametrize("make", ALL.values(), ids=ALL)
    def test_a_rendered_template_that_is_continued_verbatim_begins_once(self, make: Any) -> None:
        codec = codec_of(with_ends_added(make(TURN_TEMPLATE)))
        rendered = codec.encode_prompt(Verbatim(codec.render("Hello")))
        assert rendered == codec.encode_prompt("Hello")
        assert rendered.count(codec.tokenizer.bos_token_id) == 1
        assert codec.encode_prompt(Verbatim("Hello"))[0] == codec.tokenizer.bos_token_id

    def test_a_prompt_must_leave_room_in_the_context(self) -> None:
        tokenizer = base_codec().tokenizer
        length = len(ids_of(base_codec(), "Coming on Friday?"))
        assert TokenCodec(tokenizer, False, (END_ID,), length + 1).encode_prompt(
            "Coming on Friday?"
        )
        with pytest.raises(PromptTooLongError, match=rf"{length} tokens.*length is {length}\b"):
            TokenCodec(tokenizer, False, (END_ID,), length).encode_prompt("Coming on Friday?")

    def test_a_prompt_may_have_a_limit_of_its_own(self) -> None:
        length = len(ids_of(base_codec(), "Coming on Friday?"))
        assert base_codec().encode_prompt("Coming on Friday?", limit=length)
        expected = rf"{length} tokens, over max_prompt_length={length - 1}"
        with pytest.raises(PromptTooLongError, match=expected):
            base_codec().encode_prompt("Coming on Friday?", limit=length - 1)


def earlier(prompt: Prompt, codec: TokenCodec | None = None) -> int:
    codec = codec or chat_codec()
    return codec.earlier_tokens(prompt, codec.encode_prompt(prompt))


class TestEarlierTokens:
    TURNS: ClassVar = [
        {"role": "user", "content": "Tea?"},
        {"role": "assistant", "content": "Yes."},
    ]

    def count(self, *last: str) -> list[int]:
        asked = [[*self.TURNS, {"role": "user", "content": text}] for text in last]
        return [earlier(prompt) for prompt in asked]

    def test_they_are_the_same_whatever_is_asked_last(self) -> None:
        one, other = self.count("And cake?", "Milk, please, and sugar.")
        assert one == other
        whole = chat_codec().encode_prompt([*self.TURNS, {"role": "user", "content": "Milk"}])
        before = chat_codec().render([*self.TURNS, {"role": "user", "content": "|"}])
        assert whole[:one] == ids_of(chat_codec(), before.partition("|\n")[0])[:one]
        assert len(ids_of(chat_codec(), "Tea?Yes.")) < one < len(whole)

    def test_a_message_that_begins_like_the_other_counts_a_little_more(self) -> None:
        plain, alike = self.count("Milk", "~ Milk")
        assert (
            plain
            <= alike
            < len(chat_codec().encode_prompt([*self.TURNS, {"role": "user", "content": "~ Milk"}]))
        )

    def test_a_single_message_and_a_text_have_none(self) -> None:
        assert earlier("Tea?") == 0
        assert earlier(self.TURNS[:1]) == 0
        assert earlier("Tea?", base_codec()) == 0

    def test_what_the_template_is_told_counts(self) -> None:
        asked = {"messages": [*self.TURNS, self.TURNS[0]], "chat_template_kwargs": {}}
        assert earlier(asked) == self.count("Tea?")[0]


class TestRoom:
    CODEC = TokenCodec(None, False, (END_ID,), 10)

    def test_the_longest_prompt_and_its_response_must_fit(self) -> None:
        self.CODEC.check_room([[1] * 3, [1] * 7], 3)
        with pytest.raises(
            PromptTooLongError, match=r"7 tokens and 4 of the response .* length is 10"
        ):
            self.CODEC.check_room([[1] * 7, [1] * 3], 4)

    def test_no_prompts_need_no_room(self) -> None:
        self.CODEC.check_room([], 10)

    def test_a_response_has_at_least_one_token(self) -> None:
        with pytest.raises(InputError, match="at least 1, not 0"):
            self.CODEC.check_room([[1]], 0)

    def test_a_pair_must_fit(self) -> None:
        self.CODEC.check_fits([1] * 6, [1] * 4)
        with pytest.raises(InputError, match=r"has 6 tokens and the response 5; .* holds 10"):
            self.CODEC.check_fits([1] * 6, [1] * 5)

    def test_a_model_without_a_limit_takes_any_length(self) -> None:
        codec = TokenCodec(None, False, (END_ID,), None)
        codec.check_room([[1] * 10_000], 10_000)
        codec.check_fits([1] * 10_000, [1] * 10_000)


class TestForModel:
    @staticmethod
    def model(eos: int | list[int] | None) -> Any:
        return SimpleNamespace(
            generation_config=SimpleNamespace(eos_token_id=eos),
            config=SimpleNamespace(max_position_embeddings=128),
        )

    @pytest.mark.parametrize(
        ("eos", "ends"), [(None, (0,)), (0, (0,)), (7, (0, 7)), ([7, 0, 8], (0, 7, 8))]
    )
    def test_all_ends_are_known_and_the_tokenizers_comes_first(
        self, eos: int | list[int] | None, ends: tuple[int, ...]
    ) -> None:
        codec = TokenCodec.for_model(build_tokenizer(chat=True), self.model(eos))
        assert codec.end_ids == ends
        assert codec.context_length == 128

    def test_what_a_model_does_not_say_is_no_limit_and_no_further_end(self) -> None:
        codec = TokenCodec.for_model(build_tokenizer(chat=False), SimpleNamespace(config=None))
        assert (codec.end_ids, codec.context_length) == ((0,), None)

    def test_a_tokenizer_that_knows_no_templates_makes_no_chat(self) -> None:
        assert not TokenCodec.for_model(SimpleNamespace(eos_token_id=0), self.model(None)).chat

    def test_a_template_makes_a_chat(self) -> None:
        assert TokenCodec.for_model(build_tokenizer(chat=True), self.model(0)).chat
        assert not TokenCodec.for_model(build_tokenizer(chat=False), self.model(0)).chat
        assert not TokenCodec.for_model(build_tokenizer(chat=True), self.model(0), chat=False).chat

    def test_a_chat_needs_a_template(self) -> None:
        with pytest.raises(InputError, match="no chat template"):
            TokenCodec.for_model(build_tokenizer(chat=False), self.model(0), chat=True)

    def test_a_model_that_could_never_end_is_refused(self) -> None:
        tokenizer = build_tokenizer(chat=False)
        tokenizer.eos_token = None
        with pytest.raises(ModelNotFoundError, match="no end-of-text token"):
            TokenCodec.for_model(tokenizer, self.model(None))
