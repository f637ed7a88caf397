"""What is run: versions, references, keys, models, sign-ins, and whether the service is well."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from corll.schemas.answers import Listed
from corll.schemas.bodies import Answer
from corll.schemas.states import KeyScope, LearnerState, ReferenceKind, StartState, VersionState


class Version(Answer):
    """A user's weights after some steps."""

    object: Literal["version"] = Field(description="What this is.")
    number: int = Field(description="Its number among the user's versions, counted from 1.")
    state: VersionState = Field(description="Whether it drafts.")
    parent: str | None = Field(description="The id of the version it was learned from.")
    id: str = Field(description="The version's id.")
    lineage: str = Field(description="The id of its lineage, which starts from a reference.")
    reference: str = Field(description="The id of the reference that is its π_0.")
    reasons: list[str] = Field(description="Why it was rejected.")
    metrics: dict[str, float] = Field(description="What its last step measured.")
    steps: int = Field(description="Steps that its weights have had.")
    kept: bool = Field(description="Whether its weights are still there.")
    optimizer_kept: bool = Field(description="Whether the optimiser's state is too.")
    created_at: float = Field(description="When it was made, in seconds since 1970.")
    served_at: float | None = Field(description="When it first drafted, in seconds since 1970.")


class VersionAndAncestry(Version):
    """A version, and those that it was learned from."""

    ancestry: list[int] = Field(description="Their numbers, its own first.")


class Versions(Listed[Version]):
    """A user's versions."""


class Rollback(Answer):
    """An earlier version drafts again."""

    object: Literal["rollback"] = Field(description="What this is.")
    serving: int | None = Field(description="Its number; null where the reference drafts.")


class Requeue(Answer):
    """What was set aside waits again."""

    object: Literal["requeue"] = Field(description="What this is.")
    preferences: int = Field(description="How many preferences.")


class Prune(Answer):
    """Weights were removed."""

    object: Literal["prune"] = Field(description="What this is.")
    removed: list[int] = Field(description="The numbers of their versions.")


class Reference(Answer):
    """A frozen model that users' weights start from."""

    object: Literal["reference"] = Field(description="What this is.")
    number: int = Field(description="Its number among all references, counted from 1.")
    kind: ReferenceKind = Field(description="Whether it is the base or an adapter.")
    name: str = Field(description="What it is called.")
    id: str = Field(description="The reference's id.")
    fingerprint: str = Field(description="The fingerprint of its weights.")
    base_model: str = Field(description="The base model that it belongs to.")
    base_fingerprint: str = Field(description="The fingerprint of that base.")
    created_at: float = Field(description="When it was taken in, in seconds since 1970.")


class References(Listed[Reference]):
    """The references."""


class Start(Answer):
    """A user's weights start over, or will once what they start from was examined."""

    object: Literal["start"] = Field(description="What this is.")
    user: str = Field(description="The user's id.")
    reference: Reference = Field(description="What they start from.")
    state: StartState = Field(
        description="`started`; `examining`: what serves now goes on until the learner has "
        "examined the adapter; `unexamined`: it serves at once, since nothing is learned here."
    )


class Key(Answer):
    """A key, without its secret."""

    object: Literal["key"] = Field(description="What this is.")
    id: str = Field(description="The key's id.")
    scope: KeyScope = Field(description="What it may do.")
    namespace: str = Field(description="The name space of its users.")
    user_id: str | None = Field(description="Scope user: whose key it is.")
    label: str = Field(description="What it is for.")
    rate_per_minute: int | None = Field(description="Requests a minute; null for the server's.")
    created_at: float = Field(description="When it was made, in seconds since 1970.")
    revoked_at: float | None = Field(description="When it ended or is going to, in seconds.")


class NewKey(Key):
    """A key that was just made."""

    key: str = Field(description="The secret, which is shown this once.")


class Keys(Listed[Key]):
    """Keys, without their secrets."""


class Model(Answer):
    """A name that drafts can be asked of."""

    id: str = Field(description="`corll`, `base`, or a version: NAME@7.")
    object: Literal["model"] = Field(description="What this is.")
    created: int = Field(description="When it was made, in seconds since 1970; else 0.")
    owned_by: Literal["corll"] = Field(description="Always corll.")
    base: str = Field(description="The base model.")


class Models(Listed[Model]):
    """The models that can be asked for."""


class Frame(Answer):
    """What a model is told around a message."""

    id: str = Field(description="Its name, for `frame` of a chat completion.")
    object: Literal["frame"] = Field(description="What this is.")
    template: str = Field(
        description="Its words for a user with a name, with {message}, {hint}, {name} and "
        "{sender}, who signed the message; a line whose field is empty is left out."
    )
    template_without_name: str = Field(
        description="Its words for a user who gives no name, without {name}."
    )


class Frames(Listed[Frame]):
    """The frames around a message."""


class Link(Answer):
    """A link that signs a browser in, once."""

    object: Literal["link"] = Field(description="What this is.")
    path: str = Field(description="Where it points, on the service's own host.")
    lasts_s: float = Field(description="How long it can be used, in seconds.")


class SignedInUser(Answer):
    """The user of a session."""

    id: str = Field(description="The user's id.")
    name: str = Field(description="The user's name.")


class Session(Answer):
    """The session of a browser."""

    object: Literal["session"] = Field(description="What this is.")
    user: SignedInUser = Field(description="Who is signed in.")
    csrf: str = Field(description="The word that requests repeat as x-corll-csrf.")
    expires_at: float = Field(description="When it ends, in seconds since 1970.")
    model: str = Field(description="The base model.")


class EndedSession(Answer):
    """A session that is over."""

    object: Literal["session"] = Field(description="What this is.")
    ended: Literal[True] = Field(description="Always true.")


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = Field(description="Always ok.")


class Readiness(Answer):
    """Whether drafts can be drawn."""

    status: Literal["ready", "unavailable"] = Field(description="Whether drafts can be drawn.")
    drafting: Literal["ok", "down"] = Field(description="Whether the engine works.")
    store: Literal["ok", "down"] = Field(description="Whether the store can be read.")
    learner: LearnerState = Field(description="How the learner is.")
