"""Documents and questions on disk: what a path means, and messages about broken ones."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SHARED
from fakes.checkpoint import write_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers

from minnow.datasets.documents import read_docs
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.datasets import Dataset

PAGES = {
    "index.md": "---\ntitle: Water\n---\n",
    "fish/small.md": """# Small fish

The minnow is a small fish.

## How it runs

It `runs` **with** the river:

| time | one |
|------|-----|
| two  | no  |

### At night

It *sleeps* at night; see [the pike](big.md).

## Overview

Nothing is said here.

## Empty
""",
    "fish/big.md": "# Big fish\n\n## Overview\n\nThe pike is big. It fishes for minnows.\n",
    "notes.txt": "the minnow is a small fish\n\n" + "red fish blue fish\n" * 12,
    "résumé.md": "# Über Fische\n\nDer Fluß ist groß.\n",
    "image.png": "",
}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_tokenizer(tmp_path / "tokenizer")
    return Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json"))


@pytest.fixture
def water(tmp_path: Path) -> Path:
    """A folder of these pages."""
    folder = tmp_path / "water"
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def read(water: Path, tokenizer: Tokenizer) -> Callable[..., Dataset]:
    """Reads the pages with these questions, given as objects or as lines."""

    def reader(*questions: dict[str, Any] | str, max_tokens: int = 48) -> Dataset:
        lines = [q if isinstance(q, str) else json.dumps({"text": "how?"} | q) for q in questions]
        queries = water.parent / "queries.jsonl"
        content = "".join(f"{line}\n" for line in lines)
        queries.write_bytes(content.encode(errors="surrogateescape"))
        return read_docs(water, queries, tokenizer, max_tokens=max_tokens)

    return reader


@pytest.fixture
def ask(read: Callable[..., Dataset]) -> Callable[..., list[str]]:
    """Return the chunks that contain the answer to one question."""

    def asker(max_tokens: int = 48, **question: str) -> list[str]:
        return list(read(question, max_tokens=max_tokens).qrels["q1"])

    return asker


class TestReading:
    def test_chunks_questions_and_judgements(self, read: Callable[..., Dataset]) -> None:
        dataset = read(
            {"_id": "sleep", "text": "when does it sleep?", "heading": "At night"},
            "",
            {"text": "who is big?", "document": "fish/big.md"},
        )
        assert dataset.name == "water"
        assert dataset.queries == {"sleep": "when does it sleep?", "q3": "who is big?"}
        assert dataset.qrels == {"sleep": {"fish/small.md#3": 1}, "q3": {"fish/big.md#1": 1}}
        assert list(dataset.documents) == [
            "fish/big.md#1",
            *(f"fish/small.md#{number}" for number in (1, 2, 3, 4)),
            *(f"notes.txt#{number}" for number in (1, 2)),
            "résumé.md#1",
        ]
        assert dataset.documents["fish/small.md#2"] == (
            "Small fish > How it runs\nIt runs with the river:\n\ntime | one\ntwo | no"
        )

    def test_a_compressed_file_of_questions(self, water: Path, tokenizer: Tokenizer) -> None:
        queries = water / "queries.jsonl.gz"
        queries.write_bytes(
            gzip.compress(b'\xef\xbb\xbf{"text": "?", "document": "notes.txt"}\r\n')
        )
        dataset = read_docs(water, queries, tokenizer)
        assert dataset.qrels == {"q1": {"notes.txt#1": 1}}


class TestPlaces:
    @pytest.mark.parametrize(
        "name", ["fish/small.md", "./fish/small.md", "fish//small.md"], ids=["path", "dot", "slash"]
    )
    def test_a_document_is_all_its_chunks(self, ask: Callable[..., list[str]], name: str) -> None:
        assert ask(document=name) == [f"fish/small.md#{number}" for number in (1, 2, 3, 4)]

    def test_accents_of_a_name_may_be_spelled_either_way(
        self, ask: Callable[..., list[str]]
    ) -> None:
        assert ask(document="re\u0301sume\u0301.md") == ["résumé.md#1"]

    @pytest.mark.parametrize(
        ("heading", "numbers"),
        [
            ("Small fish", (1, 2, 3, 4)),
            ("  how IT\truns ", (2, 3)),
            ("## How it runs", (2, 3)),
            ("**How** it `runs`", (2, 3)),
            ("at night", (3,)),
            ("How it runs>At night", (3,)),
            ("small fish > how it runs > at night", (3,)),
            ("Small fish > Overview", (4,)),
        ],
    )
    def test_a_heading_is_what_stands_at_or_under_it(
        self, ask: Callable[..., list[str]], heading: str, numbers: tuple[int, ...]
    ) -> None:
        assert ask(heading=heading) == [f"fish/small.md#{number}" for number in numbers]

    def test_a_heading_in_a_document(self, ask: Callable[..., list[str]]) -> None:
        assert ask(heading="Overview", document="fish/big.md") == ["fish/big.md#1"]

    @pytest.mark.parametrize(
        ("passage", "ids"),
        [
            ("It fishes for minnows.", ["fish/big.md#1"]),
            ("it FISHES\n  for — minnows", ["fish/big.md#1"]),
            ("It *sleeps* at night; see [the pike](big.md).", ["fish/small.md#3"]),
            ("sleeps at night; see the pike", ["fish/small.md#3"]),
            ("| time | one |\n|------|-----|\n| two  | no  |", ["fish/small.md#2"]),
            ("`runs` **with** the river", ["fish/small.md#2"]),
            ("der FLUSS ist gross", ["résumé.md#1"]),
            ("minnow is a small fish", ["fish/small.md#1", "notes.txt#1"]),
            ("Overview\n\nThe pike is big", ["fish/big.md#1"]),
        ],
    )
    def test_a_passage_is_found_however_it_is_quoted(
        self, ask: Callable[..., list[str]], passage: str, ids: list[str]
    ) -> None:
        assert ask(passage=passage) == ids

    def test_a_passage_in_a_place(self, ask: Callable[..., list[str]]) -> None:
        passage = "minnow is a small fish"
        assert ask(passage=passage, document="notes.txt") == ["notes.txt#1"]
        assert ask(passage=passage, heading="Small fish") == ["fish/small.md#1"]


class TestPassagesThatAreCut:
    @pytest.mark.parametrize(
        ("first", "last", "numbers"),
        [
            (11, 14, {1}),
            (10, 16, {1}),
            (13, 17, {2}),
            (11, 18, {1, 2}),
            (1, 28, {1, 2}),
            (7, 28, {1, 2}),
            (9, 28, {2}),
        ],
    )
    def test_half_is_enough(self, tmp_path: Path, first: int, last: int, numbers: set[int]) -> None:
        words = [f"w{number:02}" for number in range(1, 29)]
        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        (tmp_path / "cut").mkdir()
        (tmp_path / "cut" / "a.txt").write_text(" ".join(words))  # cut behind w14
        queries = tmp_path / "queries.jsonl"
        queries.write_text(json.dumps({"text": "?", "passage": " ".join(words[first - 1 : last])}))
        dataset = read_docs(tmp_path / "cut", queries, tokenizer, max_tokens=16)
        assert set(dataset.qrels["q1"]) == {f"a.txt#{number}" for number in numbers}


class TestBrokenQuestions:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"text": "cut', "is not a JSON object .*truncated"),
            ('["text"]', "is not a JSON object .*got `array`"),
            ('{"document": "notes.txt"}', "missing required field `text`"),
            ('{"text": 1, "document": "notes.txt"}', r"got `int` - at `\$\.text`"),
            ('{"text": "?", "docment": "notes.txt"}', "unknown field `docment`"),
            (
                '{"text": "\udce9", "document": "notes.txt"}',
                "(can't decode byte 0xe9|Invalid UTF-8)",
            ),
            ({"text": " \t"}, "has an empty question"),
            ({}, 'does not say where the answer is; add "document", "heading" or "passage"'),
            ({"heading": " "}, 'has an empty "heading"'),
            ({"_id": "first", "document": "notes.txt"}, "repeats the id 'first'"),
            ({"document": "small.md"}, "'small.md', .* nearest is 'fish/small.md'"),
            ({"document": "fish/smal.md"}, "does not exist; the nearest is 'fish/small.md'"),
            ({"document": "x"}, r"names the document 'x', which does not exist\.$"),
            ({"document": "image.png"}, r"'image\.png', which is skipped: not one of \.md"),
            ({"document": "index.md"}, r"names 'index\.md', which has no text"),
            ({"heading": "how it runz"}, "does not exist; the nearest is 'How it runs'"),
            ({"heading": "Empty"}, "names 'Empty', which has no text"),
            (
                {"heading": "At night", "document": "fish/big.md"},
                r"'At night', which is not in fish/big\.md, but in fish/small\.md",
            ),
            (
                {"heading": "overview"},
                r"which 2 documents have: fish/big\.md, fish/small\.md; add \"document\"",
            ),
            ({"passage": "* …"}, r"quotes '\* …', which has no letter or digit"),
            ({"passage": "It fishes for pike"}, "not there; it agrees up to 'It fishes for'"),
            ({"passage": "unheard of"}, r"quotes 'unheard of', which is not there\.$"),
            ({"passage": "Big fish"}, "is there, but as a heading or not under the one given"),
            (
                {"passage": "The pike is big", "heading": "At night"},
                "quotes 'The pike is big', which is not there",
            ),
            (
                {"passage": "It sleeps at night", "heading": "Small fish > Overview"},
                "is there, but as a heading or not under the one given",
            ),
            ({"passage": "blue fish"}, "'blue fish', which is in 12 places; quote more of it"),
            ({"passage": "x" * 99}, f"quotes '{'x' * 59}…', which"),
        ],
    )
    def test_one_is_named_with_its_line(
        self, read: Callable[..., Dataset], line: str | dict[str, str], reason: str
    ) -> None:
        sound = {"_id": "first", "document": "notes.txt"}
        with pytest.raises(InputError, match=rf"^Line 2 of .*queries\.jsonl .*{reason}") as caught:
            read(sound, line)
        assert "\n" not in str(caught.value)

    def test_none(self, read: Callable[..., Dataset]) -> None:
        with pytest.raises(InputError, match=r"queries\.jsonl holds no questions"):
            read("")

    def test_no_file(self, water: Path, tokenizer: Tokenizer) -> None:
        with pytest.raises(InputError, match=r"Cannot read .*nowhere\.jsonl: No such file"):
            read_docs(water, water / "nowhere.jsonl", tokenizer)


class TestBrokenFolders:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            (None, r"empty has no documents \(Markdown, HTML or plain text\)\.$"),
            ("a.pdf", r"empty has no documents \(.*\); 1 files and folders are skipped\.$"),
            ("a.txt", r"empty has no documents with text \("),
        ],
    )
    def test_there_is_nothing_to_find(
        self, tmp_path: Path, tokenizer: Tokenizer, name: str | None, reason: str
    ) -> None:
        (tmp_path / "empty").mkdir()
        if name:
            (tmp_path / "empty" / name).write_text(" \n")
        with pytest.raises(InputError, match=reason):
            read_docs(tmp_path / "empty", tmp_path / "queries.jsonl", tokenizer)

    def test_a_broken_document_costs_only_itself(
        self, read: Callable[..., Dataset], water: Path
    ) -> None:
        whole = read({"document": "fish/big.md"})
        assert whole.notes == ()
        (water / "notes.txt").write_bytes(b"\xff")
        found = read({"document": "fish/big.md"})
        assert found.documents == {
            key: text for key, text in whole.documents.items() if not key.startswith("notes.txt")
        }
        (note,) = found.notes
        assert re.search(r"notes\.txt is not UTF-8 .*: it is left out\.$", note)

    @pytest.mark.extra("index")
    def test_a_page_without_text_is_named(self, read: Callable[..., Dataset], water: Path) -> None:
        (water / "shell.html").write_text("<div id=app></div><script>fill()</script>")
        (note,) = read({"document": "fish/big.md"}).notes
        assert "shell.html holds no text before its scripts run" in note


@pytest.mark.shared
def test_real_pages(tmp_path: Path, tokenizer: Tokenizer) -> None:
    questions: list[dict[str, str]] = [
        {"document": "practices/rules.md"},
        {"heading": "Automatically generated labels and time series"},
        {"heading": "writing exporters > deployment > scheduling"},
        {"heading": "Overview", "document": "introduction/overview.md"},
        {"passage": "precision for values up to 2<sup>53</sup>"},
        {"passage": "| renderer      | Optional. Type of graph."},
    ]
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        "".join(json.dumps({"text": "?"} | question) + "\n" for question in questions)
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    dataset = read_docs(SHARED / "infra_docs" / "prometheus", queries, tokenizer, max_tokens=512)
    assert all(len(tokenizer.encode(text).ids) <= 512 for text in dataset.documents.values())
    assert len({chunk.rpartition("#")[0] for chunk in dataset.documents}) == 71 - 13
    for query, question in zip(dataset.qrels.values(), questions, strict=True):
        for chunk in query:
            if "document" in question:
                assert chunk.startswith(question["document"] + "#")
            if "heading" in question:
                heading = question["heading"].rpartition(" > ")[2]
                assert heading.lower() in dataset.documents[chunk].partition("\n")[0].lower()
    *_, power, row = dataset.qrels.values()
    assert ["up to 2^53" in dataset.documents[chunk] for chunk in power] == [True]
    assert ["renderer | Optional" in dataset.documents[chunk] for chunk in row] == [True]
