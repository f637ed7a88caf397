"""The prompts of `prompts.toml`, the frames they are drafted in, and the lines that drafts are."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from corll.errors import InputError
from corll.files.durable import read_lines
from corll.frames import FRAMES, FrameName, Framing
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange

PROMPTS = Path(__file__).parent / "prompts.toml"
TITLES = frozenset("mr mrs ms miss mx dr prof professor sir madam".split())

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


def plain(text: str) -> str:
    """Return a text with straight apostrophes and quotation marks."""
    return text.translate(str.maketrans("’‘ʼ“”", "'''\"\""))


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order; a hyphen or an apostrophe parts none."""
    return _WORD.findall(plain(text))


def name_words(name: str) -> frozenset[str]:
    """Return the words by which somebody is recognised: of the name, without titles."""
    return frozenset(word.casefold() for word in words_of(name)) - TITLES


@dataclass(frozen=True, slots=True)
class DraftPrompt:
    """What somebody brings to the writing desk, and what the draft has to say.

    `sender` is whom the draft addresses, empty for nobody in particular. Each fact of `must_say`
    is one or more patterns, of which one has to be found. *Raises*: InputError.
    """

    id: str
    kind: Literal["reply", "write"]
    message: str
    hint: str
    sign_as: str
    sender: str
    must_say: tuple[tuple[re.Pattern[str], ...], ...]
    held_out: bool = False

    def __post_init__(self) -> None:
        if self.kind not in FRAMES:
            raise InputError(f"Prompt {self.id}: kind is {self.kind!r}; it is reply or write.")
        if not self.must_say or not all(self.must_say):
            raise InputError(f"Prompt {self.id}: must_say has no fact, or one without a pattern.")
        if both := name_words(self.sender) & name_words(self.sign_as):
            raise InputError(
                f"Prompt {self.id}: sender and sign_as are both called {min(both)!r}, so nobody "
                "could tell who is named; rename one."
            )

    @classmethod
    def of(cls, table: dict[str, Any]) -> DraftPrompt:
        """Return the prompt of a table of the file. *Raises*: InputError."""
        name = table.get("id", "without an id")
        try:
            facts = tuple(
                tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)
                for patterns in table["must_say"]
            )
            message = table["message"].strip()
            return cls(**{**table, "message": message, "must_say": facts})
        except KeyError as error:
            raise InputError(f"Prompt {name}: it has no {error.args[0]}.") from error
        except TypeError as error:
            raise InputError(f"Prompt {name}: its fields are not right ({error}).") from error
        except re.error as error:
            raise InputError(
                f"Prompt {name}: {error.pattern!r} is no regular expression ({error})."
            ) from error


def read_prompts(path: Path = PROMPTS) -> dict[str, DraftPrompt]:
    """Read all prompts by their ids. *Raises*: InputError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("prompt", [])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as TOML ({error}).") from error
    prompts = [DraftPrompt.of(table) for table in tables]
    by_id = {prompt.id: prompt for prompt in prompts}
    if len(by_id) < len(prompts):
        ids = [prompt.id for prompt in prompts]
        twice = next(id for id in ids if ids.count(id) > 1)
        raise InputError(f"{path}: there are two prompts with the id {twice!r}; rename one.")
    return by_id


@dataclass(frozen=True, slots=True)
class DraftFrame:
    """A frame under the name that tables show, `template` in place of the frame's own words.

    `begin` is the beginning of each draft, which the model goes on with; `with_examples` says
    whether worked examples stand before the message.
    """

    name: str
    kind: FrameName
    template: str | None = None
    begin: str = ""
    with_examples: bool = True

    @classmethod
    def of_file(cls, path: Path) -> DraftFrame:
        """Return the frame of a file, whose name begins with its kind. *Raises*: InputError."""
        kind = path.stem.partition("-")[0]
        if kind not in FRAMES or path.stem == kind:
            raise InputError(
                f"{path}: the name of a frame's file begins with its kind, as reply-short.txt or "
                "write-short.txt do; rename it."
            )
        try:
            template = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as text ({error}).") from error
        return cls(path.stem, cast(FrameName, kind), template)

    def suits(self, prompt: DraftPrompt) -> bool:
        """Say whether a prompt is drafted in this frame: of its kind, or none."""
        return self.kind in ("none", prompt.kind)

    def around(self, prompt: DraftPrompt) -> str:
        """Return the prompt's message in this frame. *Raises*: InputError."""
        return self._framing(prompt).around(prompt.message)

    def examples(self, prompt: DraftPrompt) -> tuple[Exchange, ...]:
        """Return what stands before the prompt's message in this frame."""
        return worked_examples(self._framing(prompt)) if self.with_examples else ()

    def _framing(self, prompt: DraftPrompt) -> Framing:
        if self.kind == "none":
            return Framing()
        return Framing(self.kind, prompt.hint, prompt.sign_as, self.template)

    def begun(self, begin: str) -> DraftFrame:
        """Return this frame with drafts that begin so, under a name that says it."""
        return replace(self, name=f"{self.name}~{begin}", begin=begin) if begin else self

    def without_examples(self) -> DraftFrame:
        """Return this frame with nothing before the message, under a name that says it."""
        return replace(self, name=f"{self.name}-alone", with_examples=False)


def frames_of(names: Sequence[str], files: Iterable[Path]) -> list[DraftFrame]:
    """Return the frames of these names and files. *Raises*: InputError."""
    known = ("none", *FRAMES)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"There is no frame {unknown[0]!r}; there are {', '.join(known)}.")
    own = [DraftFrame(name, cast(FrameName, name)) for name in dict.fromkeys(names)]
    return [*own, *map(DraftFrame.of_file, files)]


def digest_of(frame: DraftFrame, prompt: DraftPrompt) -> str:
    """Return by what a prompt in its frame is recognised."""
    shown = [f"{example.prompt}\0{example.text}" for example in frame.examples(prompt)]
    told = "\0".join([*shown, frame.around(prompt), frame.begin])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


Key = tuple[str, str, str, bool, int]


def key_of(line: dict[str, Any]) -> Key:
    """Return which draft a line is: its model, prompt, frame, guards and seed."""
    return line["model"], line["prompt"], line["frame"], line["guards"], line["seed"]


def read_drafts(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Read the drafts of files. *Raises*: InputError, RecordError for what is no draft."""
    drafts: dict[Key, dict[str, Any]] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no file {path}; draw_drafts.py writes one.")
        for number, line in read_lines(path):
            try:
                key = key_of(line)
            except KeyError as error:
                raise InputError(f"{path}, line {number}: no draft, {error} is missing.") from error
            if key in drafts:
                raise InputError(f"{path}, line {number}: this draft is there twice ({key}).")
            drafts[key] = line
    return list(drafts.values())
