"""PDF: the text of each page, and errors for what has none."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

import pytest

from minnow.chunks import Section
from minnow.chunks.pdf import read_pdf
from minnow.errors import InputError, MissingExtraError

with_parser = pytest.mark.extra("index")


def pdf(*pages: str) -> bytes:
    """A PDF written by hand: a line of Helvetica on each page."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        page = f"/Parent 2 0 R /Resources << /Font << /F 3 0 R >> >> /Contents {5 + 2 * i} 0 R"
        objects.append(f"<< /Type /Page /MediaBox [0 0 300 300] {page} >>".encode())
        stream = f"BT /F 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
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


@with_parser
def test_one_with_a_password() -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    with pytest.raises(InputError, match="is locked with a password"):
        read_pdf("a.pdf", stream.getvalue())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtraError, match=r"^Reading PDF needs .*minnow-embed\[index\]"):
        read_pdf("a.pdf", b"")
