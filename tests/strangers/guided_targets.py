"""What reads a stranger's bytes, each with small valid ones that guided changes begin from."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mutations import CORPUS, reads
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

_HEADER = {
    "__metadata__": {"format": "pt"},
    "a.weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
    "b.weight": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]},
}


@dataclass(frozen=True)
class Target:
    """A reader of bytes, which takes them or raises an error of ours, and where to begin."""

    read: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]


def _through_a_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Return what reads bytes as a file of that name, and finds nothing else beside it."""
    folder = Path(tempfile.mkdtemp(prefix="corll-guided-"))

    def look(content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        reads(lambda: read(path))
        assert [found.name for found in folder.iterdir()] == [name]

    return look


def _seeds_of_texts(name: str) -> list[bytes]:
    return [EXAMPLES[name]]


def _seeds_of_logs(form: LogForm) -> list[bytes]:
    kept = [*LOGS.glob(f"{form}*.json*"), *CORPUS.glob("texts/*")]
    return [path.read_bytes() for path in sorted(kept)]


def _read_mail_words(content: bytes) -> None:
    text = content.decode("utf-8", errors="replace")
    assert isinstance(text_of_html(text), str)
    own_words(text)
    quoted_words(text)


def _seeds_of_mail_words() -> list[bytes]:
    return [
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


def _seeds_of_templates() -> list[bytes]:
    kept = [path.read_text() for path in sorted(CORPUS.glob("template/*"))]
    written = [CHAT_TEMPLATE, TURN_TEMPLATE, FEATURES, *BOMBS, *kept]
    return [template.encode() for template in written if len(template) < 10_000]


def _seeds_of_weights() -> list[bytes]:
    header = json.dumps(_HEADER).encode()
    return [struct.pack("<Q", len(header)) + header + bytes(16)]


def _seeds_of_gguf() -> list[bytes]:
    folder = Path(tempfile.mkdtemp(prefix="corll-guided-"))
    try:
        return [write_tiny_gguf(folder / "tiny.gguf").read_bytes()[:20_000]]
    finally:
        shutil.rmtree(folder)


def targets() -> Mapping[str, Callable[[], Target]]:
    """Return what makes each target, by its name: what one of them needs is made for it alone."""
    made: dict[str, Callable[[], Target]] = {
        "mail-words": lambda: Target(_read_mail_words, _seeds_of_mail_words),
        "template": lambda: Target(_Templates(), _seeds_of_templates),
        "gguf": lambda: Target(_through_a_file("model.gguf", read_header), _seeds_of_gguf),
        "safetensors": lambda: Target(
            _through_a_file("model.safetensors", lambda path: parameters_in(path.parent)),
            _seeds_of_weights,
        ),
    }
    for name in EXAMPLES:
        made[name] = partial(_target_of_texts, name)
    for form in FORMS:
        made[f"log-{form}"] = partial(_target_of_logs, form)
    return made


def _target_of_texts(name: str) -> Target:
    read = _through_a_file(name, lambda path: read_past_texts(path, me=ME))
    return Target(read, partial(_seeds_of_texts, name))


def _target_of_logs(form: LogForm) -> Target:
    read = _through_a_file("log.jsonl", lambda path: read_edits(path, form))
    return Target(read, partial(_seeds_of_logs, form))
