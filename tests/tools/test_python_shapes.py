"""Python from a schema, against what one would write by hand."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from python_shapes import as_python, type_of

EDIT = {
    "type": "object",
    "description": "An edit.\n\nIt has two paragraphs.",
    "required": ["id", "version"],
    "properties": {
        "id": {"type": "string", "description": "Its id."},
        "version": {"anyOf": [{"$ref": "#/components/schemas/Version"}, {"type": "null"}]},
        "cost": {"type": "number"},
        "masked": {"type": "array", "items": {"type": "string"}, "default": []},
    },
}
VERSION = {"type": "object", "description": "A version.", "properties": {}}
DOCUMENT: dict[str, Any] = {"components": {"schemas": {"Edit": EDIT, "Version": VERSION}}}
WRITTEN = '''
class Version(Answer):
    """A version."""


class Edit(Answer):
    """An edit.

    It has two paragraphs.
    """

    id: str
    """Its id."""

    version: Version | None

    cost: float | None = None

    masked: list[str] = []
'''


def test_a_schema_becomes_a_class_after_those_that_it_is_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = as_python(DOCUMENT, ["Edit"])
    assert text.endswith(WRITTEN)
    module: Any = ModuleType("written")
    monkeypatch.setitem(sys.modules, "written", module)
    exec(compile(text, "answers.py", "exec"), vars(module))
    edit = module.Edit.model_validate({"id": "e", "version": None, "later": 1})
    assert (edit.id, edit.version, edit.cost, edit.masked) == ("e", None, None, [])


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"const": True, "type": "boolean"}, "Literal[True]"),
        ({"enum": ["a", "b"], "type": "string"}, 'Literal["a", "b"]'),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "int | float"),
        ({"type": "array", "items": {"type": "boolean"}}, "list[bool]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"),
        ({"type": "object"}, "dict[str, Any]"),
    ],
)
def test_types(schema: dict[str, Any], written: str) -> None:
    assert type_of(schema) == written


@pytest.mark.parametrize("schema", [{"allOf": []}, {"type": "file"}])
def test_what_is_not_known_is_no_guess(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no Python type"):
        type_of(schema)
