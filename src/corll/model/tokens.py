"""Text ↔ token ids, where implementations quietly go wrong.

A response keeps the ids that were sampled: encoding its text again could give others, and a
preference between two tokenisations is not the one that the user gave. An edit therefore keeps the
draft's ids as far as it keeps its text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from os.path import commonprefix
from typing import Any

from jinja2 import TemplateError

from corll.errors import InputError, ModelNotFoundError, PromptTooLongError
from corll.records import Prompt, Response, Sample, Verbatim
from corll.text import check_characters


@dataclass(frozen=True)
class TokenCodec:
    """Renders and encodes prompts, responses and edits for one model.

    `tokenizer` is a Hugging Face tokenizer; `chat` says whether prompts go through its chat
    template; `end_ids` are the ids that end a text, the first of which ends the texts that we
    encode ourselves; `context_length` is the longest row in tokens, None if there is no limit.
    """

    tokenizer: Any
    chat: bool
    end_ids: tuple[int, ...]
    context_length: int | None

    @classmethod
    def for_model(cls, tokenizer: Any, model: Any, *, chat: bool | None = None) -> TokenCodec:
        """Return the codec of a model; by default, chat if the tokenizer has a template."""
        has_template = getattr(tokenizer, "chat_template", None) is not None
        if chat and not has_template:
            raise InputError("chat_template=True, but the model's tokenizer has no chat template.")
        generation = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        others = generation if isinstance(generation, list) else [generation]
        ids = dict.fromkeys(i for i in [tokenizer.eos_token_id, *others] if i is not None)
        if not ids:
            raise ModelNotFoundError(
                "The model's tokenizer has no end-of-text token, so no response could ever end; "
                "set `eos_token` in its tokenizer_config.json."
            )
        return cls(
            tokenizer=tokenizer,
            chat=has_template if chat is None else chat,
            end_ids=tuple(ids),
            context_length=getattr(model.config, "max_position_embeddings", None),
        )

    def render(self, prompt: Prompt) -> str:
        """Return the text that the model continues: the prompt, in its chat template if any."""
        if not isinstance(prompt, str) and not self.chat:
            raise InputError(
                "The prompt is a conversation, but this model has no chat template; give a text."
            )
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        _check_messages(messages)
        if not self._is_templated(prompt):
            return str(prompt)
        for message in messages:
            self._refuse_special_tokens(message["content"], "prompt")
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages], add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:
            raise InputError(
                f"The model's chat template refuses this conversation: {error}"
            ) from error
        return rendered

    def encode_prompt(self, prompt: Prompt, *, limit: int | None = None) -> tuple[int, ...]:
        """Return the ids of a rendered prompt.

        *Raises*: PromptTooLongError where it has more than `limit` tokens, or more than the
        model's context leaves for at least one token of a response; InputError where it is empty.
        """
        text = self.render(prompt)
        plain = not self._is_templated(prompt)
        ids = tuple(self.tokenizer(text, add_special_tokens=plain)["input_ids"])
        if self.context_length is not None and len(ids) >= self.context_length:
            raise PromptTooLongError(
                f"The prompt has {len(ids)} tokens; the model's context holds "
                f"{self.context_length}, with the response. Shorten the prompt."
            )
        if limit is not None and len(ids) > limit:
            raise PromptTooLongError(
                f"The prompt has {len(ids)} tokens, over max_prompt_length={limit}. "
                "Shorten the prompt or raise the limit."
            )
        return ids

    def _is_templated(self, prompt: Prompt) -> bool:
        """Say whether the prompt goes through the chat template."""
        return self.chat and not isinstance(prompt, Verbatim)

    def check_room(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Check that each prompt and its response fit together. *Raises*: PromptTooLongError."""
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}.")
        longest = max(map(len, prompts), default=0)
        if self.context_length is not None and longest + max_new_tokens > self.context_length:
            raise PromptTooLongError(
                f"A prompt of {longest} tokens and a response of {max_new_tokens} do not fit into "
                f"the model's context of {self.context_length}. Shorten either."
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
        text: str = self.tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def encode_response(self, response: Response) -> Sample:
        """Return a response with ids: a Sample is taken as it is, a string as a finished text."""
        if isinstance(response, Sample):
            if not response.token_ids:
                raise InputError("A response without token ids cannot be scored.")
            return response
        check_characters(response, "response")
        self._refuse_special_tokens(response, "response")
        ids = tuple(self.tokenizer(response, add_special_tokens=False)["input_ids"])
        return Sample(response, (*ids, self.end_ids[0]), None, finished=True)

    def encode_edit(self, draft: Sample, edited_text: str) -> Sample:
        """Return the edit of a draft, keeping the draft's ids up to where the text first changes.

        Precisely: up to the last pre-token boundary before the first changed character, the rest
        encoded afresh. An edit is finished, unless the draft was cut at its length limit and its
        ending is untouched: then nobody has said that the text ends there.
        """
        check_characters(edited_text, "edit")
        self._refuse_special_tokens(edited_text, "edit")
        kept, rest = self._split_at_first_change(draft, edited_text)
        finished = draft.finished or not _same_ending(draft.text, edited_text)
        ids = (*kept, *rest, *((self.end_ids[0],) if finished else ()))
        return Sample(edited_text, ids, None, finished)

    def _split_at_first_change(
        self, draft: Sample, edited: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        encoding = self.tokenizer(
            edited, add_special_tokens=False, return_offsets_mapping=self.tokenizer.is_fast
        )
        afresh = tuple(encoding["input_ids"])
        if not self.tokenizer.is_fast:
            return (), afresh
        starts = [start for start, _ in encoding["offset_mapping"]] + [len(edited)]
        boundaries = self._pre_token_boundaries(edited, starts)
        drafted = tuple(takewhile(lambda i: i not in self.end_ids, draft.token_ids))
        first_change = len(commonprefix([draft.text, edited]))
        # The text of more ids is never shorter, so the ids that end before the change are found
        # by bisection; from there, back to the nearest boundary.
        count = bisect_right(
            range(len(drafted) + 1), first_change, key=lambda n: len(self.decode(drafted[:n]))
        )
        for n in range(count - 1, 0, -1):
            text = self.decode(drafted[:n])
            if len(text) in boundaries and edited.startswith(text):
                rest = afresh[starts.index(len(text)) :]
                if self.decode((*drafted[:n], *rest)) == self.decode(afresh):
                    return drafted[:n], rest
        return (), afresh

    def _pre_token_boundaries(self, text: str, token_starts: Sequence[int]) -> set[int]:
        """Return where both a pre-token of `text` and a token of its encoding begin."""
        if self._pre_tokenizer is None:
            return set(token_starts)
        pieces = self._pre_tokenizer.pre_tokenize_str(text)
        return {start for _, (start, _) in pieces} & set(token_starts) | {len(text)}

    @cached_property
    def _pre_tokenizer(self) -> Any:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return getattr(backend, "pre_tokenizer", None)

    @cached_property
    def _special_texts(self) -> tuple[str, ...]:
        return tuple(token for token in self.tokenizer.all_special_tokens if token)

    def _refuse_special_tokens(self, text: str, what: str) -> None:
        for token in self._special_texts:
            if token in text:
                raise InputError(
                    f"The {what} contains {token!r}, which this model reads as a control token; "
                    "remove it."
                )


def _check_messages(messages: Sequence[Any]) -> None:
    if not messages:
        raise InputError("The prompt is empty; give at least one message.")
    for message in messages:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise InputError(
                f'A message of the prompt needs "role" and "content"; this one is {message!r}.'
            )
        if not isinstance(message["content"], str):
            raise InputError("The content of a message must be text.")
        check_characters(message["content"], "prompt")
    if not messages[-1]["content"].strip():
        raise InputError("The prompt is empty; write what is to be answered.")


def _same_ending(draft: str, edited: str) -> bool:
    """Say whether the edit still ends with the draft's last word."""
    return bool(draft.split()) and draft.split()[-1] == "".join(edited.split()[-1:])
