"""The records of the loop: prompt → draft → edit → preference. Plain data, no tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import fsum
from typing import Any, TypeAlias, TypedDict
from warnings import warn

from corll.errors import InputError

Message: TypeAlias = Mapping[str, Any]
"""One turn of a conversation: `{"role": …, "content": …}`, both texts.

What else it holds, such as `name` or `tool_calls`, is for the chat template.
"""


class Conversation(TypedDict):
    """Messages, and all that their chat template is told beside them.

    A plain dict, so that a prompt is kept and read as JSON, and rendered as it was the first time.
    """

    messages: Sequence[Message]
    chat_template_kwargs: Mapping[str, Any]


Prompt: TypeAlias = str | Sequence[Message] | Conversation
"""A text, or a conversation whose last turn is to be answered."""


class Verbatim(str):
    """A prompt that is continued as it stands, without the chat template around it."""

    __slots__ = ()


SYSTEM_ROLES = ("system", "developer")
"""Roles of the messages that say how to answer, and are no turns of a conversation."""

_VERBATIM = "verbatim"
"""Under which name JSON holds the text of such a prompt."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A response together with the ids that stand for it.

    Text alone is not enough: the same text has many tokenisations, and only `token_ids` were
    sampled. They include the end-of-text token if and only if `finished`.
    *Units*: `logprob` in nats, summed over `token_ids`, of the full distribution at temperature 1;
    None for a text that no policy sampled, such as an edit.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float | None
    finished: bool

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Sample:
        return cls(
            text=fields["text"],
            token_ids=tuple(fields["token_ids"]),
            logprob=fields["logprob"],
            finished=fields["finished"],
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the text that was sent in answer to it; a memory is a sequence of them.

    `id` names the edit that the text comes from; it is empty for an example of our own.
    """

    prompt: Prompt
    text: str
    id: str = ""

    @property
    def turns(self) -> list[Message]:
        """Return the conversation with its answer, without what its system message says."""
        said = [turn for turn in turns_of(self.prompt) if turn["role"] not in SYSTEM_ROLES]
        return [*said, {"role": "assistant", "content": self.text}]

    def to_dict(self) -> dict[str, Any]:
        """Return the exchange as JSON holds it, for `from_dict`."""
        return {**asdict(self), "prompt": _stored(self.prompt)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Exchange:
        return cls(_as_it_was(fields["prompt"]), fields["text"], fields["id"])


Response: TypeAlias = str | Sample
"""A response to score or to learn from; a string stands for a finished text."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The draft, step 1 of Algorithm 1: the candidates that were drawn, and the one that is shown.

    `memory` is the exchanges that stood before the prompt when they were drawn.
    *Shapes*: `candidates` K; `scores` K, the quantity that was maximised, or None where nothing
    had to be ranked (K = 1).
    """

    prompt: Prompt
    candidates: tuple[Sample, ...]
    choice: int = 0
    scores: tuple[float, ...] | None = None
    seed: int = 0
    memory: tuple[Exchange, ...] = ()

    @property
    def sample(self) -> Sample:
        """The candidate that is shown."""
        return self.candidates[self.choice]

    @property
    def text(self) -> str:
        """The text that is shown."""
        return self.sample.text

    def to_dict(self) -> dict[str, Any]:
        """Return the draft as JSON holds it, for `from_dict`."""
        fields = {**asdict(self), "prompt": _stored(self.prompt)}
        return {**fields, "memory": _stored_memory(self.memory)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Draft:
        scores = fields["scores"]
        return cls(
            prompt=_as_it_was(fields["prompt"]),
            candidates=tuple(Sample.from_dict(sample) for sample in fields["candidates"]),
            choice=fields["choice"],
            scores=None if scores is None else tuple(scores),
            seed=fields["seed"],
            memory=_memory_of(fields),
        )


@dataclass(frozen=True, slots=True)
class Edit:
    """The edit, step 2 of Algorithm 1: what the user made of a draft.

    `text` is the draft's own text for an acceptance, and None for no feedback at all. `sample` has
    the ids of the text where the user is a policy itself, and sampled them.
    """

    draft: Draft
    text: str | None
    sample: Sample | None = None

    @property
    def response(self) -> Response | None:
        """The response that is learned from: the ids that were sampled, or the text."""
        return self.text if self.sample is None else self.sample

    @classmethod
    def of_sample(cls, draft: Draft, sample: Sample) -> Edit:
        """Return the answer of a user who is a policy."""
        return cls(draft, sample.text, sample)

    def to_dict(self) -> dict[str, Any]:
        """Return the edit as JSON holds it, for `from_dict`."""
        return {**asdict(self), "draft": self.draft.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Edit:
        sample = fields.get("sample")
        return cls(
            draft=Draft.from_dict(fields["draft"]),
            text=fields["text"],
            sample=None if sample is None else Sample.from_dict(sample),
        )


@dataclass(frozen=True, slots=True)
class ReferenceLogprobs:
    """The log π_0 of both sides of a preference, computed once and kept with it.

    *Units*: nats, one number a token. `computed_with` names the reference, the dtype and the ids
    that were scored; whoever reuses the numbers compares it first and recomputes on a mismatch.
    """

    chosen_tokens: tuple[float, ...]
    rejected_tokens: tuple[float, ...]
    computed_with: str

    @property
    def chosen(self) -> float:
        """The log π_0 of the chosen response, summed."""
        return fsum(self.chosen_tokens)

    @property
    def rejected(self) -> float:
        """The log π_0 of the rejected response, summed."""
        return fsum(self.rejected_tokens)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ReferenceLogprobs:
        chosen, rejected = (tuple(fields[f"{side}_tokens"]) for side in ("chosen", "rejected"))
        return cls(chosen, rejected, fields["computed_with"])


@dataclass(frozen=True, slots=True)
class Preference:
    """A preference, chosen ≻ rejected, for a prompt; from an edit, the edit ≻ the draft.

    `memory` is the exchanges that stood before the prompt when the draft was drawn; whether a step
    learns with them is its configuration's. `masked_tokens` are the places of tokens in the chosen
    and in the rejected response, counted from 0, that nothing is learned from.
    """

    prompt: Prompt
    chosen: Response
    rejected: Response
    reference: ReferenceLogprobs | None = None
    memory: tuple[Exchange, ...] = ()
    masked_tokens: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def with_reference(self, reference: ReferenceLogprobs) -> Preference:
        return replace(self, reference=reference)

    def to_dict(self) -> dict[str, Any]:
        """Return the preference as JSON holds it, for `from_dict`."""
        fields = {**asdict(self), "prompt": _stored(self.prompt)}
        if not any(self.masked_tokens):
            del fields["masked_tokens"]
        return {**fields, "memory": _stored_memory(self.memory)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preference:
        chosen, rejected = (
            side if isinstance(side, str) else Sample.from_dict(side)
            for side in (fields["chosen"], fields["rejected"])
        )
        reference = fields["reference"]
        if reference is not None:
            reference = ReferenceLogprobs.from_dict(reference)
        prompt = _as_it_was(fields["prompt"])
        of_chosen, of_rejected = map(tuple, fields.get("masked_tokens", ((), ())))
        masked = (of_chosen, of_rejected)
        return cls(prompt, chosen, rejected, reference, _memory_of(fields), masked)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An acceptance: the user sent the draft as it was. It is counted, but is no preference."""

    draft: Draft


Outcome: TypeAlias = Preference | Acceptance


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of an Adam step.

    `number` counts the steps from 1. `metrics` are averages over the batch, under TRL's names.
    `learned` are the preferences of the step, each with its reference log-probabilities, so that
    whoever stores them need not compute these again.
    """

    number: int
    metrics: Mapping[str, float]
    learned: tuple[Preference, ...]

    def __getitem__(self, name: str) -> float:
        """Return a metric, as the dictionary did that a step returned in 0.1; deprecated."""
        warn("Ask a StepResult for its metrics[name].", DeprecationWarning, stacklevel=2)
        return self.metrics[name]

    def get(self, name: str, default: float | None = None) -> float | None:
        """Return a metric or the default, as a dictionary does; deprecated."""
        warn("Ask a StepResult for its metrics.get(name).", DeprecationWarning, stacklevel=2)
        return self.metrics.get(name, default)


@dataclass(frozen=True, slots=True)
class Learned:
    """The result of an answer to a draft, with that of the Adam step that it completed, if any."""

    outcome: Outcome
    step: StepResult | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """A round of Algorithm 1, counted from 1. `outcome` is None where there was no feedback.

    `step_metrics` holds the metrics of the Adam step that this round completed, if it did.
    """

    number: int
    edit: Edit
    outcome: Outcome | None
    step_metrics: Mapping[str, float] | None = field(default=None)

    @property
    def accepted(self) -> bool:
        return isinstance(self.outcome, Acceptance)


def messages_of(prompt: Prompt) -> str | Sequence[Message]:
    """Return the text of a prompt, or its messages without what else their template is told."""
    if isinstance(prompt, Mapping) and "messages" in prompt:
        return prompt["messages"]
    return prompt


def turns_of(prompt: Prompt) -> Sequence[Message]:
    """Return a prompt as turns. *Raises*: InputError where it has none."""
    content = messages_of(prompt)
    if isinstance(content, Verbatim):
        raise InputError(
            "A text that is continued as it stands has no turns, so no memory can stand before it; "
            "ask for an answer to a conversation, or without a memory."
        )
    return [{"role": "user", "content": content}] if isinstance(content, str) else content


def template_kwargs_of(prompt: Prompt) -> Mapping[str, Any] | None:
    """Return what the chat template is told beside the messages; None where that is not said."""
    if isinstance(prompt, Mapping) and "messages" in prompt:
        return prompt.get("chat_template_kwargs", {})
    return None


def _stored(prompt: Prompt) -> Any:
    """Return a prompt as JSON holds it, where a text that is verbatim has to say so."""
    return {_VERBATIM: str(prompt)} if isinstance(prompt, Verbatim) else prompt


def _as_it_was(stored: Any) -> Prompt:
    """Return a prompt from what `_stored` made of it."""
    if isinstance(stored, Mapping) and _VERBATIM in stored:
        return Verbatim(stored[_VERBATIM])
    prompt: Prompt = stored
    return prompt


def _stored_memory(memory: Sequence[Exchange]) -> list[dict[str, Any]]:
    return [exchange.to_dict() for exchange in memory]


def _memory_of(fields: Mapping[str, Any]) -> tuple[Exchange, ...]:
    """Return the memory of a stored record; those of before memories have none."""
    return tuple(Exchange.from_dict(exchange) for exchange in fields.get("memory", ()))


def text_of(response: Response) -> str:
    """Return the text of a response, whether or not it carries ids."""
    return response if isinstance(response, str) else response.text
