"""`corll draft PROMPT…`: drafts without learning, from a base model or with an adapter."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console
from rich.rule import Rule
from rich.text import Text
from tyro.conf import Positional, arg

from corll.cli.dialogue import terminal_dialogue
from corll.cli.framing import DraftFrameSettings, check_is_followed
from corll.cli.parsing import parse
from corll.cli.remembering import (
    MemoryFlags,
    letters_beside,
    letters_of_file,
    say_what_is_left_out,
)
from corll.cli.settings import (
    OWN_SAMPLING,
    WHICH_DEVICE,
    WHICH_DTYPE,
    WHICH_MODEL,
    WHICH_THINKING,
    YES,
    OptionalDType,
    OptionalFile,
    OptionalFolder,
    OptionalName,
    Words,
)
from corll.cli.terminal_user import visible
from corll.config import AUTO, CoactiveConfig, SamplingConfig
from corll.errors import AdapterError, InputError
from corll.evaluation import question
from corll.memory.choosing import stand_before
from corll.memory.exchanges import Exchange
from corll.model import file_names
from corll.records import Draft, Prompt


class DraftSettings(SamplingConfig):
    """Print a draft for each prompt; nothing is learned."""

    prompts: Annotated[
        Positional[tuple[str, ...]], arg(metavar="PROMPT…", help_behavior_hint="")
    ] = Field(description="Prompts to draft for; - reads one from standard input.")
    model: OptionalName = Field(
        None,
        description=f"{WHICH_MODEL}. By default the one that the adapter was trained on, or "
        f"{AUTO}: what suits this machine.",
    )
    adapter: OptionalFolder = Field(
        None, description="An adapter's folder, such as the one in a run's folder."
    )
    num_candidates: int = Field(
        1, ge=1, description="Samples to draw; the one of the highest implicit reward is shown."
    )
    framed: DraftFrameSettings = Field(
        default_factory=DraftFrameSettings, description="What the model is told around each prompt."
    )
    hint: Words = Field(
        "",
        description='With a frame: a few words that the draft carries out, "yes, Fri, no refund".',
    )
    remembered: MemoryFlags = Field(
        default_factory=MemoryFlags,
        description="The texts are those of --letters, or of the run that the adapter is of.",
    )
    letters: OptionalFile = Field(
        None,
        description="With --memory: texts that were sent before, as `corll import` reads them "
        "(.jsonl, .csv, an mbox), asked for in the same frame. By default those of the run in "
        "whose folder the adapter lies.",
    )
    me: Annotated[tuple[str, ...], arg(metavar="ADDRESS…")] = Field(
        (), description="With --letters: the addresses that you sent from, for an mbox."
    )
    model_sampling: bool = Field(True, description=OWN_SAMPLING)
    max_completion_length: int = Field(
        512,
        ge=1,
        description="Longest response, in tokens; less where the context leaves less.",
    )
    seed: int = Field(0, ge=0, description="Seed of the sampling: another seed, another draft.")
    as_json: Annotated[bool, arg(name="json")] = Field(
        False, description="Print one JSON object a draft, with every candidate and its ids."
    )
    enable_thinking: bool = Field(False, description=WHICH_THINKING)
    dtype: OptionalDType = Field(None, description=WHICH_DTYPE)
    device: OptionalName = Field(None, description=WHICH_DEVICE)
    yes: bool = Field(False, description=YES)

    def coactive(self) -> CoactiveConfig:
        """Return the same choices as the loop's configuration."""
        return CoactiveConfig(**self.model_dump(include=set(CoactiveConfig.model_fields)))


def main(arguments: Sequence[str]) -> None:
    settings = parse(DraftSettings, arguments, command="draft")
    if not settings.prompts:
        raise InputError("There is no prompt to draft for; give one, or - to read it from a pipe.")
    prompts = [sys.stdin.read().strip() if text == "-" else text for text in settings.prompts]
    for prompt, draft in zip(prompts, _drafts(settings, prompts), strict=True):
        if settings.as_json:
            print(json.dumps(asdict(draft), ensure_ascii=False))
        else:
            _show(draft, under=prompt if len(prompts) > 1 else None)


def _drafts(settings: DraftSettings, prompts: Sequence[str]) -> list[Draft]:
    framing = settings.framed.framing(settings.hint)
    letters = _letters(settings)
    named = settings.model or _base_of(settings.adapter)
    # The policy needs torch, and --help must not wait for it.
    from corll.auto.resolve import resolve
    from corll.draft import make_drafts, within_context
    from corll.policy import Policy

    dialogue = terminal_dialogue(yes=settings.yes)
    model = resolve(named, dialogue, device=settings.device, dtype=settings.dtype)
    policy = Policy.load(
        model,
        dtype=settings.dtype,
        device=settings.device,
        adapter=settings.adapter,
        enable_thinking=settings.enable_thinking,
    )
    check_is_followed(framing, policy)
    framed: list[Prompt] = [framing.around(prompt) for prompt in prompts]
    seeds = [settings.seed] * len(prompts)
    if settings.model_sampling:
        settings = policy.base.with_own_sampling(settings, DraftSettings(prompts=()))
    config = within_context(policy, framed, settings.coactive())
    count, examples = policy.codec.count_turn_tokens, settings.framed.memory()
    choice = settings.remembered.choice
    memories = [
        stand_before(question(prompt), letters, choice, count, examples=examples)
        for prompt in framed
    ]
    drafts = make_drafts(policy, framed, config, seeds=seeds, memories=memories)
    say_what_is_left_out(drafts, memories)
    return drafts


def _letters(settings: DraftSettings) -> list[Exchange]:
    """Return the texts of which some stand before a prompt. *Raises*: InputError for none."""
    framing = settings.framed.framing()
    if settings.remembered.memory == "none":
        if settings.letters is not None:
            raise InputError(
                "--letters are read with a --memory alone: last, nearest or similar; give one."
            )
        return []
    if settings.letters is not None:
        return letters_of_file(settings.letters, framing, me=settings.me)
    if settings.adapter is None:
        raise InputError(
            f"--memory {settings.remembered.memory} needs texts that were sent before: name a "
            "file of them by --letters, or the adapter of a run of `corll learn` by --adapter."
        )
    return letters_beside(settings.adapter, framing)


def _show(draft: Draft, *, under: str | None) -> None:
    # A pipe gets the text as it is; a terminal must not be steered by it.
    if not sys.stdout.isatty():
        print(draft.text)
        return
    console = Console(highlight=False)
    if under is not None:
        title = Text(visible(" ".join(under.split())))
        console.print(Rule(title, align="left", style="dim"))
    console.print(visible(draft.text), markup=False)
    if not draft.sample.finished:
        console.print("(cut at --max-completion-length)", style="dim")


def _base_of(adapter: Path | None) -> str:
    """Return the base model that an adapter was trained on, as its folder says."""
    if adapter is None:
        return AUTO
    try:
        config = json.loads((adapter / file_names.ADAPTER_CONFIG).read_text(encoding="utf-8"))
        name = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{adapter} does not say which base model it belongs to ({error!r}); give its base by "
            "--model, and check that the folder holds an adapter."
        ) from error
    return str(name)
