"""The text of a PDF, a section for each page."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from minnow.characters import clean_text
from minnow.chunks.line_ends import join_words
from minnow.chunks.outline import Document, Section
from minnow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypdf import PageObject, PdfReader

_BETWEEN = "\n\n"
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)
_MAX_FORMS = 2
"""Forms within forms that are searched for images."""

_LOST = ("decompress", "Error -", "unpack")
"""Parts of pypdf's warnings that say that content of a page is missing."""


def read_pdf(path: str, content: bytes) -> Document:
    """Read the text of a PDF; images of text are not read.

    Words that line ends cut are joined. A page that cannot be read costs only itself: the document
    says which pages those are, and which hold only pictures. pypdf is pure Python, so a broken file
    can raise an exception but not crash the process.

    Args:
        path: The path of the document.
        content: The content of the file.

    Raises:
        InputError: It is broken, locked with a password, or holds no text, or it is encrypted with
            AES and the package cryptography is not installed.
        MissingExtraError: The extra `index` is not installed.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, PyPdfError
    except ImportError as error:
        raise MissingExtraError("Reading PDF", "index") from error
    with _warnings():
        try:
            reader = PdfReader(io.BytesIO(content))
            if reader.is_encrypted and not reader.decrypt(""):
                raise InputError(f"{path} is locked with a password.")
            count = len(reader.pages)
        except InputError:
            raise
        except DependencyError as error:
            raise InputError(
                f"{path} is encrypted with AES, which needs the package cryptography: "
                "pip install 'minnow-embed[index]'"
            ) from error
        except PyPdfError as error:
            raise InputError(f"{path} is not a PDF that can be read: {error}.") from error
        except Exception as error:  # a broken file can raise anything
            raise InputError(f"{path} is not a PDF that can be read: {error!r}.") from error
    return _read_pages(path, reader, count)


def _read_pages(path: str, reader: PdfReader, count: int) -> Document:
    texts: list[str] = []
    numbers: list[int] = []
    pictures: list[int] = []
    problems: dict[str, list[int]] = {}
    for number in range(1, count + 1):
        text, problem, is_picture = _read_page(reader, number)
        if problem:
            problems.setdefault(problem, []).append(number)
        if text:
            texts.append(text)
            numbers.append(number)
        elif is_picture:
            pictures.append(number)
    told = tuple(f"{_pages(pages)} cannot be read: {why}" for why, pages in problems.items())
    if not texts:
        why = "; ".join(told) or f"its {count} pages may be pictures"
        raise InputError(f"{path} holds no text; {why}.")
    sections, start = [], 0
    texts = join_words("\f".join(texts)).split("\f")  # what all pages spell decides
    for number, text in zip(numbers, texts, strict=True):
        sections.append(Section((f"page {number}",), start, start + len(text)))
        start += len(text) + len(_BETWEEN)
    verb = "holds" if len(pictures) == 1 else "hold"
    note = f"{_pages(pictures)} {verb} only pictures, which are not read"
    return Document(
        path,
        _BETWEEN.join(texts),
        tuple(sections),
        problems=told,
        notes=(note,) if pictures else (),
    )


def _read_page(reader: PdfReader, number: int) -> tuple[str, str, bool]:
    """Return the text of a page, why not all of it could be read, and whether it is a picture."""
    with _warnings() as warned:
        try:
            page = reader.pages[number - 1]
            text = _clean(page.extract_text())
        except Exception as error:  # a broken page can raise anything
            return "", " ".join(str(error).split()) or type(error).__name__, False
        is_picture = not text and _has_image(page)
    lost = (line for line in warned if not text or any(part in line for part in _LOST))
    return text, " ".join(next(lost, "").split()), is_picture


def _has_image(page: PageObject) -> bool:
    """Return whether a page shows an image, itself or in a form on it."""
    todo: list[tuple[Any, int]] = [(page, 0)]
    with suppress(Exception):  # a broken page can raise anything
        while todo:
            holder, depth = todo.pop()
            for value in _inner(_inner(holder, "/Resources"), "/XObject").values():
                inner = value.get_object()
                if inner.get("/Subtype") == "/Image":
                    return True
                if inner.get("/Subtype") == "/Form" and depth < _MAX_FORMS:
                    todo.append((inner, depth + 1))
    return False


def _inner(holder: Any, key: str) -> Any:
    found = holder.get(key)
    return {} if found is None else found.get_object()


def _pages(numbers: list[int]) -> str:
    """Name pages, such as "pages 2, 5-9"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    names = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return f"{'page' if len(numbers) == 1 else 'pages'} {', '.join(names)}"


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Yield a list that receives what pypdf logs, in place of standard error."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, keeper = logging.getLogger("pypdf"), Keeper(logging.WARNING)
    level, passes = logger.level, logger.propagate
    logger.addHandler(keeper)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield lines
    finally:
        logger.removeHandler(keeper)
        logger.propagate = passes
        logger.setLevel(level)


def _clean(page: str) -> str:
    """Remove what broken fonts yield, and write ligatures as letters."""
    lines = clean_text(page).translate(_LIGATURES).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")
