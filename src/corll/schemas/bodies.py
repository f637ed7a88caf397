"""What all shapes share: a request refuses fields that it does not know, an answer ignores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from corll.text import half_character


class RequestBody(BaseModel):
    """A request's body. An unknown field is an error; one that is null is as if left out.

    Typed clients and proxies send along as null what they leave out.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or all(it is not None for it in fields.values()):
            return fields
        needed = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {name: it for name, it in fields.items() if it is not None or name in needed}


class Answer(BaseModel):
    """What the service says. A reader ignores fields that a later release added."""

    model_config = ConfigDict(frozen=True)


def example(one_of: Sequence[str] = (), /, **fields: Any) -> ConfigDict:
    """Return the settings of a request's body that show an example in the API's description.

    With `one_of` it says, too, that exactly one of these fields is there.
    """
    extra: dict[str, Any] = {"examples": [fields]}
    if one_of:
        extra["oneOf"] = [{"required": [name]} for name in one_of]
    return ConfigDict(extra="forbid", json_schema_extra=extra)


def left_out(description: str) -> Any:
    """Describe a field that an answer does not hold at all where it has nothing to say."""
    return Field(None, description=description, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _of_whole_characters(text: str) -> str:
    if (place := half_character(text)) is not None:
        raise ValueError(f"holds half of a character at {place} (a lone surrogate)")
    return text


Text = Annotated[str, AfterValidator(_of_whole_characters)]
"""What a model can read: JSON can name half of a character, UTF-8 cannot."""
