"""Docstrings begin as the house writes them: a function's with a verb in the imperative.

The rule is simple: the first word of a function's docstring is in `VERBS`. A property and a class
name what they are: they begin with an article, a name or a noun, and neither with a verb nor with a
question word. The rooms in `HOUSE_FORM` hold the rule; add the name of another once it does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import corll.config

SOURCE = Path(corll.config.__file__).parent

HOUSE_FORM = {
    *("laboratory", "simulation", "past_texts", "files", "cli"),
    *("algorithm", "buffer", "config", "draft", "errors", "evaluation", "records"),
}
"""Packages and modules of the root whose docstrings have the house's form."""

NOT_YET = {"cli/adapters.py", "cli/keys.py", "cli/store.py"}
"""Modules of those rooms that do not hold the rule yet."""

VERBS = frozenset(
    """
    accept add align answer append apply ask build call carry change check choose clear close
    compare compute convert copy count create cut decode delete derive describe divide do draw drop
    edit encode end estimate evaluate examine export fill find finish fit forget format free gather
    give group guess halve handle hash hold ignore import join keep label lay learn leave let list
    listen load lock look make mark mask match measure merge move name note open order pack parse
    pick place plan play post prefer prepare print propose prune publish put raise read record
    refuse release remember remove rename render repair replace report request reserve reset resolve
    restore resume retire return revoke rewrite roll run sample save say score send serve set share
    show sign skip sort split start stop store style sum summarise tabulate take tell train trim try
    turn undo unpack update use validate wait watch withdraw wrap write yield
    """.split()
)
QUESTION_WORDS = frozenset("how what when where whether which who whose why".split())

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"property", "cached_property", "setter"})


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the public functions, methods and classes of a tree, by name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Node) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


def problem_of(node: Node) -> str | None:
    """Say what is wrong with the beginning of a docstring; None where nothing is."""
    docstring = ast.get_docstring(node)
    if docstring is None:
        return None
    first = re.split(r"[\s,.:;]", docstring, maxsplit=1)[0]
    if isinstance(node, ast.ClassDef) or is_property(node):
        if first.lower() in QUESTION_WORDS:
            return f"begins with {first!r}, not with what it is"
    elif first.lower() not in VERBS:
        return f"begins with {first!r}, which is no verb of the list"
    return None


def problems(source: str) -> list[str]:
    """List the docstrings of a source that do not begin as they should."""
    found = ((name, problem_of(node)) for name, node in public(ast.parse(source)))
    return [f"{name} {problem}" for name, problem in found if problem]


def modules() -> list[Path]:
    return sorted(
        path
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).with_suffix("").parts[0] in HOUSE_FORM
        and path.relative_to(SOURCE).as_posix() not in NOT_YET
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_docstrings_begin_as_the_house_writes_them(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", sorted(HOUSE_FORM))
def test_each_name_of_the_table_is_there(name: str) -> None:
    assert (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists()


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
