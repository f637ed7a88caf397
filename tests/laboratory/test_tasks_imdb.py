"""IMDB: prompts are the beginnings of reviews; and what all tasks share."""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from corll.errors import ConfigError, InputError, RecordError
from corll.laboratory.tasks import TASKS, Corpus, Lengths, Review, get_task
from corll.laboratory.tasks.imdb import Imdb, join_snippets
from corll.laboratory.tasks.sources import Snippet
from corll.laboratory.tasks.task import encode, first_tokens

FOUR = Lengths(prompt=4, response=4)


def prepared(
    texts: list[str], tokenizer: Any, *, held_out: int = 0, seed: int = 0, tests: Any = ()
) -> Any:
    rows = [Review(text, True) for text in texts] + [
        Review(text, True, test=True) for text in tests
    ]
    corpus = Corpus(tuple(rows), "some reviews")
    return Imdb().prepare(corpus, tokenizer, FOUR, held_out=held_out, seed=seed)


class TestPrompts:
    def test_they_are_the_first_tokens_of_reviews(self, byte_tokenizer: Any) -> None:
        data = prepared(["abcdefgh", "ijklmnopq"], byte_tokenizer)
        assert sorted(data.prompts) == ["abcd", "ijkl"]
        assert (data.pairs, data.demonstrations, data.source) == ((), (), "some reviews")

    def test_a_review_that_ends_within_the_response_is_left_out(self, byte_tokenizer: Any) -> None:
        data = prepared(["abcdefgh", "ijklmnop", "qrstuvw"], byte_tokenizer)
        assert sorted(data.prompts) == ["abcd", "ijkl"]

    def test_unless_too_few_are_left(self, byte_tokenizer: Any) -> None:
        # One of three fills prompt and response, "xyz" not even a prompt.
        data = prepared(["abcdefgh", "ijklmno", "qrstu", "xyz"], byte_tokenizer)
        assert sorted(data.prompts) == ["abcd", "ijkl", "qrst"]

    def test_no_character_is_cut_in_half(self, byte_tokenizer: Any) -> None:
        assert prepared(["abcédefg"], byte_tokenizer).prompts == ("abc",)
        half = byte_tokenizer("abcé")["input_ids"][:-1]
        assert first_tokens(byte_tokenizer, [half], 10) == ["abc"]

    def test_tokens_that_the_tokenizer_adds_itself_count(self, byte_tokenizer: Any) -> None:
        with_start = copy.deepcopy(byte_tokenizer)
        with_start.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|end|> $A", special_tokens=[("<|end|>", 0)]
        )
        (prompt,) = prepared(["abcdefgh"], with_start).prompts
        assert prompt == "abc"
        assert len(with_start(prompt)["input_ids"]) == 4

    def test_what_reads_as_a_control_token_is_left_out(self, byte_tokenizer: Any) -> None:
        data = prepared(["abcdefgh", "some <|end|> of it"], byte_tokenizer)
        assert data.prompts == ("abcd",)

    def test_a_prompt_that_encodes_longer_than_it_was_is_shortened(self) -> None:
        # No merge leads to "abc": the text "abca" has four tokens, though it was decoded from two.
        backend = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "c": 2, "abc": 3}, merges=[]))
        backend.decoder = decoders.Fuse()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
        found = [first_tokens(tokenizer, [[3, 0], [1, 2]], limit) for limit in (2, 3, 4)]
        assert found == [["", "bc"], ["abc", "bc"], ["abca", "bc"]]

    def test_words_are_not_counted_where_a_tokenizer_joins_them(self) -> None:
        vocab = {"[unk]": 0, "two words and more": 1}
        whole = Tokenizer(models.WordLevel(vocab, unk_token="[unk]"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=whole)
        assert encode(tokenizer, ["two words and more"], limit=2) == [[1]]


class TestDivision:
    def test_the_end_of_the_shuffle_is_held_out(self, byte_tokenizer: Any) -> None:
        texts = [f"{n:08}"[::-1] for n in range(100, 110)]
        data = prepared(texts, byte_tokenizer, held_out=3)
        assert (len(data.prompts), len(data.held_out)) == (7, 3)
        everything = prepared(texts, byte_tokenizer).prompts
        assert data.prompts + data.held_out == everything
        assert prepared(texts, byte_tokenizer, held_out=3) == data
        assert prepared(texts, byte_tokenizer, held_out=3, seed=1).prompts != data.prompts

    def test_the_test_split_is_held_out_where_there_is_one(self, byte_tokenizer: Any) -> None:
        tests = ["abcdefgh", "zzzzzzzz", "yyyyyyyy"]
        data = prepared(["abcdefgh", "ijklmnop"], byte_tokenizer, held_out=3, tests=tests)
        assert sorted(data.held_out) == ["abcd", "yyyy", "zzzz"]
        assert data.prompts == ("ijkl",), "what is held out is not learned from"

    def test_no_prompt_comes_twice(self, byte_tokenizer: Any) -> None:
        data = prepared(["abcdefgh", "abcdxxxx", "ijklmnop"], byte_tokenizer, held_out=1)
        assert sorted(data.prompts + data.held_out) == ["abcd", "ijkl"]

    def test_too_few_are_counted(self, byte_tokenizer: Any) -> None:
        counted = "0 prompts to learn from and 2 held out .* of 2 rows .* but 2 are to be held out"
        with pytest.raises(InputError, match=counted):
            prepared(["abcdefgh", "ijklmnop"], byte_tokenizer, held_out=2)
        with pytest.raises(InputError, match="1 held out are left"):
            prepared(["abcdefgh"], byte_tokenizer, held_out=2, tests=["zzzzzzzz"])


def write(path: Path, *rows: Any) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


class TestFiles:
    @pytest.mark.parametrize("name", ["reviews.jsonl", "reviews.jsonl.gz"])
    def test_reviews_are_read_and_cleaned(self, tmp_path: Path, name: str) -> None:
        path = write(
            tmp_path / name,
            {"text": "Good.<br /><br />Very  good.", "positive": True},
            {"text": "Bad.", "label": 0},
        )
        corpus = Imdb().read(data=path)
        assert corpus.rows == (Review("Good. Very good.", True), Review("Bad.", False))
        assert corpus.source == str(path)

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ({"positive": True}, "line 2, field 'text': is missing"),
            ({"text": 3, "positive": True}, "line 2, field 'text': a text is expected"),
            ({"text": "Good."}, "line 2, field 'positive': is missing"),
            ({"text": "Good.", "positive": "yes"}, "line 2, field 'positive': true or false"),
            ({"text": "Good.", "label": 7}, "line 2, field 'label': true or false"),
        ],
    )
    def test_wrong_columns_are_named(self, tmp_path: Path, row: Any, problem: str) -> None:
        path = write(tmp_path / "reviews.jsonl", {"text": "Good.", "label": 1}, row)
        with pytest.raises(RecordError, match=rf"reviews\.jsonl, {problem}"):
            Imdb().read(data=path)

    def test_an_empty_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no rows of the task 'imdb'"):
            Imdb().read(data=write(tmp_path / "reviews.jsonl"))

    def test_a_damaged_gzip_file_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "reviews.jsonl.gz", {"text": "Good.", "label": 1})
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(InputError, match="cannot be unpacked"):
            Imdb().read(data=path)


def test_the_scorer_and_the_tiny_model_see_no_test_split() -> None:
    rows = (Review("Good.", True), Review("Bad.", False), Review("So so.", True, test=True))
    corpus = Corpus(rows, "some reviews")
    assert Imdb().labelled_texts(corpus) == (["Good.", "Bad."], [True, False])
    assert list(Imdb().texts(corpus)) == ["Good.", "Bad."]


def test_snippets_of_a_film_and_verdict_make_reviews_of_48_words() -> None:
    thirty, ten = " ".join(["word"] * 30), " ".join(["other"] * 10)
    snippets = [
        Snippet("a film", True, thirty),
        Snippet("a film", False, "Dull!"),
        Snippet("a film", True, f"{ten} end."),
        Snippet("a film", True, f'"{ten}."'),
        Snippet("a film", True, "Left over"),
        Snippet("a film", True, "Left over"),
        Snippet("another", True, "Fine"),
    ]
    assert list(join_snippets(snippets)) == [
        Review(f'{thirty}. {ten} end. "{ten}."', True),
        Review("Left over.", True),
        Review("Dull!", False),
        Review("Fine.", True),
    ]


def test_the_offline_source_is_thousands_of_reviews() -> None:
    corpus = Imdb().read(source="offline")
    assert len(corpus.rows) > 4000
    assert len({row.text for row in corpus.rows}) == len(corpus.rows)
    positive = sum(row.positive for row in corpus.rows) / len(corpus.rows)
    assert 0.5 < positive < 0.65
    assert "Rotten Tomatoes" in corpus.source


def test_tasks_have_names() -> None:
    assert list(TASKS) == ["imdb", "tldr", "helpful"]
    assert all(get_task(name).name == name for name in TASKS)
    with pytest.raises(ConfigError, match="No task 'summary'; there are: imdb, tldr, helpful"):
        get_task("summary")


def test_they_are_imported_without_what_is_heavy() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'datasets'}"
    code = (
        "import sys, corll.laboratory.tasks, corll.laboratory.sentiment; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
