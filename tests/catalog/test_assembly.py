"""A file is put together from parts over several runs, and what is noted is on the disk."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.catalog.assembly import Assembly
from tiny_catalog import write_wheel

PARTS = st.lists(st.binary(max_size=40), min_size=1, max_size=5)


@given(PARTS, st.data())
def test_whatever_interrupts_it_the_file_is_its_parts(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(parts)
    names = [f"part{number}" for number in range(len(parts))]
    with TemporaryDirectory() as scratch:
        target = Path(scratch) / "file"
        wheels = [
            write_wheel(Path(scratch), name, part) for name, part in zip(names, parts, strict=True)
        ]
        while (count := (assembly := Assembly(target, names)).count) < len(parts):
            # A crash may leave any bytes of the next part behind what was noted.
            torn = data.draw(st.binary(max_size=8))
            if assembly.path.exists():
                with assembly.path.open("ab") as file:
                    file.write(torn)
            assembly.append(wheels[count], f"{names[count]}/data/part.bin", most=len(whole))
        Assembly(target, names).finish()
        assert target.read_bytes() == whole
        assert {path.name for path in Path(scratch).glob("file*")} == {"file"}


class TestBegunBefore:
    @pytest.fixture
    def begun(self, tmp_path: Path) -> Assembly:
        """One of two parts is there."""
        assembly = Assembly(tmp_path / "file", ["a", "b"])
        wheel = write_wheel(tmp_path, "a", b"12345")
        assembly.append(wheel, "a/data/part.bin", most=10)
        return assembly

    def test_it_goes_on(self, begun: Assembly, tmp_path: Path) -> None:
        again = Assembly(tmp_path / "file", ["a", "b"])
        assert (again.count, again.size) == (1, 5)

    def test_from_other_parts_it_begins_anew(self, begun: Assembly, tmp_path: Path) -> None:
        assert Assembly(tmp_path / "file", ["a", "c"]).count == 0

    @pytest.mark.parametrize("note", ["", "{}", '{"parts": ["a", "b"], "ends": [6]}', "[1]"])
    def test_a_note_that_does_not_fit_counts_for_nothing(
        self, begun: Assembly, tmp_path: Path, note: str
    ) -> None:
        (tmp_path / "file.parts.json").write_text(note)
        assert Assembly(tmp_path / "file", ["a", "b"]).count == 0

    def test_more_than_the_whole_is_refused_before_it_is_written(
        self, begun: Assembly, tmp_path: Path
    ) -> None:
        wheel = write_wheel(tmp_path, "b", b"123456")
        with pytest.raises(BadZipFile, match="larger than what is missing"):
            begun.append(wheel, "b/data/part.bin", most=10)
        assert begun.path.read_bytes() == b"12345"
