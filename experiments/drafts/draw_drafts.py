"""Draws drafts for the prompts of this folder, in frames, as the service draws them.

    python experiments/drafts/draw_drafts.py --model NAME --out DIR [--frames reply,write,none]
        [--frame-file FILE …] [--begin TEXT] [--no-examples] [--guards on|off|both] [--seeds N]
        [--set tuning|held-out|all]

One JSON line a draft goes into DIR/MODEL.jsonl. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.dialogue import terminal_dialogue
from corll.errors import CorllError, InputError
from corll.files.durable import append_line, drop_torn_line
from corll.frames import FRAMES
from corll.policy import Policy
from corll.records import Prompt, Verbatim
from corll.service.base_model import load_base, with_models_sampling
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftEvent, DraftRequest, Drawn, Failed
from corll.service.settings import ServiceSettings
from corll.version import __version__
from draft_prompts import (
    PROMPTS,
    DraftFrame,
    DraftPrompt,
    digest_of,
    frames_of,
    key_of,
    read_drafts,
    read_prompts,
)

GUARDS = {"on": (True,), "off": (False,), "both": (False, True)}
SETS = {"tuning": (False,), "held-out": (True,), "all": (False, True)}


@dataclass(frozen=True, slots=True)
class Plan:
    """One draft to be drawn."""

    prompt: DraftPrompt
    frame: DraftFrame
    guards: bool
    seed: int

    @property
    def sampling_seed(self) -> int:
        """The seed of the sampler: each prompt's own, and the same in every frame."""
        return Random(f"{self.seed}/{self.prompt.id}").getrandbits(62)

    def facts(self, model: str) -> dict[str, Any]:
        """Return what is known of the draft before it is drawn."""
        return {
            "model": model,
            "prompt": self.prompt.id,
            "frame": self.frame.name,
            "guards": self.guards,
            "seed": self.seed,
            "framed": digest_of(self.frame, self.prompt),
        }


def plans(
    prompts: Sequence[DraftPrompt],
    frames: Sequence[DraftFrame],
    guards: Sequence[bool],
    seeds: int,
) -> Iterator[Plan]:
    """Yield what is to be drawn, a seed after the other, so that each is whole early."""
    for seed in range(seeds):
        for guarded in guards:
            for frame in frames:
                for prompt in prompts:
                    if frame.suits(prompt):
                        yield Plan(prompt, frame, guarded, seed)


def still_to_draw(
    planned: Sequence[Plan], drawn: Sequence[Mapping[str, Any]], model: str
) -> list[Plan]:
    """Return the plans that no line has.

    *Raises*: InputError where the same draft was made from other words.
    """
    known = {key_of(dict(line)): line["framed"] for line in drawn}
    left = []
    for plan in planned:
        facts = plan.facts(model)
        before = known.get(key_of(facts))
        if before is None:
            left.append(plan)
        elif before != facts["framed"]:
            raise InputError(
                f"The prompt {plan.prompt.id} in the frame {plan.frame.name} has other words than "
                "when its draft was drawn; give the frame's file another name, or another --out."
            )
    return left


class DraftingTable:
    """Draws one draft at a time by the service's engine, from the plain base model."""

    def __init__(self, base: Policy, settings: ServiceSettings, *, machine: str = "") -> None:
        self._settings = with_models_sampling(settings, base)
        self._engine = Engine(base)
        self._described = {
            "fingerprint": base.base.fingerprint,
            "sampling": self._settings.coactive.sampling.model_dump(),
            "dtype": str(base.base.model.dtype).removeprefix("torch."),
            "machine": machine or device_name(base.base.model.device),
            "computation": dict(base.describe()),
            "corll": __version__,
        }
        self.model = base.name

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.close()

    def draw(self, plan: Plan) -> dict[str, Any]:
        """Draw a draft and return its line.

        *Units*: seconds from the request to the end, what guards threw away included.
        *Raises*: InputError for a frame where the model has no chat template; what the engine
        raises.
        """
        if plan.frame.kind != "none" and not self._engine.has_chat_template:
            raise InputError(
                f"{self.model} has no chat template, so it does not follow a frame; draw with "
                "--frames none, or name an instruction model."
            )
        ended: Future[Drawn] = Future()

        def on_event(event: DraftEvent) -> None:
            if isinstance(event, Drawn):
                ended.set_result(event)
            elif isinstance(event, Failed):
                ended.set_exception(event.error)

        start = time.perf_counter()
        self._engine.submit(self._request(plan), on_event)
        drawn = ended.result()
        seconds = time.perf_counter() - start
        finish = "loop" if drawn.looped else "length" if drawn.cut else "stop"
        return {
            **plan.facts(self.model),
            "text": plan.frame.begin + drawn.text(0),
            "finish": finish,
            "tokens": drawn.completion_tokens,
            "prompt_tokens": drawn.prompt_tokens,
            "seconds": round(seconds, 3),
            "redraws": drawn.thrown_away,
            "memory": list(drawn.memory),
            **self._described,
        }

    def _request(self, plan: Plan) -> DraftRequest:
        """Return what the service asks for where nobody reads along."""
        config, message = self._settings.coactive, plan.frame.around(plan.prompt)
        asked: Prompt = [{"role": "user", "content": message}]
        prompt = self._engine.settled(
            asked if self._engine.has_chat_template else Verbatim(message), {}
        )
        return DraftRequest(
            prompt=prompt,
            version=None,
            max_new_tokens=config.max_completion_length,
            seed=plan.sampling_seed,
            config=config,
            tells=False,
            shortens=True,
            beginning=plan.frame.begin,
            guarded=plan.guards,
            memory=plan.frame.examples(plan.prompt),
        )


def file_of(folder: Path, model: str) -> Path:
    """Return where the drafts of a model are kept."""
    return folder / (re.sub(r"[^\w.-]+", "-", model).strip("-") + ".jsonl")


def draw_all(table: DraftingTable, planned: Sequence[Plan], folder: Path) -> int:
    """Draw what is not there yet, a line at a time on disk; return how many were drawn."""
    file = file_of(folder, table.model)
    folder.mkdir(parents=True, exist_ok=True)
    drop_torn_line(file)
    drawn = read_drafts([file]) if file.exists() else []
    left = still_to_draw(planned, drawn, table.model)
    print(f"{file}: {len(planned) - len(left)} drafts are there, {len(left)} to draw", flush=True)
    for number, plan in enumerate(left, start=1):
        line = table.draw(plan)
        append_line(file, line)
        told = f"{plan.prompt.id} {plan.frame.name} guards={plan.guards} seed={plan.seed}"
        print(f"{number}/{len(left)} {told}: {line['tokens']} tokens, {line['seconds']} s, "
              f"{line['finish']}, {line['redraws']} redraws", flush=True)  # fmt: skip
    return len(left)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", required=True, help="a name of the catalogue, a hub id, a folder"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the drafts' files")
    parser.add_argument(
        "--frames", default=",".join(["none", *FRAMES]), help="the service's own, by comma; or ''"
    )
    parser.add_argument("--frame-file", type=Path, nargs="*", default=[], help="frames to compare")
    parser.add_argument(
        "--begin", default="", help='beginning of each draft, such as "Dear", without a last space'
    )
    parser.add_argument(
        "--no-examples",
        dest="examples",
        action="store_false",
        help="draw without the worked examples of the service",
    )
    parser.add_argument("--guards", choices=GUARDS, default="on")
    parser.add_argument("--seeds", type=int, default=1, help="drafts of each prompt in each frame")
    parser.add_argument("--set", choices=SETS, default="tuning", help="which prompts")
    parser.add_argument("--only", nargs="*", default=[], metavar="ID", help="these prompts alone")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--device")
    parser.add_argument("--machine", default="", help="what the lines say of the machine")
    return parser


def _planned(options: argparse.Namespace) -> list[Plan]:
    prompts = read_prompts(options.prompts)
    if unknown := [name for name in options.only if name not in prompts]:
        raise InputError(f"There is no prompt {unknown[0]!r}; there are {', '.join(prompts)}.")
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}; at least 1 draft of each is drawn.")
    chosen = [
        prompt
        for prompt in prompts.values()
        if (prompt.id in options.only if options.only else prompt.held_out in SETS[options.set])
    ]
    frames = frames_of([name for name in options.frames.split(",") if name], options.frame_file)
    if options.begin != options.begin.rstrip():
        raise InputError("--begin ends with a space, after which models go on badly; leave it out.")
    frames = [frame.begun(options.begin) for frame in frames]
    if not options.examples:
        frames = [frame.without_examples() for frame in frames]
    planned = list(plans(chosen, frames, GUARDS[options.guards], options.seeds))
    if not planned:
        raise InputError("There is nothing to draw: no frame suits any of these prompts.")
    return planned


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw what the command line asks for."""
    options = _parser().parse_args(arguments)
    planned = _planned(options)
    model = resolve(options.model, terminal_dialogue(), device=options.device, dtype=options.dtype)
    with tempfile.TemporaryDirectory(prefix="corll-drafts-") as folder:
        settings = ServiceSettings(
            model=model, data_dir=Path(folder), dtype=options.dtype, device=options.device
        )
        table = DraftingTable(load_base(settings, drafts=True), settings, machine=options.machine)
        try:
            draw_all(table, planned, options.out)
        finally:
            table.close()


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
