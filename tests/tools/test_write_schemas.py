"""TypeScript from a schema, against what one would write by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

import write_schemas
from write_schemas import as_typescript, type_of

EVENT = {
    "properties": {
        "event": {"const": "edit"},
        "data": {"contentSchema": {"$ref": "#/components/schemas/Edit"}},
    }
}
STREAM = {"200": {"content": {"text/event-stream": {"itemSchema": {"oneOf": [EVENT]}}}}}
EDIT = {
    "type": "object",
    "description": "An edit.\n\nIt has two paragraphs.",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "description": "Its id."},
        "cost": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
}
DOCUMENT: dict[str, Any] = {
    "paths": {"/v1/events": {"get": {"responses": STREAM}}},
    "components": {"schemas": {"Edit": EDIT}},
}
WRITTEN = """
/**
 * An edit.
 *
 * It has two paragraphs.
 */
export interface Edit {
  /** Its id. */
  id: string;
  cost?: number | null;
}

/** The events of GET /v1/events, by their names. */
export interface Events {
  edit: Edit;
}
"""


def test_a_schema_becomes_an_interface() -> None:
    header, _, rest = as_typescript(DOCUMENT).partition("\n")
    assert "make schemas" in header
    assert rest == WRITTEN


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"const": True, "type": "boolean"}, "true"),
        ({"enum": ["a", "b"], "type": "string"}, '"a" | "b"'),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
        ({"oneOf": [{"$ref": "#/a/Letter"}, {"$ref": "#/a/Note"}]}, "Letter | Note"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, '("a" | "b")[]'),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "Record<string, number>"),
        ({"type": "object", "additionalProperties": True}, "Record<string, unknown>"),
        ({"title": "Name", "description": "Anything."}, "unknown"),
    ],
)
def test_types(schema: dict[str, Any], written: str) -> None:
    assert type_of(schema) == written


@pytest.mark.parametrize("schema", [{"type": "object"}, {"allOf": []}, {"type": "file"}])
def test_what_is_not_known_is_no_guess(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no TypeScript type"):
        type_of(schema)


def test_a_stale_file_is_named_and_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    document, types = tmp_path / "openapi.json", tmp_path / "apiTypes.ts"
    files = {"DOCUMENT": document, "TYPES": types, "SHAPES": tmp_path / "answers.py"}
    for name, value in {"ROOT": tmp_path, **files}.items():
        monkeypatch.setattr(write_schemas, name, value)
    monkeypatch.setattr("sys.argv", ["write_schemas.py"])
    write_schemas.main()
    assert json.loads(document.read_text())["info"]["title"] == "corll"
    types.write_text("// older\n")
    monkeypatch.setattr("sys.argv", ["write_schemas.py", "--check"])
    with pytest.raises(SystemExit, match=r"^apiTypes\.ts: not what the schemas say"):
        write_schemas.main()
    assert types.read_text() == "// older\n"
