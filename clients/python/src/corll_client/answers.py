"""What the service answers. Generated from its schemas by `make schemas`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What the service says. A reader ignores fields that a later release added."""

    model_config = ConfigDict(frozen=True)


class LearnedVersion(Answer):
    """The version that learned from something."""

    number: int
    """Its number, counted from 1."""

    state: Literal["candidate", "serving", "retired", "rejected"]
    """Its state now."""


class Edit(Answer):
    """What became of a draft, and how far it has come: recorded, then learned, then serving."""

    id: str
    """The edit's id."""

    object: Literal["edit"]
    """What this is."""

    draft_id: str
    """The draft that it was made of."""

    choice: int
    """Which of the draft's choices, counted from 0."""

    text: str
    """The text that was sent in the end."""

    accepted: bool
    """Whether the draft was sent as it was."""

    edit_cost: float
    """Characters changed per character sent."""

    created_at: float
    """When it was taken, in seconds since 1970."""

    state: Literal["accepted", "recorded", "learned", "serving", "set_aside", "replaced"]
    """How far it has come."""

    will_learn: bool
    """Whether it will be learned from, or was."""

    reason: str | None
    """Why nothing is learned from it."""

    version: LearnedVersion | None
    """The version that learned from it."""

    masked: list[str]
    """What is masked in it before it is learned from, in order: the learner sees a placeholder
    there.
    """


class DraftChoice(Answer):
    """One choice of a draft."""

    draft_id: str
    """The draft's id."""

    choice: int
    """Which of its choices, counted from 0."""


class Comparison(Answer):
    """One choice, preferred to another."""

    id: str
    """The comparison's id."""

    object: Literal["comparison"]
    """What this is."""

    chosen: DraftChoice
    """The better one."""

    rejected: DraftChoice
    """The other one."""

    created_at: float
    """When it was taken, in seconds since 1970."""

    state: Literal["accepted", "recorded", "learned", "serving", "set_aside", "replaced"]
    """How far it has come."""

    will_learn: bool
    """Whether it will be learned from, or was."""

    reason: str | None
    """Why nothing is learned from it."""

    version: LearnedVersion | None
    """The version that learned from it."""


class Learning(Answer):
    """What was asked of the learner."""

    object: Literal["learn"]
    """What this is."""

    queued: bool
    """Whether a step is going to be taken."""

    waiting: int
    """Preferences of the user that wait to be learned from."""

    learner: Literal["off", "starting", "ready", "down"]
    """How the learner is."""


class SkippedText(Answer):
    """A text of an import that teaches nothing."""

    item: int
    """Which of the texts, counted from 1."""

    reason: str
    """Why."""


class Interval(Answer):
    """A mean with its 95 % interval."""

    mean: float
    """The mean."""

    low: float
    """The lower end of its interval."""

    high: float
    """The upper end of its interval."""


class ImportResult(Answer):
    """What an import changed, on the texts that were held out; empty where none were.

    Where texts were not made from the model's drafts, surprisal tells what edit cost cannot.
    """

    held_out: int | None = None
    """Texts that it never learned from."""

    version: int | None = None
    """The version that drafts now; null for the reference."""

    taken_back: bool | None = None
    """Whether what was learned was taken out of use, since it made no held-out text likelier."""

    edit_cost_before: Interval | None = None
    """Characters changed per character sent, before."""

    edit_cost_after: Interval | None = None
    """The same, after."""

    change: Interval | None = None
    """Of the mean edit cost, relative to before: -0.5 means half the edits. Null where it was 0."""

    surprisal_before: Interval | None = None
    """How unlikely the texts were that were sent, before, in nats a token."""

    surprisal_after: Interval | None = None
    """The same, after."""

    surprisal_change: Interval | None = None
    """The difference of the two."""


class Import(Answer):
    """Past texts that the learner goes through."""

    id: str
    """The import's id."""

    object: Literal["import"]
    """What this is."""

    user: str
    """The id of the user whose texts they are."""

    state: Literal["waiting", "running", "done", "failed"]
    """How far it has come."""

    total: int
    """Texts that were handed over."""

    used: int
    """Texts that were learned from or measured with so far."""

    skipped: int = 0
    """Texts that teach nothing; `skipped_texts` says why."""

    skipped_texts: list[SkippedText] = []
    """The first 100 of these, in order of the import."""

    result: ImportResult | None
    """What it brought, once it is done."""

    error: str | None
    """Why it failed."""

    created_at: float
    """When it began, in seconds since 1970."""

    finished_at: float | None
    """When it ended, in seconds since 1970."""


class Consent(Answer):
    """The switches of a user."""

    store: bool
    """Whether drafts and edits may be kept."""

    learn: bool
    """Whether edits may teach the user's adapter."""

    share: bool
    """Whether they may be used beyond this user."""

    upstream: bool
    """Whether past letters may go to another service's model, where that drafts."""


class OwnReference(Answer):
    """The frozen model that a user's versions start from."""

    number: int
    """Its number among all references, counted from 1."""

    kind: Literal["base", "adapter"]
    """Whether it is the base or an adapter."""

    name: str
    """What it is called."""

    examined: bool
    """Whether it passed an examination before it served; the base needs none."""


class ReferenceName(Answer):
    """A frozen model that users' versions start from."""

    number: int
    """Its number among all references, counted from 1."""

    kind: Literal["base", "adapter"]
    """Whether it is the base or an adapter."""

    name: str
    """What it is called."""


class ReferenceStart(Answer):
    """A start from an adapter that does not serve: what served before goes on."""

    reference: ReferenceName
    """What the user was to start from."""

    state: Literal["examining", "started", "unexamined", "rejected", "withdrawn"]
    """`examining`, or `rejected`."""

    reasons: list[str]
    """Why it was rejected."""

    asked_at: float
    """When it was asked for, in seconds since 1970."""


class User(Answer):
    """A user: what may be done with their texts, and what serves them."""

    id: str
    """The user's id."""

    object: Literal["user"]
    """What this is."""

    name: str
    """The user's name, which a backend chooses."""

    consent: Consent
    """What the user agreed to."""

    holdback: float
    """Share of drafts that the reference writes, 0 to 0.5."""

    arm: Literal["auto", "base", "memory", "weights", "both"]
    """What drafts: `base`, `memory`, `weights`, `both`, or what a coin finds."""

    mask: Literal["none", "numbers", "addresses", "both"]
    """What is masked of their texts before they are learned from: `numbers`, `addresses`, `both`
    or `none`.
    """

    waiting: int
    """Preferences that wait to be learned from."""

    serving: int | None
    """The number of the version that drafts."""

    reference: OwnReference | None
    """What the user's versions start from."""

    start: ReferenceStart | None
    """The start that was asked for last, while it is examined or if it was rejected; else null."""

    created_at: float
    """When the user came, in seconds since 1970."""


class Users(Answer):
    """The users that a key may see."""

    object: Literal["list"]
    """What this is."""

    data: list[User]
    """The things, in order."""


class AnsweredDraft(Answer):
    """How one draft was answered."""

    created_at: float
    """When it was answered, in seconds since 1970."""

    version_number: int | None
    """The version that drafted."""

    held_back: bool
    """Whether the reference drafted in a version's place."""

    blind: bool
    """Whether chance decided who drafted."""

    accepted: bool
    """Whether the draft was sent as it was."""

    edit_cost: float
    """Characters changed per character sent."""

    arm: Literal["base", "memory", "weights", "both"] | None
    """Which arm drafted; null where a model was named, and for what is older."""


class CostFigure(Answer):
    """A mean edit cost with its 95 % interval."""

    mean: float
    """The mean."""

    low: float
    """The lower end of its interval."""

    high: float
    """The upper end of its interval."""

    count: int
    """Drafts that were answered."""

    accepted: float
    """Share of them that were sent as they were."""


class Benefit(Answer):
    """Drafts of which chance decided, unseen, whether a version or the reference wrote them."""

    learned: CostFigure
    """Those of versions."""

    held_back: CostFigure
    """Those of the reference."""

    difference: Interval
    """Below 0 where learning saves edits."""


class ArmFigure(Answer):
    """What drafts of an arm cost, on which the coin decided in its present trial."""

    mean: float
    """The mean."""

    low: float
    """The lower end of its interval."""

    high: float
    """The upper end of its interval."""

    count: int
    """Drafts that were answered."""

    accepted: float
    """Share of them that were sent as they were."""

    arm: Literal["base", "memory", "weights", "both"]
    """The arm."""


class DecidedTrial(Answer):
    """A trial between two arms that the coin decided."""

    winner: Literal["base", "memory", "weights", "both"]
    """The arm that served from then on."""

    loser: Literal["base", "memory", "weights", "both"]
    """The other one."""

    drafts: int
    """The drafts that decided it."""

    decided_at: float
    """When that was, in seconds since 1970."""

    upstream: str | None = None
    """The model of another service that wrote these; left out where our own did."""


class Arms(Answer):
    """Which arm drafts for a user, and what is known of it from drafts that a coin decided on.

    An arm is `base`, `memory` (behind past letters), `weights` (what was learned) or `both`.
    Where an upstream drafts, `base` is the bare upstream and `weights` its candidates,
    reranked.
    """

    choice: Literal["auto", "base", "memory", "weights", "both"]
    """What was chosen; `auto` leaves it to the coin."""

    serving: Literal["base", "memory", "weights", "both"]
    """The arm that drafts, where there is what it needs."""

    challenger: Literal["base", "memory", "weights", "both"] | None
    """The arm that is tried beside it; null for none."""

    share: float
    """The challenger's share of drafts, 0 to 1."""

    verdict: Literal["better", "worse", "not known yet"]
    """Whether the challenger is better, by the coin's drafts alone."""

    costs: list[ArmFigure]
    """Of the present trial, by arm."""

    difference: Interval | None
    """Edit cost of the challenger less that of the arm that serves, below 0 where the challenger
    saves edits; null while either has none.
    """

    decided: list[DecidedTrial]
    """Earlier trials in order."""

    learned: Literal["better", "worse", "not known yet"]
    """Whether the latest edits would have been easier with what was learned, by free evidence,
    which decides on no arm.
    """

    letters: Literal["better", "worse", "not known yet"]
    """The same of past letters before the request."""


class LearningReport(Answer):
    """What learning brought a user. Figures are null while there is nothing to average."""

    object: Literal["learning"]
    """What this is."""

    answers: list[AnsweredDraft]
    """Every answered draft, in order."""

    edit_cost: CostFigure | None
    """Of all of them."""

    edit_cost_learned: CostFigure | None
    """Of those that versions wrote."""

    edit_cost_held_back: CostFigure | None
    """Of those that were held back."""

    benefit: Benefit | None
    """The two sides of the blind measurement."""

    arms: Arms
    """Which arm drafts, and how it compares with another."""


class PromptMessage(Answer):
    """A turn of a conversation."""

    role: str
    """Who spoke: system, user, assistant or tool."""

    content: str
    """What was said."""


class FramedMessage(Answer):
    """What the user wrote of a framed prompt, by the names of a chat completion's fields."""

    frame: Literal["none", "reply", "write"]
    """The frame around the message."""

    message: str
    """The user's last message, as it was sent."""

    hint: str
    """What the draft was to carry out; empty for nothing."""

    sign_as: str
    """How the user signs; empty for nothing."""

    frame_template: str | None
    """The words in place of the frame's own."""


class ShownText(Answer):
    """A choice as it was shown."""

    text: str
    """The drafted text."""


class EditRecord(Answer):
    """An edit as the list of drafts tells of it."""

    id: str
    """The edit's id."""

    choice: int
    """Which of the draft's choices, counted from 0."""

    text: str
    """The text that was sent in the end."""

    state: Literal["accepted", "recorded", "replaced"]
    """As it was taken."""

    accepted: bool
    """Whether the draft was sent as it was."""

    edit_cost: float
    """Characters changed per character sent."""

    created_at: float
    """When it was taken, in seconds since 1970."""


class DraftRecord(Answer):
    """A draft as it is kept, with what became of it."""

    id: str
    """The draft's id."""

    object: Literal["draft"]
    """What this is."""

    created_at: float
    """When it was asked for, in seconds since 1970."""

    kind: Literal["chat", "text"]
    """Whether it answers or continues."""

    prompt: str | list[PromptMessage]
    """What was answered, as the model was told it."""

    asked: FramedMessage | None
    """What the user wrote of a framed prompt; null without a frame, and of drafts from before it
    was kept.
    """

    version: int | None
    """The version that drafted; null for the reference, and until a blind draft has its edit."""

    arm: Literal["base", "memory", "weights", "both"] | None
    """Which arm drafted: `base`, `memory`, `weights` or `both`; null where a model was named, and
    until a blind draft has its edit.
    """

    upstream: str | None = None
    """The model of another service that drafted; left out where our own did."""

    memory: list[str]
    """What stood before the prompt, in its order: ids of edits, of imported texts and of worked
    examples.
    """

    blind: bool
    """Whether chance decided who drafted."""

    choices: list[ShownText]
    """The choices, the best first."""

    status: Literal["complete", "cancelled"]
    """Whether it was drawn to its end."""

    source: Literal["live", "import"]
    """Where it came from."""

    edits: list[EditRecord]
    """Its edits."""


class Drafts(Answer):
    """A page of drafts, the newest first."""

    object: Literal["list"]
    """What this is."""

    data: list[DraftRecord]
    """The things, in order."""

    has_more: bool
    """Whether there are older ones."""


class LeakedFact(Answer):
    """A name, number, date or the like that a draft has from a text that stood before it."""

    choice: int
    """In which choice, counted from 0."""

    start: int
    """Where it begins there, in characters."""

    end: int
    """Where it ends."""

    text: str
    """What stands there."""

    kind: str
    """What it is: a name, number, date, time, sum, and so on."""

    memory: str
    """The id of the text that it comes from."""


class DraftFacts(Answer):
    """What `corll` adds to a draft. A blind measurement does not tell which version drafted."""

    candidates: int
    """Responses that were drawn."""

    implicit_reward: float | None
    """R_π of the first choice in nats; null where nothing was ranked by it."""

    user: str
    """The id of the user whom the draft is for."""

    stored: bool
    """Whether the draft is kept; only then it can teach. False too while the database is away; an
    edit that comes within a day has it kept.
    """

    not_stored_because: Literal["request", "consent", "database"] | None = None
    """`request` (store: false, or what is no draft), `consent` (its user has not agreed) or
    `database` (which is away); left out where the draft is kept.
    """

    version: int | None = None
    """The number of the version that drafted, or chose among an upstream's drafts; null for the
    reference, and the bare upstream; left out while blind.
    """

    goes_on: bool | None = None
    """True where the draft goes on with the assistant's last message: the draft, and with it its
    edit, is the whole text. Left out otherwise.
    """

    thrown_away: int | None = None
    """How many drafts were thrown away unseen, since they repeated themselves or opened as an
    AI's; left out where none was.
    """

    looped: list[int] | None = None
    """The choices that were stopped since they repeated themselves; left out where none was."""

    memory: list[str] | None = None
    """What stood before the request, in its order: ids of the user's edits, of imported texts and
    of worked examples; left out where nothing did.
    """

    leaks: list[LeakedFact] | None = None
    """Facts of these texts that stand in the draft though neither the request nor most of the
    user's texts hold them, to be looked at before it is sent; left out where there are none.
    """

    arm: Literal["base", "memory", "weights", "both"] | None = None
    """Which arm drafted: `base`, `memory` (behind past letters), `weights` (what was learned) or
    `both`; left out while blind, and where a model was named.
    """

    drafted_by: Literal["upstream"] | None = None
    """`upstream` where another service's model drafted; left out where our own did."""

    upstream_model: str | None = None
    """That model, by the upstream's name for it; left out where our own drafted."""

    ignored: list[str] | None = None
    """Fields of the request that changed nothing; left out where there was none."""

    blind: bool | None = None
    """True where chance decided who drafts; left out otherwise."""


class Version(Answer):
    """A user's weights after some steps."""

    object: Literal["version"]
    """What this is."""

    number: int
    """Its number among the user's versions, counted from 1."""

    state: Literal["candidate", "serving", "retired", "rejected"]
    """Whether it drafts."""

    parent: str | None
    """The id of the version it was learned from."""

    id: str
    """The version's id."""

    lineage: str
    """The id of its lineage, which starts from a reference."""

    reference: str
    """The id of the reference that is its π_0."""

    reasons: list[str]
    """Why it was rejected."""

    metrics: dict[str, float]
    """What its last step measured."""

    steps: int
    """Steps that its weights have had."""

    kept: bool
    """Whether its weights are still there."""

    optimizer_kept: bool
    """Whether the optimiser's state is too."""

    created_at: float
    """When it was made, in seconds since 1970."""

    served_at: float | None
    """When it first drafted, in seconds since 1970."""


class Versions(Answer):
    """A user's versions."""

    object: Literal["list"]
    """What this is."""

    data: list[Version]
    """The things, in order."""


class VersionAndAncestry(Answer):
    """A version, and those that it was learned from."""

    object: Literal["version"]
    """What this is."""

    number: int
    """Its number among the user's versions, counted from 1."""

    state: Literal["candidate", "serving", "retired", "rejected"]
    """Whether it drafts."""

    parent: str | None
    """The id of the version it was learned from."""

    id: str
    """The version's id."""

    lineage: str
    """The id of its lineage, which starts from a reference."""

    reference: str
    """The id of the reference that is its π_0."""

    reasons: list[str]
    """Why it was rejected."""

    metrics: dict[str, float]
    """What its last step measured."""

    steps: int
    """Steps that its weights have had."""

    kept: bool
    """Whether its weights are still there."""

    optimizer_kept: bool
    """Whether the optimiser's state is too."""

    created_at: float
    """When it was made, in seconds since 1970."""

    served_at: float | None
    """When it first drafted, in seconds since 1970."""

    ancestry: list[int]
    """Their numbers, its own first."""


class Rollback(Answer):
    """An earlier version drafts again."""

    object: Literal["rollback"]
    """What this is."""

    serving: int | None
    """Its number; null where the reference drafts."""


class DeletedCounts(Answer):
    """How much was deleted."""

    drafts: int = 0
    """Drafts, with their prompts and candidates."""

    edits: int = 0
    """Edits, the earlier ones of the same text included."""

    comparisons: int = 0
    """Comparisons of drafts."""

    preferences: int = 0
    """Pairs to learn from."""

    imported_texts: int = 0
    """Texts of imports."""


class ErasedVersion(Answer):
    """A version that saw what was deleted: its weights are gone."""

    user: str
    """The id of its user."""

    number: int
    """Its number among that user's versions."""

    id: str
    """The version's id."""

    manifest_sha256: str | None
    """The SHA-256 of its folder's manifest."""


class CleanVersion(Answer):
    """A version that never saw what was deleted."""

    number: int
    """Its number among the user's versions."""

    id: str
    """The version's id."""

    manifest_sha256: str | None
    """The SHA-256 of its folder's manifest."""


class Replay(Answer):
    """What is learned again without what was deleted."""

    state: Literal["none", "waiting", "done", "rejected", "withdrawn"]
    """How far it is."""

    edits: int
    """Preferences that are to be learned again."""

    seconds: float | None
    """How long that takes, by the steps of the same weights; null where unknown."""

    differs: list[str] | None = None
    """Where it could not be computed as before, so that last bits may differ: by other
    instructions, device or precision.
    """


class Receipt(Answer):
    """What a deletion did. It holds no text, and is kept after its user is gone."""

    object: Literal["deletion"]
    """What this is."""

    id: str
    """The deletion's id."""

    kind: Literal["edit", "draft", "import", "texts", "model", "user", "age"]
    """What was deleted."""

    subject: str
    """The id of what was deleted."""

    user: str
    """The id of the user."""

    deleted_at: float
    """When, in seconds since 1970."""

    until: float | None = None
    """Of kind `age`: the texts of that time and before went, in seconds since 1970."""

    counts: DeletedCounts
    """How many rows of each kind went."""

    erased: list[ErasedVersion]
    """Versions that saw it, erased."""

    references: list[int]
    """Numbers of references that were made of such a version, erased too."""

    stands_in: CleanVersion | None
    """What serves from the request on; null for the reference, with nothing learned."""

    replay: Replay
    """What is learned again without it."""

    first_without: CleanVersion | None
    """The version that learned the rest without it, once that serves."""

    drafts_of_erased: int
    """Drafts that stay though an erased version wrote them: they may repeat it."""

    drafts_behind: int
    """Drafts that stay though it stood before their prompts: they may repeat it."""

    cleaned: bool
    """Whether its bytes are gone from folders and database; else the next start of the service
    goes on.
    """

    sha256: str
    """The SHA-256 of what does not change of this receipt."""


class Forgotten(Answer):
    """Something that is gone from now on or, in a dry run, would be."""

    id: str
    """What was deleted."""

    object: Literal["edit", "draft", "import", "texts", "model", "user"]
    """What kind of thing it was."""

    deleted: bool
    """False in a dry run."""

    receipt: Receipt
    """What was deleted with it, and what serves now."""


class Receipts(Answer):
    """A user's deletions, the newest first."""

    object: Literal["list"]
    """What this is."""

    data: list[Receipt]
    """The things, in order."""


class VersionEvent(Answer):
    """A version of the user's has come to another state."""

    number: int
    """The version's number, counted from 1."""

    state: Literal["candidate", "serving", "retired", "rejected"]
    """Its state now."""


class EditEvent(Answer):
    """An edit of the user's was taken."""

    id: str
    """The edit's id."""

    state: Literal["accepted", "recorded", "learned", "serving", "set_aside", "replaced"]
    """Its state now."""

    edit_cost: float
    """Characters changed per character sent."""


class ImportEvent(Answer):
    """An import of the user's got further."""

    id: str
    """The import's id."""

    state: Literal["waiting", "running", "done", "failed"]
    """Its state now."""

    used: int
    """Texts that were learned from or measured with so far."""

    total: int
    """Texts that were handed over."""


class StartEvent(Answer):
    """The user's start from a reference has come to another state."""

    reference: int
    """The reference's number."""

    name: str
    """What the reference is called."""

    state: Literal["examining", "started", "unexamined", "rejected", "withdrawn"]
    """How far the start has come."""
