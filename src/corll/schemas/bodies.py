"""What all shapes share: a request refuses fields that it does not know, an answer ignores them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from corll.text import half_character


class RequestBody(BaseModel):
    """A request's body. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What the service says. A reader ignores fields that a later release added."""

    model_config = ConfigDict(frozen=True)


def example(**fields: Any) -> ConfigDict:
    """Return the settings of a request's body that show an example in the API's description."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


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
