"""ParaDetox and CAD: what is an edit, what is left out, and which faults are named by place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from corll.edit_logs.human_edits import (
    NO_EDIT,
    UNCHANGED,
    Direction,
    HumanEdits,
    read_cad,
    read_paradetox,
)
from corll.edit_logs.logged import LoggedEdit
from corll.errors import InputError, RecordError

SHARED = Path(__file__).parents[3] / "shared" / "data"
CIVIL = "Rewrite the sentence so that it is civil and keeps its meaning:\n\n"
POSITIVE = (
    "Change the film review as little as you need to, so that it is positive instead of negative:"
    "\n\n"
)


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def toxic(original: str, *edited: str) -> dict[str, Any]:
    return {"original": original, "edited": list(edited)}


def review(original: str, edited: str, sentiment: str = "Negative") -> dict[str, str]:
    return {"original": original, "edited": edited, "sentiment_of_original": sentiment}


def test_paradetox_has_the_original_as_draft_and_in_its_prompt(tmp_path: Path) -> None:
    path = written(tmp_path, toxic("you fool, go", "please go", "do go"))
    assert read_paradetox(path) == HumanEdits(
        [LoggedEdit(f"{CIVIL}you fool, go", "you fool, go", "please go", line=1)], {}
    )


def test_rows_that_teach_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        toxic("no edit here"),
        toxic("as it was", "as it was "),
        toxic("fool", "fool", "friend"),
        toxic("nor here"),
    )
    edits, left_out = read_paradetox(path)
    assert [(edit.sent, edit.line) for edit in edits] == [("friend", 3)]
    assert left_out == {NO_EDIT: 2, UNCHANGED: 1}


def test_cad_is_read_in_one_direction(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        review("A bad film.", "A good film."),
        review("I liked it.", "I hated it.", "Positive"),
        review("Dull.", "Dull."),
    )
    edits, left_out = read_cad(path)
    assert edits == [LoggedEdit(f"{POSITIVE}A bad film.", "A bad film.", "A good film.", line=1)]
    assert left_out == {"positive originals": 1, UNCHANGED: 1}
    (back,), left_out = read_cad(path, "positive-to-negative")
    assert (back.draft, back.sent, back.line) == ("I liked it.", "I hated it.", 2)
    assert "negative instead of positive" in str(back.prompt)
    assert left_out == {"negative originals": 2}


@pytest.mark.parametrize(
    ("direction", "said"), [("both", "so they cancel"), ("up", "no direction 'up'")]
)
def test_both_directions_at_once_are_refused(
    direction: Direction, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        read_cad(tmp_path / "is not even read.jsonl", direction)


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"edited": ["a"]}, "original", "is missing"),
        ({"original": "a"}, "edited", "is missing"),
        ({"original": "a", "edited": "b"}, "edited", "a list of texts is expected, not a text"),
        ({"original": "a", "edited": ["b", 3]}, "edited[1]", "a text is expected, not a number"),
        ({"original": "a", "edited": [" "]}, "edited[0]", "is empty"),
        ({"original": " ", "edited": ["b"]}, "original", "is empty"),
    ],
)
def test_a_fault_of_paradetox_is_named_by_file_line_and_field(
    row: dict[str, Any], field: str, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, toxic("fool", "friend"), row)
    with pytest.raises(RecordError) as found:
        read_paradetox(path)
    assert str(found.value).startswith(f"{path}, line 2, field {field!r}: {said}")


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"original": "a", "edited": "b"}, "sentiment_of_original", "is missing"),
        (review("a", "b", "Mixed"), "sentiment_of_original", "Negative or Positive is expected"),
        ({**review("a", "b"), "edited": ["b"]}, "edited", "a text is expected, not a list"),
        (review("a", ""), "edited", "is empty"),
    ],
)
def test_a_fault_of_cad_is_named_by_file_line_and_field(
    row: dict[str, Any], field: str, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, review("bad", "good"), row)
    with pytest.raises(RecordError) as found:
        read_cad(path)
    assert str(found.value).startswith(f"{path}, line 2, field {field!r}: {said}")


def test_a_file_without_any_edit_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no edit to learn from \\(1 × no edit\\)"):
        read_paradetox(written(tmp_path, toxic("alone")))
    with pytest.raises(InputError, match="it has no rows"):
        read_cad(written(tmp_path))


def test_the_published_files_are_read() -> None:
    if not SHARED.exists():
        pytest.skip(f"{SHARED} is not here: ParaDetox and CAD are no part of the repository")
    edits, left_out = read_paradetox(SHARED / "paradetox.jsonl.gz")
    assert left_out[NO_EDIT] == 4
    assert len(edits) + sum(left_out.values()) == 10_000
    for name, rows, negative in (("cad_train", 1707, 852), ("cad_dev", 245, 121)):
        edits, left_out = read_cad(SHARED / f"{name}.jsonl.gz")
        assert len(edits) + left_out.get(UNCHANGED, 0) == negative
        assert len(edits) + sum(left_out.values()) == rows
