"""TL;DR: a post is to be summarised (paper, 4.3 and A.2).

Where there is no hub, Debian's descriptions of packages stand in for posts, their one-line
synopses for summaries that people wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from corll.files.formats import Record
from corll.laboratory.tasks.sources import HubSplit, package_descriptions
from corll.laboratory.tasks.task import (
    Comparison,
    ComparisonTask,
    Corpus,
    encode,
    first_tokens,
    make_comparison,
)

ENDING = "\n\nTL;DR:"
"""The end of a prompt, however much of its post was cut."""

_POST = "\n\nPOST:"
_PARQUET = "refs/convert/parquet"
_SHORTEST, _LONGEST = 300, 1500


class Tldr(ComparisonTask):
    """The task TL;DR. The prompt is a forum post; of two summaries people preferred one."""

    name: ClassVar[str] = "tldr"
    title: ClassVar[str] = "Reddit TL;DR summarisation"
    hub_id: ClassVar[str] = "openai/summarize_from_feedback"
    # The dataset itself is a script, which `datasets` cannot read; this branch holds its rows.
    hub_splits: ClassVar[tuple[HubSplit, ...]] = (
        HubSplit("train", data_dir="comparisons", revision=_PARQUET),
        HubSplit("validation", test=True, data_dir="comparisons", revision=_PARQUET),
    )
    data_fields: ClassVar[tuple[str, ...]] = ("prompt", "chosen", "rejected")

    def _fit(self, prompts: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
        """Cut prompts to at most `limit` tokens, at the end of the post (A.2).

        The paper cuts responses to 50 tokens; here longer ones are left out.
        """
        rows = encode(tokenizer, prompts, limit=limit + 1)
        fitted = {p: p for p, ids in zip(prompts, rows, strict=True) if len(ids) <= limit}
        long = [prompt for prompt in prompts if prompt not in fitted]
        bodies = encode(tokenizer, [p.removesuffix(ENDING) for p in long], limit=limit)
        cut = first_tokens(tokenizer, bodies, limit, ending=ENDING)
        fitted |= zip(long, (text if _has_post(text) else "" for text in cut), strict=True)
        return [fitted[prompt] for prompt in prompts]

    def _parse(self, record: Record, *, test: bool) -> Comparison | None:
        if "info" in record.fields:
            return _of_the_hub(record, test=test)
        prompt = record.text("prompt").rstrip().removesuffix(ENDING.strip()).rstrip() + ENDING
        return make_comparison(prompt, record.text("chosen"), record.text("rejected"), test=test)

    def _offline(self) -> Corpus:
        rows: dict[str, Comparison] = {}
        for package in package_descriptions():
            post = package.description
            if _SHORTEST <= len(post) <= _LONGEST and post not in rows:
                prompt = _prompt("debian", package.name, post)
                if row := make_comparison(prompt, package.synopsis, None, test=False):
                    rows[post] = row
        return Corpus(
            tuple(rows.values()), "Debian's package descriptions (apt's lists) and their synopses"
        )


def _has_post(prompt: str) -> bool:
    return bool(prompt.removesuffix(ENDING).partition(_POST)[2].strip())


def _prompt(subreddit: str, title: str, post: str) -> str:
    return f"SUBREDDIT: r/{subreddit}\n\nTITLE: {title}{_POST} {post.strip()}{ENDING}"


def _of_the_hub(record: Record, *, test: bool) -> Comparison | None:
    """Return a row from the hub's own form; None for its news articles, which are no posts."""
    if record.get("info.post") is None:
        return None
    summaries, choice = record.get("summaries"), record.get("choice")
    if not isinstance(summaries, list) or len(summaries) != 2:
        record.fail("summaries", "a list of two summaries is expected")
    if choice not in (0, 1):
        record.fail("choice", f"0 or 1 is expected, not {choice!r}")
    texts = [summary.get("text") if isinstance(summary, dict) else None for summary in summaries]
    if not all(isinstance(text, str) for text in texts):
        record.fail("summaries.text", "a text is expected")
    prompt = _prompt(*(record.text(f"info.{field}") for field in ("subreddit", "title", "post")))
    return make_comparison(prompt, texts[choice], texts[1 - choice], test=test)
