"""Fields of OpenAI's requests that no text depends on: accepted, and named in the reply."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from corll.schemas.bodies import RequestBody

_LONGEST_WORD = 512


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def _nothing(value: Any) -> Any:
    if value not in _EMPTY:
        raise ValueError("is not supported here")
    return value


Absent = Annotated[
    Any,
    AfterValidator(_nothing),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {"type": "string", "maxLength": 0},
                {"type": "array", "items": {}, "maxItems": 0},
                {"type": "object", "additionalProperties": True, "maxProperties": 0},
            ]
        }
    ),
    Field(None, description="Not supported: null, empty, or left out."),
]
"""A field of OpenAI's that clients send along empty."""

Word = Annotated[str | None, Field(None, max_length=_LONGEST_WORD, description="Changes nothing.")]

Ignored = Annotated[Any, Field(None, description="Changes nothing here.")]
"""A field of OpenAI's of any kind that has no effect on a text."""


ChoiceOfTools = Annotated[
    Literal["none", "auto"] | None,
    Field(None, description="Changes nothing, since there are no tools."),
]


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
    """What clients send along, and what changes nothing of a draft here.

    One table for chats, completions and responses: typed clients send what is neutral to any of
    them. What would change a text, were it heeded, is taken with its neutral value alone.
    """

    service_tier: Word
    prompt_cache_key: Word
    prompt_cache_retention: Word
    prompt_cache_options: Ignored
    prediction: dict[str, Any] | None = Field(None, description="Changes nothing.")
    modalities: list[Literal["text"]] | None = Field(None, description="Text alone.")
    verbosity: Literal["medium"] | None = Field(None, description="Not supported: medium.")
    reasoning_effort: Literal["none"] | None = Field(
        None, description="Not supported: none, null, or left out; see chat_template_kwargs."
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="Changes nothing: what is too long is refused."
    )
    context_management: Absent
    suffix: Absent
    tools: Absent
    functions: Absent
    tool_choice: ChoiceOfTools
    function_call: ChoiceOfTools
    parallel_tool_calls: bool | None = Field(
        None, description="Changes nothing, since there are no tools."
    )
    max_tool_calls: Ignored

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(IgnoredFields.model_fields)
