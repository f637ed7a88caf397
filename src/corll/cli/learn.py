"""`corll learn`: a whole run in its folder, from the first draft to the report."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from platform import python_version
from typing import get_args

from rich.console import Console

from corll.cli.dialogue import terminal_dialogue
from corll.cli.framing import FramedPrompts, check_is_followed
from corll.cli.learn_settings import LearnSettings, read_settings
from corll.cli.remembering import recall_in_run
from corll.cli.settings import listed, package_versions
from corll.cli.terminal_user import TerminalUser, typed_prompts
from corll.config import EditorName
from corll.errors import ConfigError, InputError
from corll.feedback import User
from corll.files.formats import read_prompts
from corll.files.run_folder import RunFolder, read_config
from corll.records import Prompt


def main(arguments: Sequence[str]) -> None:
    settings = read_settings(arguments)
    console = Console(highlight=False)
    if not settings.simulated and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(
            "--user you needs a terminal to show drafts and take edits; choose a simulated user "
            f"(--user {listed(get_args(EditorName))}) to run without one."
        )
    # Cheap checks come first, before a model is loaded.
    framed = FramedPrompts(settings.framed.framing())
    prompts, held_out = _training_prompts(settings, framed), _held_out_prompts(settings)
    with _open_folder(settings, _inputs(prompts, held_out)) as folder:
        for notice in folder.notices:
            console.print(notice, style="yellow")
        try:
            settings = _with_model_here(settings, folder)
            _play(settings, folder, prompts, held_out, framed, console)
        except KeyboardInterrupt:
            print(
                f"\n{len(folder.edits)} answers are safe. Go on by: corll learn --resume "
                f"{folder.path}",
                file=sys.stderr,
            )
            raise


def _with_model_here(settings: LearnSettings, folder: RunFolder) -> LearnSettings:
    """Return the settings with the name of a model that is here, which the run's folder keeps."""
    # Choosing needs torch, and what was checked before must not wait for it.
    from corll.auto.resolve import resolve

    dialogue = terminal_dialogue(yes=settings.yes)
    model = resolve(settings.model, dialogue, device=settings.device, dtype=settings.dtype)
    settings = settings.model_copy(update={"model": model})
    folder.write_config({**read_config(folder.path), "settings": settings.stored()})
    return settings


def _play(
    settings: LearnSettings,
    folder: RunFolder,
    prompts: Sequence[Prompt] | None,
    held_out: Sequence[Prompt],
    framed: FramedPrompts,
    console: Console,
) -> None:
    # A run needs torch, and --help and everything above must not wait for it.
    from corll.cli.learning_run import LearningRun

    with console.status(f"loading {settings.model}"):
        learning_run = LearningRun.open(settings, folder, held_out=held_out, console=console)
    check_is_followed(framed.framing, learning_run.learner.policy)
    learner = learning_run.learner
    learner.recall = recall_in_run(
        learner, folder.edits, settings.remembered, settings.framed.memory()
    )
    user = (
        _editor(settings)
        if settings.simulated
        else TerminalUser(console, check=learning_run.check, asked=framed.asked)
    )
    # The evaluation measures the distance to what the user wants, so the judge makes no mistakes.
    judge = _editor(settings.with_settings(error_probability=0.0)) if held_out else user
    typed = typed_prompts(console, framed, check=learning_run.check_prompt)
    asked = cycle(prompts) if prompts is not None else _answered_then(typed, folder)
    # All prompts of the run, from its first round; a file is repeated as needed.
    learning_run.play(islice(asked, settings.rounds), user, judge=judge)


def _answered_then(typed: Iterator[Prompt], folder: RunFolder) -> Iterator[Prompt]:
    yield from [edit.draft.prompt for edit in folder.edits]
    yield from typed


def _training_prompts(settings: LearnSettings, framed: FramedPrompts) -> list[Prompt] | None:
    """Return the prompts of the run; None where a person types them."""
    if settings.prompts is not None:
        return framed.of_file(settings.prompts)
    if not settings.simulated:
        return None
    from corll.simulation.writing_prompts import writing_prompts

    return list(writing_prompts("train"))


def _held_out_prompts(settings: LearnSettings) -> list[Prompt]:
    if not settings.simulated or not settings.held_out_count:
        return []
    from corll.simulation.writing_prompts import writing_prompts

    found: Sequence[Prompt] = (
        read_prompts(settings.held_out) if settings.held_out else writing_prompts("held_out")
    )
    return list(found[: settings.held_out_count])


def _editor(settings: LearnSettings) -> User:
    from corll.simulation import EDITORS, own_words

    assert settings.user != "you", "a person is no editor by rule"
    return EDITORS[settings.user](
        own_words=own_words(),
        tolerance=settings.tolerance,
        error_probability=settings.error_probability,
        seed=settings.coactive.seed,
    )


def _open_folder(settings: LearnSettings, inputs: Mapping[str, str]) -> RunFolder:
    config = {
        "settings": settings.stored(),
        "inputs": dict(inputs),
        "versions": package_versions() | {"python": python_version()},
    }
    if settings.resume is None:
        assert settings.output is not None, "resolved settings name the folder"
        return RunFolder.create(settings.output, config)
    folder = RunFolder.reopen(settings.resume)
    stored = read_config(settings.resume)
    for name, digest in stored["inputs"].items():
        if inputs[name] != digest:
            folder.close()
            raise ConfigError(
                f"The {name} prompts are not those that the run in {settings.resume} began with; "
                "put them back as they were, or start a new run."
            )
    if stored["versions"] != config["versions"]:
        folder.notices.append(
            "The run began with other versions of its packages (see its config.json); what is "
            "learned from here on may differ in the last digits."
        )
    folder.write_config({**stored, "settings": config["settings"]})
    return folder


def _inputs(prompts: Sequence[Prompt] | None, held_out: Sequence[Prompt]) -> dict[str, str]:
    """Return the digests by which a resumed run knows its prompts again."""
    return {
        name: hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
        for name, texts in (("training", prompts), ("held-out", held_out))
    }
