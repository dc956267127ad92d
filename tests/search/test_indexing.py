"""Indexing embeds changed files, removes deleted ones, reports broken ones, and resumes."""

from __future__ import annotations

import gc
import json
import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from fakes.searching import (
    DOCUMENTS,
    FINGERPRINT,
    FakeModel,
    contents,
    contents_of,
    open_fake,
    run_index,
    word_tokenizer,
    write_documents,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow.errors import IndexFileError, InputError
from minnow.indexfile import settings as settings_module
from minnow.search import VectorEncoding, index_paths, open_index, open_store, remove_paths
from minnow.search import indexing as indexing_module
from minnow.search.reading import work_ahead

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from minnow.indexfile.encodings import Floats


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three documents, as a path relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    write_documents(tmp_path / "docs")
    return Path("docs")


FILE = Path("a.index")


def run(*paths: Path, model: FakeModel | None = None, **options: Any) -> dict[str, int]:
    """Return the counts of a run's report that are not zero."""
    report = run_index(FILE, *paths, model=model, **options)
    counts = ("added", "changed", "unchanged", "removed", "embedded", "reused")
    found = {name: getattr(report, name) for name in counts if getattr(report, name)}
    return found | ({"skipped": len(report.skipped)} if report.skipped else {})


def files() -> set[str]:
    return {row[0] for row in contents_of(FILE)}


class TestARun:
    def test_the_first(self, docs: Path) -> None:
        assert run(docs) == {"added": 3, "embedded": 4}
        rows = [row[:8] for row in contents_of(FILE)]
        assert rows[0] == (
            "docs/fish.md", "", 1, "Fish", "Fish\nFish sleep with open eyes.", 5, 6, None,
        )  # fmt: skip
        assert [row[3] for row in rows] == ["Fish", "Fish > Minnows", "Kettle", ""]

    def test_nothing_is_embedded_twice(self, docs: Path) -> None:
        run(docs)
        before = contents_of(FILE)
        assert run(docs) == {"unchanged": 3}
        assert contents_of(FILE) == before

    def test_only_what_changed_is_embedded(self, docs: Path) -> None:
        run(docs)
        (docs / "fish.md").write_text(DOCUMENTS["fish.md"].replace("schools", "rivers"))
        model = FakeModel()
        assert run(docs, model=model) == {"changed": 1, "unchanged": 2, "embedded": 1, "reused": 1}
        assert model.embedded == ["Fish > Minnows\nMinnows live in rivers."]

    def test_a_file_that_was_only_touched(self, docs: Path) -> None:
        run(docs)
        (docs / "fish.md").touch()
        assert run(docs) == {"unchanged": 3}

    def test_a_change_that_keeps_size_and_time(self, docs: Path) -> None:
        run(docs)
        path = docs / "notes.txt"
        stat = path.stat()
        path.write_text(DOCUMENTS["notes.txt"].replace("night", "eight"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert run(docs) == {"changed": 1, "unchanged": 2, "embedded": 1}

    def test_deleted_documents_are_removed(self, docs: Path) -> None:
        run(docs)
        (docs / "notes.txt").unlink()
        assert run(docs) == {"unchanged": 2, "removed": 1}
        assert files() == {"docs/fish.md", "docs/kitchen/kettle.md"}

    def test_what_is_elsewhere_stays(self, docs: Path) -> None:
        run(docs)
        write_documents(Path("docs2"), {"x.txt": "other"})
        (docs / "notes.txt").unlink()
        assert run(Path("docs2")) == {"added": 1, "embedded": 1}
        assert run(docs / "kitchen") == {"unchanged": 1}
        assert "docs/notes.txt" in files()
        assert run(docs, Path("docs2")) == {"unchanged": 3, "removed": 1}

    def test_a_file_that_was_named_itself(self, docs: Path) -> None:
        assert run(docs / "fish.md", docs / "fish.md") == {"added": 1, "embedded": 2}
        assert files() == {"docs/fish.md"}

    def test_the_folder_that_we_are_in(self, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(docs)
        run(Path())
        assert files() == set(DOCUMENTS)
        Path("notes.txt").unlink()
        assert run(Path("./../docs/.")) == {"added": 2, "embedded": 3}

    def test_a_path_that_does_not_exist(self, docs: Path) -> None:
        run(docs)
        before = contents_of(FILE)
        with pytest.raises(
            InputError,
            match=r"^There is no file or folder nowhere\. .* use `remove_paths\(\)`",
        ):
            run(docs, Path("nowhere"))
        Path("a.exe").touch()
        with pytest.raises(InputError, match=r"should end in one of \.md"):
            run(Path("a.exe"))
        assert contents_of(FILE) == before

    def test_a_path_that_cannot_be_a_document(self, docs: Path) -> None:
        os.mkfifo("pipe.txt")
        with pytest.raises(InputError, match=r"^pipe\.txt is not a file"):
            run(docs, Path("pipe.txt"))
        with pytest.raises(InputError, match=r"File name too long|There is no"):
            run(docs, Path("x" * 300))

    def test_what_was_indexed_from_a_path_can_be_dropped(self, docs: Path) -> None:
        run(docs)
        store = open_store(FILE, writable=True)
        assert remove_paths([docs / "kitchen"], store) == 1
        assert remove_paths([Path("elsewhere")], store) == 0
        store.close()
        assert files() == {"docs/fish.md", "docs/notes.txt"}

    def test_what_waits_is_written_also_where_nothing_is_to_be_embedded(
        self, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(indexing_module, "_BATCH", 4)
        write_documents(docs, {f"{n}.txt": "" for n in range(10)})
        store = open_index(FILE, FakeModel())
        known: list[int] = []
        index_paths(
            [docs], store, FakeModel(),
            progress=lambda _: known.append(store.database.execute(
                "SELECT count(*) FROM documents"
            ).fetchone()[0]),
        )  # fmt: skip
        store.close()
        assert sorted(set(known)) == [0, 4, 8, 10]

    @pytest.mark.parametrize(("quick", "sizes"), [(float("inf"), [4, 8, 16, 16]), (0.0, [4] * 11)])
    def test_batches_grow_while_they_are_quick(
        self, docs: Path, monkeypatch: pytest.MonkeyPatch, quick: float, sizes: list[int]
    ) -> None:
        class Counting(FakeModel):
            def encode_documents(self, texts: Sequence[str]) -> Floats:
                found.append(len(texts))
                return super().encode_documents(texts)

        found: list[int] = []
        monkeypatch.setattr(indexing_module, "_BATCH", 4)
        monkeypatch.setattr(indexing_module, "_LARGEST_BATCH", 16)
        monkeypatch.setattr(indexing_module, "_QUICK", quick)
        run_index(FILE, write_documents(docs / "many", {f"{n}.txt": f"w{n}" for n in range(44)}),
                  model=Counting())  # fmt: skip
        assert found == sizes

    def test_an_empty_document_is_known_too(self, docs: Path) -> None:
        (docs / "empty.txt").touch()
        assert run(docs)["added"] == 4
        assert run(docs) == {"unchanged": 4}

    def test_a_folder_above_is_not_the_one_above_that(
        self, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(docs / "kitchen")
        index, other = Path("../../a.index"), Path("../../other")
        run_index(index, write_documents(other, {"x.txt": "other"}))
        for _ in range(2):
            assert run_index(index, Path("..")).removed == 0
        assert {row[0] for row in contents_of(index)} == {
            "../../other/x.txt", "../fish.md", "../kitchen/kettle.md", "../notes.txt",
        }  # fmt: skip


class TestWhatCannotBeRead:
    def test_a_broken_file_is_reported_and_the_rest_is_indexed(self, docs: Path) -> None:
        (docs / "latin.txt").write_bytes("café".encode("latin-1"))
        (docs / "binary.md").write_bytes(b"a\0b")
        (docs / "other.bin").write_bytes(b"")
        report = run_index(FILE, docs)
        assert [line.split(": ")[0] for line in report.skipped] == [
            "docs/binary.md", "docs/latin.txt",
        ]  # fmt: skip
        assert "is not UTF-8" in report.skipped[1]
        assert list(report.ignored) == ["docs/other.bin"]
        assert report.added == 3

    def test_a_broken_file_is_reported_on_every_run(self, docs: Path) -> None:
        (docs / "binary.md").write_bytes(b"a\0b")
        for _ in range(2):
            assert len(run_index(FILE, docs).skipped) == 1
        (docs / "binary.md").write_text("text")
        assert run(docs) == {"added": 1, "unchanged": 3, "embedded": 1}

    def test_its_older_state_stays(self, docs: Path) -> None:
        run(docs)
        before = [row[:11] for row in contents_of(FILE)]
        (docs / "fish.md").write_bytes(b"\xff")
        report = run_index(FILE, docs)
        assert report.skipped[0].endswith("its older state stays")
        assert [row[:11] for row in contents_of(FILE)] == before
        (docs / "fish.md").write_text(DOCUMENTS["fish.md"])
        assert run(docs) == {"unchanged": 3}

    def test_documents_of_an_unreadable_folder_stay(
        self, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(docs)
        real = Path.iterdir

        def iterdir(path: Path) -> Any:
            if path.name == "kitchen":
                raise PermissionError(13, "Permission denied")
            return real(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
        assert run(docs) == {"unchanged": 2, "skipped": 1}
        assert "docs/kitchen/kettle.md" in files()


class TestJsonLines:
    ROWS = (
        {"id": "a", "text": "One.", "title": "First", "metadata": {"lang": "en"}, "year": 1999},
        {"_id": 7, "contents": "Two."},
        {"text": "Three."},
    )

    def write(self, *rows: Any) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        Path("rows.jsonl").write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")
        return Path("rows.jsonl")

    def test_a_line_is_a_document(self, docs: Path) -> None:
        del docs
        run(self.write(*self.ROWS))
        rows = [(row[1], row[3], row[4], json.loads(row[8])) for row in contents_of(FILE)]
        assert rows == [
            ("5", "", "Three.", {}),
            ("7", "", "Two.", {}),
            ("a", "First", "First\nOne.", {"lang": "en", "year": 1999}),
        ]

    def test_lines_come_change_and_go(self, docs: Path) -> None:
        del docs
        run(self.write(*self.ROWS))
        changed = {**self.ROWS[0], "year": 2000}
        path = self.write(changed, self.ROWS[1], {"id": "new", "text": "Four."})
        assert run(path) == {
            "added": 1, "changed": 1, "unchanged": 1, "removed": 1, "embedded": 1, "reused": 1,
        }  # fmt: skip
        assert [row[1] for row in contents_of(FILE)] == ["7", "a", "new"]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "not a JSON object"),
            ("[1]", "not a JSON object"),
            ('{"id": "x"}', 'no "text"'),
            ('{"text": 1}', 'the "text" is int'),
            ('{"text": "a", "id": 1.5}', 'the "id" is float'),
            ('{"text": "a", "id": true}', 'the "id" is bool'),
            ('{"text": "a", "metadata": []}', 'the "metadata" is list'),
            ('{"text": "a", "x": NaN}', "not a JSON object: NaN is no JSON"),
            ('{"text": "a", "x": 1e999}', "holds a number that is too large"),
            ('{"text": "a", "x": ' + '{"x":' * 990 + "1" + "}" * 991, "is nested too deep"),
            ('{"text": " "}', "the text is empty"),
            ('{"text": "again", "id": "a"}', "repeats the id 'a'"),
            ("[" * 100_000, "is nested too deep"),
        ],
    )
    def test_a_broken_line_is_reported(self, docs: Path, line: str, reason: str) -> None:
        del docs
        report = run_index(FILE, self.write(self.ROWS[0], line, self.ROWS[2]))
        assert len(report.skipped) == 1
        assert report.skipped[0].startswith("rows.jsonl, line 3: ")
        assert reason in report.skipped[0]
        assert report.added == 2

    def test_characters_that_no_index_can_hold(self, docs: Path) -> None:
        del docs
        line = '{"text": "a\\u0000b \\ud83d \\ud83d\\udc1f", "x\\udfff": ["\\ud800"]}'
        assert run(self.write(line)) == {"added": 1, "embedded": 1}
        (row,) = contents_of(FILE)
        assert row[4] == "ab \ufffd 🐟"
        assert {"x\ufffd": ["\ufffd"]} in [
            json.loads(value) for value in row if str(value).startswith("{")
        ]

    def test_what_a_broken_line_was_stays(self, docs: Path) -> None:
        del docs
        run(self.write(*self.ROWS))
        assert run(self.write(self.ROWS[0], "{")) == {"unchanged": 1, "skipped": 1}
        assert len(contents_of(FILE)) == 3
        assert run(self.write(self.ROWS[0])) == {"unchanged": 1, "removed": 2}


class TestSettings:
    def test_those_of_the_file_are_kept(self, docs: Path) -> None:
        run(docs, max_tokens=20, overlap=3, encoding=VectorEncoding.INT8)
        assert run(docs) == {"unchanged": 3}
        store = open_store(FILE)
        assert (store.settings.max_tokens, store.settings.overlap) == (20, 3)
        assert store.settings.encoding is VectorEncoding.INT8
        store.close()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_tokens": 32}, "chunks of 64 tokens, not 32"),
            ({"overlap": 5}, "an overlap of 0 tokens, not 5"),
            ({"encoding": VectorEncoding.INT8}, "float16 vectors, not int8"),
        ],
    )
    def test_others_are_refused_but_for_a_rebuild(
        self, docs: Path, options: dict[str, Any], message: str
    ) -> None:
        run(docs)
        before = contents_of(FILE)
        with pytest.raises(
            IndexFileError, match=rf"{message}\. Keep these settings.*`rebuild=True`"
        ):
            run(docs, **options)
        assert contents_of(FILE) == before
        assert run(docs, rebuild=True, **options) == {"added": 3, "embedded": 4}

    def test_another_model_is_refused_but_for_a_rebuild(self, docs: Path) -> None:
        run(docs)
        other = FakeModel(weights_sha256="c" * 64)
        with pytest.raises(IndexFileError, match="was made with another model"):
            run(docs, model=other)
        assert run(docs, model=other, rebuild=True) == {"added": 3, "embedded": 4}
        assert open_store(FILE).fingerprint == other.fingerprint

    def test_chunks_that_the_model_has_no_room_for(self, docs: Path) -> None:
        with pytest.raises(InputError, match="Chunks of 65 tokens are too long"):
            run(docs, max_tokens=65)
        assert not FILE.exists()

    def test_no_chunk_is_over_the_limit(self, docs: Path) -> None:
        words = " ".join(f"w{n}" for n in range(500))
        (docs / "long.md").write_text(f"# {'Long ' * 9}\n\n{words}\n")
        run(docs, max_tokens=20)
        tokenizer = word_tokenizer()
        assert max(len(tokenizer.encode(row[4])) for row in contents_of(FILE)) == 20

    def test_documents_are_read_again_where_readers_are_new(
        self, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(docs)
        newest = settings_module.READERS + 1
        for module in (settings_module, indexing_module):
            monkeypatch.setattr(module, "READERS", newest)
        newer = partial(settings_module.IndexSettings, readers=newest)
        monkeypatch.setattr(indexing_module, "IndexSettings", newer)
        assert run(docs) == {"changed": 3, "reused": 4}
        assert run(docs) == {"unchanged": 3}


@pytest.mark.extra("index")
def test_a_page_without_text_is_reported(docs: Path) -> None:
    pages = {"shell.html": "<div id=app></div><script>fill()</script>", "a.htm": "<p>Tea"}
    write_documents(docs / "web", pages)
    report = run_index(FILE, docs / "web")
    assert (report.added, files()) == (1, {"docs/web/a.htm"})
    (line,) = report.skipped
    assert line.startswith("docs/web/shell.html: docs/web/shell.html holds no text before its scr")


class StoppedModel(FakeModel):
    """Stops the run at a call, counted from 0."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().encode_documents(texts)


class TestStopped:
    @pytest.fixture(autouse=True)
    def small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexing_module, "_BATCH", 4)
        monkeypatch.setattr(indexing_module, "_QUICK", 0.0)
        monkeypatch.setattr(indexing_module, "_LONG", 10)

    def test_the_next_run_does_the_rest(self, docs: Path) -> None:
        """Short documents, and one that is embedded in parts."""
        words = " ".join(f"w{n}" for n in range(900))
        write_documents(docs, {**DOCUMENTS, "long.txt": words, "z.txt": "the end"})
        run_index(Path("whole.index"), docs)
        expected = contents_of(Path("whole.index"))
        assert len(expected) >= 20
        embedded, stops = 0, 0
        for at in range(12):
            model = StoppedModel(1)
            try:
                run_index(FILE, docs, model=model)
            except KeyboardInterrupt:
                stops += 1
                assert set(contents_of(FILE)) <= {
                    *expected, *((*row[:11], b"") for row in expected)
                }  # fmt: skip
            embedded += len(model.embedded)
            if stops <= at:
                break
        assert stops > 3
        assert contents_of(FILE) == expected
        assert embedded == len(expected)

    def test_the_older_state_of_a_long_document_stays_until_the_new_one_is_whole(
        self, docs: Path
    ) -> None:
        write_documents(docs, {"long.txt": " ".join(f"w{n}" for n in range(900))})
        run(docs)
        before = [row[:11] for row in contents_of(FILE)]
        write_documents(docs, {"long.txt": " ".join(f"v{n}" for n in range(900))})
        with pytest.raises(KeyboardInterrupt):
            run_index(FILE, docs, model=StoppedModel(2))
        assert [row[:11] for row in contents_of(FILE)] == before
        with open_fake(FILE) as index:
            assert index.search("w3", mode="keyword")
            assert not index.search("v3", mode="keyword")

    def test_no_vector_is_left_over(self, docs: Path) -> None:
        write_documents(docs, {"long.txt": " ".join(f"w{n}" for n in range(900))})
        run(docs)
        store = open_store(FILE)
        with store.reading() as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        store.close()
        assert "staged" not in tables


NAMES = st.sampled_from(["a.txt", "b.md", "c/d.txt", "rows.jsonl"])
TEXTS = st.sampled_from(
    ["", "fish", "# Fish\n\nsleep\n\n# River\n\nlong", "one two three " * 40, "a\0b",
     '{"id": "x", "text": "one"}\n{"id": "y", "text": "two"}',
     '{"id": "y", "text": "two"}\n{"id": "x", "text": "three", "title": "T"}']
)  # fmt: skip
FOLDERS = st.dictionaries(NAMES, TEXTS, max_size=4)


@settings(max_examples=25)
@given(st.lists(FOLDERS, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_edits_give_the_index_of_a_fresh_run(
    states: list[dict[str, str]], chance: random.Random
) -> None:
    """Readable states, for of those that are not the older state stays."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "edited.index"
        for state in states:
            readable = {
                path: text for path, text in state.items()
                if "\0" not in text and (path != "rows.jsonl" or text[:1] == "{")
            }  # fmt: skip
            write_documents(folder / "docs", readable)
            try:
                run_index(file, folder / "docs", model=StoppedModel(chance.choice([0, 1, 99])))
            except KeyboardInterrupt:
                continue
        run_index(file, folder / "docs")
        run_index(folder / "fresh.index", folder / "docs")
        assert contents_of(file) == contents_of(folder / "fresh.index")


def test_every_document_is_embedded_and_reported_once(docs: Path) -> None:
    model = FakeModel()
    store = open_index(FILE, model)
    states: list[str] = []
    index_paths([docs], store, model, progress=lambda state: states.append(state.file))
    assert len(contents(store)) == len(model.embedded) == len(set(model.embedded))
    assert states[0] == "docs/fish.md"
    assert states[-1] == ""
    store.close()


def test_an_index_of_another_precision_is_added_to(docs: Path) -> None:
    run(docs)
    int8 = replace(FINGERPRINT, precision="int8", recipe={"precision": "int8"}, worst_cosine=0.995)
    model = FakeModel()
    model.fingerprint = int8
    assert run(docs, model=model) == {"unchanged": 3}


def test_the_work_on_an_only_item_is_done_by_the_caller() -> None:
    found = [read() for _, read in work_ahead(["a"], lambda _: threading.current_thread())]
    assert found == [threading.current_thread()]
    assert list(work_ahead([], str)) == []


def test_work_ahead_is_in_order_and_ends_with_the_caller() -> None:
    def half(number: int) -> int:
        if number == 700:
            raise InputError("odd")
        return number // 2

    found = []
    for number, result in work_ahead(iter(range(2000)), half):
        if number == 700:
            with pytest.raises(InputError, match="odd"):
                result()
            continue
        found.append((number, result()))
        if number == 1200:
            break
    assert found == [(n, n // 2) for n in range(1201) if n != 700]
    gc.collect()
    assert not any(thread.name.startswith("minnow-reader") for thread in threading.enumerate())
