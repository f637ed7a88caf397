"""What all shapes share: a request refuses fields that it does not know, an answer ignores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from corll.text import half_character


class RequestBody(BaseModel):
    """A request's body. An unknown field is an error; one that is null is as if left out.

    Typed clients and proxies send along as null what they leave out. No boolean is a number.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or all(it is not None for it in fields.values()):
            return fields
        needed = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {name: it for name, it in fields.items() if it is not None or name in needed}

    @model_validator(mode="before")
    @classmethod
    def _no_boolean_as_a_number(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        numbers = _numbers(cls)
        wrong = [
            InitErrorDetails(type=numbers[name], loc=(name,), input=it)
            for name, it in fields.items()
            if isinstance(it, bool) and name in numbers
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return fields


@cache
def _numbers(body: type[BaseModel]) -> dict[str, str]:
    """Return the fields that are numbers, with the problem of one that is not."""
    found = {}
    for name, field in body.model_fields.items():
        of = field.annotation
        kinds = set(get_args(of)) if get_origin(of) in (Union, UnionType) else {of}
        if kinds & {int, float} and bool not in kinds:
            found[name] = "int_type" if int in kinds else "float_type"
    return found


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


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"holds a NUL character at {text.index(chr(0))}")
    return text


Name = Annotated[Text, AfterValidator(_without_nul)]
"""An id, a reference, a key, a name or a label: what every database can keep and look for."""
