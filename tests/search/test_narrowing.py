"""What a search is narrowed to; what comes with a hit, and what is folded into one."""

from __future__ import annotations

import io
import json
import os
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from fakes.rerankers import FakeReranker
from fakes.searching import FakeModel, open_fake, run_index, write_documents

from minnow.errors import InputError
from minnow.search import Collection, Index, Record, open_store
from minnow.search.choice import SearchChoice, read_choice, write_choice
from minnow.search.results import json_of, print_hits

if TYPE_CHECKING:
    from pathlib import Path

DATES = ("2023-12-31T23:59:59Z", "2024-05-02", "2024-05-31T22:00:00-04:00", "2024", None, 2024,
         "2024-05-01T10:00:00+0200", "2024-13-01")  # fmt: skip
WORD = "river"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of files from 2020 and 2021, and records with dates of several forms."""
    folder = tmp_path_factory.mktemp("narrowing")
    rows = [
        {"id": str(i), "text": f"{WORD} {i}", "metadata": {} if d is None else {"date": d}}
        for i, d in enumerate(DATES)
    ]
    docs = write_documents(
        folder / "docs",
        {
            "a/one.md": f"# One\n\n{WORD} stone\n",
            "a/b/two.md": f"# Two\n\n{WORD} moss\n",
            "c/one.txt": f"{WORD} sand\n",
            "rows.jsonl": "\n".join(map(json.dumps, rows)),
        },
    )
    for year, name in ((2020, "a/one.md"), (2021, "a/b/two.md"), (2022, "c/one.txt")):
        time = datetime(year, 7, 1, tzinfo=timezone.utc).timestamp()
        os.utime(docs / name, (time, time))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_index(folder / "a.index", docs.relative_to(folder))
    return folder / "a.index"


def sources(file: Path, **options: Any) -> set[str]:
    with open_fake(file) as index:
        return {hit.source.removeprefix("docs/") for hit in index.search(WORD, 50, **options)}


class TestPaths:
    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            (["docs/a"], {"a/one.md", "a/b/two.md"}),
            (["./docs/a/"], {"a/one.md", "a/b/two.md"}),
            (["docs/a/*.md"], {"a/one.md"}),
            (["docs/**/*.md"], {"a/one.md", "a/b/two.md"}),
            (["**/two.md"], {"a/b/two.md"}),
            (["one.*"], {"a/one.md", "c/one.txt"}),
            (["?"], {"a/one.md", "a/b/two.md", "c/one.txt"}),
            (["docs/c", "two.md"], {"a/b/two.md", "c/one.txt"}),
        ],
    )
    def test_patterns(self, file: Path, patterns: list[str], expected: set[str]) -> None:
        assert sources(file, paths=patterns) == expected

    @pytest.mark.parametrize("pattern", ["docs/*", "ocs/a", "docs/a/one", "docs/A", "[a]", "a.md"])
    def test_patterns_that_match_less(self, file: Path, pattern: str) -> None:
        if pattern == "docs/*":  # all below each folder
            assert len(sources(file, paths=[pattern])) == 3 + len(DATES)
            return
        with pytest.warns(UserWarning, match="No file of the index matches"):
            assert sources(file, paths=[pattern]) == set()

    def test_beside_a_condition(self, file: Path) -> None:
        found = sources(file, paths=["one.*"], where="source LIKE ?", params=["%.md"])
        assert found == {"a/one.md"}
        named = sources(file, paths=["one.*"], where="source LIKE :s", params={"s": "%.txt"})
        assert named == {"c/one.txt"}

    @pytest.mark.parametrize("patterns", ["docs/a", [""], ["/"], [3]])
    def test_patterns_that_are_none(self, file: Path, patterns: Any) -> None:
        with pytest.raises(InputError, match="pattern"):
            sources(file, paths=patterns)


@pytest.mark.filterwarnings("ignore:.*have no date")
class TestDates:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"since": "2024"}, {"1", "2"}),
            ({"until": "2023"}, {"0", "a/one.md", "a/b/two.md", "c/one.txt"}),
            ({"since": "2021-07-01", "until": "2022-07"}, {"a/b/two.md", "c/one.txt"}),
            ({"since": "2024-05", "until": "2024-05"}, {"1"}),  # in UTC the other is of June
            ({"since": "2024-06-01", "until": "2024-06-01"}, {"2"}),
            ({"since": date(2024, 5, 2), "until": date(2024, 5, 2)}, {"1"}),
            ({"since": "2024-05", "until": "9999"}, {"1", "2"}),
            ({"since": "2024-05-01", "until": "9999-12-31"}, {"1", "2"}),
            (
                {"since": "2024-05-01", "until": datetime.max.replace(tzinfo=timezone.utc)},
                {"1", "2"},
            ),
            ({"since": datetime(2024, 6, 1, 2)}, {"2"}),  # noqa: DTZ001
            ({"since": datetime(2024, 6, 1, 2, 0, 1, tzinfo=timezone.utc)}, set()),
            (
                {"until": datetime(2024, 6, 1, 4, tzinfo=timezone(timedelta(hours=2))),
                 "since": "2024-05-03"},
                {"2"},
            ),
            ({"since": "2021-07-01T00:00:00Z", "until": "2021-07-01T00:00:00Z"}, {"a/b/two.md"}),
        ],
    )  # fmt: skip
    def test_periods(self, file: Path, options: dict[str, Any], expected: set[str]) -> None:
        found = {name.removeprefix("rows.jsonl#") for name in sources(file, **options)}
        assert found == expected

    def test_what_has_no_date_is_said(self, file: Path) -> None:
        with pytest.warns(UserWarning, match="5 of 11 documents have no date"):
            sources(file, since="2020")

    @pytest.mark.parametrize("moment", ["", "May", "2024-13", "2024-05-32", "24", 2024, "0000"])
    def test_what_is_no_date(self, file: Path, moment: Any) -> None:
        with pytest.raises(InputError, match="`since=` should be a date such as"):
            sources(file, since=moment)

    def test_a_period_that_ends_before_it_begins(self, file: Path) -> None:
        with pytest.raises(InputError, match="`since=` 2024 is after `until=` 2023"):
            sources(file, since="2024", until="2023")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents of several chunks; the first has five."""
    folder = tmp_path_factory.mktemp("context")
    parts = [f"# Part {n}\n\n{'stone ' * 9}word{n}\n" for n in range(1, 6)]
    docs = write_documents(folder / "docs", {"a.md": "\n".join(parts), "b.md": "# B\n\nword9\n"})
    run_index(folder / "a.index", docs)
    return folder / "a.index"


class TestContext:
    @pytest.mark.parametrize(
        ("word", "context", "before", "after"),
        [("word3", 1, [2], [4]), ("word1", 2, [], [2, 3]), ("word5", 9, [1, 2, 3, 4], []),
         ("word9", 3, [], []), ("word3", 0, [], [])],
    )  # fmt: skip
    def test_neighbours_are_of_the_document(
        self, long: Path, word: str, context: int, before: list[int], after: list[int]
    ) -> None:
        with open_fake(long) as index:
            (hit,) = index.search(word, 1, mode="keyword", context=context)
        assert [part.number for part in hit.before] == before
        assert [part.number for part in hit.after] == after
        for part in (*hit.before, *hit.after):
            assert part.piece.endswith(f"word{part.number}")
            assert part.headings == (f"Part {part.number}",)
            assert part.id - hit.id == part.number - hit.number

    def test_they_are_printed_and_in_json(self, long: Path) -> None:
        stream = io.StringIO()
        with open_fake(long) as index:
            hits = index.search("word3", 1, mode="keyword", context=1)
        print_hits(hits, stream)
        shown = stream.getvalue()
        assert shown.index("part 2:") < shown.index("word2") < shown.index("word3")
        assert shown.index("word3") < shown.index("part 4:") < shown.index("word4")
        (found,) = json.loads(json_of("word3", "keyword", hits))["hits"]
        assert found["before"][0]["text"] == hits[0].before[0].text

    @pytest.mark.parametrize("context", [-1, 101, "2", 1.5])
    def test_numbers_out_of_range(self, long: Path, context: Any) -> None:
        with open_fake(long) as index, pytest.raises(InputError, match="`context="):
            index.search("word3", context=context)


def put(file: Path, *texts: str) -> Index:
    with Collection(file, FakeModel()) as collection:
        collection.put(Record(str(n), text) for n, text in enumerate(texts))
    return open_fake(file)


class TestFolding:
    def test_repeats_are_named_by_the_best(self, tmp_path: Path) -> None:
        texts = ("Fish sleep in the river.", "fish  SLEEP in “the river”", "Fish eat in the river.")
        with put(tmp_path / "a.index", *texts) as index:
            plain = index.search("fish sleep", 3)
            first, second = index.search("fish sleep", 3, fold=True)
        assert len(plain) == 3
        assert [hit.rank for hit in (first, second)] == [1, 2]
        assert [(r.id, r.source, r.score) for r in first.folded] == [
            (plain[1].id, plain[1].source, plain[1].score)
        ]
        assert second.folded == ()
        assert second.text == texts[2]
        stream = io.StringIO()
        print_hits([first], stream)
        assert f"the same in {plain[1].source}, part 1" in stream.getvalue()

    def test_others_take_their_places(self, tmp_path: Path) -> None:
        texts = ["fish sleep"] * 40 + [f"fish number {n}" for n in range(4)]
        with put(tmp_path / "a.index", *texts) as index:
            hits = index.search("fish sleep", 4, mode="vector", fold=True)
        assert len(hits) == 4
        assert len(hits[0].folded) == 39
        assert len({hit.text for hit in hits}) == 4

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("The kettle takes 35 litres of water.", "The kettle takes 3.5 litres of water."),
            ("It was -5 degrees on the lake.", "It was 5 degrees on the lake."),
            ("You can swim in the lake today.", "You cannot swim in the lake today."),
            ("You can swim in the lake today.", "You can not swim in the lake today."),
            ("The train to Oslo leaves from Bergen.", "The train from Oslo leaves to Bergen."),
            ("Take it where x < 3 holds.", "Take it where x > 3 holds."),
            ("The room is written in C++ mostly.", "The room is written in C mostly."),
            ("Pay $5 at the gate of the park.", "Pay €5 at the gate of the park."),
            ("if (ready) run the program", "if (!ready) run the program"),
            ("Setup\nRun it.", "Teardown\nRun it."),
        ],
    )
    def test_what_says_something_else_is_not_folded(
        self, tmp_path: Path, first: str, second: str
    ) -> None:
        with put(tmp_path / "a.index", first, second) as index:
            assert len(index.search(f"{first} {second}", fold=True)) == 2

    def test_a_shorter_text_is_another_answer(self, tmp_path: Path) -> None:
        whole = "one two three four five six seven eight nine ten"
        with put(
            tmp_path / "a.index", whole, whole[:-4], "one two three", f"{whole} more"
        ) as index:
            hits = index.search(whole, fold=True, mode="vector")
        groups = [{hit.text, *(f"{len(hit.folded)} folded",)} for hit in hits]
        assert {whole, "1 folded"} in groups  # and what is longer than a better hit stays
        assert len(hits) == 3

    def test_the_reranker_reads_no_repeats(self, tmp_path: Path) -> None:
        reranker = FakeReranker()
        texts = ("river fish", "River fish!", "river river")
        with put(tmp_path / "a.index", *texts) as index:
            hits = index.search("river", 3, fold=True, reranker=reranker)
        ((_, read),) = reranker.asked
        assert len(read) == 2
        assert {len(hit.folded) for hit in hits} == {0, 1}


class TestChoice:
    def test_a_search_without_a_mode_takes_it(self, file: Path, tmp_path: Path) -> None:
        copy = tmp_path / "a.index"
        copy.write_bytes(file.read_bytes())
        with open_fake(copy) as index:
            assert index.choice is None
            assert index.search(WORD, 1)[0].keyword_score is not None
            store = open_store(copy, writable=True)
            write_choice(store, SearchChoice("vector", "", 0.5, 30))
            assert index.choice == SearchChoice("vector", "", 0.5, 30)
            assert index.search(WORD, 1)[0].keyword_score is None
            assert index.search(WORD, 1, mode="hybrid")[0].keyword_score is not None
            write_choice(store, None)
            assert index.choice is None
            store.close()
            assert index.check() == []

    def test_another_model_forgets_it(self, tmp_path: Path) -> None:
        docs = write_documents(tmp_path / "docs")
        run_index(tmp_path / "a.index", docs)
        store = open_store(tmp_path / "a.index", writable=True)
        write_choice(store, SearchChoice("keyword"))
        store.close()
        other = FakeModel(weights_sha256="c" * 64)
        run_index(tmp_path / "a.index", docs, model=other, rebuild=True)
        store = open_store(tmp_path / "a.index")
        assert read_choice(store) is None
        store.close()
