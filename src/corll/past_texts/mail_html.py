"""The text of a mail that is HTML: what a reader sees, with what it quotes behind ">".

A quote is a `blockquote`, or a division that some mail program makes for one, unless blockquotes
in it tell the quoted text from answers between.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = frozenset({"head", "script", "style", "title"})
_BLOCKS = frozenset(
    "address article blockquote div dl dt dd footer h1 h2 h3 h4 h5 h6 header hr li main ol p pre "
    "section table tr ul".split()
)
_MOST_OPEN_TAGS = 100
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_QUOTING = frozenset(
    {"gmail_quote", "gmail_quote_container", "yahoo_quoted", "protonmail_quote", "zmail_extra"}
)
"""Classes of divisions in which Gmail, Yahoo, Proton Mail and Zoho put what is answered."""
_HIDING = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|(?:font-size|max-height):0(?:px|pt|em|%)?(?:;|!|$)"
)
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


Attributes = list[tuple[str, str | None]]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[tuple[int, str, int | None]] = []
        self._words: list[str] = []
        self._quotes = 0
        self._silent = 0
        self._verbatim = 0
        self._hidden: tuple[str, int] | None = None
        self._containers = 0
        self._container: tuple[int, int] | None = None
        """The quoting division that is open: its number, and how many divisions are open in it."""
        self._with_blockquotes: set[int] = set()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self._hide(tag, attrs):
            return
        if tag in _SILENT:
            self._silent += 1
        if tag == "body":  # a head may lack its end
            self._silent = 0
        if tag == "br":
            self._end_line(always=True)
        if tag in _BLOCKS:
            self._end_line()
        if tag in _PARAGRAPHS:
            self._blank_line()
        if tag == "div":
            self._open_division(attrs)
        if tag == "blockquote":
            self._quotes += 1
            if self._container is not None:
                self._with_blockquotes.add(self._container[0])
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._hidden is not None:
            self._unhide(tag)
            return
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        if tag in _BLOCKS:
            self._end_line()
        if tag in _PARAGRAPHS:
            self._blank_line()
        if tag == "div" and self._container is not None:
            number, depth = self._container
            self._container = (number, depth - 1) if depth > 1 else None
        if tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
        if tag == "pre":
            self._verbatim = max(self._verbatim - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._silent or self._hidden is not None:
            return
        if not self._verbatim:
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
        for quotes, line, container in self._lines:
            is_quoted = container is not None and container not in self._with_blockquotes
            depth = quotes + is_quoted
            lines.append(f"{'>' * depth} {line}" if depth else line)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def _open_division(self, attrs: Attributes) -> None:
        if self._container is not None:
            number, depth = self._container
            self._container = number, depth + 1
        elif not _QUOTING.isdisjoint((dict(attrs).get("class") or "").split()):
            self._containers += 1
            self._container = self._containers, 1

    def _hide(self, tag: str, attrs: Attributes) -> bool:
        """Say whether a tag stands in what is not shown, or begins it."""
        if self._hidden is not None:
            hidden, depth = self._hidden
            self._hidden = hidden, depth + (tag == hidden)
        elif tag not in _VOID and _is_hidden(dict(attrs)):
            self._hidden = tag, 1
        return self._hidden is not None

    def _unhide(self, tag: str) -> None:
        assert self._hidden is not None
        hidden, depth = self._hidden
        depth -= tag == hidden
        self._hidden = (hidden, depth) if depth else None

    def _end_line(self, *, always: bool = False) -> None:
        words = "".join(self._words)
        line = words if self._verbatim else " ".join(words.split())
        self._words = []
        # The space of "-- " marks a signature.
        line = "-- " if words.strip() == "--" else line.replace("\xa0", " ")
        if line.strip() or always:
            self._add(line)

    def _blank_line(self) -> None:
        if self._lines and self._lines[-1][1]:
            self._add("")

    def _add(self, line: str) -> None:
        self._lines.append((self._quotes, line, self._container and self._container[0]))


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = "".join((attributes.get("style") or "").lower().split())
    return "hidden" in attributes or _HIDING.search(style) is not None
