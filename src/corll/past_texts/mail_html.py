"""The text of a mail that is HTML: what a reader sees, with what it quotes behind ">".

A quote is a `blockquote`, or a division that some mail program makes for one, unless blockquotes
in it tell the quoted text from answers between; or all that follows a mark of Outlook's. Signatures
that are marked as such are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from corll.past_texts.html_elements import Element, OpenElements
from corll.past_texts.html_styles import Effect, effect_of

_SILENT = frozenset({"head", "script", "style", "title"})
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_BLOCKS = frozenset(
    "address article blockquote center div dl dt dd footer h1 h2 h3 h4 h5 h6 header hr li main ol "
    "p pre section table tr ul".split()
)
_MOST_OPEN_TAGS = 100
_DEEPEST_QUOTE = 20
"""Marks that are written before a line at most; a mail has as many answers."""
_PARAGRAPHS = frozenset({"p", "ol", "ul", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre"})


def text_of_html(html: str) -> str:
    """Return the text that a reader sees: a line for each block, blank lines between paragraphs."""
    reader = _Reader()
    # Word writes `<![if !mso]>` and the like; on some of them the parser raises an AssertionError.
    plain = re.sub(r"<!\[[^>]*(?:>|$)", "", _without_comments(html))
    reader.feed(_with_few_open_tags(plain))
    reader.close()
    return reader.text()


def _without_comments(html: str) -> str:
    """Return HTML without its comments, up to one that has no end."""
    kept, place = [], 0
    while (start := html.find("<!--", place)) >= 0:
        kept.append(html[place:start])
        end = html.find("-->", start)
        if end < 0:
            return "".join(kept)
        place = end + 3
    return "".join([*kept, html[place:]])


def _with_few_open_tags(html: str) -> str:
    """Return HTML in which tags without an end are text, where there are too many of them.

    The parser looks for the end of each in all that follows.
    """
    first, *tags = html.split("<")
    is_open = [">" not in tag for tag in tags]
    if sum(is_open) <= _MOST_OPEN_TAGS:
        return html
    marks = ("&lt;" if opened else "<" for opened in is_open)
    return first + "".join(f"{mark}{tag}" for mark, tag in zip(marks, tags, strict=True))


@dataclass(frozen=True, slots=True)
class _Line:
    quotes: int
    container: int | None
    words: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[_Line] = []
        self._words: list[str] = []
        self._open = OpenElements()
        self._containers = 0
        self._with_blockquotes: set[int] = set()
        self._is_below = False
        """Whether all that follows was copied."""
        self._bullet = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        effect = effect_of(tag, dict(attrs))
        if tag in _VOID:
            self._show_void(tag)
            return
        if not effect.hides and tag not in _SILENT:
            self._part(tag)
        self._open.end_before(tag)
        if effect.quotes_what_follows and not self._open.now.is_quoted:
            self._is_below = True
        self._open.begin(self._element(tag, effect), changes=effect.is_any)
        if tag == "li" and not self._open.now.is_hidden:
            self._bullet = self._next_bullet()

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)
        self._open.end(tag)
        if tag in ("li", "ol", "ul"):
            self._bullet = ""

    def handle_data(self, data: str) -> None:
        now = self._open.now
        if now.is_hidden or now.is_shrunk:
            return
        if not now.keeps_spaces:
            self._words.append(data)
            return
        first, *others = data.split("\n")
        self._words.append(first)
        for line in others:
            self._end_line(always=True)
            self._words.append(line)

    def text(self) -> str:
        self._end_line()
        lines = []
        for line in self._lines:
            is_contained = line.container is not None and (
                line.container not in self._with_blockquotes
            )
            depth = min(line.quotes + is_contained, _DEEPEST_QUOTE)
            lines.append(f"{'>' * depth} {line.words}" if depth else line.words)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def _element(self, tag: str, effect: Effect) -> Element:
        """Return what holds of the text in an element that begins."""
        now = self._open.now
        container, numbers = now.container, now.numbers
        if effect.quotes and container is None:
            self._containers += 1
            container = self._containers
        is_quote = tag == "blockquote" and not effect.is_indented
        if is_quote and container is not None:
            self._with_blockquotes.add(container)
        if tag in ("ol", "ul"):
            numbers = [0] if tag == "ol" else None
        return Element(
            tag,
            quotes=now.quotes + is_quote,
            container=container,
            is_hidden=now.is_hidden or effect.hides or effect.signs or tag in _SILENT,
            is_shrunk=now.is_shrunk if effect.is_shrunk is None else effect.is_shrunk,
            keeps_spaces=now.keeps_spaces if effect.keeps_spaces is None else effect.keeps_spaces,
            numbers=numbers,
        )

    def _show_void(self, tag: str) -> None:
        self._part(tag)
        if tag == "br" and not self._open.now.is_hidden:
            self._end_line(always=True)

    def _part(self, tag: str) -> None:
        """Part what stands before a tag from what stands after it."""
        if self._open.now.is_hidden:
            return
        if tag in _BLOCKS:
            self._end_line()
        if tag in _PARAGRAPHS:
            self._blank_line()
        if tag in ("td", "th"):
            self._words.append(" ")

    def _next_bullet(self) -> str:
        numbers = self._open.now.numbers
        if numbers is None:
            return "- "
        numbers[0] += 1
        return f"{numbers[0]}. "

    def _end_line(self, *, always: bool = False) -> None:
        words = "".join(self._words)
        line = words if self._open.now.keeps_spaces else " ".join(words.split())
        self._words = []
        # The space of "-- " marks a signature.
        line = "-- " if words.strip() == "--" else line.replace("\xa0", " ")
        if line.strip() or always:
            if self._bullet and line.strip():
                line, self._bullet = self._bullet + line, ""
            self._add(line)

    def _blank_line(self) -> None:
        if self._lines and self._lines[-1].words:
            self._add("")

    def _add(self, line: str) -> None:
        now = self._open.now
        is_below = self._is_below and not now.is_quoted
        self._lines.append(_Line(now.quotes + is_below, now.container, line))
