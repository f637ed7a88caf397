"""The text of a mail that is HTML: without tags, with what it quotes behind ">"."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = frozenset({"head", "script", "style", "title"})
_BLOCKS = frozenset(
    "address article blockquote div dl dt dd footer h1 h2 h3 h4 h5 h6 header hr li main ol p pre "
    "section table tr ul".split()
)
_PARAGRAPHS = frozenset({"p", "ol", "ul", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre"})


def text_of_html(html: str) -> str:
    """Return the text that a reader sees: a line for each block, blank lines between paragraphs."""
    reader = _Reader()
    # Word writes `<![if !mso]>` and the like; on some of them the parser raises an AssertionError.
    reader.feed(re.sub(r"<!\[[^>]*(?:>|$)", "", html))
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[tuple[int, str]] = []
        self._words: list[str] = []
        self._quotes = 0
        self._silent = 0
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
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
        self._quotes += tag == "blockquote"
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        if tag in _BLOCKS:
            self._end_line()
        if tag in _PARAGRAPHS:
            self._blank_line()
        if tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
        if tag == "pre":
            self._verbatim = max(self._verbatim - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._silent:
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
        lines = [f"{'>' * depth} {line}" if depth else line for depth, line in self._lines]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def _end_line(self, *, always: bool = False) -> None:
        words = "".join(self._words)
        line = words if self._verbatim else " ".join(words.split())
        self._words = []
        # The space of "-- " marks a signature.
        line = "-- " if words.strip() == "--" else line.replace("\xa0", " ")
        if line.strip() or always:
            self._lines.append((self._quotes, line))

    def _blank_line(self) -> None:
        if self._lines and self._lines[-1][1]:
            self._lines.append((self._quotes, ""))
