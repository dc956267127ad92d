"""`minnow index` and `minnow search`, as a user types them; and the example that reads the file."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.programs import refused, run_minnow
from fakes.searching import DOCUMENTS, contents_of, write_documents

from minnow import Reranker
from minnow.indexfile.query_words import read_query
from minnow.search import SearchChoice, open_store
from minnow.search.choice import read_choice, write_choice

if TYPE_CHECKING:
    from fakes.bundles import BundleStore

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/read_index.py"


@pytest.fixture(scope="module")
def place(bundle_store: BundleStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bundles, documents, and an index of each encoding; for reading only."""
    folder = tmp_path_factory.mktemp("searching")
    bundle_store.copy_two(folder)
    rows = ({"id": n, "text": f"river {n} fish", "metadata": {"n": n}} for n in range(3))
    write_documents(folder / "docs", {**DOCUMENTS, "rows.jsonl": "\n".join(map(json.dumps, rows))})
    for kind in ("float16", "int8"):
        place = ("-b", "tiny.minnow", "-o", f"{kind}.index")
        done = run_minnow("index", "docs", *place, "--vectors", kind, "--json", cwd=folder)
        assert done.code == 0, done.stderr
        assert json.loads(done.stdout)["added"] == 6
    return folder


def hits(place: Path, *arguments: object) -> list[dict[str, object]]:
    done = run_minnow("search", *arguments, "--json", cwd=place)
    assert done.code == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)["hits"]
    return found


class TestIndex:
    def test_again_nothing_is_embedded(self, place: Path) -> None:
        done = run_minnow("index", "docs", "-b", "tiny.minnow", "-o", "float16.index", cwd=place)
        assert done.code == 0, done.stderr
        lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
        counts = {name: value.strip() for name, value in lines.items()}
        assert (counts["added"], counts["unchanged"], counts["embedded"]) == ("0", "6", "0")

    def test_what_cannot_be_read_is_listed(self, place: Path, tmp_path: Path) -> None:
        write_documents(tmp_path / "docs", {"good.txt": "fish", "bad.txt": "a\0b"})
        file = tmp_path / "a.index"
        done = run_minnow("index", "docs", "-b", place / "tiny.minnow", "-o", file, cwd=tmp_path)
        assert done.code == 8
        assert "skipped docs/bad.txt: docs/bad.txt holds a NUL byte" in done.stderr
        assert "error" not in done.stderr
        assert "skipped      1" in done.stdout
        assert [row[0] for row in contents_of(file)] == ["docs/good.txt"]

    def test_paths_can_be_dropped(self, place: Path, tmp_path: Path) -> None:
        file = tmp_path / "a.index"
        for arguments in (("-b", "tiny.minnow"), ("--remove",)):
            done = run_minnow("index", "docs", "-o", file, *arguments, "--json", cwd=place)
            assert done.code == 0, done.stderr
        assert json.loads(done.stdout)["removed"] == 6
        assert contents_of(file) == []

    def test_dropping_paths_rebuilds_nothing(self, place: Path) -> None:
        command = ("index", "docs", "--remove", "--rebuild", "-o", "float16.index")
        assert "leave --rebuild out" in refused(run_minnow(*command, cwd=place), 2)
        assert hits(place, "float16.index", "kettle")

    def test_a_wrong_path_makes_and_drops_nothing(self, place: Path, tmp_path: Path) -> None:
        before = contents_of(place / "float16.index")
        for file in (place / "float16.index", tmp_path / "new.index"):
            target = ("-b", "tiny.minnow", "-o", file, "--rebuild")
            done = run_minnow("index", "docs", "typo", *target, cwd=place)
            assert "There is no file or folder typo" in refused(done, 8)
        assert contents_of(place / "float16.index") == before
        assert list(tmp_path.iterdir()) == []

    def test_another_model_is_refused(self, place: Path) -> None:
        done = run_minnow("index", "docs", "-b", "other.minnow", "-o", "float16.index", cwd=place)
        assert "was made with another model" in refused(done, 11)

    def test_without_a_bundle(self, place: Path) -> None:
        assert "--bundle" in refused(run_minnow("index", "docs", "-o", "a.index", cwd=place), 2)


class TestSearch:
    @pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
    def test_modes(self, place: Path, mode: str) -> None:
        bundle = ("-b", "tiny.minnow")
        found = hits(place, "float16.index", "river 2 fish", *bundle, "--mode", mode, "-k", "3")
        assert found[0]["source"] == "docs/rows.jsonl#2"
        assert len(found) == 3

    def test_a_filter(self, place: Path) -> None:
        where = "metadata->>'n' = 1"
        found = hits(place, "float16.index", "fish", "-b", "tiny.minnow", "--where", where)
        assert [hit["source"] for hit in found] == ["docs/rows.jsonl#1"]

    def test_paths_dates_and_neighbours(self, place: Path) -> None:
        found = hits(place, "float16.index", "fish live", "--path", "docs/*.md", "--context", "1")
        assert {hit["source"] for hit in found} == {"docs/fish.md"}
        assert all(hit["before"] or hit["after"] for hit in found)
        since = ("--since", "2020", "--until", "2020-12")
        done = run_minnow("search", "float16.index", "fish", *since, cwd=place)
        assert "3 of 6 documents have no date" in done.stderr
        assert "nothing was found" in done.stderr
        refusal = run_minnow("search", "float16.index", "fish", "--since", "May", cwd=place)
        assert "--since should be a date such as 2024-05-31" in refused(refusal, 8)

    @pytest.mark.extra("evaluate")
    def test_the_best_way_is_measured_and_stored(self, place: Path, tmp_path: Path) -> None:
        file = tmp_path / "a.index"
        file.write_bytes((place / "float16.index").read_bytes())
        rows = [{"text": "Where is vinegar boiled?", "document": "docs/kitchen/kettle.md"}] * 3
        questions = tmp_path / "questions.jsonl"
        questions.write_text("\n".join(map(json.dumps, rows)))
        arguments = ("evaluate", file, "--queries", questions)
        assert "--bundle" in refused(run_minnow(*arguments, cwd=place), 2)
        done = run_minnow(*arguments, "-b", "tiny.minnow", "--store", cwd=place)
        assert done.code == 0, done.stderr
        assert done.stdout.count("too few queries to tell") == 2
        assert "None is better than hybrid search" in done.stdout
        store = open_store(file, writable=True)
        assert read_choice(store) is None
        write_choice(store, SearchChoice("vector", "ms-marco"))
        store.close()
        search = ("search", file, "fish", "--json")
        done = run_minnow(*search, cwd=place)
        assert json.loads(done.stdout)["mode"] == "keyword"
        assert "; give --bundle and --rerank for that" in done.stderr
        done = run_minnow(*search, "-b", "tiny.minnow", cwd=place)
        assert json.loads(done.stdout)["mode"] == "vector"
        assert f"searching by vector: {file} stores vector, reranked by ms-marco" in done.stderr
        done = run_minnow(*search, "-b", "tiny.minnow", "--mode", "hybrid", cwd=place)
        assert json.loads(done.stdout)["mode"] == "hybrid"
        assert done.stderr == ""

    def test_without_a_bundle_words_are_looked_for(self, place: Path) -> None:
        done = run_minnow("search", "float16.index", "kettle", cwd=place)
        assert done.code == 0, done.stderr
        assert "docs/kitchen/kettle.md, part 1\n    Kettle\n      Boil vinegar" in done.stdout
        refusal = run_minnow("search", "float16.index", "kettle", "--mode", "vector", cwd=place)
        assert "--mode vector needs the model" in refused(refusal, 2)

    def test_reranked(self, place: Path, ranker: Bundle) -> None:
        bundle, rerank = ("-b", "tiny.minnow"), ("--rerank", ranker.folder)
        first = hits(place, "float16.index", "river fish", *bundle, "-k", "6")
        found = hits(place, "float16.index", "river fish", *bundle, *rerank, "--candidates", "6")
        with Reranker.open(ranker) as reranker:
            best = reranker.rank("river fish", [str(hit["text"]) for hit in first], top_k=5)
        assert [hit["first_rank"] for hit in found] == [row["corpus_id"] + 1 for row in best]
        for hit, row in zip(found, best, strict=True):
            assert hit["rerank_score"] == hit["score"] == pytest.approx(row["score"], abs=1e-4)

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (("--candidates", "9"), 8, "--candidates is how many hits a reranker reads: give --re"),
            (("--rerank", "tiny.minnow"), 6, "is an embedding model"),
            (("--rerank", "docs"), 6, "not a bundle"),
        ],
    )
    def test_what_cannot_rerank(
        self, place: Path, options: tuple[str, ...], code: int, message: str
    ) -> None:
        done = run_minnow("search", "float16.index", "kettle", *options, cwd=place)
        assert message in refused(done, code)

    def test_nothing_found(self, place: Path) -> None:
        done = run_minnow("search", "float16.index", "zebra", cwd=place)
        assert (done.code, done.stdout, done.stderr) == (0, "", "warning: nothing was found.\n")

    @pytest.mark.parametrize(
        ("file", "bundle", "code", "message"),
        [
            ("none.index", "tiny.minnow", 8, "There is no file none.index"),
            ("docs", "tiny.minnow", 8, "is a folder, not an index"),
            ("docs/notes.txt", "tiny.minnow", 11, "is not an index: it is no SQLite file"),
            ("float16.index", "other.minnow", 11, "was made with another model"),
            ("float16.index", "docs", 6, "not a bundle"),
        ],
    )
    def test_what_is_refused(
        self, place: Path, file: str, bundle: str, code: int, message: str
    ) -> None:
        assert message in refused(run_minnow("search", file, "fish", "-b", bundle, cwd=place), code)


def run_example(place: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it where Python finds no package but its own."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(EXAMPLE), *arguments],
        cwd=place,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


class TestExample:
    """It reads an index with nothing but Python, and ranks as minnow does."""

    def run(self, place: Path, *arguments: str, stdin: str = "") -> list[list[str]]:
        done = run_example(place, *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return [line.split(None, 1) for line in done.stdout.splitlines()[::2]]

    @pytest.mark.parametrize("kind", ["float16", "int8"])
    def test_by_vectors(self, place: Path, kind: str) -> None:
        query = "how do fish sleep in the river"
        done = run_minnow("embed", "tiny.minnow", "--role", "query", query, cwd=place)
        theirs = self.run(place, f"{kind}.index", stdin=done.stdout)
        ours = hits(place, f"{kind}.index", query, "-b", "tiny.minnow", "--mode", "vector")
        assert [row[1].split(",")[0] for row in theirs] == [hit["source"] for hit in ours]
        for row, hit in zip(theirs, ours, strict=True):
            assert float(row[0]) == pytest.approx(hit["score"], abs=2e-4)

    def test_by_words(self, place: Path) -> None:
        theirs = self.run(place, "float16.index", "--words", 'kettle "vinegar')
        ours = hits(place, "float16.index", "kettle vinegar")
        assert [row[1].split(",")[0] for row in theirs] == [hit["source"] for hit in ours]
        assert float(theirs[0][0]) == pytest.approx(ours[0]["score"], abs=1e-4)

    def test_words_are_spelled_as_minnow_spells_them(self) -> None:
        question = runpy.run_path(str(EXAMPLE))["question"]
        assert question("童锁 フィルター 锁") == (
            '("童锁") OR ("フィ" AND "ィル" AND "ルタ" AND "ター") OR "锁" *'
        )
        for text in (
            "冷冻室", "ﾌｨﾙﾀｰ", "서울은", "น้ำดื่ม", "นํ้า", "ខ្មែរ", "မြန်မာ", "पानी",
            "المُرشِّح أكل", "می\u200cخواهم", "Straße", "Αθήνα", "Text\u00addatei",
            "ﬁle ＡＢＣ Ⅳ x²", "обʼєкт", "за\u0301мок", "e\u0301té",
        ):  # fmt: skip
            ours = {term.spelled for term in read_query(text).terms}
            assert set(re.findall('"(.*?)"', question(text))) == ours, text

    def test_another_file_is_refused(self, place: Path, tmp_path: Path) -> None:
        (tmp_path / "a.db").touch()
        done = run_example(place, str(tmp_path / "a.db"), "--words", "x")
        assert "is not an index that this program can read" in done.stderr


class TestMigrate:
    def test_to_another_model(self, place: Path, tmp_path: Path) -> None:
        file = tmp_path / "a.index"
        file.write_bytes((place / "float16.index").read_bytes())
        command = ("index", "migrate", file, "--to", "other.minnow")
        done = run_minnow(*command, "--json", cwd=place)
        assert done.code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert (facts["finished"], facts["embedded"]) == (True, facts["texts"])
        assert {loss["mode"] for loss in facts["losses"]} == {"vector", "hybrid"}
        assert "nDCG@10 of hybrid search with 25% embedded" in done.stderr
        found = hits(place, file, "how to descale a kettle", "-b", "other.minnow")
        assert len(found) == 5
        done = run_minnow("index", "migrate", file, "--cancel", "--json", cwd=place)
        assert json.loads(done.stdout) == {"index": str(file), "cancelled": False}

    def test_wrong_usage(self, place: Path) -> None:
        done = run_minnow("index", "migrate", "float16.index", cwd=place)
        assert "--to" in refused(done, 2)
        both = ("--cancel", "--to", "other.minnow")
        done = run_minnow("index", "migrate", "float16.index", *both, cwd=place)
        assert "not both" in refused(done, 2)
        (place / "empty.txt").write_text("\n")
        done = run_minnow("index", "migrate", "float16.index", "--to", "other.minnow",
                          "--queries", "empty.txt", cwd=place)  # fmt: skip
        assert "holds no question" in refused(done, 2)
