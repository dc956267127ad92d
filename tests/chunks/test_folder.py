"""Which files of a folder are read, and messages about unreadable ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minnow.chunks import Document, Section, find_documents, read_document
from minnow.chunks.folder import SUFFIXES
from minnow.errors import InputError


def read_all(folder: Path) -> list[Document]:
    return [read_document(path, name) for name, path in find_documents(folder).files.items()]


def write(folder: Path, *names: str, content: str = "text") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


class TestFinding:
    def test_all_folders_sorted_by_path(self, tmp_path: Path) -> None:
        names = ["a.md", "a/b.markdown", "a/c/d.txt", "b.rst", "z.HTML", "é.text", "B.htm"]
        found = find_documents(write(tmp_path, *reversed(names)))
        assert list(found.files) == sorted(names)
        assert found.files["a/c/d.txt"] == tmp_path / "a" / "c" / "d.txt"
        assert found.skipped == {}

    def test_hidden_ones_and_other_kinds_are_skipped(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", ".b.md", ".git/c.md", "d/e.pdf", "d/f")
        found = find_documents(tmp_path)
        assert list(found.files) == ["a.md"]
        other = f"not one of {', '.join(SUFFIXES)}"
        assert found.skipped == {
            ".b.md": "hidden",
            ".git": "hidden",
            "d/e.pdf": other,
            "d/f": other,
        }

    def test_a_hidden_folder_itself_may_be_named(self, tmp_path: Path) -> None:
        assert list(find_documents(write(tmp_path / ".docs", "a.md")).files) == ["a.md"]

    def test_links_are_followed_to_what_is_elsewhere(self, tmp_path: Path) -> None:
        write(tmp_path / "else", "where/a.md", "b.md")
        docs = write(tmp_path / "docs", "c.md")
        (docs / "linked").symlink_to(tmp_path / "else" / "where")
        (docs / "b.md").symlink_to(tmp_path / "else" / "b.md")
        assert list(find_documents(docs).files) == ["b.md", "c.md", "linked/a.md"]

    def test_what_links_lead_to_is_read_once(self, tmp_path: Path) -> None:
        write(tmp_path, "v2/a.md")
        (tmp_path / "latest").symlink_to("v2")
        (tmp_path / "a.md").symlink_to("v2/a.md")
        (tmp_path / "v2" / "up").symlink_to(tmp_path)
        found = find_documents(tmp_path)
        assert list(found.files) == ["v2/a.md"]
        assert list(found.skipped) == ["a.md", "latest", "v2/up"]
        assert set(found.skipped.values()) == {"a link to a file or folder that is already listed"}

    def test_loops_and_broken_links(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md")
        (tmp_path / "loop.md").symlink_to("loop.md")
        (tmp_path / "broken.md").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe.md")
        found = find_documents(tmp_path)
        assert list(found.files) == ["a.md"]
        assert found.skipped == dict.fromkeys(["broken.md", "loop.md", "pipe.md"], "not a file")
        with pytest.raises(InputError, match=r"pipe\.md: it is a named pipe"):
            read_document(tmp_path / "pipe.md", "pipe.md")

    def test_a_folder_that_may_be_listed_but_not_entered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("open", "closed"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.txt").write_text("text")
        real = Path.is_symlink

        def is_symlink(path: Path) -> bool:
            if path.parent.name == "closed":
                raise PermissionError(13, "Permission denied")
            return real(path)

        monkeypatch.setattr(Path, "is_symlink", is_symlink)
        found = find_documents(tmp_path, skip_unreadable=True)
        assert list(found.files) == ["open/a.txt"]
        assert found.skipped["closed"].startswith("Cannot read")
        with pytest.raises(InputError, match=r"^Cannot read .*closed: Permission denied"):
            find_documents(tmp_path)

    def test_a_path_that_is_not_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "nowhere", write(tmp_path, "a.md") / "a.md"):
            with pytest.raises(InputError, match=rf"{path.name} is not a folder"):
                find_documents(path)


class TestReading:
    def test_each_kind_in_the_order_of_paths(self, tmp_path: Path) -> None:
        write(tmp_path, "b.md", "a.txt", content="# A\nb\n")
        assert read_all(tmp_path) == [
            Document("a.txt", "# A\nb\n", (Section((), 0, 6),)),
            Document("b.md", "A\n\nb", (Section(("A",), 1, 4),)),
        ]

    @pytest.mark.extra("index")
    def test_html(self, tmp_path: Path) -> None:
        write(tmp_path, "a.htm", content="<h1>A</h1><p>b")
        assert read_all(tmp_path)[0].text == "A\n\nb"

    def test_a_byte_order_mark_and_all_line_ends(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("\ufeffé\r\n鱼\rc\n".encode())
        assert read_all(tmp_path)[0].text == "é\n鱼\nc\n"

    def test_an_empty_file(self, tmp_path: Path) -> None:
        write(tmp_path, *(f"a{kind}" for kind in SUFFIXES if "htm" not in kind), content="")
        assert all(not document.sections for document in read_all(tmp_path))

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
    def test_a_byte_order_mark_tells_the_encoding(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "a.txt").write_bytes("é 鱼 🐟".encode(encoding))
        assert read_all(tmp_path)[0].text == "é 鱼 🐟"

    @pytest.mark.extra("index")
    def test_html_in_the_encoding_that_it_states(self, tmp_path: Path) -> None:
        page = '<meta charset="iso-8859-1"><p>café'
        (tmp_path / "a.html").write_bytes(page.encode("latin-1"))
        (tmp_path / "b.html").write_bytes(page.encode())
        assert [document.text for document in read_all(tmp_path)] == ["café", "café"]
        (tmp_path / "b.html").write_bytes(b"<meta charset=klingon>\xe9")
        with pytest.raises(InputError, match="is not UTF-8"):
            read_all(tmp_path)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"ok\n\xe9", r"is not UTF-8 \(byte 3: "),
            ("utf-16".encode("utf-16")[:-1], "is not UTF-16"),
            (b"a\0b", "holds a NUL byte"),
        ],
    )
    def test_a_broken_file_is_named(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "a.md").write_bytes(content)
        with pytest.raises(InputError, match=rf"/a\.md {reason}"):
            read_all(tmp_path)

    def test_a_file_that_is_missing_or_of_another_kind(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^Cannot read .*a\.md: No such file"):
            read_document(tmp_path / "a.md", "a.md")
        with pytest.raises(InputError, match=r"a\.pdf should end in one of \.md, "):
            read_document(tmp_path / "a.pdf", "a.pdf")

    def test_a_name_that_is_not_unicode(self, tmp_path: Path) -> None:
        (tmp_path / os.fsdecode(b"a\xe9.md")).write_text("text")
        with pytest.raises(InputError, match=r"'a\\udce9\.md' is not valid Unicode") as caught:
            read_all(tmp_path)
        assert str(caught.value).isascii()
