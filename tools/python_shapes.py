"""The shapes that the Python client reads, from the OpenAPI document."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

READ = (
    *("Edit", "Comparison", "Learning", "Import", "User", "Users", "LearningReport", "Drafts"),
    *("DraftFacts", "Versions", "VersionAndAncestry", "Rollback", "Forgotten", "Receipts"),
    *("VersionEvent", "EditEvent", "ImportEvent", "StartEvent"),
)
"""What the client's calls return, and the events that it listens to."""

_HEADER = '''"""What the service answers. Generated from its schemas by `make schemas`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What the service says. A reader ignores fields that a later release added."""

    model_config = ConfigDict(frozen=True)
'''
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_WIDEST = 100


def as_python(document: Schema, read: Iterable[str] = READ) -> str:
    """Return a class for each schema that the client reads, and for those that it is made of."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    classes = [_class(name, schemas[name]) for name in _needed(schemas, read)]
    return "\n\n".join([_HEADER, *classes])


def _needed(schemas: Mapping[str, Schema], names: Iterable[str]) -> list[str]:
    """Return schemas, each after those that it is made of."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in found:
            for part in re.findall(r"'#/components/schemas/(\w+)'", repr(schemas[name])):
                add(part)
            found[name] = None

    for name in names:
        add(name)
    return list(found)


def _class(name: str, schema: Schema) -> str:
    lines = [f"class {name}(Answer):", *_docstring(schema.get("description", f"{name}."))]
    required = schema.get("required", ())
    for field, about in schema["properties"].items():
        kind = type_of(about)
        default = about.get("default")
        if default is not None:
            kind = f"{kind} = {_literal(default)}"
        elif field not in required:
            kind = f"{kind.removesuffix(' | None')} | None = None"
        lines += ["", f"    {field}: {kind}"]
        lines += _docstring(about["description"]) if "description" in about else []
    return "\n".join(lines) + "\n"


def _docstring(text: str) -> Iterator[str]:
    """Yield a text as the docstring of a class or a field."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    wrapped = [textwrap.wrap(part, _WIDEST - 8) for part in paragraphs]
    lines = [line for part in wrapped for line in [*part, ""]][:-1]
    lines[0] = f'"""{lines[0]}'
    lines = [*lines, '"""'] if len(lines) > 1 else [f'{lines[0]}"""']
    return (f"    {line}" if line else "" for line in lines)


def type_of(schema: Schema) -> str:
    """Return the Python type of a schema. *Raises*: ValueError for one that is not known."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return f"Literal[{', '.join(_literal(value) for value in values)}]"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(type_of, schema["anyOf"])))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema['items'])}]"
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"dict[str, {type_of(more) if isinstance(more, Mapping) else 'Any'}]"
    if kind not in _PLAIN:
        raise ValueError(f"no Python type is known for {dict(schema)}")
    return _PLAIN[kind]


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
