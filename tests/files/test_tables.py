"""Tables as people save them: cells that are missing at a row's end, and spaces before quotes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corll.errors import RecordError
from corll.files.tables import read_table

NEEDED, OPTIONAL = ("prompt", "sent"), ("draft",)
CELLS = st.text(st.sampled_from('ab ,;"\n'), max_size=6)


def rows_of(path: Path, content: str) -> list[tuple[object, ...]]:
    path = path / "table.csv"
    path.write_bytes(content.encode())
    rows = read_table(path, NEEDED, OPTIONAL)
    return [(row.line, *(row.fields[name] for name in (*NEEDED, *OPTIONAL))) for row in rows]


def test_a_row_may_lack_its_last_cells(tmp_path: Path) -> None:
    content = "prompt,sent,draft,note\nHi,Hello\nHi,Hello,Hey\n"
    assert rows_of(tmp_path, content) == [(2, "Hi", "Hello", None), (3, "Hi", "Hello", "Hey")]


def test_empty_cells_beyond_the_header_mean_nothing(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "prompt,sent,draft\nHi,Hello,Hey,, \n") == [(2, "Hi", "Hello", "Hey")]


@pytest.mark.parametrize("row", ["Hi", "Hi,Hello,Hey,you"])
def test_a_row_that_lacks_what_is_needed_or_has_more_is_named(tmp_path: Path, row: str) -> None:
    cells = row.count(",") + 1
    with pytest.raises(RecordError, match=f"line 2: {cells} cells, where the header has 3"):
        rows_of(tmp_path, f"prompt,sent,draft\n{row}\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spaces_before_a_cell_in_quotes_mean_nothing(tmp_path: Path, delimiter: str) -> None:
    header = f'"prompt"{delimiter} "sent"{delimiter}  "draft"\n'
    row = f'"A"{delimiter} "B{delimiter} ""c""\nd"{delimiter} e\n'
    assert rows_of(tmp_path, header + row) == [(2, "A", f'B{delimiter} "c"\nd', " e")]


@pytest.mark.parametrize("cell", [' a "b"', ' "a" b', "  a"])
def test_other_cells_keep_their_spaces(tmp_path: Path, cell: str) -> None:
    content = f'prompt,sent,draft\n"A", "B",{cell}\n'
    assert rows_of(tmp_path, content) == [(2, "A", "B", cell)]


def test_quotes_inside_a_text_begin_no_cell(tmp_path: Path) -> None:
    content = 'prompt,sent,draft\n"He said, ""yes"", and", "B","x\n ""y"""\n'
    assert rows_of(tmp_path, content) == [(2, 'He said, "yes", and', "B", 'x\n "y"')]


def test_many_quotes_are_read_in_linear_time(tmp_path: Path) -> None:
    for unit in (', "x', ', ""z', ', """z', ', """"z', ' "'):
        with pytest.raises(RecordError):
            rows_of(tmp_path, 'prompt,sent\n"a", "b"\n' + unit * 100_000 + '"')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_what_is_in_quotes_comes_back(
    tmp_path: Path, rows: list[tuple[str, str, str]], delimiter: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow([*NEEDED, *OPTIONAL])
    writer.writerows(rows)
    spaced = out.getvalue().replace(f'prompt"{delimiter}', f'prompt"{delimiter} ')
    expected = [(a, b, c or None) for a, b, c in rows if any(cell.strip() for cell in (a, b, c))]
    assert [row[1:] for row in rows_of(tmp_path, spaced)] == expected
