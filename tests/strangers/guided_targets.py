"""What reads a stranger's bytes, each with small valid ones that guided changes begin from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from mutations import CORPUS, reads
from safetensors.torch import save
from stranger_texts import EXAMPLES, LOGS, ME
from test_templates import BOMBS, FEATURES, MESSAGES

from corll.edit_logs.reading import FORMS, LogForm, read_edits
from corll.errors import CorllError
from corll.model.bounded_templates import MOST_CHARACTERS
from corll.model.chat import ChatTemplate
from corll.model.gguf_header import read_header
from corll.model.stored_weights import parameters_in
from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_words import own_words, quoted_words
from corll.past_texts.reading import read_past_texts
from tiny_gguf import write_tiny_gguf
from tiny_models import CHAT_TEMPLATE, build_tokenizer
from tiny_tokenizers import TURN_TEMPLATE


@dataclass(frozen=True)
class Target:
    """A reader of bytes, which takes them or raises an error of ours, and where to begin."""

    read: Callable[[bytes], object]
    seeds: Sequence[bytes]


def _through_a_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Return what reads bytes as a file of that name, and finds nothing else beside it."""
    folder = Path(tempfile.mkdtemp())

    def look(content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        reads(lambda: read(path))
        assert [found.name for found in folder.iterdir()] == [name]

    return look


def _read_mail_words(content: bytes) -> None:
    text = content.decode("utf-8", errors="replace")
    assert isinstance(text_of_html(text), str)
    own_words(text)
    quoted_words(text)


_MAIL_WORDS = [
    EXAMPLES["mail.mbox"].split(b"\n\n", 2)[2],
    b"Yes.\n\nOn Mon, Eve wrote:\n> Is it in?\n\n-- \nAnna\n",
    b"Yes.\n-----Original Message-----\nFrom: Eve\nSent: Monday\n\nIs it in?\n",
    b"<p>Where <b>is</b> it?</p><!-- hidden --><blockquote>Soon.</blockquote>",
]


class _Templates:
    """Writes a conversation by a template, with one tokenizer for all of them."""

    def __init__(self) -> None:
        self._tokenizer = build_tokenizer(chat=True)

    def __call__(self, content: bytes) -> None:
        self._tokenizer.chat_template = content.decode("utf-8", errors="replace")
        with suppress(CorllError):
            assert len(ChatTemplate(self._tokenizer).render(MESSAGES)) <= MOST_CHARACTERS


def _of_mail_words() -> Target:
    return Target(_read_mail_words, _MAIL_WORDS)


def _of_templates() -> Target:
    kept = [path.read_text() for path in sorted(CORPUS.glob("template/*"))]
    written = [CHAT_TEMPLATE, TURN_TEMPLATE, FEATURES, *BOMBS, *kept]
    return Target(_Templates(), [one.encode() for one in written if len(one) < 10_000])


def _of_gguf() -> Target:
    whole = write_tiny_gguf(Path(tempfile.mkdtemp()) / "tiny.gguf").read_bytes()
    return Target(_through_a_file("model.gguf", read_header), [whole[:20_000]])


def _of_weights() -> Target:
    weights = {"a.weight": torch.zeros(2, 3, dtype=torch.bfloat16), "b.weight": torch.zeros(1)}
    read = _through_a_file("model.safetensors", lambda path: parameters_in(path.parent))
    return Target(read, [save(weights, {"format": "pt"})])


def _of_texts(name: str) -> Target:
    read = _through_a_file(name, lambda path: read_past_texts(path, me=ME))
    return Target(read, [EXAMPLES[name]])


def _of_logs(form: LogForm) -> Target:
    read = _through_a_file("log.jsonl", lambda path: read_edits(path, form))
    kept = sorted([*LOGS.glob(f"{form}*.json*"), *CORPUS.glob("texts/*")])
    return Target(read, [path.read_bytes() for path in kept])


TARGETS: Mapping[str, Callable[[], Target]] = {
    "mail-words": _of_mail_words,
    "template": _of_templates,
    "gguf": _of_gguf,
    "safetensors": _of_weights,
    **{name: partial(_of_texts, name) for name in EXAMPLES},
    **{f"log-{form}": partial(_of_logs, form) for form in FORMS},
}
"""What makes each target, by its name: what one of them needs is made for it alone."""
