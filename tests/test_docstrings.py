"""Docstrings begin as the house writes them: a function's with a verb in the imperative.

The rule is simple: the first word of a function's docstring is in `VERBS`. A property and a class
name what they are: they begin with an article, a name or a noun, and neither with a verb nor with a
question word, but a property may say whether something is so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import corll.config

SOURCE = Path(corll.config.__file__).parent

NAMED = {
    *("laboratory", "simulation", "past_texts", "edit_logs", "replay", "files", "evaluation"),
    *("records", "config"),
}
"""Rooms whose classes and properties name what they are; elsewhere some say what they hold."""

VERBS = frozenset(
    """
    accept add align allow answer append apply ask attend begin build call carry change check
    choose clear close commit compare compute convert copy count create cut decode delete derive
    describe divide do draft draw drop edit encode end estimate evaluate examine export fill find
    finish fit forget format free gather give group guess halve hand handle hash hold ignore import
    insert join judge keep label lay learn leave let list listen load lock look make mark mask
    match measure merge move name note open order overwrite pack parse pick place plan play post
    prefer prepare print propose prune publish put raise read recognise record refuse release
    remember remove rename render repair replace report request requeue reserve reset resolve
    restore resume retire return revoke rewrite roll rotate run sample save say score send serve
    set share show sign skip sort split start step stop store style sum summarise switch tabulate
    take tell train trim try turn undo unpack update use validate wait watch withdraw withhold work
    wrap write yield
    """.split()
)
QUESTION_WORDS = frozenset("how what when where which who whose why".split())

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"property", "cached_property", "setter"})


def is_route(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Say whether the docstring is what the API's document says of a route."""
    return any("router." in ast.unparse(decorator) for decorator in node.decorator_list)


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the public functions, methods and classes of a tree, by name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Node) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


def problem_of(node: Node, *, names_what_it_is: bool = True) -> str | None:
    """Say what is wrong with the beginning of a docstring; None where nothing is."""
    docstring = ast.get_docstring(node)
    if docstring is None:
        return None
    first = re.split(r"[\s,.:;]", docstring, maxsplit=1)[0]
    if isinstance(node, ast.ClassDef) or is_property(node):
        if names_what_it_is and first.lower() in QUESTION_WORDS:
            return f"begins with {first!r}, not with what it is"
    elif first.lower() not in VERBS and not is_route(node):
        return f"begins with {first!r}, which is no verb of the list"
    return None


def problems(source: str, *, names_what_it_is: bool = True) -> list[str]:
    """List the docstrings of a source that do not begin as they should."""
    found = (
        (name, problem_of(node, names_what_it_is=names_what_it_is))
        for name, node in public(ast.parse(source))
    )
    return [f"{name} {problem}" for name, problem in found if problem]


def modules() -> list[Path]:
    """Every module but migrations, which stay as they ran."""
    return [path for path in sorted(SOURCE.rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_docstrings_begin_as_the_house_writes_them(path: Path) -> None:
    room = path.relative_to(SOURCE).with_suffix("").parts[0]
    found = problems(path.read_text(encoding="utf-8"), names_what_it_is=room in NAMED)
    assert found == []


@pytest.mark.parametrize(
    ("docstring", "is_well"),
    [
        ("Return the SHA-256 of a file.", True),
        ("Returns the SHA-256 of a file.", False),
        ("The SHA-256 of a file.", False),
        ("Of a file's content.", False),
        ("*Raises*: ConfigError for an unknown task.", False),
    ],
)
def test_a_function_s_docstring_begins_with_a_verb(docstring: str, is_well: bool) -> None:
    source = f'def digest(path):\n    """{docstring}"""\n'
    assert (problems(source) == []) is is_well


def test_properties_and_classes_name_what_they_are() -> None:
    source = '''
class Version:
    """{}"""

    @property
    def folder(self):
        """{}"""
'''
    assert problems(source.format("A version of an adapter.", "The version's folder.")) == []
    assert problems(source.format("What was learned.", "Where it lies.")) == [
        "Version begins with 'What', not with what it is",
        "Version.folder begins with 'Where', not with what it is",
    ]
