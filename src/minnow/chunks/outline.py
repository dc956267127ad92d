"""Readable text from the elements of Markdown or HTML, divided at its headings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from minnow.chunks.cells import OpenRow, OpenTable

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MAX_HEADING = 300
_PARAGRAPHS = (
    "address", "article", "aside", "blockquote", "caption", "center", "details", "dialog", "dl",
    "fieldset", "figure", "footer", "form", "header", "hgroup", "hr", "main", "ol", "p", "pre",
    "section", "table", "ul",
)  # fmt: skip
_LINES = ("dd", "div", "dt", "figcaption", "legend", "li", "option", "summary", "tr")
_LINE_ENDS = {**dict.fromkeys(_PARAGRAPHS, 2), **dict.fromkeys(_LINES, 1)}
"""The number of line ends before and after an element."""

_HIDDEN = frozenset(
    ("datalist", "head", "iframe", "nav", "noembed", "noframes", "noscript", "script", "style",
     "svg", "template", "title"),
)  # fmt: skip
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_REPEATED = 10_000
"""Characters of cells that are repeated, besides half of the text; then the page is no table."""

_POWER = re.compile(r"[-+−]?\d")
_NO_ATTRIBUTES: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True)
class Section:
    """The text under one heading, up to the next.

    Attributes:
        headings: The headings above it, the outermost first.
        start: Its start in the document's text, in characters.
        end: Its end; equal to `start` if there is only the heading.
    """

    headings: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """A table whose first rows name its columns.

    Attributes:
        start: The start of these rows in the document's text, in characters.
        body: Where the other rows begin.
        end: The end of the table.
    """

    start: int
    body: int
    end: int


@dataclass(frozen=True)
class Document:
    """One file as readable text.

    Attributes:
        path: The path of the file, relative to the folder, with slashes.
        text: The text, with headings on lines of their own.
        sections: Its parts, in order, without the lines of headings.
        tables: Its tables with named columns, in order; none holds another.
        problems: A clause for each part that could not be read.
        notes: A clause for each part that holds something else than text.
    """

    path: str
    text: str
    sections: tuple[Section, ...]
    tables: tuple[Table, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_text(self) -> bool:
        """Whether it has any text besides headings."""
        return any(self.text[part.start : part.end].strip() for part in self.sections)


class Outline:
    """Converter of HTML elements, opened and closed in order, to text.

    Every opened element has to be closed, including `br` and `img`.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._start = 0
        self._path: list[tuple[int, str]] = []
        self._top_headings = 0
        self._heading: list[str] | None = None
        self._level = 0
        self._code: list[str] | None = None
        self._lists: list[int | None] = []
        self._rows: list[OpenRow] = []
        self._open_tables: list[OpenTable] = []
        self._tables: list[Table] = []
        self._repeated = 0
        self._hider, self._hidden = "", 0
        # To be written before the next text:
        self._lines, self._space, self._mark = 0, False, ""
        self._tight = False
        self._raised = False

    @property
    def text_so_far(self) -> str:
        """The text so far, with headings on lines of their own."""
        return "".join(self._pieces)

    @property
    def length(self) -> int:
        """The number of characters so far."""
        return self._length

    def open(self, tag: str, attributes: Mapping[str, str | None] = _NO_ATTRIBUTES) -> None:
        """Begin an element."""
        if self._hidden:
            self._hidden += tag == self._hider
        elif is_hidden(tag, attributes):
            self._hider, self._hidden = tag, 1
        elif self._code is not None:
            self._code.append("\n" if tag == "br" else "")
        elif tag in _HEADINGS:
            self._end_heading()
            self._heading, self._level = [], _HEADINGS[tag]
        elif tag == "br":
            self._separate(min(2, self._lines + 1))
        elif tag == "img":
            self.text(attributes.get("alt") or "")
        elif tag == "sup":
            self._raised = True
        else:
            self._separate(self._lines_around(tag))
            self._open_block(tag, attributes)

    def close(self, tag: str) -> None:
        """End an element."""
        if self._hidden:
            self._hidden -= tag == self._hider
        elif self._code is not None:
            if tag == "pre":
                self._end_code()
        elif tag in _HEADINGS:
            self._end_heading()
        else:
            self._close_block(tag)
            self._separate(self._lines_around(tag))

    def text(self, text: str) -> None:
        """Add text; white space becomes one space, except in `pre`."""
        if self._hidden or not text:
            return
        if self._code is not None:
            self._code.append(text)
            return
        words = text.split()
        self._space |= text[0].isspace()
        if words:
            power = self._raised and not self._space and _POWER.match(words[0])
            self._write(("^" if power else "") + " ".join(words))
            self._space, self._raised = text[-1].isspace(), False

    def document(self, path: str, title: str = "") -> Document:
        """Return the document of all that was added.

        Args:
            path: Its path.
            title: The outermost heading, unless the text has exactly one of level 1.
        """
        if self._code is not None:
            self._end_code()
        self._end_heading()
        self._end_section()
        outer = (title,) if title and self._top_headings != 1 else ()
        sections = (
            Section(outer + section.headings, section.start, section.end)
            for section in self._sections
        )
        text = "".join(self._pieces)
        tables = (replace(one, start=_skip_space(text, one.start)) for one in self._tables)
        return Document(path, text, tuple(sections), tuple(tables))

    # --- elements ------------------------------------------------------------------------

    def _open_block(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        if tag == "pre":
            self._code = []
        elif tag in ("ul", "ol"):
            start = attributes.get("start") or ""
            first = int(start) if re.fullmatch(r"\d{1,9}", start) else 1
            self._lists.append(first if tag == "ol" else None)
        elif tag == "li":
            self._mark, self._tight = self._bullet(), True
        elif tag == "table":
            self._open_tables.append(OpenTable(self._length))
        elif tag == "thead" and self._open_tables:
            self._open_tables[-1].in_head = True
        elif tag == "tr":
            self._rows.append(OpenRow(self._length))
            if self._open_tables:
                self._open_tables[-1].row += 1
        elif tag in ("td", "th") and self._rows:
            self._repeat_cells()
            self._separate_cells(is_first=not self._rows[-1].cells)
            self._rows[-1].begin_cell(tag, attributes, len(self._pieces))

    def _close_block(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "table" and self._open_tables:
            self._close_table(self._open_tables.pop())
        elif tag in ("thead", "tbody") and self._open_tables:
            self._open_tables[-1].in_head = False
            self._open_tables[-1].reaching.clear()
        elif tag == "tr" and self._rows:
            self._close_row()
        elif tag == "li":
            self._mark, self._tight = "", False
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].end_cell(self._pieces)
            if self._length > self._rows[-1].start:
                self._lines = 0

    def _bullet(self) -> str:
        """Return the mark of the next item of the innermost list."""
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        indent = "  " * (len(self._lists) - 1)
        return indent + ("- " if number is None else f"{number}. ")

    def _separate_cells(self, *, is_first: bool) -> None:
        row = self._rows[-1]
        self._tight = True
        if not is_first:
            self._mark += " | "
            if self._length > row.start:
                self._lines = 0

    def _repeat_cells(self, *, at_end: bool = False) -> None:
        """Write the cells that stand once in HTML, but belong to this place of the row too."""
        row = self._rows[-1]
        texts = self._open_tables[-1].spanned(row, at_end=at_end) if self._open_tables else []
        before = row.cells - len(texts)
        for column, text in enumerate(texts, start=before):
            self._repeated += len(text) + 3
            if self._repeated > _REPEATED + self._length // 2:
                return
            self._separate_cells(is_first=not column)
            if text:
                self._write(text)

    def _close_row(self) -> None:
        self._repeat_cells(at_end=True)
        row = self._rows.pop()
        self._mark, self._tight = "", False
        if not self._open_tables or self._length == row.start:
            return
        table = self._open_tables[-1]
        if table.has_rows or not (table.in_head or row.names_columns):
            table.has_rows = True
        else:
            table.body = self._length

    def _close_table(self, table: OpenTable) -> None:
        inner = self._tables and self._tables[-1].start >= table.start
        if table.body and table.has_rows and not inner:
            self._tables.append(Table(table.start, table.body, self._length))

    def _end_code(self) -> None:
        code = "".join(self._code or ()).strip("\n").rstrip()
        self._code = None
        if code:
            self._write(code)
        self._separate(_LINE_ENDS["pre"])

    def _end_heading(self) -> None:
        if self._heading is None:
            return
        title = " ".join("".join(self._heading).split())
        self._heading = None
        is_heading = 0 < len(title) <= _MAX_HEADING
        if is_heading:
            self._end_section()
            while self._path and self._path[-1][0] >= self._level:
                self._path.pop()
            self._path.append((self._level, title))
            self._top_headings += self._level == 1
        self._lines, self._mark, self._tight = 2, "", False
        if title:
            self._write(title)
            self._lines = 2
        if is_heading:
            self._start = self._length

    def _end_section(self) -> None:
        headings = tuple(title for _, title in self._path)
        if headings or self._length > self._start:
            self._sections.append(Section(headings, self._start, self._length))

    # --- text ----------------------------------------------------------------------------

    def _lines_around(self, tag: str) -> int:
        nested = tag in ("ul", "ol") and self._lists
        return 1 if nested else _LINE_ENDS.get(tag, 0)

    def _separate(self, lines: int) -> None:
        """Begin the next text some lines below; in a heading, after a space."""
        if self._heading is not None:
            self._space |= lines > 0
        elif not self._tight:
            self._lines = max(self._lines, lines)

    def _write(self, text: str) -> None:
        space = " " if self._space else ""
        if self._heading is not None:
            self._heading.append(space + text)
            return
        if self._lines and self._length:
            space = "\n" * self._lines
        elif self._lines or self._mark or not self._length:
            space = ""
        piece = space + self._mark + text
        self._pieces.append(piece)
        self._length += len(piece)
        self._lines, self._space, self._mark, self._tight = 0, False, "", False


def _skip_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def is_hidden(tag: str, attributes: Mapping[str, str | None]) -> bool:
    """Return whether an element is not shown, or is navigation."""
    return tag in _HIDDEN or (
        attributes.get("hidden", "until-found") != "until-found"
        or (attributes.get("aria-hidden") or "").lower() == "true"
        or "popover" in attributes
        or attributes.get("role") == "navigation"
        or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
    )
