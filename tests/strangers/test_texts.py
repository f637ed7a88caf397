"""Texts from strangers: mailboxes, tables, JSON lines and logs of other tools."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import CORPUS, changed_bytes, fuzzed, reads, within
from stranger_texts import EXAMPLES, LINES, LOGS, MBOX, ME

from corll import untrusted
from corll.edit_logs.reading import FORMS, read_edits
from corll.errors import InputError, RecordError
from corll.past_texts import mail_marks, mailbox
from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_words import own_words
from corll.past_texts.reading import read_past_texts


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(EXAMPLES[name])
    assert read_past_texts(tmp_path / name, me=ME)


@fuzzed
@given(st.data())
def test_changed_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    for name, content in EXAMPLES.items():
        path = tmp_path / name
        path.write_bytes(data.draw(changed_bytes(content), label=name))
        reads(lambda path=path: read_past_texts(path, me=ME))  # type: ignore[misc]
    packed = tmp_path / "texts.jsonl.gz"
    packed.write_bytes(data.draw(changed_bytes(gzip.compress(LINES, mtime=0)), label="gz"))
    reads(lambda: read_past_texts(packed))
    assert {path.name for path in tmp_path.iterdir()} == {*EXAMPLES, packed.name}


@pytest.mark.parametrize("form", FORMS)
def test_changed_logs_are_read_or_refused(tmp_path: Path, form: str) -> None:
    @fuzzed
    @given(st.data())
    def look(data: st.DataObject) -> None:
        for path in sorted(LOGS.glob(f"{form}*.json*")):
            changed = tmp_path / path.name
            changed.write_bytes(data.draw(changed_bytes(path.read_bytes())))
            reads(lambda changed=changed: read_edits(changed, form))  # type: ignore[misc,arg-type]

    look()


@fuzzed
@given(st.text(st.sampled_from("<>!-/ax='\"& \n"), max_size=60))
@example("<![if !mso]>")
def test_any_html_has_a_text(html: str) -> None:
    assert isinstance(text_of_html(html), str)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("texts/*")), ids=lambda path: path.name)
def test_what_was_once_found_is_an_error_of_ours(path: Path) -> None:
    for form in FORMS:
        reads(lambda form=form: read_edits(path, form))  # type: ignore[misc]
    reads(lambda: read_past_texts(path, me=ME))


def test_a_number_of_many_digits_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"prompt": "x"}\n{"score": ' + "9" * 5000 + "}")
    with pytest.raises(RecordError, match="line 2: not JSON"):
        read_edits(path, "langfuse")


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.csv", "mail.mbox"])
def test_a_pipe_or_a_folder_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_past_texts(tmp_path / name, me=ME)


class TestBombs:
    def test_a_file_as_large_as_is_read_and_one_byte_more(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"12345")
        assert untrusted.read_bounded(path, 5) == b"12345"
        with pytest.raises(InputError, match="more than the"):
            untrusted.read_bounded(path, 4)

    def test_what_unpacks_to_as_much_as_is_read_and_one_byte_more(self, tmp_path: Path) -> None:
        packed = gzip.compress(b"12345") + gzip.compress(b"678")
        assert untrusted.unpack(tmp_path, packed, most=8) == b"12345678"
        with pytest.raises(InputError, match="unpack and split it"):
            untrusted.unpack(tmp_path, packed, most=7)

    def test_a_packed_file_may_be_200_times_as_large_unpacked(self, tmp_path: Path) -> None:
        little = gzip.compress(bytes(2**24))
        assert len(untrusted.unpack(tmp_path, little)) == 2**24  # small ones may pack by more
        with pytest.raises(InputError, match="so it is not read"):
            untrusted.unpack(tmp_path, gzip.compress(bytes(2**24 + 1)))

    def test_bombs_and_lines_without_end_take_no_memory(self, tmp_path: Path) -> None:
        bomb, packer = tmp_path / "bomb.jsonl.gz", zlib.compressobj(1, wbits=31)
        with bomb.open("wb") as file:
            for _ in range(256):
                file.write(packer.compress(bytes(2**20)))
            file.write(packer.flush())
        for name, size in (("huge.csv", 2**36), ("huge.jsonl", 2**36), ("mail.mbox", 2**28 + 99)):
            with (tmp_path / name).open("wb") as file:
                file.write(b"From a Mon Nov 30 10:00:00 2026\nFrom: anna@example.org\n\n")
                file.truncate(size)
        code = """
from corll.past_texts.reading import read_past_texts
for path in sys.argv[1:]:
    read(lambda: read_past_texts(path, me=["anna@example.org"]))
"""
        names = ("bomb.jsonl.gz", "huge.csv", "huge.jsonl", "mail.mbox")
        said = within(500, code, *(tmp_path / name for name in names)).splitlines()
        assert len(said) == len(names)
        for line, name in zip(said, names, strict=True):
            assert line.startswith("refused")
            assert name in line
        assert "the mail at byte 32 has 256 MB, more than any mail has" in said[-1]


class TestMail:
    def test_a_header_as_long_as_is_read_and_longer(self, tmp_path: Path) -> None:
        def written(size: int) -> Path:
            head, rest = MBOX.split(b"Message-ID: <2", 1)
            padding = b"X: " + b"y" * 70 + b"\n"
            path = tmp_path / "mail.mbox"
            path.write_bytes(head + padding * (size // len(padding)) + b"Message-ID: <2" + rest)
            return path

        assert len(read_past_texts(written(2**20 - 400), me=ME)) == 1
        with pytest.raises(InputError, match=r"mail\.mbox, message 2: its header has more than"):
            read_past_texts(written(2**20), me=ME)

    def test_as_many_mails_as_are_read_and_one_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "mail.mbox"
        path.write_bytes(MBOX)
        monkeypatch.setattr(mailbox, "_MOST_MAILS", 2)
        assert len(read_past_texts(path, me=ME)) == 1
        monkeypatch.setattr(mailbox, "_MOST_MAILS", 1)
        with pytest.raises(InputError, match="more than 1 mails; export the folder of sent"):
            read_past_texts(path, me=ME)

    def test_parts_in_parts_without_end_are_left_out(self, tmp_path: Path) -> None:
        nested = b"".join(
            b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(2000)
        )
        evil = (
            b"\nFrom anna@example.org Mon Nov 30 11:00:00 2026\nFrom: anna@example.org\n" + nested
        )
        path = tmp_path / "mail.mbox"
        path.write_bytes(MBOX + evil)
        assert [text.sent for text in read_past_texts(path, me=ME)] == ["It comes on Friday."]

    def test_a_line_that_marks_a_copied_mail_is_found_up_to_a_length(self) -> None:
        mark = "-----Original Message-----"
        for length, kept in (
            (mail_marks._LONGEST_MARK, "Yes."),
            (mail_marks._LONGEST_MARK + 1, None),
        ):
            line = mark.ljust(length, "-")
            expected = f"Yes.\n{line}\nNo." if kept is None else kept
            assert own_words(f"Yes.\n{line}\nNo.") == expected

    def test_texts_that_took_hours_end(self) -> None:
        """Each took minutes at a fifth of the size; all together have 90 s of a processor."""
        code = """
from corll.past_texts.mail_html import text_of_html
from corll.past_texts.mail_words import own_words, quoted_words
for piece in ("-", "-_", "--- original ", "---original", " ", ">", "On wrote ", "From: x ", "@"):
    line = piece * (100_000 // len(piece))
    own_words(line), quoted_words("> " + line)
rule = "---a" + "-" * 400 + "b"
lines = ("On 1 x wrote:", "Cc:", "From: x", "", "--- x wrote ---", rule, "On 1 <@:")
for line in lines:
    body = (line + "\\n") * (300_000 // (len(line) + 1))
    own_words(body), quoted_words(body), quoted_words("> " + body.replace("\\n", "\\n> "))
tags = ("<a ", "<a x=", "<a x='", "<a/ ", "<!--", "<!--x>", "</", "<?", "<", "<![", "&")
for piece in tags:
    text_of_html(piece * (100_000 // len(piece)))
print("ended")
"""
        assert within(1000, code) == "ended\n"

    def test_a_few_open_tags_and_comments_are_read_as_before(self) -> None:
        assert text_of_html("a<!-- b --><p>c<!-- d > e --></p>") == "a\n\nc"
        assert text_of_html("1 < 2 &lt; 3") == "1 < 2 < 3"


def test_json_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"prompt": ' + "[" * 200_000 + "}")
    with pytest.raises(RecordError, match="line 1: not JSON"):
        read_past_texts(path)
    path.write_text(json.dumps({"prompt": "In stock?", "sent": "It is."}))
    assert len(read_past_texts(path)) == 1
