"""How soon a draft's first token is there: after `corll serve` was called, and of later drafts.

    python benchmarks/first_token.py [--model NAME] [--quick] [--keep] [--memory]

The model is here already, the data folder is empty, and the learner starts too, as it does by
default. Each prompt is another message of 300 tokens, streamed over HTTP. With --memory instead:
drafts of a user who sent six letters, behind the last of them or the nearest, against drafts behind
none; a token is told once it was searched for facts of these letters.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from transformers import AutoTokenizer

from corll.config import EMBEDDED_MODEL
from corll.model.loading import locate
from edits import random_text, single_token_words
from measuring import Case, new_parser, parse, write
from service import started

PROMPT_TOKENS = 300
LETTERS, LETTER_TOKENS = 6, 120


def cases(model: str, *, quick: bool) -> Iterator[Case]:
    words = single_token_words(AutoTokenizer.from_pretrained(locate(model)))
    prompt = partial(random_text, random.Random(0), words, PROMPT_TOKENS)
    starts, ready_after, warm = [], [], []
    for _ in range(1 if quick else 3):
        with (
            tempfile.TemporaryDirectory() as scratch,
            started(Path(scratch), model=model, settled=False) as (service, ready),
        ):
            starts.append(ready + service.first_token(prompt()))
            ready_after.append(ready)
            service.until_learner_is_ready()
            warm += [service.first_token(prompt()) for _ in range(2 if quick else 5)]
    name = f"first token: {model}, after `corll serve`"
    yield Case(name, starts, target="≤ 15 s", dtype="auto", more={"ready_after": ready_after})
    yield Case(f"first token: {model}, warm", warm, target="≤ 3 s", dtype="auto")


def memory_cases(model: str, *, quick: bool) -> Iterator[Case]:
    words = single_token_words(AutoTokenizer.from_pretrained(locate(model)))
    text = partial(random_text, random.Random(0), words)
    took: dict[str, list[float]] = {"none": [], "last": [], "nearest": []}
    tokens: dict[str, int] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        started(Path(scratch), model=model, learns=False) as (service, _),
    ):
        service.ask("PUT", "users/writer/consent", json={"store": True, "learn": True})
        for number in range(LETTERS):
            draft = service.draft("writer", number)
            service.edit(draft, text(LETTER_TOKENS))
        for number in range(3 if quick else 9):
            for memory, found in took.items():
                # The first of each is left out: what is computed once was not there yet.
                asked = {"safety_identifier": "writer", "memory": memory}
                seconds = service.first_token(text(PROMPT_TOKENS), **asked)
                if number:
                    found.append(seconds)
        for memory in took:
            reply = service.ask(
                "POST",
                "chat/completions",
                json={
                    "model": "corll",
                    "messages": [{"role": "user", "content": text(PROMPT_TOKENS)}],
                    "max_tokens": 1,
                    "safety_identifier": "writer",
                    "memory": memory,
                },
            )
            tokens[memory] = reply["usage"]["prompt_tokens"]
    for memory, target in (("last", "≥ 0.77"), ("nearest", "")):
        yield Case(
            f"first token behind letters: {model}, {memory}",
            took[memory],
            took["none"],
            peer_name="no memory",
            target=target,
            dtype="auto",
            more={"prompt_tokens": tokens[memory], "without": tokens["none"]},
        )


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--memory", action="store_true", help="of drafts behind past letters")
    chosen = parse(parser)
    made = memory_cases if chosen.memory else cases
    write(made(chosen.model, quick=chosen.quick), "first_token", keep=chosen.keep, latest=False)
