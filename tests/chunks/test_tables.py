"""Tables: every chunk of one names its columns, and rows stay whole."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from minnow.chunks import Chunk, Document, Splitter
from minnow.chunks.markdown import read_markdown
from minnow.chunks.webpage import read_html

COLUMNS = "Part | Price | Note"


def words() -> Tokenizer:
    """A token for each word."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def rows(count: int, note: str = "x") -> list[str]:
    return [f"P{number} | {10 + number} | {note}" for number in range(count)]


def markdown(count: int, note: str = "x") -> Document:
    lines = ["# Stock", "", f"| {COLUMNS} |", "|---|---|---|"]
    return read_markdown("a.md", "\n".join([*lines, *(f"| {row} |" for row in rows(count, note))]))


def split(document: Document, size: int = 40, overlap: int = 0) -> list[Chunk]:
    chunks = Splitter(words(), max_tokens=size, overlap=overlap).split(document)
    assert max(len(words().encode(chunk.text)) for chunk in chunks) <= size
    return chunks


def check(chunks: list[Chunk], expected: list[str]) -> None:
    """Each chunk names its columns once, and all rows are there, whole and in order."""
    found = []
    for chunk in chunks:
        head, *body = chunk.text[chunk.body :].split("\n")
        assert head == COLUMNS
        found += body
    assert found == expected


class TestMarkdown:
    def test_every_chunk_names_the_columns(self) -> None:
        chunks = split(markdown(60))
        assert len(chunks) > 5
        check(chunks, rows(60))
        assert {chunk.text[: chunk.body] for chunk in chunks} == {"Stock\n"}

    def test_a_sentence_in_a_cell_does_not_cut_its_row(self) -> None:
        note = "Dries fast. Ask us. Paint twice!"
        check(split(markdown(30, note)), rows(30, note))

    def test_a_row_of_more_than_half_a_chunk(self) -> None:
        note = " ".join(f"n{number}" for number in range(22))
        check(split(markdown(9, note), 50), rows(9, note))

    def test_the_chunk_is_where_it_says(self) -> None:
        document = markdown(60)
        for number, chunk in enumerate(split(document)):
            piece = document.text[chunk.start : chunk.end]
            assert chunk.text == "Stock\n" + (f"{COLUMNS}\n" if number else "") + piece

    def test_text_behind_a_table_has_no_columns(self) -> None:
        source = "| a | b |\n|---|---|\n| 1 | 2 |\n\n" + " ".join(f"w{n}" for n in range(90))
        texts = [chunk.text for chunk in split(read_markdown("a.md", source), 20)]
        assert all("a | b" not in text for text in texts[1:])
        assert texts[0].startswith("a | b\n1 | 2")

    def test_with_an_overlap(self) -> None:
        chunks = split(markdown(60), overlap=6)
        assert all(chunk.text[chunk.body :].startswith(COLUMNS + "\n") for chunk in chunks)
        assert all(row in "\n".join(chunk.text for chunk in chunks) for row in rows(60))

    def test_columns_that_would_take_most_of_a_chunk(self) -> None:
        names = " | ".join(f"c{number}" for number in range(12))
        row = " | ".join(str(number) for number in range(12))
        line = "|---" * 12
        document = read_markdown("a.md", f"| {names} |\n{line}|\n" + f"| {row} |\n" * 5)
        chunks = split(document, 30)
        assert sum("c0" in chunk.text for chunk in chunks) == 1
        assert sum(chunk.text.count("0 | 1 |") for chunk in chunks) == 5


@pytest.mark.extra("index")
class TestHtml:
    @pytest.mark.parametrize(
        "head",
        [
            "<thead><tr><td>Part<td>Price<td>Note</thead>",
            "<tr><th>Part<th>Price<th>Note",
            "<caption>Stock</caption><thead><tr><th>Part<th>Price<th>Note</thead>",
        ],
    )
    def test_every_chunk_names_the_columns(self, head: str) -> None:
        cells = "".join(f"<tr><td>P{n}<td>{10 + n}<td>x" for n in range(60))
        document = read_html("a.html", f"<h1>Stock</h1><table>{head}{cells}</table>")
        first, *others = split(document)
        assert COLUMNS in first.text
        assert all(f"\n{COLUMNS}\nP" in chunk.text for chunk in others)

    def test_two_rows_of_names(self) -> None:
        head = "<tr><th colspan=2>Paint<th>Tool<tr><th>Part<th>Price<th>Note"
        cells = "".join(f"<tr><th>P{n}<td>{10 + n}<td>x" for n in range(60))
        chunks = split(read_html("a.html", f"<table>{head}{cells}"))
        assert all(chunk.text.startswith(f"Paint | Paint | Tool\n{COLUMNS}\nP") for chunk in chunks)

    @pytest.mark.parametrize(
        ("table", "text"),
        [
            (
                "<thead><tr><th colspan=2>Sales<th rowspan=2>Total<tr><th>Q1<th>Q2</thead>"
                "<tr><td>1<td>2<td>3",
                "Sales | Sales | Total\nQ1 | Q2 | Total\n1 | 2 | 3",
            ),
            (
                "<tr><th>Country<th>City<tr><td rowspan=2>France<td>Paris<tr><td>Lyon"
                "<tr><td>Spain<td>Madrid",
                "Country | City\nFrance | Paris\nFrance | Lyon\nSpain | Madrid",
            ),
            (
                "<tr><td colspan=3>Whole<tr><td>a<td rowspan=9>9<td>2<tr><td>b<td>n/a<tr></tr>",
                "Whole\na | 9 | 2\nb | 9 | n/a",
            ),
            ("<tr><td>x<td colspan=2>n/a<tr><td>y<td>1<td>2", "x | n/a | n/a\ny | 1 | 2"),
            ("<tbody><tr><td rowspan=9>a<td>b<tbody><tr><td>c<td>d", "a | b\nc | d"),
            ("<tr><td colspan=0 rowspan=x>a<td colspan=1000>b", "a | b"),
            (f"<tr><td rowspan=2>{'long ' * 30}<td>a<tr><td>b", f"{'long ' * 30}| a\nb"),
        ],
    )
    def test_a_cell_stands_in_all_columns_and_rows_that_it_spans(
        self, table: str, text: str
    ) -> None:
        assert read_html("a.html", f"<table>{table}</table>").text == text

    def test_repeated_cells_do_not_outgrow_the_page(self) -> None:
        cell = f"<td rowspan=9999 colspan=50>{'x' * 90}"
        page = f"<table><tr>{cell * 20}{'<tr><td>z' * 999}"
        assert len(read_html("a.html", page).text) < 50_000

    @pytest.mark.parametrize(
        "table",
        [
            "<table>" + "<tr><th>Part<td>Price" * 60,
            "<table>" + "<tr><td>Part<td>Price" * 60,
            "<table>" + "<tr><th>Part<th>Price" * 60,
            "<table><thead><tr><th hidden>Part</thead>" + "<tr><td>Price" * 60,
        ],
    )
    def test_a_table_without_names(self, table: str) -> None:
        assert read_html("a.html", table).tables == ()

    def test_a_table_within_a_table(self) -> None:
        inner = f"<table><tr><th>Part<th>Price<th>Note{'<tr><td>P<td>1<td>x' * 40}</table>"
        page = f"<table><tr><th>Page<tr><td>{inner}<tr><td>{'end ' * 60}</table>"
        chunks = split(read_html("a.html", page))
        assert sum(COLUMNS in chunk.text for chunk in chunks) > 3
        assert COLUMNS not in chunks[-1].text
        assert sum("Page" in chunk.text for chunk in chunks) == 1
