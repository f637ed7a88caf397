"""The elements of HTML that are open at a place, where many a tag has no end or too many.

*Source*: the HTML standard, "Parsing HTML documents": which tags end a paragraph, an item or a
cell, and that an end tag means nothing where its element is not open, or stands outside of a cell.
Of the formatting elements only those that change a text are followed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

_ENDING_PARAGRAPH = frozenset(
    "address article aside blockquote center details div dl fieldset figure footer form h1 h2 h3 "
    "h4 h5 h6 header hr main nav ol p pre section ul".split()
)
_TABLE = frozenset("table caption thead tbody tfoot tr td th".split())
_LISTS = frozenset({"ol", "ul"})
_SCOPES = _LISTS | {"table", "td", "th"}
_STRUCTURE = (
    _ENDING_PARAGRAPH | _TABLE | _LISTS | {"li", "dt", "dd", "head", "script", "style", "title"}
)
_OF_BODY = (_STRUCTURE - {"script", "style", "title"}) | {"body", "a", "b", "font", "span"}
_MOST_FORMATS = 30


@dataclass(frozen=True, slots=True)
class Element:
    """An open element, and what holds of the text in it."""

    tag: str = ""
    quotes: int = 0
    container: int | None = None
    is_hidden: bool = False
    is_shrunk: bool = False
    keeps_spaces: bool = False
    numbers: list[int] | None = None
    """The last number of the list with numbers that it stands in."""

    @property
    def is_quoted(self) -> bool:
        """Whether its text is a quote."""
        return self.quotes > 0 or self.container is not None


class OpenElements:
    """The open elements, outermost first; each step takes constant time in the mean."""

    def __init__(self) -> None:
        self._stack = [Element()]
        self._scopes: list[tuple[str, Counter[str]]] = [("", Counter())]
        self._open: Counter[str] = Counter()

    @property
    def now(self) -> Element:
        """The innermost one."""
        return self._stack[-1]

    def begin(self, element: Element, *, changes: bool) -> None:
        """Open an element, unless it is one that only formats and changes nothing."""
        tag = element.tag
        if tag not in _STRUCTURE and not changes and not self._open[tag]:
            return
        self._stack.append(element)
        self._open[tag] += 1
        self._scopes[-1][1][tag] += 1
        if tag in _SCOPES:
            self._scopes.append((tag, Counter()))

    def end(self, tag: str) -> None:
        """Close the innermost element of a tag, and those in it; nothing where none is open."""
        if tag in _TABLE or tag in _LISTS:
            is_open = self._open[tag] > 0
        elif tag in _STRUCTURE:
            is_open = self._scopes[-1][1][tag] > 0
        else:
            is_open = self._open[tag] > 0 and self._is_inmost_format(tag)
        while is_open:
            is_open = self._pop() != tag

    def end_before(self, tag: str) -> None:
        """Close what ends where a tag begins: a head, a paragraph, an item, a cell, a row."""
        if self.now.tag == "head" and tag in _OF_BODY:  # a head may lack its end
            self._pop()
        if tag in ("td", "th", "tr") and self._scopes[-1][0] in ("td", "th"):
            self.end(self._scopes[-1][0])
        if tag in _ENDING_PARAGRAPH or tag == "li":
            self.end("p")
        if tag in ("li", "tr") and self._scopes[-1][1][tag]:
            self.end(tag)

    def _is_inmost_format(self, tag: str) -> bool:
        for element in islice(reversed(self._stack), _MOST_FORMATS):
            if element.tag == tag:
                return True
            if element.tag in _STRUCTURE:
                return False
        return False

    def _pop(self) -> str:
        tag = self._stack.pop().tag
        self._open[tag] -= 1
        if tag in _SCOPES:
            self._scopes.pop()
        self._scopes[-1][1][tag] -= 1
        return tag
