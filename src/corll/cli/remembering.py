"""What stands before a command's prompts: worked examples, and earlier texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from corll.configuring import Config
from corll.errors import InputError, RunFolderError
from corll.evaluation import question
from corll.feedback import is_acceptance
from corll.files.formats import in_frame
from corll.files.run_folder import read_config, read_journal
from corll.frames import Framing
from corll.memory.choosing import MemoryChoice, MemorySettings, stand_before
from corll.memory.exchanges import Exchange, is_single
from corll.past_texts.reading import read_past_texts
from corll.records import Draft, Edit, Prompt
from corll.service.settings import ServiceSettings
from corll.text import clean_edit

if TYPE_CHECKING:
    from corll.learner import CoactiveLearner

_SERVED = ServiceSettings.model_fields


class MemoryFlags(Config):
    """Which texts that were sent before stand before a prompt."""

    memory: MemoryChoice = Field(
        "none",
        description="Which texts that were sent before stand before a prompt, for the model to "
        "write alike: the last ones, the nearest to what is asked by words, those of similar "
        "meaning (needs the extra `meaning`), none.",
    )
    memory_texts: int = Field(
        _SERVED["memory_texts"].default,
        ge=1,
        le=32,
        description="How many of these texts there are, with last up to twice.",
    )
    memory_tokens: int = Field(
        _SERVED["memory_tokens"].default,
        ge=1,
        description="Most tokens of these texts, with what was asked for each.",
    )

    @property
    def choice(self) -> MemorySettings:
        """Return them as the library takes them."""
        return MemorySettings(self.memory, self.memory_texts, self.memory_tokens)


def letters_of_run(edits: Sequence[Edit]) -> list[Exchange]:
    """Return what was sent in the rounds of a run, in order; a conversation under way is none."""
    return [
        Exchange(edit.draft.prompt, _sent(edit), f"round-{number}")
        for number, edit in enumerate(edits, start=1)
        if edit.text is not None and is_single(edit.draft.prompt)
    ]


def letters_of_file(path: Path, framing: Framing, *, me: Sequence[str] = ()) -> list[Exchange]:
    """Return the past texts of a file, each asked for in a frame. *Raises*: InputError."""
    letters = []
    for number, past in enumerate(read_past_texts(path, me=me), start=1):
        try:
            prompt = in_frame(past.prompt, framing, hint=past.hint, name=past.sign_as)
        except InputError as error:
            raise InputError(f"{path}, text {number}: {error}") from error
        if is_single(prompt):
            letters.append(Exchange(prompt, past.sent, f"text-{number}"))
    return letters


def letters_beside(adapter: Path, framing: Framing) -> list[Exchange]:
    """Return what was sent in the run that an adapter's folder is of.

    *Raises*: InputError where it was asked for in another frame, or the folder is of no run.
    """
    run = adapter.absolute().parent
    try:
        frame = read_config(run).get("settings", {}).get("framed", {}).get("frame", "none")
    except RunFolderError as error:
        raise InputError(
            f"The adapter {adapter} is of no run of `corll learn` whose texts could stand before a "
            "prompt; name a file of texts by --letters."
        ) from error
    if frame != framing.frame:
        raise InputError(
            f"The texts of the run in {run} were asked for with --frame {frame}, and these prompts "
            f"with --frame {framing.frame}; use the same frame, or name other texts by --letters."
        )
    return letters_of_run(read_journal(run))


def recall_in_run(
    learner: CoactiveLearner,
    edits: Sequence[Edit],
    flags: MemoryFlags,
    examples: Sequence[Exchange],
) -> Callable[[Prompt], Sequence[Exchange]] | None:
    """Return what a learner of a run recalls: examples, and texts of rounds that it has played.

    Texts of rounds that are drawn together stand before one another in no case, so a run that is
    resumed recalls what it would have. None is nothing.
    """
    if flags.memory == "none":
        return (lambda _: examples) if examples else None

    def recall(prompt: Prompt) -> Sequence[Exchange]:
        if not is_single(prompt):
            return examples
        past = letters_of_run(edits[: learner.rounds_played])
        count = learner.policy.codec.count_turn_tokens
        return stand_before(question(prompt), past, flags.choice, count, examples=examples)

    return recall


def say_what_is_left_out(drafts: Sequence[Draft], memories: Sequence[Sequence[Exchange]]) -> None:
    """Say on standard error where the context had no room for all that was to stand there."""
    for number, (draft, memory) in enumerate(zip(drafts, memories, strict=True), start=1):
        if len(draft.memory) < len(memory):
            print(
                f"Before prompt {number} stand {len(draft.memory)} of {len(memory)} texts; the "
                "model's context has no room for more beside --max-completion-length.",
                file=sys.stderr,
            )


def _sent(edit: Edit) -> str:
    assert edit.text is not None
    if is_acceptance(edit.draft, edit.text):
        return edit.draft.text
    return clean_edit(edit.text, edit.draft.text)
