"""Chat templates in a sandbox with an end: programs that came with a model, perhaps a stranger's.

Jinja's sandbox keeps a template from files and from Python's inside, and `transformers` renders by
it. It does not keep a template from going on for hours, or from making a text of gigabytes out of
one expression. So each turn of a loop, each call and each text is counted here, and rendering ends
where that is more than any conversation needs. Loops, filters and names are those of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from transformers.utils.chat_template_utils import _compile_jinja_template

MOST_STEPS = 1_000_000
"""Turns of loops, calls, and thousands of characters that are handled."""

MOST_CHARACTERS = 2**24
"""Of a value that a template makes, and of all that it writes."""

_LONGEST_TEMPLATE = 2**19
_CHARACTERS_A_STEP, _ITEMS_A_STEP = 1000, 5
_LARGEST_NUMBER = 2**64
_LARGEST_PRODUCT = 8 * MOST_CHARACTERS
_LARGEST_POWER = 64

_WIDE = re.compile(r"\d{5,}|\*|\{[^}]*\{")
"""What makes a format much longer than its values: a width, or one that is a value itself."""

_FORMATTING = frozenset({"format", "format_map", "strftime_now"})
_MULTIPLYING = _FORMATTING | set(
    "replace join center ljust rjust zfill expandtabs translate fromkeys".split()
    + "indent batch tojson".split()
)
"""Methods and filters whose result may be as long as one of their values times another."""

_CHEAP = frozenset("length count first last default d none".split())
"""Filters that do not look at all that they are given."""

_LEFT_OUT = frozenset("lipsum wordwrap urlize xmlattr pprint slice random".split())
"""What no conversation needs, and would take long or much."""

_left: ContextVar[list[float]] = ContextVar("steps and characters that are left")


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Return what a template writes.

    *Raises*: SecurityError where it does more than any conversation needs, or what it must not;
    whatever else the template raises.
    """
    compiled = _compiled(template)
    token = _left.set([MOST_STEPS, MOST_CHARACTERS])
    try:
        return compiled.render(variables)
    finally:
        _left.reset(token)


@lru_cache(maxsize=32)
def _compiled(template: str) -> Template:
    if len(template) > _LONGEST_TEMPLATE:
        raise SecurityError(f"it has {len(template)} characters, over {_LONGEST_TEMPLATE}")
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> _Bounded:
    """Return an environment with the filters, globals and tags of transformers' own."""
    theirs = _compile_jinja_template("").environment
    ours = _Bounded(
        trim_blocks=theirs.trim_blocks,
        lstrip_blocks=theirs.lstrip_blocks,
        extensions=[type(extension) for extension in theirs.extensions.values()],
        optimized=False,
    )
    ours.globals.update(theirs.globals)
    for name in _LEFT_OUT & ours.globals.keys():
        del ours.globals[name]
    for name in _LEFT_OUT & ours.filters.keys():
        del ours.filters[name]
    for name in theirs.filters.keys() - _LEFT_OUT:
        function = theirs.filters[name]
        ours.filters[name] = function if name in _CHEAP else _counted(name, function)
    own = (_turned, _weighed, _sliced, _written, _joined)
    ours.filters.update({function.__name__: function for function in own})
    return ours


class _Bounded(ImmutableSandboxedEnvironment):
    """A sandbox that counts what a template does."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls, counted by the size of what it is given."""
        _spend(1)
        name = getattr(function, "__name__", "")
        method = getattr(function, "__wrapped__", function)
        owner = getattr(method, "__self__", None)
        if name in _MULTIPLYING or isinstance(owner, str | bytes):
            given = [*args, *kwargs.values()]
            _check_product(name, given if owner is None else [owner, *given])
        return _kept(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`, unless the result is too large."""
        _spend(1)
        if operator == "**" and max(map(_magnitude, (left, right))) > _LARGEST_POWER:
            raise SecurityError("a power is too large")
        if operator in ("*", "%"):
            _check_product("format" if operator == "%" else "*", [left, right])
        elif not _is_number(left):
            _weighed(left)
            _weighed(right)
        return _kept(super().call_binop(context, operator, left, right))

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Counting().visit(source), *args, **kwargs)


class _Counting(NodeTransformer):
    """Puts what counts into a template: at each turn, and around what is joined or compared."""

    def visit_For(self, node: nodes.For) -> Any:  # noqa: N802
        return self._turning(node)

    def visit_Macro(self, node: nodes.Macro) -> Any:  # noqa: N802
        return self._turning(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> Any:  # noqa: N802
        return self._turning(node)

    def visit_Concat(self, node: nodes.Concat) -> Any:  # noqa: N802
        self.generic_visit(node)
        return _through(_joined, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> Any:  # noqa: N802
        self.generic_visit(node)
        node.expr = _through(_weighed, node.expr)
        for operand in node.ops:
            operand.expr = _through(_weighed, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> Any:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through(_sliced, node.node)
        return node

    def visit_Output(self, node: nodes.Output) -> Any:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [
            one if isinstance(one, nodes.TemplateData) else _through(_written, one)
            for one in node.nodes
        ]
        return node

    def _turning(self, node: Any) -> Any:
        self.generic_visit(node)
        size = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        node.body = [nodes.ExprStmt(_through(_turned, nodes.Const(size))), *node.body]
        return node


def _through(function: Callable[..., Any], value: nodes.Expr, *others: nodes.Expr) -> nodes.Expr:
    """Return an expression of what a function gives for a value."""
    return nodes.Filter(value, function.__name__, list(others), [], None, None)


def _turned(characters: int) -> None:
    """Count a turn of a loop or a call of a macro, and the characters of the template in it."""
    _spend(1, characters)


def _weighed(value: Any) -> Any:
    """Return a value, counted by all that is in it."""
    _length(value)
    return value


def _sliced(value: Any) -> Any:
    """Return what a part is copied of, counted by its own length."""
    if isinstance(value, str | list | tuple):
        _spend(1 + len(value) / _CHARACTERS_A_STEP)
    return value


def _written(value: Any) -> Any:
    """Return what is written, counted by its length."""
    _spend(1, _length(value))
    return value


def _joined(*values: Any) -> str:
    """Return values as one text, as `~` does."""
    if sum(map(_length, values)) > MOST_CHARACTERS:
        raise SecurityError(f"a text has more than {MOST_CHARACTERS} characters")
    return "".join(map(str, values))


def _counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that is counted by the size of what it is given."""

    def counted(*args: Any, **kwargs: Any) -> Any:
        _spend(1)
        given = [*args, *kwargs.values()]
        if name in _MULTIPLYING:
            _check_product(name, given)
        else:
            _length(given)
        return _kept(function(*args, **kwargs))

    vars(counted).update(getattr(function, "__dict__", {}))  # says what it is passed first
    return counted


def _check_product(name: str, values: Sequence[Any]) -> None:
    """Check that no text or list comes to be too often in a result.

    *Raises*: SecurityError.
    """
    lengths = sorted((_length(value) for value in values if not _is_number(value)), reverse=True)
    numbers = [_magnitude(value) for value in values if _is_number(value)]
    repeated = lengths and lengths[0] * max([*numbers, 1]) > MOST_CHARACTERS
    if repeated or (len(lengths) > 1 and lengths[0] * lengths[1] > _LARGEST_PRODUCT):
        raise SecurityError("a text or a list comes in it too often")
    if name in _FORMATTING and any(isinstance(v, str) and _WIDE.search(v) for v in values[:1]):
        raise SecurityError("a format in it is too wide")


def _spend(steps: float, characters: int = 0) -> None:
    left = _left.get()
    left[0] -= steps
    left[1] -= characters
    if left[0] < 0:
        raise SecurityError(f"it takes more than {MOST_STEPS} steps")
    if left[1] < 0:
        raise SecurityError(f"it writes more than {MOST_CHARACTERS} characters")


def _length(value: Any) -> int:
    """Return the characters of a value as a text, about, and count what it takes to look.

    *Raises*: SecurityError where they are too many.
    """
    length, items, stack = 0, 0, [value]
    while stack:
        one = stack.pop()
        items += 1
        if isinstance(one, str | bytes):
            length += len(one)
        elif isinstance(one, Mapping):
            stack += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set):
            stack += one
        elif isinstance(one, range):
            items += len(one)
            length += len(one)
        else:
            length += 1
        if length > MOST_CHARACTERS or items + len(stack) > MOST_STEPS:
            raise SecurityError("a value is too large")
    _spend(items / _ITEMS_A_STEP + length / _CHARACTERS_A_STEP)
    return length


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _magnitude(value: Any) -> float:
    return abs(value) if _is_number(value) else 1


def _kept(value: Any) -> Any:
    """Return a value that is not too large. *Raises*: SecurityError."""
    too_long = isinstance(value, str | bytes | list | tuple) and len(value) > MOST_CHARACTERS
    if too_long or _magnitude(value) > _LARGEST_NUMBER:
        raise SecurityError("a value is too large")
    return value
