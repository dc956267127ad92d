"""The text of a PDF, a section for each page."""

from __future__ import annotations

import io
import logging

from minnow.chunks.outline import Document, Section
from minnow.errors import InputError, MissingExtraError

_BETWEEN = "\n\n"


def read_pdf(path: str, content: bytes) -> Document:
    """Read the text of a PDF; images of text are not read.

    pypdf is pure Python, so a broken file can raise an exception but not crash the process.

    Args:
        path: The path of the document.
        content: The content of the file.

    Raises:
        InputError: It is broken, locked with a password, or holds no text.
        MissingExtraError: The extra `index` is not installed.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise MissingExtraError("Reading PDF", "index") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{path} is locked with a password.")
        pages = [page.extract_text() for page in reader.pages]
    except InputError:
        raise
    except PyPdfError as error:
        raise InputError(f"{path} is not a PDF that can be read: {error}.") from error
    except Exception as error:  # a broken file can raise anything
        raise InputError(f"{path} is not a PDF that can be read: {error!r}.") from error
    texts: list[str] = []
    sections, end = [], 0
    for number, page in enumerate(map(_clean, pages), start=1):
        if page:
            start = end + len(_BETWEEN) if texts else 0
            end = start + len(page)
            texts.append(page)
            sections.append(Section((f"page {number}",), start, end))
    if not sections:
        raise InputError(f"{path} holds no text; its {len(pages)} pages may be pictures.")
    return Document(path, _BETWEEN.join(texts), tuple(sections))


def _clean(page: str) -> str:
    """Remove NUL and unpaired surrogates, which broken fonts yield."""
    valid = page.replace("\0", "").encode("utf-8", "replace").decode()
    return "\n".join(line.rstrip() for line in valid.splitlines()).strip("\n")
