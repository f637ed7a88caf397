"""`corll replay LOG`: what memory and learning would have made of one's own log of edits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field
from rich.console import Console
from tyro.conf import Positional, arg

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.remembering import MemoryFlags
from corll.cli.settings import (
    RUNS,
    WHICH_DEVICE,
    WHICH_DTYPE,
    WHICH_MODEL,
    WHICH_THINKING,
    YES,
    OptionalDType,
    OptionalFolder,
    OptionalName,
    OptionalNumber,
    package_versions,
)
from corll.config import AUTO, CoactiveConfig, LoraConfig
from corll.configuring import Config
from corll.edit_logs.logged import LoggedEdit, by_user
from corll.edit_logs.reading import LogForm, read_edits
from corll.errors import InputError
from corll.memory.choosing import MemoryChoice

if TYPE_CHECKING:
    from corll.policy import Policy
    from corll.replay.folder import ReplayFolder
    from corll.replay.prequential import Replay
    from corll.replay.scores import ReplayArm, ScoredEdit

ARMS = ("base", "memory", "sft", "coactive", "both")
_FREE_AGAIN = {"output", "yes", "log"}
"""What may differ when a replay goes on; the log is known by its content."""


class ReplayMemory(MemoryFlags):
    """Which texts that were sent before stand before a prompt, in the arms that have any."""

    memory: MemoryChoice = Field(
        "last", description=str(MemoryFlags.model_fields["memory"].description)
    )


class ReplaySettings(Config):
    """Score your own log of edits under the base, past letters and what is learned, edit by edit.

    Each edit is scored before anything learned from it, and nothing is drafted anew. It reports the
    surprisal of what was inserted, and how often R_π prefers what was sent, against the base: one
    page, and a PNG. A replay that was stopped goes on when the same command is given again.
    """

    log: Positional[Path] = Field(
        description="JSON lines or .csv with prompt, draft, sent and perhaps user and time, what "
        "`corll export` writes, or with --from what that tool exports."
    )
    form: Annotated[LogForm, arg(name="from", metavar=f"{{{','.join(get_args(LogForm))}}}")] = (
        Field("plain", description="The tool that wrote the log; plain: our own form.")
    )
    model: str = Field(AUTO, description=f"{WHICH_MODEL}; {AUTO}: what suits this machine.")
    arms: Annotated[tuple[str, ...], arg(metavar="ARM…")] = Field(
        ARMS,
        description="Which arms: memory, the base behind the user's last letters; sft and "
        "coactive, what was learned by supervision and by the learner below; both, the latter "
        "behind the last letters. The base is always there.",
    )
    most: OptionalNumber = Field(
        None, ge=1, description="Of each user only so many edits, the latest."
    )
    output: OptionalFolder = Field(
        None, description=f"The replay's folder; by default {RUNS}/replay-LOG."
    )
    enable_thinking: bool = Field(False, description=WHICH_THINKING)
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)
    device: OptionalName = Field(None, description=WHICH_DEVICE)
    yes: bool = Field(False, description=YES)
    remembered: ReplayMemory = Field(
        default_factory=ReplayMemory,
        description="What stands before a prompt in the arms memory and both.",
    )
    coactive: CoactiveConfig = Field(
        default_factory=CoactiveConfig, description="How edits are learned from."
    )
    lora: LoraConfig = Field(default_factory=LoraConfig, description="The adapter that learns.")

    @property
    def folder(self) -> Path:
        return self.output or RUNS / f"replay-{self.log.name.partition('.')[0]}"

    def chosen_arms(self) -> list[ReplayArm]:
        """Return the arms in their order, the base first. *Raises*: InputError."""
        if unknown := [arm for arm in self.arms if arm not in ARMS]:
            raise InputError(f"There is no arm {unknown[0]!r}; there are {', '.join(ARMS)}.")
        return [arm for arm in ARMS if arm == "base" or arm in self.arms]  # type: ignore[misc]


def main(arguments: Sequence[str]) -> None:
    settings = parse(ReplaySettings, arguments, command="replay")
    # Cheap checks come first, before a model is loaded.
    arms = settings.chosen_arms()
    if settings.remembered.memory == "none" and {"memory", "both"} & set(arms):
        raise InputError(
            "--memory none leaves nothing to the arms memory and both: leave them out."
        )
    users = by_user(read_edits(settings.log, settings.form), most=settings.most)
    console = Console(highlight=False)
    policy = _policy(settings, console)
    from corll.replay.folder import ReplayFolder
    from corll.replay.prequential import Replay

    replay = Replay(policy, settings.coactive, arms, settings.remembered.choice)
    with ReplayFolder.open(settings.folder, _config(settings, policy)) as folder:
        scored = _scored(replay, users, folder, console)
        _report(settings, replay, scored, folder, console)


def _policy(settings: ReplaySettings, console: Console) -> Policy:
    # The policy needs torch, and --help and everything above must not wait for it.
    from corll.auto.resolve import resolve
    from corll.policy import Policy

    dialogue = terminal_dialogue(yes=settings.yes)
    model = resolve(settings.model, dialogue, device=settings.device, dtype=settings.dtype)
    with console.status(f"loading {model}"):
        return Policy.load(
            model,
            dtype=settings.dtype,
            device=settings.device,
            lora=settings.lora,
            enable_thinking=settings.enable_thinking,
        )


def _config(settings: ReplaySettings, policy: Policy) -> dict[str, Any]:
    """Return all that decides what a replay gives."""
    return {
        "settings": settings.model_dump(mode="json", exclude=_FREE_AGAIN),
        "log": hashlib.sha256(settings.log.read_bytes()).hexdigest()[:16],
        "model": {
            "name": policy.name,
            "folder": str(policy.folder),
            "dtype": str(policy.dtype).removeprefix("torch."),
            "device": str(policy.device),
        },
        "versions": package_versions(),
    }


def _scored(
    replay: Replay,
    users: Mapping[str, Sequence[LoggedEdit]],
    folder: ReplayFolder,
    console: Console,
) -> list[ScoredEdit]:
    """Return all edits, scored; those that the folder has already are not scored again."""
    known = folder.scored()
    found: list[ScoredEdit] = []
    with console.status("") as status:
        for place, (user, edits) in enumerate(users.items(), start=1):
            before = known.get(user, [])
            if len(before) == len(edits):
                found += before
                continue
            for scored in replay.of_user(user, edits, known=before):
                if scored.number > len(before):
                    folder.append(scored)
                found.append(scored)
                status.update(f"user {place} of {len(users)}: edit {scored.number} of {len(edits)}")
    return found


def _report(
    settings: ReplaySettings,
    replay: Replay,
    scored: Sequence[ScoredEdit],
    folder: ReplayFolder,
    console: Console,
) -> None:
    from corll.replay.figure import draw_replay
    from corll.replay.report import Told, report
    from corll.replay.summary import count_edits, summarise

    seed, policy = settings.coactive.seed, replay.policy
    title = f"Replay of {settings.log.name}"
    drawn = draw_replay(scored, replay.arms, folder.figure, title=title, seed=seed)
    dtype = str(policy.dtype).removeprefix("torch.")
    memory = replay.memory
    told = Told(
        log=settings.log.name,
        form=settings.form,
        model=f"{policy.name} in {dtype}",
        memory=f"{memory.choice}, {memory.most} texts, {memory.budget_tokens} tokens at most",
        config=settings.coactive,
        figure=folder.figure.name if drawn else None,
    )
    page = report(told, count_edits(scored), summarise(scored, replay.arms, seed=seed))
    folder.write_report(page)
    console.print(page, markup=False, soft_wrap=True)
    console.print(f"Written to {folder.path}", style="dim", soft_wrap=True)
