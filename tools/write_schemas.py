"""Write what is generated from the API's schemas: the OpenAPI document, and what clients read.

`make schemas` runs this. With `--check` it writes nothing, and fails where a file is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from corll.service.api.app import routes
from python_shapes import as_python

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "openapi.json"
TYPES = ROOT / "clients" / "js" / "src" / "apiTypes.ts"
SHAPES = ROOT / "clients" / "python" / "src" / "corll_client" / "answers.py"

_HEADER = "/** What the API takes and answers. Generated from its schemas by `make schemas`. */"
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}

Schema: TypeAlias = Mapping[str, Any]


def main() -> None:
    """Write all files, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where stale")
    check = parser.parse_args().check
    document = routes().openapi()
    wanted = {
        DOCUMENT: as_json(document),
        TYPES: as_typescript(document),
        SHAPES: as_python(document),
    }
    stale = [path for path, text in wanted.items() if not _holds(path, text)]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"{names}: not what the schemas say; `make schemas` writes them anew.")
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def as_json(document: Schema) -> str:
    """Return the document as it is committed."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_typescript(document: Schema) -> str:
    """Return an interface for each schema of a document, and one for the events by their names."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    interfaces = [_interface(name, schema) for name, schema in sorted(schemas.items())]
    return "\n\n".join([_HEADER, *interfaces, _events(document)]) + "\n"


def _events(document: Schema) -> str:
    """Return the events of GET /v1/events, by their names."""
    answer = document["paths"]["/v1/events"]["get"]["responses"]["200"]
    events = answer["content"]["text/event-stream"]["itemSchema"]["oneOf"]
    fields = [
        f"  {event['properties']['event']['const']}: "
        f"{type_of(event['properties']['data']['contentSchema'])};"
        for event in events
    ]
    head = ["/** The events of GET /v1/events, by their names. */", "export interface Events {"]
    return "\n".join([*head, *fields, "}"])


def _interface(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    lines = [*_comment(schema, ""), f"export interface {name} {{"]
    for field, about in schema["properties"].items():
        lines += _comment(about, "  ")
        lines.append(f"  {field}{'' if field in required else '?'}: {type_of(about)};")
    if schema.get("additionalProperties") is True:
        lines.append("  [more: string]: unknown;")
    return "\n".join([*lines, "}"])


def _comment(schema: Schema, indent: str) -> list[str]:
    lines = schema.get("description", "").splitlines()
    if len(lines) < 2:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def type_of(schema: Schema) -> str:
    """Return the TypeScript type of a schema. *Raises*: ValueError for one that is not known."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return _either(json.dumps(value) for value in schema["enum"])
    if (choices := schema.get("anyOf") or schema.get("oneOf")) is not None:
        return _either(type_of(choice) for choice in choices)
    kind = schema.get("type")
    if kind is None and not schema.keys() - {"title", "description", "default"}:
        return "unknown"
    if kind == "array":
        items = type_of(schema["items"])
        return f"({items})[]" if " | " in items else f"{items}[]"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"Record<string, {type_of(schema['additionalProperties'])}>"
    if kind == "object" and schema.get("additionalProperties") is True:
        return "Record<string, unknown>"
    if kind == "null":
        return "null"
    if kind not in _PLAIN:
        raise ValueError(f"no TypeScript type is known for {dict(schema)}")
    return _PLAIN[kind]


def _either(types: Iterable[str]) -> str:
    """Return a union; `boolean` and the like stand in it once."""
    return " | ".join(dict.fromkeys(types))


if __name__ == "__main__":
    main()
