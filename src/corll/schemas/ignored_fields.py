"""Fields of OpenAI's requests that no text depends on: accepted, and named in the reply."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from corll.schemas.bodies import RequestBody

_LONGEST_WORD = 512


def _nothing(value: Any) -> Any:
    if value not in (None, []):
        raise ValueError("is not supported here")
    return value


Absent = Annotated[
    Any,
    AfterValidator(_nothing),
    WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "array", "items": {}, "maxItems": 0}]}),
    Field(None, description="Not supported: null, empty, or left out."),
]
"""A field of OpenAI's that clients send along empty."""

Word = Annotated[str | None, Field(None, max_length=_LONGEST_WORD, description="Changes nothing.")]

Ignored = Annotated[Any, Field(None, description="Changes nothing here.")]
"""A field of OpenAI's of any kind that has no effect on a text."""


class NamesIgnored(RequestBody):
    """A part of a request that says which of its fields changed nothing."""

    @property
    def ignored(self) -> list[str]:
        """Return the names of the fields that the request holds and that changed nothing."""
        names = self._harmless & self.model_fields_set
        return sorted(name for name in names if getattr(self, name) is not None)

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset()


class IgnoredFields(NamesIgnored):
    """What clients send along, and what changes nothing of a draft here."""

    service_tier: Word
    prompt_cache_key: Word
    prompt_cache_retention: Word

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(IgnoredFields.model_fields)


class IgnoredOfConversations(IgnoredFields):
    """What of these chats and responses have: tools are none, so they change no draft."""

    tools: Absent
    tool_choice: Literal["none", "auto"] | None = Field(
        None, description="Changes nothing, since there are no tools."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Changes nothing, since there are no tools."
    )

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(IgnoredOfConversations.model_fields)


class IgnoredOfChats(IgnoredOfConversations):
    """What of these only chats have."""

    modalities: list[Literal["text"]] | None = Field(None, description="Text alone.")
    prediction: dict[str, Any] | None = Field(None, description="Changes nothing.")
    functions: Absent
    function_call: Literal["none", "auto"] | None = Field(
        None, description="Changes nothing, since there are no tools."
    )

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(IgnoredOfChats.model_fields)


class IgnoredOfResponses(IgnoredOfConversations):
    """What of these only responses have."""

    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="Changes nothing: what is too long is refused."
    )
    max_tool_calls: Ignored
    prompt_cache_options: Ignored

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(IgnoredOfResponses.model_fields)
