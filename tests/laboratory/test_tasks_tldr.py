"""TL;DR: the post is cut, never the ending; summaries that are too long are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.errors import InputError, RecordError
from corll.laboratory.tasks import Comparison, Corpus, Demonstration, Lengths
from corll.laboratory.tasks.sources import APT_LISTS
from corll.laboratory.tasks.tldr import ENDING, Tldr
from corll.records import Preference

HEADER = "SUBREDDIT: r/a\n\nTITLE: b\n\nPOST:"  # 14 + 2 + 8 + 2 + 5 = 31 bytes
assert (len(HEADER), len(ENDING)) == (31, 8)


def prompt(post: str) -> str:
    return f"{HEADER} {post}{ENDING}"


def prepared(rows: list[Comparison], tokenizer: Any, length: int, **settings: Any) -> Any:
    lengths = Lengths(prompt=length, response=10)
    corpus = Corpus(tuple(rows), "some posts")
    return Tldr().prepare(corpus, tokenizer, lengths, **{"held_out": 0, "seed": 0, **settings})


class TestPrompts:
    def test_one_that_fits_stays_as_it_is(self, byte_tokenizer: Any) -> None:
        whole = prompt("one two")  # 31 + 8 + 8 = 47 bytes
        data = prepared([Comparison(whole, " x", " y")], byte_tokenizer, 47)
        assert data.prompts == (whole,)
        assert data.pairs == (Preference(whole, " x", " y"),)
        assert data.demonstrations == ()

    def test_the_post_of_a_longer_one_is_cut(self, byte_tokenizer: Any) -> None:
        data = prepared([Comparison(prompt("one two"), " x", " y")], byte_tokenizer, 46)
        assert data.prompts == (prompt("one tw"),)
        assert data.pairs[0].prompt == prompt("one tw")

    def test_no_space_is_left_at_the_cut(self, byte_tokenizer: Any) -> None:
        data = prepared([Comparison(prompt("one two"), " x", " y")], byte_tokenizer, 44)
        assert data.prompts == (prompt("one"),)

    def test_one_without_room_for_its_post_is_left_out(self, byte_tokenizer: Any) -> None:
        rows = [Comparison(prompt("one two"), " x", " y")]
        with pytest.raises(InputError, match=r"0 prompts to learn from .* of 0 rows that fit"):
            prepared(rows, byte_tokenizer, 40)


def test_a_response_has_room_for_its_end(byte_tokenizer: Any) -> None:
    nine, ten = " " + "x" * 8, " " + "x" * 9
    rows = [
        Comparison(prompt("one"), nine, " y"),
        Comparison(prompt("two"), ten, " y"),
        Comparison(prompt("three"), " y", ten),
    ]
    data = prepared(rows, byte_tokenizer, 60)
    assert data.prompts == (prompt("one"),)


def test_pairs_and_demonstrations_are_of_the_prompts_to_learn_from(byte_tokenizer: Any) -> None:
    rows = [Comparison(prompt(f"post {n}"), f" x{n}", None) for n in range(5)]
    rows += [Comparison(prompt(f"post {n}"), f" z{n}", f" y{n}") for n in range(5)]
    data = prepared(rows, byte_tokenizer, 60, held_out=2)
    assert len(data.prompts) == 3
    assert len(data.held_out) == 2
    assert {pair.prompt for pair in data.pairs} == set(data.prompts)
    assert {shown.prompt for shown in data.demonstrations} == set(data.prompts)
    n = data.pairs[0].prompt[len(HEADER) + 6]
    assert data.pairs[0] == Preference(prompt(f"post {n}"), f" z{n}", f" y{n}")
    assert Demonstration(prompt(f"post {n}"), f" x{n}") in data.demonstrations


def test_a_test_split_gives_the_held_out_prompts_and_no_pairs(byte_tokenizer: Any) -> None:
    rows = [
        Comparison(prompt("both"), " x", " y"),
        Comparison(prompt("one"), " x", " y"),
        Comparison(prompt("both"), " x", " y", test=True),
    ]
    data = prepared(rows, byte_tokenizer, 60, held_out=1)
    assert (data.prompts, data.held_out) == ((prompt("one"),), (prompt("both"),))
    assert [pair.prompt for pair in data.pairs] == [prompt("one")]
    without = prepared(rows, byte_tokenizer, 60)
    assert sorted(pair.prompt for pair in without.pairs) == [prompt("both"), prompt("one")]
    assert list(Tldr().texts(Corpus(tuple(rows), ""))) == [
        prompt("both") + " x",
        prompt("one") + " x",
    ]


def read(tmp_path: Path, *rows: Any) -> tuple[Comparison, ...]:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found: tuple[Comparison, ...] = Tldr().read(data=path).rows
    return found


class TestFiles:
    @pytest.mark.parametrize("end", [ENDING, "\nTL;DR: ", ""])
    def test_comparisons(self, tmp_path: Path, end: str) -> None:
        row = {"prompt": f"{HEADER} one{end}", "chosen": "good \n", "rejected": " bad"}
        assert read(tmp_path, row) == (Comparison(prompt("one"), " good", " bad"),)

    def test_empty_and_equal_summaries_are_no_comparison(self, tmp_path: Path) -> None:
        kept = {"prompt": prompt("one"), "chosen": "good", "rejected": "bad"}
        found = read(tmp_path, kept | {"rejected": " "}, kept | {"rejected": "good "}, kept)
        assert found == (Comparison(prompt("one"), " good", " bad"),)

    def test_the_shape_of_the_hub(self, tmp_path: Path) -> None:
        info = {"id": "t3", "post": " one\n", "title": "b", "subreddit": "a", "article": None}
        texts = [{"text": " bad", "policy": "sup2"}, {"text": " good", "policy": "ref"}]
        row = {"info": info, "summaries": texts, "choice": 1, "worker": "w"}
        news = row | {"info": info | {"post": None, "article": "News."}}
        assert read(tmp_path, row, news) == (Comparison(prompt("one"), " good", " bad"),)

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ({"prompt": "a", "chosen": "b"}, "field 'rejected': is missing"),
            ({"prompt": ["a"], "chosen": "b", "rejected": "c"}, "field 'prompt': a text"),
            ({"info": {"title": "b"}}, "field 'info.post': is missing"),
            (
                {"info": {"post": "p"}, "summaries": [], "choice": 0},
                "field 'summaries': a list of two",
            ),
            (
                {"info": {"post": "p"}, "summaries": [{"text": "b"}, {"text": "c"}], "choice": 2},
                "field 'choice': 0 or 1 is expected, not 2",
            ),
            (
                {"info": {"post": "p"}, "summaries": [{"text": "b"}, {}], "choice": 1},
                "field 'summaries.text': a text is expected",
            ),
        ],
    )
    def test_wrong_columns_are_named(self, tmp_path: Path, row: Any, problem: str) -> None:
        with pytest.raises(RecordError, match=rf"pairs\.jsonl, line 1, {problem}"):
            read(tmp_path, row)


@pytest.mark.skipif(
    not any(APT_LISTS.glob("*Translation-en*")), reason="apt has fetched no descriptions here"
)
def test_the_offline_source_is_thousands_of_descriptions() -> None:
    corpus = Tldr().read(source="offline")
    assert len(corpus.rows) > 1000
    assert all(row.rejected is None and row.prompt.endswith(ENDING) for row in corpus.rows)
    assert "Debian" in corpus.source


def test_the_order_of_the_rows_follows_the_seed(byte_tokenizer: Any) -> None:
    rows = [Comparison(prompt(f"post {n}"), " x", " y") for n in range(8)]
    first, same, other = (prepared(rows, byte_tokenizer, 60, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.prompts != other.prompts
    assert set(first.prompts) == set(other.prompts)
