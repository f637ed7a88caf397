"""The changes that are made to a module, each as small as a slip of a person might be.

A mutant is named by the function that it is in and by what stood there before and after, so that
its name outlives a shift of lines.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import commonprefix
from typing import NamedTuple, TypeVar

_Node = TypeVar("_Node", bound=ast.AST)

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.MatMult: ast.Mult,
}
SWAPPED_NAMES = {
    "all": "any",
    "any": "all",
    "max": "min",
    "min": "max",
    "sum": "mean",
    "mean": "sum",
    "argmax": "argmin",
    "argmin": "argmax",
    "startswith": "endswith",
    "endswith": "startswith",
    "union": "intersection",
    "bisect_right": "bisect_left",
}
DROPPED_METHODS = frozenset(
    """
    abs clamp clone desc detach distinct encode exp float lower lstrip on_conflict_do_nothing
    order_by limit replace rstrip strip unique upper where with_for_update
    """.split()
)
COMMUTATIVE = frozenset("and_ isinstance max min or_ where zip".split())
SEEDED = frozenset("Generator Random SeedSequence default_rng manual_seed".split())
SKIPPED_KEYWORDS = frozenset({"description", "examples", "help", "strict", "summary", "title"})
LONG_ENOUGH = 24
"""Characters that a mutant's name shows at least, of the statement around it."""
LONGEST = 100
"""Characters up to which that statement is shown whole."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of a module: the function that it is in, and the text before and after.

    `number` counts the mutants of a module; `lines` are those that the change is made in.
    """

    inside: str
    was: str
    becomes: str
    again: int
    number: int
    lines: tuple[int, int]

    @property
    def key(self) -> str:
        """Return the mutant's name in its module; `again` tells equal changes apart."""
        suffix = f" ({self.again})" if self.again > 1 else ""
        return f"{self.inside or 'module'}: {self.was} → {self.becomes}{suffix}"


class _Place(NamedTuple):
    """The place of a node in its tree: a field of its parent, or an item of a list there."""

    parent: ast.AST
    field: str
    item: int | None

    def put(self, node: ast.AST) -> None:
        if self.item is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.item] = node


class _Change(NamedTuple):
    place: _Place
    node: ast.AST
    replacement: ast.AST
    around: tuple[_Place, ...]
    inside: str


def mutants_of(text: str) -> list[Mutant]:
    """List all mutants of a module's text, in order."""
    found: list[Mutant] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for number, change in enumerate(_changes(ast.parse(text))):
        was, becomes = _shown(change)
        counts[change.inside, was, becomes] += 1
        start = getattr(change.node, "lineno", 1)
        stop = getattr(change.node, "end_lineno", start)
        again = counts[change.inside, was, becomes]
        found.append(Mutant(change.inside, was, becomes, again, number, (start, stop)))
    return found


def mutated(text: str, number: int) -> str:
    """Return the module's text with one change made. *Raises*: ValueError for no such mutant."""
    tree = ast.parse(text)
    for at, change in enumerate(_changes(tree)):
        if at == number:
            change.place.put(change.replacement)
            return ast.unparse(ast.fix_missing_locations(tree))
    raise ValueError(f"The module has no mutant {number}.")


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for place, node, around, inside in _walk(tree, (), ""):
        for replacement in _replacements(node, around):
            yield _Change(place, node, replacement, around, inside)


def _walk(
    node: ast.AST, around: tuple[_Place, ...], inside: str
) -> Iterator[tuple[_Place, ast.AST, tuple[_Place, ...], str]]:
    """Yield each node below, its place, the places around it, and the function that it is in."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in items:
            if not isinstance(child, ast.AST) or _is_left_alone(child, index, field):
                continue
            place = _Place(node, field, index)
            within = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                within = f"{inside}.{child.name}".lstrip(".")
            yield place, child, (*around, place), within
            yield from _walk(child, (*around, place), within)


def _is_left_alone(node: ast.AST, index: int | None, field: str) -> bool:
    """Tell whether a node is never changed: words, imports, assertions, types."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        value = node.value
        if isinstance(value, ast.Constant):
            return True
        return isinstance(value, ast.Call) and ast.unparse(value.func).startswith(("log.", "_log."))
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.value) in ("Literal", "Annotated", "TypeAlias")
    if isinstance(node, ast.keyword):
        return node.arg in SKIPPED_KEYWORDS
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return False


def _shown(change: _Change) -> tuple[str, str]:
    """Show the change by the smallest expression around it that a reader recognises."""
    context, text = change.node, _text(change.node)
    for place in reversed(change.around):
        context = _node_at(place)
        text = _text(context)
        if len(text) >= LONG_ENOUGH or isinstance(context, ast.stmt):
            break
    if context is change.node:
        return _shortened(text, _text(change.replacement))
    change.place.put(change.replacement)
    becomes = _text(context)
    change.place.put(change.node)
    return _shortened(text, becomes)


def _shortened(was: str, becomes: str) -> tuple[str, str]:
    """Cut from two long texts most of what both begin and end with."""
    if max(len(was), len(becomes)) <= LONGEST:
        return was, becomes
    start = max(0, len(commonprefix([was, becomes])) - LONG_ENOUGH)
    same_end = len(commonprefix([was[start:][::-1], becomes[start:][::-1]]))
    stop = max(0, same_end - LONG_ENOUGH)

    def cut(text: str) -> str:
        return "…" * bool(start) + text[start : len(text) - stop] + "…" * bool(stop)

    return cut(was), cut(becomes)


def _node_at(place: _Place) -> ast.AST:
    value = getattr(place.parent, place.field)
    node: ast.AST = value if place.item is None else value[place.item]
    return node


def _text(node: ast.AST) -> str:
    """Write a node in one line; of a statement with a body, only its head."""
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        node = copy.copy(node)
        node.body = []
        for field in ("orelse", "handlers", "finalbody", "decorator_list"):
            if hasattr(node, field):
                setattr(node, field, [])
    elif isinstance(node, ast.match_case | ast.ExceptHandler):
        return type(node).__name__
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())


def _replacements(node: ast.AST, around: tuple[_Place, ...]) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for n, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield _with(node, ops=[*ops[:n], other(), *ops[n + 1 :]])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            if not _joins_strings(node):
                yield _with(node, op=ARITHMETIC[type(op)]())
            if isinstance(node, ast.AugAssign):
                yield ast.Pass()
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for n in range(len(values)):
                rest = values[:n] + values[n + 1 :]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.Constant():
            yield from _other_constants(node, around)
        case ast.Call():
            yield from _other_calls(node)
        case ast.Attribute(attr=name) if name in SWAPPED_NAMES and _is_called(node, around):
            yield _with(node, attr=SWAPPED_NAMES[name])
        case ast.Name(id=name) if name in SWAPPED_NAMES and _is_called(node, around):
            if SWAPPED_NAMES[name] != "mean":
                yield _with(node, id=SWAPPED_NAMES[name])
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            for constant in (True, False):
                if not isinstance(test, ast.Constant) and not (
                    constant and isinstance(node, ast.While)
                ):
                    yield _with(node, test=ast.Constant(constant))
        case ast.comprehension(ifs=[_, *_] as conditions):
            for n in range(len(conditions)):
                yield _with(node, ifs=conditions[:n] + conditions[n + 1 :])
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _other_constants(node: ast.Constant, around: tuple[_Place, ...]) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield _number(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(2 * value if value else 1.0)
        yield ast.Constant(value / 2 if value else 0.5)
    elif isinstance(value, str) and value and not _is_message(value, around):
        yield ast.Constant(value + "X")


def _number(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    function, arguments, keywords = node.func, node.args, node.keywords
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if isinstance(function, ast.Attribute) and name in DROPPED_METHODS:
        yield function.value
    for n, keyword in enumerate(keywords):
        if keyword.arg is not None and keyword.arg not in SKIPPED_KEYWORDS:
            yield _with(node, keywords=keywords[:n] + keywords[n + 1 :])
        if keyword.arg in ("seed", "seeds", "generator") and not _is_zero(keyword.value):
            other = ast.keyword(keyword.arg, ast.Constant(0))
            yield _with(node, keywords=[*keywords[:n], other, *keywords[n + 1 :]])
    if len(arguments) > 1 and not any(isinstance(one, ast.Starred) for one in arguments):
        yield _with(node, args=arguments[:-1])
        if name not in COMMUTATIVE:
            first, second, *rest = arguments
            yield _with(node, args=[second, first, *rest])
    if name in SEEDED and arguments:
        yield from (_with(node, args=[other, *arguments[1:]]) for other in _seeds(arguments[0]))


def _seeds(seed: ast.expr) -> Iterator[ast.expr]:
    """Yield the seed without one of its parts, or another seed altogether."""
    parts: list[ast.expr] = []
    match seed:
        case ast.List(elts=parts):
            field = "elts"
        case ast.JoinedStr(values=parts):
            field = "values"
    for n, part in enumerate(parts):
        if not isinstance(part, ast.Constant):
            fixed = ast.Constant("0" if field == "values" else 0)
            yield _with(seed, **{field: [*parts[:n], fixed, *parts[n + 1 :]]})
    if not parts and not _is_zero(seed):
        yield ast.Constant(0)


def _with(node: _Node, **fields: object) -> _Node:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_called(node: ast.AST, around: tuple[_Place, ...]) -> bool:
    parent = around[-1].parent
    return isinstance(parent, ast.Call) and parent.func is node


def _joins_strings(node: ast.AST) -> bool:
    sides = (getattr(node, "left", None), getattr(node, "right", None))
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )


def _is_message(value: str, around: tuple[_Place, ...]) -> bool:
    """Tell whether a string is words for a person: part of a formatted text, or of an error."""
    parents = [place.parent for place in around]
    if any(isinstance(one, ast.JoinedStr) for one in parents):
        return True
    return " " in value and any(isinstance(one, ast.Raise) for one in parents)
