"""Requests other than those for drafts. A field that is not here is refused, never ignored."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from corll.frames import Framing
from corll.records import Message
from corll.schemas.bodies import Name, RequestBody, Text, example
from corll.schemas.openai_fields import (
    ChatMessage,
    FrameTemplate,
    FrameWanted,
    Hint,
    SignAs,
)
from corll.schemas.states import ArmChoice, KeyScope, Mask, MemoryMark

_MOST_ITEMS = 10_000
_NAMES_OF_DRAFTS = ("draft_id", "ref", "draft_text", "messages")

Choice = Annotated[int, Field(ge=0, le=127, description="Which of the draft's choices.")]
DraftId = Annotated[Name, Field(max_length=64, description="`id` of the draft's reply.")]
IdempotencyKey = Annotated[
    Name | None,
    Field(
        None,
        min_length=1,
        max_length=200,
        description="A word of the client's own, by which a repeated request is known.",
    ),
]
PastText = Annotated[Text, Field(min_length=1, max_length=200_000)]
UserName = Annotated[
    Name | None,
    Field(max_length=64, description="For a backend's key: the name of the user it speaks for."),
]


class EditRequest(RequestBody):
    """What the user sent in place of a draft."""

    model_config = example(
        _NAMES_OF_DRAFTS, draft_id="chatcmpl-…", text="Hello, it comes on Friday. Anna"
    )

    draft_id: Name | SkipJsonSchema[None] = Field(
        None, max_length=64, description="`id` of the draft's reply."
    )
    ref: Name | SkipJsonSchema[None] = Field(
        None,
        min_length=1,
        max_length=200,
        description="In place of draft_id: the client's own reference of the draft, which it gave "
        "as metadata.corll_ref or in the header x-client-request-id.",
    )
    draft_text: Text | SkipJsonSchema[None] = Field(
        None,
        max_length=1_000_000,
        description="In place of draft_id: the draft's text as the client has it. It is looked for "
        "among the user's latest 200 drafts; white space makes no difference.",
    )
    messages: list[ChatMessage] | SkipJsonSchema[None] = Field(
        None,
        min_length=2,
        max_length=1000,
        description="In place of draft_id: the conversation as the client has it, the draft last. "
        "It tells drafts of one text apart.",
    )
    text: Text = Field(max_length=1_000_000, description="The text that was sent in the end.")
    choice: Choice = 0
    user: UserName = None
    idempotency_key: IdempotencyKey = None

    @model_validator(mode="after")
    def _names_one_draft(self) -> Self:
        ways = {name: getattr(self, name) for name in _NAMES_OF_DRAFTS}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"name the draft in one way, by one of {', '.join(ways)}; "
                f"{' and '.join(given) or 'none'} came"
            )
        if self.messages is not None and self.messages[-1].role != "assistant":
            raise ValueError("the last of messages is the draft: a message of the assistant's")
        return self

    @property
    def conversation(self) -> list[Message] | None:
        """Return the conversation as the client has it; None where it named the draft otherwise."""
        return None if self.messages is None else [one.as_plain() for one in self.messages]


class ComparisonSide(RequestBody):
    """One side of a comparison."""

    draft_id: DraftId
    choice: Choice = 0


class ComparisonRequest(RequestBody):
    """`chosen` is better than `rejected`."""

    model_config = example(
        chosen={"draft_id": "chatcmpl-…", "choice": 1}, rejected={"draft_id": "chatcmpl-…"}
    )

    chosen: ComparisonSide = Field(description="The better one.")
    rejected: ComparisonSide = Field(description="The other one.")
    idempotency_key: IdempotencyKey = None


class LearnRequest(RequestBody):
    """Whose edits are to be learned from now, though fewer than N wait."""

    model_config = example(user="anna")

    user: UserName = None


class PastTextItem(RequestBody):
    """A text that was sent, what it answered, and the draft it was made from if there was one."""

    prompt: PastText | Annotated[list[ChatMessage], Field(min_length=1, max_length=200)] = Field(
        description="What it answered: a text, or a conversation."
    )
    sent: PastText = Field(description="The text that was sent.")
    draft: PastText | None = Field(None, description="The draft that it was made from.")
    hint: Hint = None
    sign_as: SignAs = None

    @property
    def conversation(self) -> list[Message]:
        """Return what it answered, as messages and without a frame."""
        if isinstance(self.prompt, str):
            return [{"role": "user", "content": self.prompt}]
        return [message.as_plain() for message in self.prompt]


class ImportRequest(RequestBody):
    """Past texts of one user, best in the frame that drafts will be asked for in.

    What an item says of how it is signed comes before what is said of all.
    """

    model_config = example(
        items=[{"prompt": "Is the red one in stock?", "sent": "It is. Regards, Anna"}]
    )

    items: list[PastTextItem] = Field(
        min_length=1, max_length=_MOST_ITEMS, description="The texts, in order."
    )
    user: UserName = None
    frame: FrameWanted = "none"
    sign_as: SignAs = None
    frame_template: FrameTemplate = None

    @model_validator(mode="after")
    def _fits_the_frame(self) -> Self:
        for number, item in enumerate(self.items, start=1):
            try:
                self.framing(item).around_last(item.conversation)
            except ValueError as error:
                raise ValueError(f"text {number}: {error}") from error
        return self

    def framing(self, item: PastTextItem) -> Framing:
        """Return the frame of an item. *Raises*: InputError where it is not right."""
        name = self.sign_as if item.sign_as is None else item.sign_as
        return Framing(self.frame or "none", item.hint or "", name or "", self.frame_template)


class ConsentRequest(RequestBody):
    """The switches of consent; what is left out stays as it is."""

    model_config = example(store=True, learn=True)

    store: bool | None = Field(None, description="Whether drafts and edits may be kept.")
    learn: bool | None = Field(
        None,
        description="Whether edits may teach the user's adapter, and stand before the user's later "
        "requests.",
    )
    share: bool | None = Field(None, description="Whether they may be used beyond this user.")
    upstream: bool | None = Field(
        None,
        description="Whether past letters may go to another service's model, where that drafts.",
    )
    holdback: float | None = Field(
        None, ge=0, le=0.5, description="Share of drafts from the base, to measure the benefit."
    )
    arm: ArmChoice | None = Field(
        None,
        description="What drafts: the `base` alone, behind past letters (`memory`), what was "
        "learned (`weights`), `both`, or what a coin finds to save most (`auto`).",
    )
    mask: Mask | None = Field(
        None,
        description="What is masked of texts before they are learned from: `numbers` of four "
        "digits and more, `addresses` of mail and web, `both`, `none`.",
    )
    include_past: bool = Field(
        False, description="Whether edits that came before consent may be learned from too."
    )


class NewUserRequest(RequestBody):
    """A user, made before their first draft."""

    model_config = example(name="anna", consent={"store": True, "learn": True})

    name: Name = Field(
        min_length=1, max_length=64, description="By which the key's requests name the user."
    )
    consent: ConsentRequest = Field(
        default_factory=ConsentRequest, description="What the user agrees to from the start."
    )


class MemoryMarkRequest(RequestBody):
    """The user's say in whether a letter stands before requests."""

    model_config = example(mark="pinned")

    mark: MemoryMark | None = Field(
        description="`pinned`: before every request of its kind; `skipped`: before none; null: "
        "where it is chosen, as others are."
    )


class RollbackRequest(RequestBody):
    """Which version serves again; 0 is the reference."""

    model_config = example(to=6)

    to: int = Field(ge=0, le=2**31 - 1, description="Its number; 0 for the reference.")
    requeue: bool = Field(
        False, description="Whether what is undone waits to be learned again, or is set aside."
    )


class StartRequest(RequestBody):
    """Which reference a user's weights start from."""

    model_config = example(reference=2)

    reference: int = Field(ge=1, le=2**31 - 1, description="Its number.")


class KeyRequest(RequestBody):
    """A new key. A backend's keys for users are in its own name space."""

    model_config = example(scope="user", user="anna", label="Anna's laptop")

    scope: KeyScope = Field(description="What it may do.")
    label: Name = Field("", max_length=200, description="What it is for.")
    user: Name | None = Field(None, max_length=64, description="Scope user: whose key it is.")
    namespace: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Scope backend: the name space of its users; by default a new one.",
    )
    rate_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="Requests a minute; the server's own by default."
    )


class KeyRotation(RequestBody):
    """How a key gives its place to another."""

    model_config = example(overlap_s=86_400)

    overlap_s: float = Field(
        86_400.0,
        ge=0,
        le=30 * 86_400,
        allow_inf_nan=False,
        description="Seconds for which the old key still works, 0 to 30 days; a day by default.",
    )


class LinkRequest(RequestBody):
    """Whom a link signs in."""

    model_config = example(user="anna")

    user: UserName = None
