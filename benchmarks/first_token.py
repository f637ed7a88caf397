"""How soon a draft's first token is there: after `corll serve` was called, and of later drafts.

    python benchmarks/first_token.py [--model NAME] [--quick] [--keep]

The model is here already, the data folder is empty, and the learner starts too, as it does by
default. Each prompt is another message of 300 tokens, streamed over HTTP.
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


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    chosen = parse(parser)
    write(cases(chosen.model, quick=chosen.quick), "first_token", keep=chosen.keep, latest=False)
