"""Rows and cells of a table while it is read; a cell that spans others stands in each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_REPEATED = 100
"""Characters. A longer cell is text in a layout, which stands once."""

_MOST_COLUMNS = 50
"""A cell that spans more columns belongs to a layout; it stands once."""


@dataclass
class OpenRow:
    """A row whose end has not been read.

    Attributes:
        start: Its start in the document's text, in characters.
        cells: The number of columns so far, with those of cells that span several.
        own: The number of cells so far.
        names_columns: Whether all its cells are `th`.
        columns: How many columns its last cell spans.
        rows: How many rows its last cell spans.
        first_piece: The number of the document's pieces of text before its last cell.
        text: The text of its last cell, once that is closed; empty if it is not repeated.
    """

    start: int
    cells: int = 0
    own: int = 0
    names_columns: bool = True
    columns: int = 1
    rows: int = 1
    first_piece: int = 0
    text: str = ""

    def begin_cell(self, tag: str, attributes: Mapping[str, str | None], first_piece: int) -> None:
        """Begin a cell."""
        columns = _span(attributes, "colspan")
        self.columns = columns if columns <= _MOST_COLUMNS else 1
        self.rows = _span(attributes, "rowspan")
        self.first_piece, self.text = first_piece, ""
        self.cells += 1
        self.own += 1
        self.names_columns &= tag == "th"

    def end_cell(self, pieces: list[str]) -> None:
        """Keep the text of the last cell if that spans other columns or rows."""
        if self.columns > 1 or self.rows > 1:
            text = "".join(pieces[self.first_piece :]).strip("| \n")
            if len(text) <= _LONGEST_REPEATED and "\n" not in text:
                self.text = text


@dataclass
class OpenTable:
    """A table whose end has not been read.

    Attributes:
        start: Its start in the document's text, in characters.
        body: Where its rows behind those that name the columns begin; 0 if no row names them.
        in_head: Whether the place is within its `thead`.
        has_rows: Whether it has a row that names no columns.
        row: The number of its rows so far.
        reaching: By column, the text of the last cell that reaches down to other rows, and the
            number of the last of these rows.
    """

    start: int
    body: int = 0
    in_head: bool = False
    has_rows: bool = False
    row: int = 0
    reaching: dict[int, tuple[str, int]] = field(default_factory=dict)

    def spanned(self, row: OpenRow, *, at_end: bool = False) -> list[str]:
        """Return the texts of the columns between a row's last cell and its next one, or its end.

        They belong to the last cell, or to cells of rows above. A cell that spans all columns
        stands once.

        Source: the rules of
            https://html.spec.whatwg.org/multipage/tables.html#forming-a-table
        """
        if at_end and not row.own:
            return []
        is_alone = at_end and row.own == row.cells == 1
        texts = [] if is_alone else [row.text] * (row.columns - 1)
        if row.rows > 1 and row.text:
            for column in range(row.cells - 1, row.cells - 1 + row.columns):
                self.reaching[column] = row.text, self.row + row.rows - 1
        row.cells += row.columns - 1
        row.columns = row.rows = 1
        while self.reaching.get(row.cells, ("", 0))[1] >= self.row:
            texts.append(self.reaching[row.cells][0])
            row.cells += 1
        return texts


def _span(attributes: Mapping[str, str | None], name: str) -> int:
    digits = re.match(r"\s*(\d{1,5})", attributes.get(name) or "")
    return max(1, int(digits[1])) if digits else 1
