"""PDF: the text of each page, and errors for what has none."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from fakes.searching import run_index

from minnow.chunks import Section
from minnow.chunks.pdf import read_pdf
from minnow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

with_parser = pytest.mark.extra("index")

PICTURE = "a picture"
"""A page that shows an image, and no text."""


def pdf(*pages: str, filters: Mapping[int, str] = MappingProxyType({})) -> bytes:
    """A PDF written by hand: lines of Helvetica on each page; some streams name a filter."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Subtype /Image >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, text in enumerate(pages):
        used = "/XObject << /I 1 0 R >>" if text == PICTURE else "/Font << /F 3 0 R >>"
        page = f"/Parent 2 0 R /Resources << {used} >> /Contents {5 + 2 * i} 0 R"
        objects.append(f"<< /Type /Page /MediaBox [0 0 300 300] {page} >>".encode())
        lines = text.replace("\n", ") Tj 0 -14 Td (")
        stream = f"BT /F 12 Tf 20 200 Td ({lines}) Tj ET".encode("cp1252") if text else b""
        stream = b"/I Do" if text == PICTURE else stream
        kind = f"/Filter {filters[i + 1]}".encode() if i + 1 in filters else b""
        objects.append(b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(stream), kind, stream))
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    xref = b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (size, len(content))
    return content + xref + trailer


@with_parser
def test_a_page_is_a_section() -> None:
    document = read_pdf("a.pdf", pdf("Fish sleep.", "", "Rivers run."))
    assert document.text == "Fish sleep.\n\nRivers run."
    assert document.sections == (Section(("page 1",), 0, 11), Section(("page 3",), 13, 24))


@with_parser
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"hello", pdf("Fish")[:200], b"\0" * 999])
def test_a_broken_file_is_reported(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^a\.pdf (is not a PDF that can be read|holds no text)"):
        read_pdf("a.pdf", content)


@with_parser
def test_garbage_raises_nothing_else() -> None:
    content = pdf("Fish sleep with open eyes.", "Rivers run.")
    for start in range(0, len(content) - 20, 7):
        with suppress(InputError):
            read_pdf("a.pdf", content[:start] + b"\xff<<[(" + content[start + 5 :])


@with_parser
def test_one_without_text() -> None:
    with pytest.raises(InputError, match=r"holds no text; its 2 pages may be pictures"):
        read_pdf("a.pdf", pdf("", ""))


def encrypted(text: str, algorithm: str, password: str = "") -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(text))))
    writer.encrypt(password, "owner", algorithm=algorithm)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


@with_parser
@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256-R5", "AES-256"])
class TestEncrypted:
    def test_with_an_empty_password(self, algorithm: str) -> None:
        assert read_pdf("a.pdf", encrypted("Fish sleep.", algorithm)).text == "Fish sleep."

    def test_with_a_password(self, algorithm: str) -> None:
        with pytest.raises(InputError, match=r"^a\.pdf is locked with a password\.$"):
            read_pdf("a.pdf", encrypted("Secret", algorithm, "password"))

    def test_without_the_package_for_aes(
        self, algorithm: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError

        def decrypt(*_: object) -> None:
            raise DependencyError("cryptography>=3.1 is required for AES algorithm")

        content = encrypted("Fish", algorithm)
        monkeypatch.setattr(PdfReader, "decrypt", decrypt)
        with pytest.raises(InputError, match=r"needs the package cryptography: pip install"):
            read_pdf("a.pdf", content)


@with_parser
class TestPages:
    """A page that cannot be read is told, and costs no other."""

    def test_a_filter_that_nobody_knows(self) -> None:
        content = pdf("One.", "Two.", "Three.", "Four.", filters={2: "/Nope", 3: "/Nope"})
        document = read_pdf("a.pdf", content)
        assert document.text == "One.\n\nFour."
        assert [section.headings for section in document.sections] == [("page 1",), ("page 4",)]
        assert document.problems == ("pages 2-3 cannot be read: Unsupported filter /Nope",)

    def test_a_page_that_cannot_be_unpacked(self, capfd: pytest.CaptureFixture[str]) -> None:
        document = read_pdf("a.pdf", pdf("One.", "Two.", filters={2: "/FlateDecode"}))
        assert document.text == "One."
        (problem,) = document.problems
        assert problem.startswith("page 2 cannot be read: Error -3 while decompressing data")
        assert capfd.readouterr().err == ""

    def test_a_page_whose_content_is_not_there(self) -> None:
        content = pdf("One.", "Two.").replace(b"/Contents 7 0 R", b"/Contents 99 0 R")
        document = read_pdf("a.pdf", content)
        assert document.text == "One."
        assert document.problems == ("page 2 cannot be read: Object 99 0 not defined.",)

    def test_no_page_can_be_read(self) -> None:
        with pytest.raises(InputError, match=r"holds no text; page 1 cannot be read: Unsupported"):
            read_pdf("a.pdf", pdf("One.", filters={1: "/Nope"}))

    def test_pages_of_pictures_are_named(self) -> None:
        document = read_pdf("a.pdf", pdf("One.", PICTURE, "", PICTURE, PICTURE))
        assert document.notes == ("pages 2, 4-5 hold only pictures, which are not read",)
        assert document.problems == ()

    def test_every_run_says_what_is_missing(self, tmp_path: Path) -> None:
        bad = pdf("One.", "Two.", PICTURE, filters={2: "/Nope"})
        (tmp_path / "a.pdf").write_bytes(bad)
        first, second = (run_index(tmp_path / "i", tmp_path / "a.pdf") for _ in range(2))
        assert (first.added, second.added, second.unchanged, second.embedded) == (1, 0, 1, 0)
        assert first.skipped == second.skipped
        assert first.skipped[0].endswith("a.pdf: page 2 cannot be read: Unsupported filter /Nope")
        assert first.notes[0].endswith("a.pdf: page 3 holds only pictures, which are not read")
        (tmp_path / "a.pdf").write_bytes(pdf("One.", "Two."))
        third = run_index(tmp_path / "i", tmp_path / "a.pdf")
        assert (third.changed, third.reused, third.skipped) == (1, 1, [])


@with_parser
def test_words_that_line_ends_cut_are_joined() -> None:
    lines = "The adminis-\ntration repairs a well-\nknown lamp."
    text = "The administration repairs a well-known lamp."
    assert read_pdf("a.pdf", pdf(lines)).text == text
    cut = read_pdf("a.pdf", pdf("The dry-\ning time.", "A drying time."))
    assert cut.text == "The drying time.\n\nA drying time."
    assert [section.end - section.start for section in cut.sections] == [16, 14]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtraError, match=r"^Reading PDF needs .*minnow-embed\[index\]"):
        read_pdf("a.pdf", b"")
