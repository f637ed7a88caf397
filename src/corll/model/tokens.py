"""Text ↔ token ids, where implementations quietly go wrong.

A response keeps the ids that were sampled: encoding its text again could give others, and a
preference between two tokenisations is not the one that the user gave. An edit therefore keeps the
draft's ids as far as it keeps its text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from operator import eq
from typing import Any

from corll.compute.context import context_length
from corll.errors import InputError, ModelNotFoundError, PromptTooLongError
from corll.memory.exchanges import Exchange, with_memory
from corll.model.chat import ChatTemplate, check_messages, texts_in
from corll.model.embedded_ids import check_embedded, check_needed, embedded_ids
from corll.model.kept_ids import ids_of_edit, same_ending
from corll.model.spelling import Speller, warn_of_losses
from corll.records import (
    Prompt,
    Response,
    Sample,
    Verbatim,
    messages_of,
    template_kwargs_of,
)
from corll.text import check_characters

_AROUND_A_TURN = 8
"""Tokens of a chat template around a turn, rather more than fewer."""

_OTHER_MESSAGE = "~"
"""Begins as few messages do."""


@dataclass(frozen=True)
class TokenCodec:
    """Renders and encodes prompts, responses and edits for one model.

    `tokenizer` is a Hugging Face tokenizer; `chat` says whether prompts go through its chat
    template; `end_ids` are the ids that end a text, the first of which ends the texts that we
    encode ourselves; `context_length` is the longest row in tokens, None if there is no limit;
    `enable_thinking` is what a template that asks for it is told where a prompt says nothing;
    `known_ids` is how many ids the model has embeddings for, None if that is not known.
    """

    tokenizer: Any
    chat: bool
    end_ids: tuple[int, ...]
    context_length: int | None
    enable_thinking: bool = False
    known_ids: int | None = None

    @classmethod
    def for_model(
        cls, tokenizer: Any, model: Any, *, chat: bool | None = None, enable_thinking: bool = False
    ) -> TokenCodec:
        """Return the codec of a model; by default, chat if the tokenizer has a template.

        A text ends with the token that the template ends a turn with, else with the tokenizer's
        end. All of these and the ends of the model's generation settings end a draft.
        *Raises*: ModelNotFoundError where there is no such token, or the model has no embedding for
        it or for what the template writes.
        """
        has_template = getattr(tokenizer, "chat_template", None) is not None
        if chat and not has_template:
            raise InputError("chat_template=True, but the model's tokenizer has no chat template.")
        chat = has_template if chat is None else chat
        turn_end = ChatTemplate(tokenizer, enable_thinking).turn_end if chat else None
        generation = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        others = generation if isinstance(generation, list | tuple) else [generation]
        ends = [turn_end, tokenizer.eos_token_id, *others]
        ids = dict.fromkeys(i for i in ends if i is not None)
        if not ids:
            raise ModelNotFoundError(
                "The model's tokenizer has no end-of-text token, so no response could ever end; "
                "set `eos_token` in its tokenizer_config.json."
            )
        known_ids = embedded_ids(model)
        check_needed([*ids][:1], known_ids, tokenizer)
        codec = cls(
            tokenizer=tokenizer,
            chat=chat,
            end_ids=tuple(i for i in ids if known_ids is None or i < known_ids),
            context_length=context_length(model.config),
            enable_thinking=enable_thinking,
            known_ids=known_ids,
        )
        if known_ids is not None:
            speller = codec._speller
            check_needed(speller.encode(speller.before), known_ids, tokenizer)
            warn_of_losses(speller)
        return codec

    def render(self, prompt: Prompt) -> str:
        """Return the text that the model continues: the prompt, in its chat template if any.

        *Raises*: InputError for a conversation where there is no template, for one that the
        template refuses, and for control tokens in anything but a `Verbatim` prompt.
        """
        content = messages_of(prompt)
        if not isinstance(content, str) and not self.chat:
            raise InputError(
                "The prompt is a conversation, but this model has no chat template; give a text, "
                "which it continues (in the API: POST /v1/completions)."
            )
        messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
        check_messages(messages)
        if isinstance(content, Verbatim):
            return content
        kwargs = template_kwargs_of(prompt)
        if self.chat:
            self.template.check(kwargs or {})
        self._refuse_control_tokens("\n".join(texts_in([*messages, kwargs])), "prompt")
        return self.template.render_whole(messages, kwargs) if self.chat else str(content)

    def settled(self, prompt: Prompt, kwargs: Mapping[str, Any] | None = None) -> Prompt:
        """Return a prompt that is rendered as now wherever it is read again.

        `kwargs` is what the chat template is told beside the conversation, over this codec's own
        defaults; both become part of the prompt. Nothing is checked here; `render` does that.
        """
        content = messages_of(prompt)
        if isinstance(content, Verbatim) or not self.chat:
            return prompt
        said = template_kwargs_of(prompt)
        told = dict(self.template.defaults if said is None else said) | dict(kwargs or {})
        if not told:
            return content
        messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
        return {"messages": messages, "chat_template_kwargs": told}

    def encode_prompt(self, prompt: Prompt, *, limit: int | None = None) -> tuple[int, ...]:
        """Return the ids of a rendered prompt.

        *Raises*: PromptTooLongError where it has more than `limit` tokens, or more than the
        model's context leaves for at least one token of a response; InputError where it is empty.
        """
        ids = self._speller.encode(self.render(prompt))
        is_plain = not self.chat or isinstance(prompt, Verbatim)
        # A rendered template that is continued verbatim has its beginning already.
        if is_plain and ids[: len(self._beginning)] != self._beginning:
            ids = (*self._beginning, *ids)
        check_embedded(ids, self.known_ids, self.tokenizer, "prompt")
        if not ids:
            raise InputError("The prompt is empty to this model: its tokenizer has no token of it.")
        if self.context_length is not None and len(ids) >= self.context_length:
            raise self._too_long(len(ids))
        self._check_length(len(ids), limit)
        return ids

    def behind(self, prompt: Prompt, memory: Sequence[Exchange]) -> Prompt:
        """Return a prompt behind a memory, in the form in which the model reads past texts.

        With a chat template they are turns before the request (`with_memory`). Without one they are
        documents: what was asked, continued by what was sent, and the token that ends a text. So
        the prompt begins a document, as it does alone, and a response ends as it does alone.
        *Raises*: InputError for a conversation where there is no template, for a text that is
        continued as it stands where there is one, and for control tokens in an exchange.
        """
        if self.chat or not memory:
            return with_memory(prompt, memory)
        for exchange in memory:
            self.check_response(exchange.text, "memory")
        documents = [self.render(exchange.prompt) + exchange.text for exchange in memory]
        return Verbatim(self._between_documents.join([*documents, self.render(prompt)]))

    def memory_within(
        self, prompt: Prompt, memory: Sequence[Exchange], *, room: int
    ) -> tuple[Exchange, ...]:
        """Return as much of a memory as the context holds before a prompt: the latest exchanges.

        `room` is the tokens that are to follow on the prompt.
        """
        return self.encode_behind(prompt, memory, room=room)[0]

    def encode_behind(
        self, prompt: Prompt, memory: Sequence[Exchange], *, room: int
    ) -> tuple[tuple[Exchange, ...], tuple[int, ...]]:
        """Return the memory of `memory_within`, and the ids of the prompt behind it.

        *Raises*: as `encode_prompt` for the prompt alone.
        """
        for left_out in range(len(memory)):
            try:
                ids = self.encode_prompt(self.behind(prompt, memory[left_out:]))
                self.check_room([ids], room)
            except PromptTooLongError:
                continue
            return tuple(memory[left_out:]), ids
        return (), self.encode_prompt(prompt)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, without what a template puts around it."""
        return len(self._speller.encode(text))

    def count_turn_tokens(self, text: str) -> int:
        """Return how many tokens a text takes in a memory, rather more than fewer.

        It is a turn of a conversation there or, without a chat template, half of a document.
        """
        around = _AROUND_A_TURN if self.chat else len(self._ids_between_documents)
        return self.count_tokens(text) + around

    def earlier_tokens(self, prompt: Prompt, ids: Sequence[int]) -> int:
        """Return how many first tokens of an encoded prompt stand before its last message.

        `ids` are the prompt's own. Earlier ones are those that it shares with another last message;
        of a text there are none.
        """
        messages = messages_of(prompt)
        if isinstance(messages, str) or len(messages) < 2:
            return 0
        other = [*messages[:-1], {**messages[-1], "content": _OTHER_MESSAGE}]
        others = self._speller.encode(self.template.render(other, template_kwargs_of(prompt)))
        return sum(1 for _ in takewhile(bool, map(eq, ids, others)))

    def check_room(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Check that each prompt and its response fit together. *Raises*: PromptTooLongError."""
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}.")
        longest = max(map(len, prompts), default=0)
        if self.context_length is not None and longest + max_new_tokens > self.context_length:
            raise PromptTooLongError(
                f"The prompt is too long: with its {longest} tokens and {max_new_tokens} of the "
                f"response it does not fit. This model's maximum context length is "
                f"{self.context_length} tokens. Shorten either."
            )

    def check_ids(self, prompt_ids: Sequence[int], *, limit: int | None = None) -> None:
        """Check that ids can be a prompt. *Raises*: InputError, PromptTooLongError."""
        count = min(len(self.tokenizer), self.known_ids or len(self.tokenizer))
        unknown = [one for one in prompt_ids if not 0 <= one < count]
        if unknown or not prompt_ids:
            there = f"no token of this model ({unknown[0]})" if unknown else "nothing"
            raise InputError(f"The prompt holds {there}; its ids go to {count - 1}.")
        self._check_length(len(prompt_ids), limit)
        if self.context_length is not None and len(prompt_ids) > self.context_length:
            raise self._too_long(len(prompt_ids))

    def _check_length(self, length: int, limit: int | None) -> None:
        if limit is not None and length > limit:
            raise PromptTooLongError(
                f"The prompt is too long: it has {length} tokens, over max_prompt_length={limit}. "
                "Shorten it or raise the limit."
            )

    def _too_long(self, length: int) -> PromptTooLongError:
        return PromptTooLongError(
            f"The prompt is too long: it has {length} tokens, and this model's maximum context "
            f"length is {self.context_length} tokens, with the response. Shorten it."
        )

    def check_fits(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> None:
        """Check that a response can be scored after its prompt. *Raises*: InputError."""
        total = len(prompt_ids) + len(response_ids)
        if self.context_length is not None and total > self.context_length:
            raise InputError(
                f"The prompt has {len(prompt_ids)} tokens and the response {len(response_ids)}; "
                f"the model's context holds {self.context_length} in all. Shorten the response."
            )

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of a response; end-of-text and other special tokens have none."""
        ends = bool(token_ids) and token_ids[-1] in self.end_ids
        return self._speller.decode(token_ids[:-1] if ends else token_ids)

    def ends_in_text(self, token_ids: Sequence[int]) -> list[int | None] | None:
        """Return where in the text of a response each id ends; None for one inside a character.

        Return None in place of a list where the text is not made of pieces one after another.
        """
        return self._speller.ends(token_ids)

    def ids_that_open(self, line: str) -> frozenset[int]:
        """Return the ids that a line can begin with, below another one or an empty one."""
        found = set()
        for above in ("~\n", "~\n\n"):
            ids = self._speller.spell(above + line).ids
            ends = self.ends_in_text(ids) or []
            if len(above) in ends[:-1]:
                found.add(ids[ends.index(len(above)) + 1])
        return frozenset(found)

    def check_response(self, text: str, what: str) -> None:
        """Check that the model can be taught a text, which messages call `what`.

        *Raises*: InputError for half of a character, and for what it reads as a control token.
        """
        check_characters(text, what)
        self._refuse_control_tokens(text, what)

    def encode_response(self, response: Response) -> Sample:
        """Return a response with ids: a Sample is taken as it is, a string as a finished text."""
        if isinstance(response, Sample):
            if not response.token_ids:
                raise InputError("A response without token ids cannot be scored.")
            return response
        self.check_response(response, "response")
        ids = self._speller.spell(response).ids
        self._check_spelled(ids, response, "response")
        return Sample(response, (*ids, self.end_ids[0]), None, finished=True)

    def encode_edit(self, draft: Sample, edited_text: str) -> Sample:
        """Return the edit of a draft, with the draft's ids wherever the edit keeps its text.

        It ends with the end that the draft had, else as an own text does. It is finished, unless
        the draft was cut at its length limit and its ending is untouched: then nobody has said that
        the text ends there. Its ids decode to its text wherever this tokenizer can spell that.
        """
        self.check_response(edited_text, "edit")
        drafted = tuple(takewhile(lambda i: i not in self.end_ids, draft.token_ids))
        ids = ids_of_edit(self._speller, drafted, edited_text)
        self._check_spelled(ids, edited_text, "edit")
        finished = draft.finished or not same_ending(draft.text, edited_text)
        if finished:
            drafted_end = draft.token_ids[len(drafted) : len(drafted) + 1]
            ids += drafted_end or self.end_ids[:1]
        return Sample(edited_text, ids, None, finished)

    def _check_spelled(self, ids: Sequence[int], text: str, what: str) -> None:
        check_embedded(ids, self.known_ids, self.tokenizer, what)
        if text and not ids:
            raise InputError(
                f"The {what} is {text!r}, for which this model has no token; write more."
            )

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template of the tokenizer."""
        return ChatTemplate(self.tokenizer, self.enable_thinking)

    @cached_property
    def _speller(self) -> Speller:
        if not self.chat:
            return Speller(self.tokenizer)
        template = self.template
        return Speller(self.tokenizer, template.generation_prompt, template.before_response)

    @cached_property
    def _beginning(self) -> tuple[int, ...]:
        """The ids that the tokenizer puts before a text; those that some put after it are not."""
        bare = self._speller.encode("a")
        whole = tuple(self.tokenizer("a")["input_ids"])
        for count in range(len(whole)):
            if whole[count : count + len(bare)] == bare:
                return whole[:count]
        return ()

    @cached_property
    def _ids_between_documents(self) -> tuple[int, ...]:
        """The ids that end a text and begin the next one, which many models have in one."""
        end = self.end_ids[:1]
        return self._beginning if self._beginning[:1] == end else (*end, *self._beginning)

    @cached_property
    def _between_documents(self) -> str:
        """The text that is encoded as these ids. *Raises*: InputError where there is none."""
        ids = self._ids_between_documents
        text = "".join(self.tokenizer.convert_ids_to_tokens(list(ids)))
        if self._speller.encode(text) != ids:
            raise InputError(
                f"No text stands for the tokens {ids}, by which this model's texts end and begin, "
                "so no memory can stand before a prompt; draft without one."
            )
        return text

    @cached_property
    def _control_texts(self) -> tuple[str, ...]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        ids = self._speller.control_ids | (set(self.end_ids) & set(added))
        texts = [str(self.tokenizer.convert_ids_to_tokens(token_id)) for token_id in sorted(ids)]
        return tuple(text for text in texts if text)

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        # Any text may hold what stands for an unknown character, or is added to every text.
        harmless = {self.tokenizer.unk_token_id, *self._speller.encode("a")}
        return self._speller.control_ids - harmless

    def _refuse_control_tokens(self, text: str, what: str) -> None:
        """Refuse what the model reads as a control token, in whatever form of Unicode."""
        found = next((token for token in self._control_texts if token in text), None)
        if found is None and (ids := self._control_ids.intersection(self._speller.encode(text))):
            found = self.tokenizer.convert_ids_to_tokens(min(ids))
        if found is not None:
            raise InputError(
                f"The {what} contains {found!r}, which this model reads as a control token; "
                "remove it."
            )
