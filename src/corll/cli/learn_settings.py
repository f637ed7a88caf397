"""The settings of `corll learn`, and what of them a run keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from corll.catalog.entries import find_model
from corll.cli.framing import DraftFrameSettings
from corll.cli.parsing import parse, peek
from corll.cli.remembering import MemoryFlags
from corll.cli.settings import (
    OWN_SAMPLING,
    RUNS,
    WHICH_DEVICE,
    WHICH_DTYPE,
    WHICH_MODEL,
    WHICH_THINKING,
    YES,
    OptionalDType,
    OptionalFile,
    OptionalFolder,
    OptionalName,
    OptionalNumber,
    listed,
)
from corll.config import AUTO, CoactiveConfig, EditorName, LoraConfig, PresetName
from corll.configuring import Config
from corll.errors import ConfigError
from corll.files.run_folder import read_config

UserName = Literal["you", EditorName]

_ROUNDS, _DRAFTS_AT_ONCE = 128, 8
"""By default, with a simulated user."""

_FREE_ON_RESUME = frozenset({"rounds", "output", "resume", "device", "report_to", "yes"})
"""What may differ when a run is resumed: none of it decides what has been learned so far."""


class LearnSettings(Config):
    """Draft, be edited, learn from the edits: Algorithm 1, with you or a simulated user.

    All that happens is kept in the run's folder, so that a run that was interrupted, at whatever
    moment, goes on with --resume FOLDER as if it had not been.
    """

    model: str = Field(AUTO, description=f"{WHICH_MODEL}; {AUTO}: what suits this machine.")
    user: UserName = Field(
        "you", description="Who edits: you, at this terminal, or a simulated user with one rule."
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Simulated user: a draft with n offences against its rule is accepted where "
        "n / (1 + n) is at most this.",
    )
    error_probability: float = Field(
        0.0, ge=0, le=1, description="Simulated user: how often it edits by mistake."
    )
    prompts: OptionalFile = Field(
        None,
        description="Prompts to draft for, .txt (one a line) or .jsonl (field prompt; with a frame "
        "perhaps hint and sign_as). Without it: writing tasks that come with corll, or, with "
        "--user you, what you type.",
    )
    rounds: OptionalNumber = Field(
        None,
        ge=1,
        description=f"Drafts to be answered. By default {_ROUNDS}, or, with --user you, until you "
        "leave. It can be raised on --resume.",
    )
    output: OptionalFolder = Field(
        None, description=f"The run's folder. By default {RUNS}/DATE-TIME-USER."
    )
    resume: OptionalFolder = Field(
        None, description="Go on with the run in this folder, with the settings stored there."
    )
    preset: PresetName = Field(
        "default", description="Defaults of the flags below: corll's own, or the paper's."
    )
    held_out: OptionalFile = Field(
        None,
        description="Simulated user: prompts to measure with before and after, .txt or .jsonl. "
        "Without it: writing tasks that the run does not learn from.",
    )
    held_out_count: int = Field(
        32, ge=0, description="Simulated user: how many held-out prompts are used; 0 for none."
    )
    drafts_at_once: OptionalNumber = Field(
        None,
        ge=1,
        description="Drafts drawn together, by one state of the model. By default 1 with --user "
        f"you, else {_DRAFTS_AT_ONCE}, or preferences_per_step where that is more.",
    )
    enable_thinking: bool = Field(False, description=WHICH_THINKING)
    model_sampling: bool = Field(True, description=f"{OWN_SAMPLING} Not with the preset paper.")
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)
    device: OptionalName = Field(None, description=WHICH_DEVICE)
    report_to: Literal["none", "tensorboard", "wandb"] = Field(
        "none", description="Where metrics go besides the run's folder."
    )
    yes: bool = Field(False, description=YES)
    framed: DraftFrameSettings = Field(
        default_factory=DraftFrameSettings, description="With --user you: around each prompt."
    )
    remembered: MemoryFlags = Field(
        default_factory=MemoryFlags,
        description="The texts are those of the run's own rounds; held-out prompts have none.",
    )
    coactive: CoactiveConfig = Field(
        default_factory=CoactiveConfig, description="How drafts are made and edits learned from."
    )
    lora: LoraConfig = Field(default_factory=LoraConfig, description="The adapter that learns.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.simulated and (self.tolerance or self.error_probability or self.held_out):
            raise ValueError(
                "tolerance, error_probability and held_out are for simulated users, and user is "
                f"'you'; choose {listed(get_args(EditorName))}"
            )
        if self.simulated and self.framed != DraftFrameSettings():
            raise ValueError(
                "frame, sign_as and frame_file are for a person (user you): simulated users know "
                "by the prompt alone what to write"
            )
        wants_memory = self.coactive.learner == "distil" or self.coactive.learn_with_memory
        has_examples = self.framed.frame != "none" and self.framed.examples
        if wants_memory and not has_examples and self.remembered.memory == "none":
            raise ValueError(
                "learner='distil' and learn_with_memory learn from what stands before a prompt, "
                "and nothing does here; give memory (last, nearest or similar), or a frame, whose "
                "examples stand there, or leave them out"
            )
        return self

    @property
    def simulated(self) -> bool:
        return self.user != "you"

    def resolved(self) -> LearnSettings:
        """Fill in every default that depends on another setting, as a run stores it."""
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        at_once = max(_DRAFTS_AT_ONCE, self.coactive.preferences_per_step)
        at_once = at_once if self.simulated else 1
        return self.model_copy(
            update={
                "rounds": self.rounds or (_ROUNDS if self.simulated else None),
                "model": str(Path(self.model).absolute()) if _is_here(self.model) else self.model,
                "output": self.output or self.resume or RUNS / f"{stamp}-{self.user}",
                "drafts_at_once": self.drafts_at_once or at_once,
                "prompts": _absolute(self.prompts),
                "held_out": _absolute(self.held_out),
                "framed": self.framed.model_copy(
                    update={"frame_file": _absolute(self.framed.frame_file)}
                ),
            }
        )

    def stored(self) -> dict[str, Any]:
        """Return plain data for the run's config.json, without the folder's own place."""
        return self.model_dump(mode="json", exclude={"output", "resume", "yes"})


def read_settings(arguments: Sequence[str]) -> LearnSettings:
    """Read the settings that the arguments ask for, on top of a preset or of a stored run.

    *Raises*: ConfigError where a flag contradicts the run that is resumed.
    """
    resume = peek(arguments, "--resume")
    asked_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if resume is None or asked_for_help:
        preset = peek(arguments, "--preset")
        coactive = CoactiveConfig.preset("paper" if preset == "paper" else "default")
        default = LearnSettings(coactive=coactive)
        return parse(LearnSettings, arguments, command="learn", default=default).resolved()
    stored = LearnSettings(**read_config(resume)["settings"])
    asked = parse(LearnSettings, arguments, command="learn", default=stored).resolved()
    if asked.model == AUTO:  # It was resolved when the run began.
        asked = asked.model_copy(update={"model": stored.model})
    _check_resumable(stored, asked)
    return asked


def _check_resumable(stored: LearnSettings, asked: LearnSettings) -> None:
    before, now = _flat(stored), _flat(asked)
    problems = [
        f"--{name.replace('_', '-')} is {before[name]} there, not {now[name]}"
        for name in before
        if name not in _FREE_ON_RESUME and before[name] != now[name]
    ]
    if asked.output != asked.resume:
        problems.append("--output has no place beside --resume")
    if stored.rounds is not None and (asked.rounds is None or asked.rounds < stored.rounds):
        problems.append(f"--rounds can grow from {stored.rounds}, not become {asked.rounds}")
    if problems:
        raise ConfigError(
            f"The run in {asked.resume} has settings of its own: {'; '.join(problems)}. Leave "
            "these flags out, or start a new run."
        )


def _flat(settings: LearnSettings) -> dict[str, Any]:
    fields = settings.model_dump(mode="json")
    nested = dict[str, Any]()
    for part in ("coactive", "lora", "framed", "remembered"):
        nested |= fields.pop(part)
    return {**fields, **nested}


def _is_here(model: str) -> bool:
    return model != AUTO and find_model(model) is None and Path(model).exists()


def _absolute(path: Path | None) -> Path | None:
    # A run can be resumed from another working directory.
    return None if path is None else path.absolute()
