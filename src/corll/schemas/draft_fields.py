"""Fields that requests for drafts share, of whatever shape."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from corll.memory.choosing import MemoryChoice
from corll.schemas.bodies import Name, RequestBody
from corll.schemas.ignored_fields import IgnoredFields, NamesIgnored
from corll.schemas.openai_fields import FrameTemplate, FrameWanted, Hint, Metadata, SignAs
from corll.schemas.sampling_fields import SamplingFields


class Obfuscation(NamesIgnored):
    """What a stream of OpenAI's may hold beside its events; none is added here."""

    include_obfuscation: bool = Field(False, description="Changes nothing: none is added.")

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(Obfuscation.model_fields)


class DraftFields(SamplingFields, IgnoredFields):
    """Who drafts, for whom, how it is drawn, and what is kept of it."""

    model: Name = Field(max_length=200, description="`corll`, `base`, or a version: NAME@7.")
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="Makes a draft repeatable; random by default."
    )
    stream: bool | None = Field(False, description="Whether the draft comes as events.")
    stream_options: Obfuscation | None = Field(None, description="Of a stream alone.")
    user: Name | None = Field(
        None, max_length=64, description="The older name of safety_identifier."
    )
    safety_identifier: Name | None = Field(
        None, max_length=64, description="For a backend's key: the name of the user it speaks for."
    )
    num_candidates: int | None = Field(
        None, ge=1, le=128, description="k: responses drawn, of which the best are shown."
    )
    implicit_reward: bool | None = Field(
        False,
        description="Whether the draft's R_π is wanted where nothing is ranked by it: two passes.",
    )
    store: bool | None = Field(
        None,
        description="False keeps this draft nowhere; else consent says what is stored.",
    )
    metadata: Metadata = None

    @property
    def user_name(self) -> str | None:
        """Return whom a backend speaks for; `user` is the older name."""
        return self.safety_identifier or self.user

    @property
    def ignored(self) -> list[str]:
        """Return the names of the fields that the request holds and that changed nothing."""
        return super().ignored + ignored_within("stream_options", self.stream_options)


class ConversationFields(RequestBody):
    """What an answer to a conversation may be asked for with, beside the conversation."""

    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="How many of the likeliest tokens in place of each."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None,
        description="What the model's chat template is told beside the messages, as in vLLM's API, "
        'such as {"enable_thinking": true}; it is kept with the draft. What the renderer sets '
        "itself, such as `messages`, is refused.",
    )
    frame: FrameWanted = "none"
    hint: Hint = None
    sign_as: SignAs = None
    frame_template: FrameTemplate = None
    memory: MemoryChoice | None = Field(
        None,
        description="Which letters that the user sent before stand before this request, in place "
        "of the server's setting: `last`, `nearest`, `similar`, `none`.",
    )


def ignored_within(name: str, part: NamesIgnored | None) -> list[str]:
    """Return what changed nothing of a part of a request, under the whole's names."""
    return [] if part is None else [f"{name}.{field}" for field in part.ignored]
