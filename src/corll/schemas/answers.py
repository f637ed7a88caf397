"""What came of drafts, and whose they are: edits, comparisons, imports, users, learning."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from corll.frames import FrameName
from corll.schemas.bodies import Answer, left_out
from corll.schemas.starts import OwnReference, ReferenceStart
from corll.schemas.states import (
    ArmChoice,
    DraftKind,
    DraftSource,
    DraftStatus,
    EditState,
    FeedbackState,
    ImportState,
    LearnerState,
    Mask,
    MemoryMark,
    VersionState,
)
from corll.verdicts.arms import Arm

Item = TypeVar("Item", bound=Answer)


class Listed(Answer, Generic[Item]):
    """A list of things of one kind."""

    object: Literal["list"] = Field(description="What this is.")
    data: list[Item] = Field(description="The things, in order.")


class Deleted(Answer):
    """Something that is gone from now on."""

    id: str = Field(description="What was deleted.")
    object: Literal["key"] = Field(description="What kind of thing it was.")
    deleted: Literal[True] = Field(description="Always true.")


class Interval(Answer):
    """A mean with its 95 % interval."""

    mean: float = Field(description="The mean.")
    low: float = Field(description="The lower end of its interval.")
    high: float = Field(description="The upper end of its interval.")


class LearnedVersion(Answer):
    """The version that learned from something."""

    number: int = Field(description="Its number, counted from 1.")
    state: VersionState = Field(description="Its state now.")


class Edit(Answer):
    """What became of a draft, and how far it has come: recorded, then learned, then serving."""

    id: str = Field(description="The edit's id.")
    object: Literal["edit"] = Field(description="What this is.")
    draft_id: str = Field(description="The draft that it was made of.")
    choice: int = Field(description="Which of the draft's choices, counted from 0.")
    text: str = Field(description="The text that was sent in the end.")
    accepted: bool = Field(description="Whether the draft was sent as it was.")
    edit_cost: float = Field(description="Characters changed per character sent.")
    created_at: float = Field(description="When it was taken, in seconds since 1970.")
    state: FeedbackState = Field(description="How far it has come.")
    will_learn: bool = Field(description="Whether it will be learned from, or was.")
    reason: str | None = Field(description="Why nothing is learned from it.")
    version: LearnedVersion | None = Field(description="The version that learned from it.")
    masked: list[str] = Field(
        description="What is masked in it before it is learned from, in order: the learner sees a "
        "placeholder there."
    )


class DraftChoice(Answer):
    """One choice of a draft."""

    draft_id: str = Field(description="The draft's id.")
    choice: int = Field(description="Which of its choices, counted from 0.")


class Comparison(Answer):
    """One choice, preferred to another."""

    id: str = Field(description="The comparison's id.")
    object: Literal["comparison"] = Field(description="What this is.")
    chosen: DraftChoice = Field(description="The better one.")
    rejected: DraftChoice = Field(description="The other one.")
    created_at: float = Field(description="When it was taken, in seconds since 1970.")
    state: FeedbackState = Field(description="How far it has come.")
    will_learn: bool = Field(description="Whether it will be learned from, or was.")
    reason: str | None = Field(description="Why nothing is learned from it.")
    version: LearnedVersion | None = Field(description="The version that learned from it.")


class Learning(Answer):
    """What was asked of the learner."""

    object: Literal["learn"] = Field(description="What this is.")
    queued: bool = Field(description="Whether a step is going to be taken.")
    waiting: int = Field(description="Preferences of the user that wait to be learned from.")
    learner: LearnerState = Field(description="How the learner is.")


class ImportResult(Answer):
    """What an import changed, on the texts that were held out; empty where none were.

    Where texts were not made from the model's drafts, surprisal tells what edit cost cannot.
    """

    held_out: int | SkipJsonSchema[None] = left_out("Texts that it never learned from.")
    version: int | None = left_out("The version that drafts now; null for the reference.")
    taken_back: bool | SkipJsonSchema[None] = left_out(
        "Whether what was learned was taken out of use, since it made no held-out text likelier."
    )
    edit_cost_before: Interval | SkipJsonSchema[None] = left_out(
        "Characters changed per character sent, before."
    )
    edit_cost_after: Interval | SkipJsonSchema[None] = left_out("The same, after.")
    change: Interval | None = left_out(
        "Of the mean edit cost, relative to before: -0.5 means half the edits. Null where it was 0."
    )
    surprisal_before: Interval | SkipJsonSchema[None] = left_out(
        "How unlikely the texts were that were sent, before, in nats a token."
    )
    surprisal_after: Interval | SkipJsonSchema[None] = left_out("The same, after.")
    surprisal_change: Interval | SkipJsonSchema[None] = left_out("The difference of the two.")


class SkippedText(Answer):
    """A text of an import that teaches nothing."""

    item: int = Field(description="Which of the texts, counted from 1.")
    reason: str = Field(description="Why.")


class Import(Answer):
    """Past texts that the learner goes through."""

    id: str = Field(description="The import's id.")
    object: Literal["import"] = Field(description="What this is.")
    user: str = Field(description="The id of the user whose texts they are.")
    state: ImportState = Field(description="How far it has come.")
    total: int = Field(description="Texts that were handed over.")
    used: int = Field(description="Texts that were learned from or measured with so far.")
    skipped: int = Field(0, description="Texts that teach nothing; `skipped_texts` says why.")
    skipped_texts: list[SkippedText] = Field(
        [], description="The first 100 of these, in order of the import."
    )
    result: ImportResult | None = Field(description="What it brought, once it is done.")
    error: str | None = Field(description="Why it failed.")
    created_at: float = Field(description="When it began, in seconds since 1970.")
    finished_at: float | None = Field(description="When it ended, in seconds since 1970.")


class Imports(Listed[Import]):
    """A page of imports, the newest first."""

    has_more: bool = Field(description="Whether there are older ones.")


class Consent(Answer):
    """The switches of a user."""

    store: bool = Field(description="Whether drafts and edits may be kept.")
    learn: bool = Field(description="Whether edits may teach the user's adapter.")
    share: bool = Field(description="Whether they may be used beyond this user.")
    upstream: bool = Field(
        description="Whether past letters may go to another service's model, where that drafts."
    )


class User(Answer):
    """A user: what may be done with their texts, and what serves them."""

    id: str = Field(description="The user's id.")
    object: Literal["user"] = Field(description="What this is.")
    name: str = Field(description="The user's name, which a backend chooses.")
    consent: Consent = Field(description="What the user agreed to.")
    holdback: float = Field(description="Share of drafts that the reference writes, 0 to 0.5.")
    arm: ArmChoice = Field(
        description="What drafts: `base`, `memory`, `weights`, `both`, or what a coin finds."
    )
    mask: Mask = Field(
        description="What is masked of their texts before they are learned from: `numbers`, "
        "`addresses`, `both` or `none`."
    )
    waiting: int = Field(description="Preferences that wait to be learned from.")
    serving: int | None = Field(description="The number of the version that drafts.")
    reference: OwnReference | None = Field(description="What the user's versions start from.")
    start: ReferenceStart | None = Field(
        description="The start that was asked for last, while it is examined or if it was "
        "rejected; else null."
    )
    created_at: float = Field(description="When the user came, in seconds since 1970.")


class UserAndLearner(User):
    """A user, and how their learning stands."""

    preferences_per_step: int = Field(description="Preferences that make a step of the learner.")
    learner: LearnerState = Field(description="How the learner is.")
    sends_letters_to: str | None = Field(
        description="The model of another service before whose requests past letters stand, once "
        "the user agrees (`consent.upstream`); null where none do."
    )


class Users(Listed[User]):
    """The users that a key may see."""


class PromptMessage(Answer):
    """A turn of a conversation."""

    role: str = Field(description="Who spoke: system, user, assistant or tool.")
    content: str = Field(description="What was said.")


class FramedMessage(Answer):
    """What the user wrote of a framed prompt, by the names of a chat completion's fields."""

    frame: FrameName = Field(description="The frame around the message.")
    message: str = Field(description="The user's last message, as it was sent.")
    hint: str = Field(description="What the draft was to carry out; empty for nothing.")
    sign_as: str = Field(description="How the user signs; empty for nothing.")
    frame_template: str | None = Field(description="The words in place of the frame's own.")


class ShownText(Answer):
    """A choice as it was shown."""

    text: str = Field(description="The drafted text.")


class EditRecord(Answer):
    """An edit as the list of drafts tells of it."""

    id: str = Field(description="The edit's id.")
    choice: int = Field(description="Which of the draft's choices, counted from 0.")
    text: str = Field(description="The text that was sent in the end.")
    state: EditState = Field(description="As it was taken.")
    accepted: bool = Field(description="Whether the draft was sent as it was.")
    edit_cost: float = Field(description="Characters changed per character sent.")
    created_at: float = Field(description="When it was taken, in seconds since 1970.")


class DraftRecord(Answer):
    """A draft as it is kept, with what became of it."""

    id: str = Field(description="The draft's id.")
    object: Literal["draft"] = Field(description="What this is.")
    created_at: float = Field(description="When it was asked for, in seconds since 1970.")
    kind: DraftKind = Field(description="Whether it answers or continues.")
    prompt: str | list[PromptMessage] = Field(
        description="What was answered, as the model was told it."
    )
    asked: FramedMessage | None = Field(
        description="What the user wrote of a framed prompt; null without a frame, and of drafts "
        "from before it was kept."
    )
    version: int | None = Field(
        description="The version that drafted; null for the reference, and until a blind draft "
        "has its edit."
    )
    arm: Arm | None = Field(
        description="Which arm drafted: `base`, `memory`, `weights` or `both`; null where a model "
        "was named, and until a blind draft has its edit."
    )
    upstream: str | SkipJsonSchema[None] = left_out(
        "The model of another service that drafted; left out where our own did."
    )
    memory: list[str] = Field(
        description="What stood before the prompt, in its order: ids of edits, of imported texts "
        "and of worked examples."
    )
    blind: bool = Field(description="Whether chance decided who drafted.")
    choices: list[ShownText] = Field(description="The choices, the best first.")
    status: DraftStatus = Field(description="Whether it was drawn to its end.")
    source: DraftSource = Field(description="Where it came from.")
    edits: list[EditRecord] = Field(description="Its edits.")


class Drafts(Listed[DraftRecord]):
    """A page of drafts, the newest first."""

    has_more: bool = Field(description="Whether there are older ones.")


class RememberedText(Answer):
    """A letter that a user sent, and what was asked for it."""

    id: str = Field(description="The id of the edit or of the imported text.")
    asked: str = Field(description="What was asked, as the model reads it.")
    text: str = Field(description="What was sent.")
    mark: MemoryMark | None = Field(
        description="Whether it stands before every request of its kind, or before none; null: "
        "where it is chosen."
    )


class Memory(Listed[RememberedText]):
    """Letters of one kind of request, the newest first."""

    has_more: bool = Field(description="Whether there are older ones.")
    remembers: bool = Field(
        description="Whether the user agreed that texts are kept and learned from, without which "
        "none stands before a request."
    )
