"""Text files of any marked encoding, whole or by line; what is no text is named."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minnow.text_files
from minnow.errors import InputError
from minnow.text_files import decode_line, decode_text, read_lines, utf8_lines

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "Füße 鱼 🐟\r\n\n  two\u2028still\x85two \nlast"
MARKED = ("utf-8-sig", "utf-16", "utf-32")
BIG_ENDIAN = ("utf-16-be", "utf-32-be")


def encoded(text: str, encoding: str) -> bytes:
    return (("\ufeff" if encoding in BIG_ENDIAN else "") + text).encode(encoding)


def lines(content: bytes) -> list[bytes]:
    return list(utf8_lines(io.BytesIO(content), "a.txt"))


@pytest.mark.parametrize("encoding", ["utf-8", *MARKED, *BIG_ENDIAN])
class TestEncodings:
    def test_lines(self, encoding: str) -> None:
        found = [line.decode() for line in lines(encoded(TEXT, encoding))]
        assert found == ["Füße 鱼 🐟", "", "  two\u2028still\x85two ", "last"]

    @pytest.mark.parametrize(("text", "count"), [("", 0), ("\n", 1), ("a\n", 1), ("a\n\n", 2)])
    def test_the_last_line_end(self, encoding: str, text: str, count: int) -> None:
        assert len(lines(encoded(text, encoding))) == count

    def test_a_whole_file(self, encoding: str) -> None:
        content = encoded(TEXT + "\rend", encoding)
        assert decode_text(content, "a") == TEXT.replace("\r\n", "\n") + "\nend"

    @given(st.lists(st.text(st.characters(exclude_characters="\n\r\0\ufeff", codec="utf-8"))))
    def test_every_text_without_line_ends(self, encoding: str, texts: list[str]) -> None:
        content = encoded("".join(text + "\n" for text in texts), encoding)
        assert [line.decode() for line in lines(content)] == texts

    def test_many_lines_over_the_borders_of_blocks(self, encoding: str) -> None:
        texts = [f"line {number} 🐟" for number in range(20_000)]
        assert [line.decode() for line in lines(encoded("\n".join(texts), encoding))] == texts


class TestWhatIsNoText:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"ok\xe9\n", r"^a is not UTF-8 \(byte 2: .*\); save it as UTF-8\.$"),
            (b"\xef\xbb\xbf\xe9", r"^a is not UTF-8 \(byte 3: "),
            ("four".encode("utf-16")[:-1], r"^a is not UTF-16 \(byte 8: truncated data\)"),
            (b"\xff\xfe\0\0\0\0\x11\0", r"^a is not UTF-32 \(byte 4: "),
            (b"a\0b" + b"c" * 50, r"^a holds a NUL byte: it is not a text file\.$"),
            ("plain".encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
            ("plain".encode("utf-16-be"), "looks like UTF-16 without a byte order mark"),
        ],
    )
    def test_a_whole_file(self, content: bytes, message: str) -> None:
        with pytest.raises(InputError, match=message):
            decode_text(content, "a")

    def test_a_bad_line_does_not_cost_the_others(self) -> None:
        found = lines(b"one\n\xe9\nth\0ee" + b"." * 20 + b"\nfour")
        assert [found[0], found[3]] == [b"one", b"four"]
        with pytest.raises(InputError, match=r"^Line 2 of a is not UTF-8 \(byte 0"):
            decode_line(found[1], 2, "a")
        with pytest.raises(InputError, match=r"^Line 3 of a holds a NUL byte"):
            decode_line(found[2], 3, "a")

    def test_half_of_a_surrogate_pair_in_utf16(self) -> None:
        found = lines("\ufeffone\n\ud83d\nthree".encode("utf-16-le", "surrogatepass"))
        assert [found[0], found[2]] == [b"one", b"three"]
        with pytest.raises(InputError, match="Line 2 of a is not UTF-8"):
            decode_line(found[1], 2, "a")

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
    def test_one_that_ends_within_a_character(self, encoding: str) -> None:
        with pytest.raises(InputError, match=rf"Line 2 of a\.txt .*is not {encoding.upper()} "):
            lines("one\ntwo".encode(encoding)[:-1])

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_a_line_that_never_ends(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        monkeypatch.setattr(minnow.text_files, "LONGEST_LINE", 100)
        content = io.BytesIO(("one\n" + "x" * 1000).encode(encoding))
        found = utf8_lines(content, "a.txt")
        assert next(found) == b"one"
        with pytest.raises(InputError, match=r"^Line 2 of a\.txt is longer than 0 MB"):
            next(found)


class TestFiles:
    def test_a_compressed_one(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl.GZ").write_bytes(gzip.compress("ä\nb\n".encode("utf-16"), mtime=0))
        assert list(read_lines(tmp_path / "a.jsonl.GZ")) == ["ä".encode(), b"b"]

    @pytest.mark.parametrize("content", [b"plain", gzip.compress(b"a" * 999, mtime=0)[:-12], b""])
    def test_a_compressed_one_that_is_broken(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.gz"
        path.write_bytes(content)
        if content:
            with pytest.raises(InputError, match=r"^Cannot read .*a\.gz: "):
                list(read_lines(path))
        else:
            assert list(read_lines(path)) == []

    def test_one_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^Cannot read .*none: No such file or directory\.$"):
            list(read_lines(tmp_path / "none"))
