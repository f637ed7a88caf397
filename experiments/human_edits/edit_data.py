"""What is learned from, what is held out, and the scorer that is trained on neither.

An original stands in one part alone, compared by its letters, so that neither an arm nor the scorer
has seen what it is measured on.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from corll.edit_logs.human_edits import Direction, HumanEdits, read_cad, read_paradetox
from corll.edit_logs.logged import LoggedEdit
from corll.errors import InputError
from corll.laboratory.sentiment import LogisticSentiment, train_sentiment
from corll.laboratory.tasks.imdb import Imdb
from corll.model.tokens import TokenCodec
from edit_trial import Sizes

_SPLIT_SEED = 0
"""The division is the same for all seeds: these change order, adapter and drafts."""

LEAST_FOR_SCORER = 20
"""Rows that a scorer needs."""

_NO_LETTERS = re.compile(r"[\W\d_]+")


class Split(NamedTuple):
    """The parts of a data set, and how many rows none of them holds, by reason."""

    learn: list[LoggedEdit]
    held_out: list[LoggedEdit]
    rest: list[LoggedEdit]
    left_out: dict[str, int]


@dataclass(frozen=True)
class EditData:
    """The data of a run. `about` says what was read, in plain data that lines can hold.

    `scorer` gives the probability that a text is what the editors wanted: civil, or of the
    sentiment that they turned reviews to.
    """

    split: Split
    scorer: LogisticSentiment
    wanted: str
    about: dict[str, Any]

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Return the probability that each text is what was wanted."""
        towards = np.exp(self.scorer.log_positive(texts))
        wants_negative = self.wanted == "negative"
        return [float(p) for p in (1 - towards if wants_negative else towards)]


def paradetox_data(rows: Path, sizes: Sizes, codec: TokenCodec) -> EditData:
    """Return ParaDetox as one model takes it.

    Its scorer is trained on the rows that are neither learned from nor held out: their originals
    are toxic and their edits civil. *Raises*: InputError, RecordError.
    """
    read = read_paradetox(rows)
    split = split_edits(read.edits, fits=_fitting(codec, sizes.longest), sizes=sizes)
    if len(split.rest) < LEAST_FOR_SCORER:
        raise InputError(
            f"{rows} leaves {len(split.rest)} rows for the scorer, which learns from other rows "
            f"than the arms do and needs {LEAST_FOR_SCORER}. Ask for fewer --edits or --held-out."
        )
    texts = [text for edit in split.rest for text in (edit.draft, edit.sent)]
    scorer = train_sentiment(texts, [False, True] * len(split.rest))
    return _data([rows], [read], split, scorer, "civil", len(texts))


def cad_data(
    rows: Path,
    test_rows: Path | None,
    labelled: Path,
    sizes: Sizes,
    codec: TokenCodec,
    *,
    direction: Direction = "negative-to-positive",
) -> EditData:
    """Return CAD's edits of one direction as one model takes them.

    The rows of `test_rows` are held out, then those of `rows` that are not learned from. The scorer
    is trained on the labelled reviews and on the edits of the other direction, without any review
    that is learned from or held out: reviews alone misread small edits.
    *Raises*: InputError, RecordError.
    """
    files = [rows] if test_rows is None else [rows, test_rows]
    read = [read_cad(path, direction) for path in files]
    before, after = direction.split("-to-")
    back: Direction = "positive-to-negative" if after == "positive" else "negative-to-positive"
    test = read[1].edits if test_rows is not None else []
    split = split_edits(read[0].edits, test, fits=_fitting(codec, sizes.longest), sizes=sizes)
    corpus = Imdb().read(data=labelled)
    texts, labels = Imdb().labelled_texts(corpus)
    for edit in read_cad(rows, back).edits:
        texts += [edit.draft, edit.sent]
        labels += [after == "positive", before == "positive"]
    used = {letters_of(t) for e in (*split.learn, *split.held_out) for t in (e.draft, e.sent)}
    kept = [n for n, text in enumerate(texts) if letters_of(text) not in used]
    scorer = train_sentiment([texts[n] for n in kept], [labels[n] for n in kept])
    return _data([*files, labelled], read, split, scorer, after, len(kept))


def split_edits(
    rows: Sequence[LoggedEdit],
    test_rows: Sequence[LoggedEdit] = (),
    *,
    fits: Callable[[LoggedEdit], bool],
    sizes: Sizes,
) -> Split:
    """Divide edits into those to learn from, those held out, and the rest.

    What is held out is taken of `test_rows` first. An original that comes again is left out, of
    `rows` rather than of `test_rows`; so is what does not fit, but for the rest.
    *Raises*: InputError where too few are left, with their numbers.
    """
    seen: set[str] = set()
    left_out: Counter[str] = Counter()
    parts: list[list[LoggedEdit]] = []
    unfit: list[LoggedEdit] = []
    for part in (test_rows, rows):
        once = list(_once(part, seen))
        left_out["an original that comes again"] += len(part) - len(once)
        fit = [fits(edit) for edit in once]
        parts.append(_shuffled([edit for edit, good in zip(once, fit, strict=True) if good]))
        unfit += [edit for edit, good in zip(once, fit, strict=True) if not good]
    test, learnable = parts
    needed = sizes.edits + sizes.held_out
    if len(learnable) < sizes.edits or len(test) + len(learnable) < needed:
        raise InputError(
            f"{len(learnable)} rows can be learned from and {len(test)} others held out; --edits "
            f"{sizes.edits} and --held-out {sizes.held_out} want {needed}. Of the others "
            f"{len(unfit)} are longer than --longest {sizes.longest} tokens or hold what the "
            "model cannot be taught. Ask for fewer, or allow longer ones."
        )
    learn, others = learnable[: sizes.edits], [*test, *learnable[sizes.edits :]]
    left_out["too long, or not to be taught"] += len(unfit)
    counts = {reason: count for reason, count in left_out.items() if count}
    rest = [*others[sizes.held_out :], *unfit]
    return Split(learn, others[: sizes.held_out], rest, counts)


def letters_of(text: str) -> str:
    """Return a text's letters in lower case, by which texts count as the same; or all it has."""
    return _NO_LETTERS.sub("", text.lower()) or text.strip()


def _once(edits: Iterable[LoggedEdit], seen: set[str]) -> Iterable[LoggedEdit]:
    """Yield the edits whose originals were not seen before."""
    for edit in edits:
        letters = letters_of(edit.draft)
        if letters not in seen:
            seen.add(letters)
            yield edit


def _shuffled(edits: Sequence[LoggedEdit]) -> list[LoggedEdit]:
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(edits))
    return [edits[n] for n in order]


def _fitting(codec: TokenCodec, longest: int) -> Callable[[LoggedEdit], bool]:
    """Return what says whether a model can be taught an edit of texts up to so many tokens."""

    def fits(edit: LoggedEdit) -> bool:
        try:
            for text in (edit.prompt, edit.draft, edit.sent):
                codec.check_response(str(text), "row")
        except InputError:
            return False
        return max(codec.count_tokens(edit.draft), codec.count_tokens(edit.sent)) <= longest

    return fits


def _data(
    files: Sequence[Path],
    read: Sequence[HumanEdits],
    split: Split,
    scorer: LogisticSentiment,
    wanted: str,
    texts: int,
) -> EditData:
    left_out = Counter(split.left_out)
    for one in read:
        left_out.update(one.left_out)
    data = EditData(split, scorer, wanted, {})
    before = data.scores([edit.draft for edit in split.held_out])
    after = data.scores([edit.sent for edit in split.held_out])
    data.about.update(
        wanted=wanted,
        files=[hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files],
        learned_from=len(split.learn),
        held_out=len(split.held_out),
        rest=len(split.rest),
        left_out=dict(left_out),
        scorer=scorer.name,
        scorer_texts=texts,
        scorer_accuracy=round(scorer.accuracy, 4),
        scorer_on_held_out=_share([*(p < 0.5 for p in before), *(p > 0.5 for p in after)]),
        scorer_in_pairs=_share([one > other for other, one in zip(before, after, strict=True)]),
    )
    return data


def _share(found: Sequence[bool]) -> float:
    return round(float(np.mean(found)), 4)
