"""The frame around prompts that are given to a command: its flags, and what a person is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from corll.cli.settings import OptionalFile, Words
from corll.configuring import Config
from corll.errors import InputError
from corll.evaluation import question
from corll.files.formats import framed_prompt, read_prompt_records
from corll.frames import FrameName, Framing
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange
from corll.records import Prompt

if TYPE_CHECKING:
    from corll.policy import Policy


class FrameSettings(Config):
    """What the model is told around each prompt."""

    frame: FrameName = Field(
        "none",
        description="What the model is told around each prompt: reply, that it is a message which "
        "is answered in your name; write, that it says what to write; none, nothing.",
    )
    sign_as: Words = Field("", description="With a frame: how you sign.")
    frame_file: OptionalFile = Field(
        None,
        description="With a frame: a text file in place of its words, with {message}, {hint}, "
        "{name} and {sender}, who signed the message; a line whose field is empty is left out.",
    )

    @property
    def template(self) -> str | None:
        """The words in place of the frame's own, if any. *Raises*: InputError."""
        if self.frame_file is None:
            return None
        try:
            return self.frame_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"--frame-file {self.frame_file} cannot be read as text ({error})."
            ) from error

    def framing(self, hint: str = "") -> Framing:
        """Return the frame around each prompt. *Raises*: InputError where that is not right."""
        return Framing(self.frame, hint, self.sign_as, self.template)


class DraftFrameSettings(FrameSettings):
    """The same where drafts are drawn at once, and what stands before each prompt."""

    examples: bool = Field(
        True,
        description="With a frame: whether short letters of our own stand before the message, "
        "which show the model what the frame asks for.",
    )

    def memory(self) -> tuple[Exchange, ...]:
        """Return what stands before each prompt. *Raises*: InputError."""
        return worked_examples(self.framing()) if self.examples else ()


class FramedPrompts:
    """Makes the prompts of a run, and knows again what was asked in each frame."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self._asked: dict[str, str] = {}

    def typed(self, message: str, hint: str) -> Prompt:
        """Return a message in the frame, with a hint. *Raises*: InputError."""
        framed = replace(self.framing, hint=hint).around(message)
        self._asked[framed] = message
        return framed

    def of_file(self, path: Path) -> list[Prompt]:
        """Return the prompts of a file, each in the frame. *Raises*: InputError, RecordError."""
        prompts: list[Prompt] = []
        for prompt, record in read_prompt_records(path):
            prompts.append(framed_prompt(prompt, record, self.framing))
            self._asked[question(prompts[-1])] = question(prompt)
        return prompts

    def asked(self, prompt: Prompt) -> str:
        """Return what a prompt asks, without the frame where it was put around here."""
        framed = question(prompt)
        return self._asked.get(framed, framed)


def check_is_followed(framing: Framing, policy: Policy) -> None:
    """Check that a model follows a frame. *Raises*: InputError without a chat template."""
    if framing.frame != "none" and not policy.codec.chat:
        raise InputError(
            f"{policy.name} has no chat template, so it does not follow what --frame "
            f"{framing.frame} tells it; name an instruction model by --model, or leave the frame "
            "out (--frame none)."
        )
