"""Texts from files and vectors to files: line n is row n, and a file is whole or as it was."""

from __future__ import annotations

import errno
import gzip
import io
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.sealed import FULL, fail, names, press_ctrl_c, small_disk
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import InputError, OutputError
from minnow.streams import JsonlWriter, LineWriter, NpyWriter, read_texts, vector_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH = 4


def written(folder: Path, content: bytes, name: str = "texts.txt") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


class TestReadLines:
    @pytest.mark.parametrize(
        ("content", "texts"),
        [
            (b"", []),
            (b"one", ["one"]),
            (b"one\n", ["one"]),
            (b"one\ntwo", ["one", "two"]),
            (b"one\r\ntwo\r\n", ["one", "two"]),
            (b"\n", [""]),
            (b"one\n\n\ntwo\n\n", ["one", "", "", "two", ""]),
            (b"  one \n\ttwo", ["  one ", "\ttwo"]),
            (b"one\rstill one\n", ["one\rstill one"]),
            (b"\xef\xbb\xbfone\ntwo", ["one", "two"]),
            (b"one\n\xef\xbb\xbftwo", ["one", "\ufefftwo"]),
            ("one\u2028still one\u0085and\u2029still\x0b\x0c\x1c\n".encode(),
             ["one\u2028still one\u0085and\u2029still\x0b\x0c\x1c"]),
            ("Füße 鱼 🐟\n".encode(), ["Füße 鱼 🐟"]),
            ("one\r\n\r\nFüße 🐟\r\n".encode("utf-16"), ["one", "", "Füße 🐟"]),
            ("\ufeffone\ntwo".encode("utf-16-be"), ["one", "two"]),
        ],
    )  # fmt: skip
    def test_a_text_per_line(self, tmp_path: Path, content: bytes, texts: list[str]) -> None:
        assert list(read_texts(written(tmp_path, content))) == texts

    @given(st.lists(st.text(st.characters(exclude_characters="\n\r\0\ufeff", codec="utf-8"))))
    def test_every_text_without_line_ends_survives(self, texts: list[str]) -> None:
        content = b"".join(text.encode() + b"\n" for text in texts)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
            found = list(read_texts("-"))
        assert found == texts

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        buffer = io.BytesIO(b'one\n{"text": "not JSON here"}')
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer))
        assert list(read_texts("-")) == ["one", '{"text": "not JSON here"}']

    def test_a_closed_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(InputError, match="Standard input is closed"):
            list(read_texts("-"))

    def test_lines_are_read_as_they_are_asked_for(self, tmp_path: Path) -> None:
        name = written(tmp_path, b"one\ntwo\n\xff\n")
        texts = read_texts(name)
        assert [next(texts), next(texts)] == ["one", "two"]
        with pytest.raises(InputError, match="Line 3"):
            next(texts)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"one\ntwo\xffthree\n", "Line 2 of .* is not UTF-8 .byte 3: invalid start byte"),
            (b"one\n\xe9\n", "Line 2 of .* is not UTF-8 .byte 0: unexpected end of data"),
            (b"one\n\xf0\x9f\x90", "Line 2 of .* unexpected end of data"),
            (b"\xed\xa0\x80", "Line 1 of .* is not UTF-8"),
            (b"one\n\ntw\0o\n", "Line 3 of .* holds a NUL byte: it is not a text file"),
            ("one".encode("utf-16-le"), "Line 1 of .* looks like UTF-16 without a byte order mark"),
            (b"\x89PNG\r\n\x1a\n\0\0\0", "Line 1 of .* is not UTF-8"),
        ],
    )
    def test_what_is_no_text_is_refused_by_its_line(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        with pytest.raises(InputError, match=message) as caught:
            list(read_texts(written(tmp_path, content)))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("none.txt", "No such file"), ("folder", "Is a directory"), ("a" * 300, "too long")],
    )
    def test_a_file_that_cannot_be_read(self, tmp_path: Path, name: str, reason: str) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match=f"Cannot read .*{name}: .*{reason}"):
            list(read_texts(str(tmp_path / name)))

    def test_a_file_that_fails_in_the_middle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing(io.BytesIO):
            def readline(self, *_: object) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(type(tmp_path), "open", lambda *_: Failing())
        with pytest.raises(InputError, match="Input/output error"):
            list(read_texts(str(tmp_path / "on a dying disk")))


class TestReadJsonl:
    def test_the_text_of_each_object(self, tmp_path: Path) -> None:
        content = b'\xef\xbb\xbf{"text": "one\\ntwo", "id": 5}\r\n{"text": "", "text": "last"}\n'
        name = written(tmp_path, content, "t.jsonl")
        assert list(read_texts(name)) == ["one\ntwo", "last"]

    def test_blank_lines_are_no_texts(self, tmp_path: Path) -> None:
        name = written(tmp_path, b'\n{"text": "one"}\n  \r\n{"text": ""}\n\n', "T.JSONL")
        assert list(read_texts(name)) == ["one", ""]
        with pytest.raises(InputError, match=r"Line 3 of .* is not a JSON object"):
            list(read_texts(written(tmp_path, b'{"text": "one"}\n\nx', "t.jsonl")))

    def test_the_keys_of_an_index(self, tmp_path: Path) -> None:
        content = (
            b'{"contents": "one"}\n{"content": "two", "id": 5}\n{"text": "three", "content": 1}'
        )
        assert list(read_texts(written(tmp_path, content, "t.jsonl"))) == ["one", "two", "three"]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_other_encodings_and_compressed(self, tmp_path: Path, encoding: str) -> None:
        content = '{"text": "Füße\u2028鱼"}\r\n{"text": "🐟"}'.encode(encoding)
        assert list(read_texts(written(tmp_path, content, "t.jsonl"))) == ["Füße\u2028鱼", "🐟"]
        name = written(tmp_path, gzip.compress(content), "t.jsonl.gz")
        assert list(read_texts(name)) == ["Füße\u2028鱼", "🐟"]

    def test_nul_and_pairs_that_json_spells(self, tmp_path: Path) -> None:
        name = written(tmp_path, b'{"text": "a\\u0000b \\ud83d\\udc1f c\\ud83d"}', "t.jsonl")
        assert list(read_texts(name)) == ["a\0b 🐟 c\ufffd"]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"plain text", "Expecting value; it begins 'plain text'"),
            (b'{"text": "one"', "Expecting ',' delimiter"),
            (b'{"text": "one"} {"text": "two"}', "Extra data"),
            (b"[" * 100_000, "is not a JSON object"),
            (b'{"text": "one", "id": ' + b"9" * 5000 + b"}", "is not a JSON object"),
            (b'"one"', 'is not a JSON object with a "text" string'),
            (b"null", 'is not a JSON object with a "text" string'),
            (b'{"Text": "one"}', 'is not a JSON object with a "text" string'),
            (b'{"text": 5}', 'is not a JSON object with a "text" string'),
            (b'{"text": null}', 'is not a JSON object with a "text" string'),
            (b'{"text": "\xff"}', "is not UTF-8"),
            (b'{"text": "\0"}', "holds a NUL byte"),
        ],
    )
    def test_a_fault_is_reported_with_its_line(
        self, tmp_path: Path, line: bytes, reason: str
    ) -> None:
        name = written(tmp_path, b'{"text": "good"}\n' + line + b"\n", "t.jsonl")
        texts = read_texts(name)
        assert next(texts) == "good"
        with pytest.raises(InputError, match=f"Line 2 of .*{reason}") as caught:
            next(texts)
        assert len(str(caught.value)) < 230 + len(name)
        assert "\n" not in str(caught.value)


class TestWriteNpy:
    @pytest.mark.parametrize("counts", [[], [1], [3, 5], [7] * 300])
    def test_all_blocks_are_one_array(self, tmp_path: Path, counts: list[int]) -> None:
        """The number of rows is known at the end only, and has up to four digits here."""
        path = tmp_path / "vectors.npy"
        blocks = [rows(count, seed) for seed, count in enumerate(counts)]
        with vector_file(path, WIDTH) as file:
            for block in blocks:
                file.write(["text"] * len(block), block)

        found = np.load(path, allow_pickle=False)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert np.array_equal(found, np.concatenate([rows(0), *blocks]))

    def test_the_file_is_what_numpy_would_write(self, tmp_path: Path) -> None:
        block = rows(3)
        with vector_file(tmp_path / "ours.npy", WIDTH) as file:
            file.write(["a", "b", "c"], block)
        np.save(tmp_path / "theirs.npy", block)
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()

    def test_arrays_in_another_order_or_type(self, tmp_path: Path) -> None:
        block = np.asfortranarray(rows(3).astype(np.float64))
        with vector_file(tmp_path / "a.npy", WIDTH) as file:
            file.write(["a", "b", "c"], block)  # type: ignore[arg-type]
        assert np.array_equal(np.load(tmp_path / "a.npy"), block.astype(np.float32))

    def test_a_header_that_did_not_keep_its_length_is_refused(self) -> None:
        buffer = io.BytesIO()
        writer = NpyWriter(buffer, WIDTH)
        writer.write(["a"] * 3, rows(3))
        writer._rows = 10**80
        with pytest.raises(OutputError, match="header"):
            writer.finish()


class TestWriteJsonl:
    def test_texts_and_vectors(self, tmp_path: Path) -> None:
        path = tmp_path / "vectors.jsonl"
        texts = ["one\ntwo", "鱼 🐟\u2028", 'a "quoted" \\', ""]
        block = rows(4)
        with vector_file(path, WIDTH) as file:
            file.write(texts[:1], block[:1])
            file.write(texts[1:], block[1:])

        lines = path.read_bytes().split(b"\n")
        assert lines.pop() == b""
        found = [json.loads(line) for line in lines]
        assert [row["text"] for row in found] == texts
        assert np.array_equal(np.array([row["embedding"] for row in found], "f4"), block)
        assert list(read_texts(str(path))) == texts

    def test_no_text_is_written_without_its_vector(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            JsonlWriter(io.BytesIO(), WIDTH).write(["a", "b"], rows(1))

    def test_lines_of_plain_arrays(self) -> None:
        buffer, block = io.BytesIO(), rows(2)
        LineWriter(buffer, WIDTH).write(["a", "b"], block)
        found = [json.loads(line) for line in buffer.getvalue().splitlines()]
        assert np.array_equal(np.array(found, "f4"), block)


@pytest.fixture(params=["a.npy", "a.jsonl"])
def older(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file that has been written before."""
    path = tmp_path / str(request.param)
    path.write_text("older")
    return path


def write_some(path: Path, error: BaseException | None = None) -> None:
    with vector_file(path, WIDTH) as file:
        file.write(["a"], rows(1))
        if error is not None:
            raise error
        file.write(["b"], rows(1))


class TestWholeOrAsItWas:
    def test_an_older_file_is_replaced(self, older: Path) -> None:
        write_some(older)
        assert older.read_bytes() != b"older"
        assert names(older.parent) == [older.name]

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            (InputError("Line 5 is not UTF-8"), InputError),
            (FULL, OutputError),
            (KeyboardInterrupt(), KeyboardInterrupt),
            (ZeroDivisionError(), ZeroDivisionError),
        ],
    )
    def test_a_failure_in_the_middle_keeps_it(
        self, older: Path, error: BaseException, raised: type[BaseException]
    ) -> None:
        with pytest.raises(raised):
            write_some(older, error)
        assert older.read_text() == "older"
        assert names(older.parent) == [older.name]

    @pytest.mark.parametrize("step", ["open", "replace"])
    def test_a_system_that_refuses(
        self, older: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        real = getattr(type(older), step)

        def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == older.name:
                raise FULL
            return real(path, *arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(type(older), step, refuse)
            with pytest.raises(OutputError, match=f"{older.name}: No space left on device"):
                write_some(older)
        assert older.read_text() == "older"
        assert names(older.parent) == [older.name]

    def test_a_second_ctrl_c_does_not_stop_the_cleaning_up(
        self, older: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            fail(patched, type(older), "unlink", press_ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                write_some(older, KeyboardInterrupt())
        assert names(older.parent) == [older.name]

    def test_a_full_disk(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        block = rows(100_000)

        def write(path: Path) -> None:
            with vector_file(path, WIDTH) as file:
                file.write(["text"] * len(block), block)

        with small_disk(disk):
            (disk / "a.npy").write_text("older")
            with pytest.raises(OutputError, match=r"a\.npy: No space left on device"):
                write(disk / "a.npy")
            assert (disk / "a.npy").read_text() == "older"
            assert names(disk) == ["a.npy"]

    def test_a_link_stays_a_link(self, older: Path) -> None:
        link = older.with_name("link" + older.suffix)
        link.symlink_to(older.name)
        write_some(link)
        assert link.is_symlink()
        assert older.read_bytes() != b"older"

    def test_it_has_the_permissions_of_other_new_files(self, tmp_path: Path) -> None:
        write_some(tmp_path / "a.npy")
        (tmp_path / "other").write_text("")
        modes = [(tmp_path / name).stat().st_mode for name in ("a.npy", "other")]
        assert modes[0] == modes[1]

    @pytest.mark.parametrize("name", ["vectors", "vectors.txt", "vectors.json", "a.npy/", ".npy"])
    def test_another_ending_is_refused(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir()
        with pytest.raises(OutputError, match=r"should end in \.npy or \.jsonl|is a folder"):
            write_some(path)
        assert names(tmp_path) == (["a.npy"] if name.endswith("/") else [])

    @pytest.mark.parametrize("parent", ["none", "file"])
    def test_a_parent_that_is_no_folder(self, tmp_path: Path, parent: str) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OutputError, match=f"{parent} is not a folder. Make it first"):
            write_some(tmp_path / parent / "a.npy")
        assert names(tmp_path) == ["file"]

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="File name too long"):
            write_some(tmp_path / ("a" * 300 + ".npy"))
